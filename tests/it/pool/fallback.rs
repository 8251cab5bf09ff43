//! A stage with a fallback: two real servers, and every way in which the first can be in trouble.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use offline_openai::{FaultKind, FaultRule, FaultTarget, Fixed, Server, ServerHandle};
use serde_json::json;
use tokio::task::JoinHandle;
use voxpool::config::Config;
use voxpool::error::ErrorKind;
use voxpool::llm::LlmEvent;
use voxpool::pool::{self, BreakerConfig, ConnectionPool};
use voxpool::redact::Pii;
use voxpool::stages::Stages;

use super::stages::{request, utterance};
use super::wire::{Step, Wire, chat, end, head, said, stop, transcript};
use crate::common::eventually;
use crate::common::toxiproxy::Link;

/// Rest after a failure, and time of an open breaker: long enough to be seen.
const OPEN: Duration = Duration::from_millis(500);

/// Every stage at one address, with its fallback at another.
pub(crate) struct Pair {
    pub(crate) pool: ConnectionPool,
    pub(crate) stages: Stages,
    monitor: JoinHandle<()>,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.monitor.abort();
    }
}

impl Pair {
    pub(crate) fn new(first: &str, second: &str) -> Self {
        let mut config = Config::default();
        config.openai.base_url = first.to_owned();
        config.openai.api_key = Pii::new("sk-first".to_owned());
        config.pool = pool::Config {
            health_interval: Duration::from_millis(300),
            breaker: BreakerConfig {
                failures_in_a_row: 3,
                open: OPEN,
                open_max: 2 * OPEN,
                ..BreakerConfig::default()
            },
            ..config.pool
        };
        config.stt.fallback_after = Duration::from_secs(2);
        config.llm.fallback_after = Duration::from_secs(2);
        config.tts.fallback_after = Duration::from_secs(2);
        config.stt.fallback.push(voxpool::stt::Fallback {
            base_url: second.to_owned(),
            ..Default::default()
        });
        config.llm.fallback.push(voxpool::llm::Fallback {
            base_url: second.to_owned(),
            model: "second-model".to_owned(),
            ..Default::default()
        });
        config.tts.fallback.push(voxpool::tts::Fallback {
            base_url: second.to_owned(),
            voice: "nova".to_owned(),
            ..Default::default()
        });
        let pool = ConnectionPool::new(config.pool.clone()).unwrap();
        let stages = Stages::new(&config, &pool).unwrap();
        let endpoints: Vec<_> = stages.endpoints.iter().map(|(_, it)| it.clone()).collect();
        pool.watch(&endpoints);
        let watching = pool.clone();
        let monitor = tokio::spawn(async move { watching.monitor().await });
        Self {
            pool,
            stages,
            monitor,
        }
    }

    async fn transcribe(&self) -> Result<String, ErrorKind> {
        let result = self.stages.stt.transcribe(utterance()).await;
        result.map_err(|error| error.kind)
    }

    async fn chat(&self) -> Result<String, ErrorKind> {
        let mut events = self.stages.llm.chat(request("hello"));
        let mut text = String::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(LlmEvent::Text(piece)) => text += &piece,
                Ok(_) => {}
                Err(error) => return Err(error.kind),
            }
        }
        Ok(text)
    }

    /// Samples of sound.
    async fn speak(&self) -> Result<usize, ErrorKind> {
        let mut frames = self.stages.tts.speak("Hello.".to_owned());
        let mut n_samples = 0;
        while let Some(frame) = frames.next().await {
            n_samples += frame.map_err(|error| error.kind)?.samples.len();
        }
        Ok(n_samples)
    }

    /// Which service of each stage answered last.
    async fn in_use(&self) -> Vec<(&'static str, usize)> {
        let stages = self.pool.stats().await.stages;
        let stages = stages.iter().filter(|it| it.stage != "extraction");
        stages.map(|it| (it.stage, it.in_use)).collect()
    }

    /// All three stages answer, from the named server.
    async fn answers_from(&self, place: usize) {
        let name = ["first", "second"][place];
        assert_eq!(self.transcribe().await.as_deref(), Ok(name));
        assert_eq!(self.chat().await.as_deref(), Ok(name));
        assert_eq!(self.speak().await, Ok([2_400, 4_800][place]));
        let expected = ["stt", "llm", "tts"].map(|stage| (stage, place));
        assert_eq!(self.in_use().await, expected);
    }
}

