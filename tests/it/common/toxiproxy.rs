//! Toxiproxy: a link to a server that can be cut, slowed and taken away.

use std::process::Stdio;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::{eventually, free_port, tool};

/// A link through a proxy of its own; the process ends with the value.
pub(crate) struct Link {
    /// `host:port` to connect to in place of the server.
    pub(crate) address: String,
    client: Client,
    api: String,
    _process: Child,
}

impl Link {
    /// Starts a proxy with a link to `upstream`, which is `host:port`.
    pub(crate) async fn to(upstream: &str) -> Self {
        let port = free_port().to_string();
        let process = Command::new(tool("bin/toxiproxy-server"))
            .args(["-host", "127.0.0.1", "-port", &port])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("toxiproxy-server starts");
        let mut link = Self {
            address: String::new(),
            // A connection per request: none is left open beside those that a test counts.
            client: Client::builder().pool_max_idle_per_host(0).build().unwrap(),
            api: format!("http://127.0.0.1:{port}"),
            _process: process,
        };
        eventually("toxiproxy answers", async || {
            link.client
                .get(format!("{}/version", link.api))
                .send()
                .await
                .ok()
        })
        .await;
        let proxy = json!({"name": "link", "listen": "127.0.0.1:0", "upstream": upstream});
        let made = link.ask(Method::POST, "/proxies", &proxy).await;
        link.address = made["listen"].as_str().unwrap().to_owned();
        link
    }

    /// Adds a toxic to what the server sends, such as
    /// `{"type": "timeout", "attributes": {"timeout": 0}}`.
    pub(crate) async fn poison(&self, toxic: Value) {
        self.ask(Method::POST, "/proxies/link/toxics", &toxic).await;
    }

    /// Closes the listener and every connection: who connects is refused.
    pub(crate) async fn take_away(&self) {
        let body = json!({"enabled": false});
        self.ask(Method::POST, "/proxies/link", &body).await;
    }

    /// Makes the link whole again: without toxics, and listening.
    pub(crate) async fn mend(&self) {
        self.ask(Method::POST, "/reset", &json!({})).await;
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.api);
        let answer = self
            .client
            .request(method, url)
            .json(body)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.unwrap_or_default()
    }
}
