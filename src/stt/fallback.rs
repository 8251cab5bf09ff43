//! Several transcribers, of which one listens: the first that is well.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Stt;
use super::openai::OpenAiStt;
use crate::audio::AudioFrame;
use crate::error::CallError;
use crate::pool::{Choice, ConnectionPool};

/// Transcribes with the first of several services that is well.
pub struct FallbackStt {
    choice: Arc<Choice>,
    all: Arc<[OpenAiStt]>,
}

impl FallbackStt {
    /// A choice of `all`, in the order of preference; at least one.
    pub fn new(pool: ConnectionPool, all: Vec<OpenAiStt>) -> Self {
        let candidates = all.iter().map(OpenAiStt::candidate).collect();
        Self {
            choice: Arc::new(Choice::new("stt", pool, candidates)),
            all: all.into(),
        }
    }
}

impl Stt for FallbackStt {
    fn transcribe(&self, utterance: AudioFrame) -> BoxFuture<'static, Result<String, CallError>> {
        let (choice, all) = (Arc::clone(&self.choice), Arc::clone(&self.all));
        async move {
            choice
                .call(|place| all[place].transcribe(utterance.clone()))
                .await
        }
        .boxed()
    }
}
