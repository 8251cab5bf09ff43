//! Transcription while the user speaks, over OpenAI's realtime WebSocket.
//!
//! The connections are the pool's: opened ahead, used for one utterance at a time, given back. The
//! sound of an utterance goes out as it is spoken; a pause commits it. When a connection is lost the
//! utterance so far is sent again as a whole over another one, within the same call.

mod hearing;
mod protocol;
mod transcript;

use futures::FutureExt;
use futures::future::BoxFuture;

use self::hearing::{Line, RealtimeHearing};
use super::{Config, Hearing, Stt};
use crate::audio::AudioFrame;
use crate::error::{CallError, ErrorKind};
use crate::pool::{CallSpec, ConnectionPool, Endpoint, Lease, Opening, SocketPlan, Sockets};

const OPERATION: &str = "transcription.realtime";
/// Least sound of a commit: services refuse less than 100 ms.
const SAMPLES_MIN: usize = protocol::RATE_HZ as usize / 5;
/// Sound that is sent without a look at the connection: its queue takes more.
const BURST_SAMPLES: usize = 16_000;

/// Transcribes over WebSockets. Clones share their connections.
#[derive(Clone)]
pub struct RealtimeStt {
    pool: ConnectionPool,
    endpoint: Endpoint,
    config: Config,
    retries_max: Option<u32>,
    sockets: Sockets,
}

impl RealtimeStt {
    pub(super) fn new(
        pool: &ConnectionPool,
        endpoint: &Endpoint,
        config: &Config,
        retries_max: Option<u32>,
    ) -> Self {
        let plan = SocketPlan {
            endpoint: endpoint.clone(),
            path: protocol::path(endpoint.host(), &config.model),
            operation: "transcription.connect",
            opening: Some(Opening {
                message: protocol::session_update(config),
                answer: protocol::is_ready,
            }),
            age_max: config.socket_age_max,
        };
        Self {
            pool: pool.clone(),
            endpoint: endpoint.clone(),
            config: config.clone(),
            retries_max,
            sockets: pool.sockets(plan),
        }
    }

    fn spec(&self) -> CallSpec {
        CallSpec::openai(OPERATION, &self.endpoint, self.config.timeout)
            .attempt_timeout(self.config.attempt_timeout)
            .retries_max(self.retries_max)
    }

    /// Sends a whole utterance over a connection of its own.
    async fn transcribe_whole(
        &self,
        lease: &Lease,
        utterance: &AudioFrame,
    ) -> Result<String, CallError> {
        let gone = || lease.spec().error(ErrorKind::Unavailable);
        let mut line = Line::new(self.sockets.take_within(lease).await?);
        for samples in utterance.samples.chunks(BURST_SAMPLES) {
            if !line.hear(samples) {
                return Err(gone());
            }
            // The task of the connection has its turn.
            tokio::task::yield_now().await;
        }
        if !line.commit() {
            return Err(gone());
        }
        let answer = line.answer().await.ok_or_else(gone)?;
        if answer.is_ok() {
            line.leave().await;
        }
        answer
    }
}

impl Stt for RealtimeStt {
    fn model(&self) -> &str {
        &self.config.model
    }

    fn transcribe(&self, utterance: AudioFrame) -> BoxFuture<'static, Result<String, CallError>> {
        if utterance.samples.is_empty() {
            return async { Ok(String::new()) }.boxed();
        }
        let (stt, spec) = (self.clone(), self.spec());
        async move {
            let pool = stt.pool.clone();
            let attempt = move |lease: Lease| {
                let (stt, utterance) = (stt.clone(), utterance.clone());
                async move { stt.transcribe_whole(&lease, &utterance).await }
            };
            pool.call(spec, attempt).await
        }
        .boxed()
    }

    fn listen(&self) -> Option<Box<dyn Hearing>> {
        Some(Box::new(RealtimeHearing::begin(self.clone())))
    }

    fn prewarm(&self) -> BoxFuture<'_, ()> {
        self.sockets.prewarm().boxed()
    }
}
