//! A second kind of session: one model that hears, thinks and speaks, over OpenAI's Realtime API.
//!
//! `event_loop` is the loop; `dialogue` decides, as plain code; `protocol` is what goes over the
//! wire. The connection is one of the pool's, and this call's alone, as it holds the conversation.
//! When it is lost or old the next one is told of what was said.
//!
//! **Invariants:** nothing in the loop waits for anything but events. The service is told how much
//! of its speech was heard, and only that enters the history.

mod call;
mod config;
mod dialogue;
mod event_loop;
mod microphone;
mod player;
mod protocol;
#[cfg(test)]
mod tests;
mod turn;

pub use self::config::{Config, Eagerness, TurnDetection};
pub use self::event_loop::RealtimeSession;
use crate::pool::{
    ConnectionPool, Endpoint, EndpointConfig, EndpointError, SocketPlan, Sockets, encoded,
};

/// The rate of a session's sound, in samples per second.
pub const SAMPLE_RATE_HZ: u32 = protocol::RATE_HZ;

/// A model to talk to. Clones share its connections.
#[derive(Clone)]
pub struct RealtimeModel {
    config: Config,
    /// ISO 639-1 code of the user's language; empty lets the service find out.
    language: String,
    sockets: Sockets,
    endpoint: Endpoint,
}

impl RealtimeModel {
    /// The model at the endpoint that `config` and the shared section make together.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub fn new(
        pool: &ConnectionPool,
        shared: &EndpointConfig,
        config: Config,
        language: &str,
    ) -> Result<Self, EndpointError> {
        let endpoint = Endpoint::for_stage(shared, &config.base_url, &config.api_key)?;
        let sockets = pool.sockets(SocketPlan {
            endpoint: endpoint.clone(),
            path: format!("/realtime?model={}", encoded(&config.model)),
            operation: "realtime.connect",
            opening: None,
            age_max: config.socket_age_max,
        });
        Ok(Self {
            config,
            language: language.to_owned(),
            sockets,
            endpoint,
        })
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.config.model
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Opens connections ahead of calls.
    pub async fn prewarm(&self) {
        self.sockets.prewarm().await;
    }
}