/// A server that says its name: with its transcripts, its replies and the length of its tone.
pub(crate) async fn named(place: usize) -> ServerHandle {
    let name = ["first", "second"][place].to_owned();
    let config = offline_openai::Config {
        fixed: Some(Fixed {
            transcript: name.clone(),
            reply: Some(name),
            tone: Duration::from_millis([100, 200][place]),
            ..Fixed::default()
        }),
        ..offline_openai::Config::default()
    };
    Server::bind(config).await.expect("the stand-in starts").1
}

fn requests(server: &ServerHandle) -> u64 {
    let stats = server.stats().endpoints;
    stats.transcriptions.requests + stats.chat.requests + stats.speech.requests
}

/// Two servers, the first at the end of a link that can be broken.
async fn pair() -> (Pair, Link, ServerHandle, ServerHandle) {
    let (first, second) = (named(0).await, named(1).await);
    let address = first.base_url();
    let address = address
        .trim_start_matches("http://")
        .trim_end_matches("/v1");
    let link = Link::to(address).await;
    let pair = Pair::new(&format!("http://{}/v1", link.address), &second.base_url());
    (pair, link, first, second)
}

#[tokio::test]
async fn the_second_takes_over_while_nobody_listens_at_the_first_and_hands_back() {
    let (pair, link, first, second) = pair().await;
    pair.answers_from(0).await;
    assert_eq!(requests(&second), 0);

    link.take_away().await;
    pair.answers_from(1).await;
    let asked = requests(&first);

    link.mend().await;
    // Nobody calls meanwhile: it is the monitor who finds out.
    eventually("the first is well again", async || {
        pair.answers_if_first().await
    })
    .await;
    pair.answers_from(0).await;
    assert!(requests(&first) > asked);
}

impl Pair {
    /// Whether a transcription comes from the first.
    async fn answers_if_first(&self) -> Option<()> {
        (self.transcribe().await.as_deref() == Ok("first")).then_some(())
    }
}

/// The first is in this trouble: the second answers, and while the trouble lasts the first is left
/// alone.
async fn takes_over(kind: FaultKind) {
    let (pair, _link, first, second) = pair().await;
    first.fail(FaultRule {
        endpoint: FaultTarget::Any,
        kind,
        count: u64::MAX,
        retry_after_s: 60,
    });
    pair.answers_from(1).await;
    // Once for each stage: nobody tried again where somebody else could be asked.
    assert_eq!(requests(&first), 3, "{kind:?}");
    pair.answers_from(1).await;
    assert_eq!(requests(&first), 3, "{kind:?}: the first rests");
    assert_eq!(requests(&second), 6);

    first.clear_faults();
    eventually("the first serves again", async || {
        pair.answers_if_first().await
    })
    .await;
    pair.answers_from(0).await;
}

#[tokio::test]
async fn five_hundreds() {
    takes_over(FaultKind::ServerError).await;
}

#[tokio::test]
async fn a_service_that_asks_for_a_minute_of_patience() {
    takes_over(FaultKind::RateLimited).await;
}

#[tokio::test]
async fn a_service_that_accepts_and_says_nothing() {
    takes_over(FaultKind::Hang).await;
}

#[tokio::test]
async fn a_key_that_is_refused() {
    takes_over(FaultKind::Unauthorized).await;
}

#[tokio::test]
async fn a_network_that_swallows_everything() {
    let (pair, link, _first, _second) = pair().await;
    link.poison(json!({"type": "timeout", "attributes": {"timeout": 0}}))
        .await;
    pair.answers_from(1).await;
}

#[tokio::test]
async fn an_answer_cut_before_its_first_item_is_given_by_the_second() {
    let first = Wire::start(|_| vec![head("text/event-stream"), Step::Close]).await;
    let second = Wire::start(|_| chat("second")).await;
    let pair = Pair::new(&first.base_url, &second.base_url);
    assert_eq!(pair.chat().await.as_deref(), Ok("second"));
    assert_eq!(first.requests_to("/chat/completions"), 1);
}

