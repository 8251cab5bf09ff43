//! Starting servers and clients.

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use offline_openai::{Config, Fixed, Server, ServerHandle, StartError};

/// A server in fixed mode on a free port.
pub(crate) async fn fixed() -> ServerHandle {
    start(Config {
        fixed: Some(Fixed::default()),
        ..Config::default()
    })
    .await
}

/// A server that really hears and speaks.
pub(crate) async fn real() -> ServerHandle {
    start(Config::default()).await
}

pub(crate) async fn start(config: Config) -> ServerHandle {
    match Server::bind(config).await {
        Ok((_, server)) => server,
        Err(why @ StartError::Engine(_)) => panic!("{why}; run make setup"),
        Err(why) => panic!("{why}"),
    }
}

/// A typed client of a server.
pub(crate) fn client(server: &ServerHandle) -> Client<OpenAIConfig> {
    let config = OpenAIConfig::new()
        .with_api_base(server.base_url())
        .with_api_key("any");
    Client::build(http(), config)
}

/// A plain client with a pool of its own.
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().build().unwrap()
}

/// An address beside the API, such as `/stats`.
pub(crate) fn control_url(server: &ServerHandle, path: &str) -> String {
    server.base_url().replace("/v1", path)
}

/// A chat request of one user message.
pub(crate) fn chat_body(text: &str, stream: bool) -> serde_json::Value {
    serde_json::json!({
        "model": "gpt-4o-mini", "stream": stream,
        "messages": [{ "role": "user", "content": text }],
    })
}

/// The first of `words` that `heard` has in the same order, as a share of all `words`.
pub(crate) fn share_heard(words: &str, heard: &str) -> f64 {
    let plain = |text: &str| -> Vec<String> {
        let text = text
            .to_lowercase()
            .replace(|c: char| !c.is_alphanumeric() && c != '\'', " ");
        text.split_whitespace().map(str::to_owned).collect()
    };
    let (wanted, heard) = (plain(words), plain(heard));
    // The longest common subsequence, row by row.
    let mut row = vec![0usize; heard.len() + 1];
    for word in &wanted {
        let mut diagonal = 0;
        for (n, other) in heard.iter().enumerate() {
            let above = row[n + 1];
            row[n + 1] = if word == other {
                diagonal + 1
            } else {
                above.max(row[n])
            };
            diagonal = above;
        }
    }
    row[heard.len()] as f64 / wanted.len().max(1) as f64
}
