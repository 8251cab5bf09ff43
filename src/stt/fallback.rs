//! Several transcribers, of which one listens: the first that is well.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};

use super::openai::OpenAiStt;
use super::{Hearing, Stt};
use crate::audio::AudioFrame;
use crate::error::CallError;
use crate::pool::{CallOptions, Choice, ConnectionPool};

/// Transcribes with the first of several services that is well.
#[derive(Clone)]
pub struct FallbackStt {
    choice: Arc<Choice>,
    all: Arc<[Arc<dyn Stt>]>,
}

impl FallbackStt {
    /// A choice of `all`, in the order of preference; at least one.
    pub fn new(pool: ConnectionPool, all: Vec<OpenAiStt>) -> Self {
        let candidates = all.iter().map(OpenAiStt::candidate).collect();
        Self {
            choice: Arc::new(Choice::new("stt", pool, candidates)),
            all: all.into_iter().map(OpenAiStt::in_mode).collect(),
        }
    }
}

impl Stt for FallbackStt {
    fn model(&self) -> &str {
        self.all[0].model()
    }

    fn transcribe(&self, utterance: AudioFrame) -> BoxFuture<'static, Result<String, CallError>> {
        self.transcribe_with(utterance, &CallOptions::default())
    }

    fn transcribe_with(
        &self,
        utterance: AudioFrame,
        options: &CallOptions,
    ) -> BoxFuture<'static, Result<String, CallError>> {
        let (choice, all) = (Arc::clone(&self.choice), Arc::clone(&self.all));
        let options = options.clone();
        async move {
            choice
                .call(|place| all[place].transcribe_with(utterance.clone(), &options))
                .await
        }
        .boxed()
    }

    /// The first that is well listens; another that has to take over gets the whole utterance.
    fn listen(&self) -> Option<Box<dyn Hearing>> {
        let place = self.choice.first();
        Some(Box::new(FirstHears {
            place,
            first: self.all[place].listen()?,
            stt: self.clone(),
        }))
    }

    fn prewarm(&self) -> BoxFuture<'_, ()> {
        let all = self.all.iter().map(|stt| stt.prewarm());
        join_all(all).map(drop).boxed()
    }
}

/// An utterance that one of several hears.
struct FirstHears {
    place: usize,
    first: Box<dyn Hearing>,
    stt: FallbackStt,
}

impl Hearing for FirstHears {
    fn hear(&self, frame: &AudioFrame) {
        self.first.hear(frame);
    }

    fn transcribe(&self, utterance: AudioFrame) -> BoxFuture<'static, Result<String, CallError>> {
        let heard = Mutex::new(Some(self.first.transcribe(utterance.clone())));
        let (choice, all) = (Arc::clone(&self.stt.choice), Arc::clone(&self.stt.all));
        let listener = self.place;
        async move {
            let ask = |place: usize| {
                let heard = (place == listener).then(|| {
                    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    heard.take()
                });
                let whole = || all[place].transcribe(utterance.clone());
                heard.flatten().unwrap_or_else(whole)
            };
            choice.call(ask).await
        }
        .boxed()
    }

    fn poll_words(&mut self, context: &mut Context<'_>) -> Poll<String> {
        self.first.poll_words(context)
    }
}
