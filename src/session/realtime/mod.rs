//! A second kind of session: one model that hears, thinks and speaks, over OpenAI's Realtime API.
//!
//! `event_loop` is the loop; `dialogue` decides, as plain code; `protocol` is what goes over the
//! wire. The connection is one of the pool's, and this call's alone, as it holds the conversation.
//! When it is lost or old the next one is told of what was said, and so is the service that takes over
//! when one is in trouble. `greeting` keeps the first words for later calls, `apology` says what went
//! wrong with the voice of `[tts]`, and `voice` speaks with it what programs want to be said.
//!
//! **Invariants:** nothing in the loop waits for anything but events. The service is told how much
//! of its speech was heard, and only that enters the history.

mod apology;
mod call;
mod config;
mod dialogue;
mod event_loop;
mod greeting;
mod line;
mod microphone;
mod player;
mod protocol;
#[cfg(test)]
mod tests;
mod turn;
mod user;
mod voice;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};

pub use self::config::{Config, Eagerness, Fallback, TurnDetection};
pub use self::event_loop::RealtimeSession;
use crate::error::CallError;
use crate::pool::{
    Candidate, Choice, ConnectionPool, Endpoint, EndpointConfig, EndpointError, SocketPlan,
    Sockets, TakenSocket, encoded,
};
use crate::session::Agent;

/// The rate of a session's sound, in samples per second.
pub const SAMPLE_RATE_HZ: u32 = protocol::RATE_HZ;

/// A model to talk to, and those that take over from it. Clones share their connections.
#[derive(Clone)]
pub struct RealtimeModel {
    /// In the order of preference; at least one.
    services: Arc<[Service]>,
    /// Which of several is asked.
    choice: Option<Arc<Choice>>,
    /// ISO 639-1 code of the user's language; empty lets the service find out.
    language: String,
}

/// One model and its connections.
struct Service {
    config: Config,
    sockets: Sockets,
    endpoint: Endpoint,
}

/// A connection, and to which of the services.
type Connected = (usize, TakenSocket);

impl RealtimeModel {
    /// The model of `config` and its fallbacks, at the endpoints that they and the shared section
    /// make together.
    ///
    /// # Errors
    /// When an address or a key cannot be used.
    pub fn new(
        pool: &ConnectionPool,
        shared: &EndpointConfig,
        config: &Config,
        language: &str,
    ) -> Result<Self, EndpointError> {
        let services = config.all(shared)?.into_iter().map(|(at, config)| {
            let endpoint = Endpoint::new(&at)?;
            let sockets = pool.sockets(SocketPlan {
                endpoint: endpoint.clone(),
                path: format!("/realtime?model={}", encoded(&config.model)),
                operation: "realtime.connect",
                opening: None,
                age_max: config.socket_age_max,
            });
            Ok(Service {
                config,
                sockets,
                endpoint,
            })
        });
        let services = services.collect::<Result<Arc<[_]>, EndpointError>>()?;
        let candidates = services.iter().map(|it| Candidate {
            endpoint: it.endpoint.clone(),
            model: it.config.model.clone(),
        });
        let choice = (services.len() > 1)
            .then(|| Arc::new(Choice::new("realtime", pool.clone(), candidates.collect())));
        Ok(Self {
            services,
            choice,
            language: language.to_owned(),
        })
    }

    /// The name of the model that is preferred.
    pub fn name(&self) -> &str {
        &self.services[0].config.model
    }

    /// Where they are, in the order of preference.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.services.iter().map(|it| &it.endpoint)
    }

    /// Opens connections ahead of calls.
    pub async fn prewarm(&self) {
        let all = self.services.iter().map(|it| it.sockets.prewarm());
        join_all(all).await;
    }

    /// Makes or fetches the greeting that the calls of `agent` share.
    pub async fn prewarm_greeting(&self, agent: &Agent) {
        if let Some(greeting) = greeting::kept(self, agent) {
            // A failure is met again, and said, by whoever greets.
            greeting.await.ok();
        }
    }

    /// A connection to the first of the services that is well, after a pause.
    fn connect(&self, delay: Duration) -> BoxFuture<'static, Result<Connected, CallError>> {
        let (services, choice) = (Arc::clone(&self.services), self.choice.clone());
        async move {
            tokio::time::sleep(delay).await;
            let ask = |place: usize| {
                let sockets = services[place].sockets.clone();
                async move { Ok((place, sockets.take().await?)) }.boxed()
            };
            match choice {
                Some(choice) => choice.call(ask).await,
                None => ask(0).await,
            }
        }
        .boxed()
    }

    /// The service at `place` failed a conversation.
    fn failed(&self, place: usize, error: &CallError) {
        if let Some(choice) = &self.choice {
            choice.failed(place, error);
        }
    }

    /// Whether one that is preferred to this is well.
    fn has_better(&self, place: usize) -> bool {
        (self.choice.as_ref()).is_some_and(|choice| choice.has_better(place))
    }
}
