//! Streams as ten services write them, word for word, to the real program.

use super::server::{Answer, Service, last};
use super::two_turns;

macro_rules! recordings {
    ($($name:literal),*) => {
        [$(
            (
                $name,
                include_str!(concat!("../../recordings/", $name, ".text")),
                include_str!(concat!("../../recordings/", $name, ".call")),
            )
        ),*]
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_services_are_talked_to_with_tools() {
    let all = recordings!(
        "openai",
        "azure",
        "groq",
        "gemini",
        "anthropic",
        "mistral",
        "deepseek",
        "vllm",
        "llamacpp",
        "ollama"
    );
    for (name, text, calling) in all {
        let service = Service::start(move |body| {
            let is_answered = last(body)["role"] == "tool";
            Answer::Body(if is_answered { text } else { calling }.to_owned())
        })
        .await;
        let expected = "It is 20 °C in Köln. Shall I book a table?";
        two_turns(&service, &[], expected, name).await;
        assert_eq!(service.asked().len(), 4, "{name}: nothing was asked twice");
    }
}
