//! Greetings in real calls: made once, heard by everybody, at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use livekit_api::access_token::{AccessToken, VideoGrants};
use offline_openai::Server;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use voxpool::arrival::Arrival;
use voxpool::audio::AudioFrame;
use voxpool::audio::detector::VoiceDetector;
use voxpool::cache::{self, Cache};
use voxpool::error::Service;
use voxpool::pool::BreakerState;
use voxpool::redact::Pii;
use voxpool::room::{AgentCard, AudioOutput, FrontEnd, Participation, Voice, join};
use voxpool::session::{
    Agent, Greeting, GreetingCache, GreetingMode, Links, MadeWith, Session, Settings,
};
use voxpool::tools::ToolSet;

use super::{Caller, House};
use crate::cache::connections;
use crate::common::left::leaves_nothing;
use crate::common::livekit::{API_KEY, API_SECRET, LiveKit};
use crate::common::redis::Redis;
use crate::common::{eventually, within};
use crate::memory::faults::stats;
use crate::pool::stages::{Options, Stages};

#[tokio::test(flavor = "multi_thread")]
async fn the_second_callers_greeting_costs_no_request_and_is_heard() {
    let house = House::open(None, "Hello, how can I help you?").await;
    for n in 0..2 {
        let caller = Caller::join(&house.server.url(), &format!("greeted-{n}")).await;
        caller.hears(20).await;
        caller.reads(true, "Hello, how can I help you?").await;
        caller.hang_up().await;
        assert_eq!(house.services.stats().endpoints.speech.requests, 1, "{n}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_callers_at_once_cost_one_greeting() {
    let greeting = Greeting {
        mode: GreetingMode::Generate,
        text: "Greet the caller.".to_owned(),
        ..Greeting::default()
    };
    let house = House::open_with(None, greeting, None).await;
    let calls = (0..10).map(|n| {
        let url = house.server.url();
        async move {
            let caller = Caller::join(&url, &format!("crowd-{n}")).await;
            caller.hears(20).await;
            let line = caller.reads(true, "").await;
            caller.hang_up().await;
            line.text
        }
    });
    let lines = join_all(calls).await;
    assert!(lines.iter().all(|line| *line == lines[0]), "{lines:?}");
    assert!(!lines[0].is_empty());
    let stats = house.services.stats();
    assert_eq!(stats.endpoints.chat.requests, 1);
    let n_sentences = lines[0].matches(['.', '!', '?']).count() as u64;
    assert!(stats.endpoints.speech.requests <= n_sentences, "{stats:?}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_killed_in_the_middle_of_a_call_is_not_noticed_and_used_again_when_it_is_back() {
    let mut redis = Redis::start().await;
    let redis_url = redis.url();
    let options = || {
        let mut options = Options::default();
        options.cache.redis_url = redis_url.clone();
        // A machine under load is slow.
        options.cache.redis_timeout = Duration::from_secs(2);
        // Every greeting is Redis's, as that of a worker that has just started.
        options.cache.entries_max = 0;
        options.pool.breaker.failures_in_a_row = 1;
        options.pool.breaker.open = Duration::from_millis(500);
        options
    };
    let house = House::open_as(None, Greeting::default(), None, options).await;
    let (pool, cache) = (house.pool.clone(), house.cache.clone());
    let monitored = pool.clone();
    let monitor = AbortOnDropHandle::new(tokio::spawn(async move { monitored.monitor().await }));
    let shared = async || cache.stats().await.shared.expect("there is a Redis");
    eventually("Redis is connected", async || {
        shared().await.is_up.then_some(())
    })
    .await;
    let at_rest = house.at_rest().await;
    let n_made = || house.services.stats().endpoints.speech.requests;
    let greeted = async |room: &str| {
        let caller = Caller::join(&house.server.url(), room).await;
        caller.hears(20).await;
        caller.reads(true, "How can I help you today?").await;
        caller
    };
    let first = greeted("redis-makes").await;
    eventually("the greeting is shared", async || {
        (shared().await.stored == 1).then_some(())
    })
    .await;
    let once = n_made();
    let second = greeted("redis-has").await;
    assert_eq!(n_made(), once);
    assert!(shared().await.hits >= 1);

    redis.kill();
    first.type_text("my name is John").await;
    first.reads(true, "Nice to meet you").await;
    let third = greeted("redis-is-gone").await;
    assert!(!shared().await.is_up && shared().await.errors >= 1);
    let of_redis = stats(&pool, Service::Redis).await;
    assert!(of_redis.errors_total() >= 1 && of_redis.hosts[0].breaker.unwrap().opened >= 1);
    assert_eq!(of_redis.connections.open, Some(0));

    redis.restart().await;
    eventually("the breaker closes, and nobody has asked", async || {
        let breaker = stats(&pool, Service::Redis).await.hosts[0].breaker?;
        (breaker.state == BreakerState::Closed).then_some(())
    })
    .await;
    let fourth = greeted("redis-is-back").await;
    eventually("the greeting is shared again", async || {
        (shared().await.stored == 2).then_some(())
    })
    .await;
    assert!(shared().await.is_up);
    assert_eq!(redis.keys().len(), 1);
    for caller in [first, second, third, fourth] {
        assert_eq!(caller.n_lines("sorry"), 0, "nobody notices");
        caller.hang_up().await;
    }
    house.is_back_to(at_rest, "a lost Redis").await;
    drop(monitor);
    house.close().await;
    drop(cache);
    leaves_nothing(pool).await;
    assert_eq!(connections(&redis), 0);
}

/// The voice, and when its first frame was given to the room.
struct Timed {
    voice: Arc<Voice>,
    first: Mutex<Option<(Instant, Instant)>>,
}

impl AudioOutput for Timed {
    fn play(&self, frame: AudioFrame) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let given = Instant::now();
            self.voice.play(frame).await;
            let mut first = self.first.lock().expect("no panic while timing");
            first.get_or_insert((given, Instant::now()));
        })
    }

    fn clear(&self) {
        self.voice.clear();
    }

    fn position(&self) -> Duration {
        self.voice.position()
    }

    fn queued(&self) -> Duration {
        self.voice.queued()
    }
}