#[tokio::test]
async fn an_answer_without_a_word_is_asked_for_again_and_then_given_by_the_second() {
    let first = Wire::start(|_| vec![head("text/event-stream"), stop(), end()]).await;
    let second = Wire::start(|_| chat("second")).await;
    let pair = Pair::new(&first.base_url, &second.base_url);
    assert_eq!(pair.chat().await.as_deref(), Ok("second"));
    assert_eq!(first.requests_to("/chat/completions"), 2);
    let stats = pair.pool.stats().await.services;
    assert_eq!(
        stats[0].errors.get("empty"),
        Some(&1),
        "no success: {stats:?}"
    );
    // A caller can bring a model to it, so it is no outage.
    assert_eq!(stats[0].worst_breaker(), pool::BreakerState::Closed);
    assert_eq!(pair.chat().await.as_deref(), Ok("second"));
    assert_eq!(first.requests_to("/chat/completions"), 4);
}

#[tokio::test]
async fn an_answer_cut_after_its_first_item_is_not_given_twice() {
    let first = Wire::start(|_| vec![head("text/event-stream"), said("half"), Step::Close]).await;
    let second = Wire::start(|_| chat("second")).await;
    let pair = Pair::new(&first.base_url, &second.base_url);
    assert_eq!(pair.chat().await, Err(ErrorKind::Malformed));
    assert_eq!(second.requests_to("/chat/completions"), 0);
    // The next answer comes from the second.
    assert_eq!(pair.chat().await.as_deref(), Ok("second"));
}

#[tokio::test]
async fn a_sentence_half_spoken_is_not_spoken_twice() {
    let sound = |n: usize| super::wire::piece(&vec![1; n]);
    let first = Wire::start(move |_| vec![head("audio/pcm"), sound(4_800), Step::Close]).await;
    let second =
        Wire::start(move |_| vec![head("audio/pcm"), sound(9_600), super::wire::end()]).await;
    let pair = Pair::new(&first.base_url, &second.base_url);
    assert_eq!(pair.speak().await, Err(ErrorKind::Malformed));
    assert_eq!(second.requests_to("/chat/completions"), 0);
    assert_eq!(pair.speak().await, Ok(4_800));
}

#[tokio::test]
async fn no_key_goes_to_the_fallbacks_host() {
    let down = |_| super::wire::answer("503 Down", "", "{}");
    let first = Wire::start(down).await;
    let second = Wire::start(|_| transcript("second")).await;
    let pair = Pair::new(&first.base_url, &second.base_url);
    assert_eq!(pair.transcribe().await.as_deref(), Ok("second"));
    assert!(first.head(0).contains("sk-first"));
    let sent = second.head(0).to_ascii_lowercase();
    assert!(
        !sent.contains("authorization") && !sent.contains("sk-"),
        "{sent}"
    );
}

#[tokio::test]
async fn when_all_are_down_the_caller_learns_it() {
    let down = |_| super::wire::answer("503 Down", "", "{}");
    let (first, second) = (Wire::start(down).await, Wire::start(down).await);
    let pair = Pair::new(&first.base_url, &second.base_url);
    // Its checks fail, too, and could open the breaker between the two calls.
    pair.monitor.abort();
    assert_eq!(pair.transcribe().await, Err(ErrorKind::Unavailable));
    assert_eq!(pair.chat().await, Err(ErrorKind::Unavailable));
}

#[tokio::test]
async fn aimock_takes_over() {
    let mock = super::aimock::Aimock::start().await.unwrap();
    let first = Arc::new(named(0).await);
    let pair = Pair::new(&first.base_url(), &mock.base_url);
    pair.transcribe().await.unwrap();
    first.fail(FaultRule {
        endpoint: FaultTarget::Any,
        kind: FaultKind::ServerError,
        count: u64::MAX,
        retry_after_s: 1,
    });
    assert_eq!(pair.transcribe().await.as_deref(), Ok("hello there"));
    assert_eq!(
        pair.chat().await.as_deref(),
        Ok("Hi there, wie heißt du? 🙂")
    );
    assert_eq!(pair.speak().await, Ok(4));
}