/// Prints how long after the agent's track is up the first frame of a cached greeting is given to
/// it, and when the engine took it, which waits for somebody to subscribe.
#[tokio::test(flavor = "multi_thread")]
async fn a_cached_greeting_is_there_before_the_track_is() {
    let server = LiveKit::start().await;
    let (_, services) = Server::bind(offline_openai::Config::default())
        .await
        .expect("the stand-in starts");
    let stages = Stages::new(&services.base_url());
    let cache = Cache::new(cache::Config::default(), &stages.pool).expect("there is no Redis");
    let agent = Agent {
        instructions: String::new(),
        greeting: Greeting::default(),
        greetings: Some(GreetingCache::new(cache, MadeWith::default())),
        stt: Arc::new(stages.stt),
        llm: Arc::new(stages.llm),
        tts: Arc::new(stages.tts),
        tools: ToolSet::new(Vec::new()),
    };
    let settings = Settings::default();
    agent.prewarm(&settings.session).await;
    let n_requests = services.stats().endpoints.speech.requests;
    for n in 0..3 {
        let room = format!("timed-{n}");
        let caller = Caller::join(&server.url(), &room).await;
        let voice = Arc::new(Voice::new(
            agent.tts.sample_rate_hz(),
            Arrival::new(String::new(), Instant::now(), None),
        ));
        let output = Arc::new(Timed {
            voice: Arc::clone(&voice),
            first: Mutex::default(),
        });
        let session = Session::prepare(
            settings.clone(),
            agent.clone(),
            Box::new(VoiceDetector::new()),
            Arc::clone(&output) as _,
            Links::default(),
        );
        let mut joined = join(
            &server.url(),
            &token(&room),
            voice,
            Vec::new(),
            &FrontEnd::default(),
            AgentCard::default(),
            Participation::default(),
        )
        .await
        .expect("the agent joins");
        let track_is_up = Instant::now();
        let events = std::mem::replace(&mut joined.events, Box::pin(futures::stream::empty()));
        let room_output = Arc::clone(&joined.output);
        let running = session.run(events, room_output, CancellationToken::new());
        let running = tokio::spawn(running);
        caller.hears(20).await;
        let first = *output.first.lock().expect("no panic while timing");
        let (given, taken) = first.expect("the greeting is heard");
        eprintln!(
            "track up → first frame given {:?}, taken by the engine {:?}",
            given - track_is_up,
            taken - track_is_up
        );
        caller.hang_up().await;
        within("the session ends", running).await.expect("no panic");
        joined.leave().await;
    }
    assert_eq!(services.stats().endpoints.speech.requests, n_requests);
    services.stop().await;
}

fn token(room: &str) -> Pii<String> {
    let token = AccessToken::with_api_key(API_KEY, API_SECRET)
        .with_identity("agent")
        .with_grants(VideoGrants {
            room_join: true,
            room: room.to_owned(),
            ..VideoGrants::default()
        });
    Pii::new(token.to_jwt().expect("a token"))
}
