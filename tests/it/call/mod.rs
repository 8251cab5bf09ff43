//! Spoken calls: a real LiveKit server, the worker with its agent, services that speak and hear, and
//! a caller on a connection of their own.

mod agents;
pub(crate) mod caller;
mod endings;
mod greeting;
mod interim;
mod limits;
mod memory;
mod official;
mod official_app;
mod official_data;
mod official_session;
mod official_user;
mod official_words;
mod realtime;
mod realtime_calls;
mod shutdown;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use livekit::prelude::PerformRpcData;
use offline_openai::{Fixed, Server, ServerHandle};
use tokio::time::Instant;
use voxpool::agent::{AgentJobs, Profile, Services};
use voxpool::audio::AudioFrame;
use voxpool::cache::Cache;
use voxpool::memory::{Memories, Store};
use voxpool::pool::{ConnectionPool, EndpointConfig};
use voxpool::session::realtime::{self as realtime_model, RealtimeModel};
use voxpool::session::{Agent, Greeting, GreetingCache, MadeWith, Settings};
use voxpool::tools::{CleanupConnectionPool, ClientToolConfig, GetConnectionPoolStats, ToolSet};
use voxpool::tts::Tts;
use voxpool::worker::{Stop, WorkerEnd};

use crate::common::left::{self, Left};
use crate::common::livekit::LiveKit;
use crate::common::running::{RunningWorker, quick};
use crate::common::{eventually, within};
use crate::pool::stages::{Options, Stages};
use caller::Caller;

/// A model that hears and speaks.
fn speaker(
    pool: &ConnectionPool,
    services: &ServerHandle,
    config: &realtime_model::Config,
) -> RealtimeModel {
    let shared = EndpointConfig {
        base_url: services.base_url(),
        ..EndpointConfig::default()
    };
    RealtimeModel::new(pool, &shared, config, "").expect("a model")
}

/// The default settings, but for callers who hang up and are done.
fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.session.return_within = Duration::ZERO;
    settings
}

/// Everything of a call but the caller.
struct House {
    server: LiveKit,
    services: ServerHandle,
    stages: Stages,
    /// The agent's.
    pool: ConnectionPool,
    /// All that may leave something behind: the agent's, the memory's and the test's own.
    pools: Vec<ConnectionPool>,
    cache: Cache,
    worker: RunningWorker,
    memories: Option<Memories>,
}

impl House {
    async fn open(fixed: Option<Fixed>, greeting: &str) -> Self {
        Self::with(fixed, greeting, None).await
    }

    /// A house whose agent remembers in `store`.
    async fn with(fixed: Option<Fixed>, greeting: &str, store: Option<Arc<dyn Store>>) -> Self {
        let greeting = Greeting {
            text: greeting.to_owned(),
            ..Greeting::default()
        };
        Self::open_with(fixed, greeting, store).await
    }

    async fn open_with(
        fixed: Option<Fixed>,
        greeting: Greeting,
        store: Option<Arc<dyn Store>>,
    ) -> Self {
        Self::open_as(fixed, greeting, store, Options::default).await
    }

    /// A house whose agent has tools of the caller's front end.
    async fn with_client_tools(client_tools: Vec<ClientToolConfig>) -> Self {
        let change = |profile: &mut Profile| profile.client_tools = client_tools;
        Self::build(None, Greeting::default(), None, Options::default, change).await
    }

    /// A house whose clients have these settings.
    async fn open_as(
        fixed: Option<Fixed>,
        greeting: Greeting,
        store: Option<Arc<dyn Store>>,
        options: impl Fn() -> Options,
    ) -> Self {
        Self::build(fixed, greeting, store, options, |_| {}).await
    }

    async fn build(
        fixed: Option<Fixed>,
        greeting: Greeting,
        store: Option<Arc<dyn Store>>,
        options: impl Fn() -> Options,
        change: impl FnOnce(&mut Profile),
    ) -> Self {
        let config = offline_openai::Config {
            fixed,
            ..offline_openai::Config::default()
        };
        let (_, services) = Server::bind(config).await.expect("the stand-in starts");
        let options = || {
            let mut options = options();
            // What is left is counted after each call.
            options.pool.cleanup_interval_min = Duration::ZERO;
            options
        };
        let stages = Stages::with(&services.base_url(), options());
        let ours = Stages::with(&services.base_url(), options());
        let pool = ours.pool.clone();
        let overview = ours.overview();
        let cache = overview.cache.clone();
        let agent = Agent {
            instructions: "You are a friendly voice assistant.".to_owned(),
            greeting,
            greetings: Some(GreetingCache::new(cache.clone(), MadeWith::default())),
            stt: ours.stt.in_mode(),
            llm: Arc::new(ours.llm),
            tts: Arc::new(ours.tts),
            tools: ToolSet::new(vec![
                Arc::new(GetConnectionPoolStats(overview.clone())),
                Arc::new(CleanupConnectionPool(overview)),
            ]),
        };
        let shared = Services {
            pool: ours.pool,
            endpoints: Vec::new(),
            cache: cache.clone(),
        };
        let mut profile = Profile {
            name: String::new(),
            agent,
            settings: settings(),
            rpc_tools: ["getConnectionPoolStats", "cleanupConnectionPool"]
                .map(str::to_owned)
                .to_vec(),
            rpc_callers: Vec::new(),
            tools: vec!["*".to_owned()],
            client_tools: Vec::new(),
            send_dtmf: false,
            session_methods: Vec::new(),
            show_instructions: false,
            realtime: options()
                .realtime
                .map(|config| speaker(&pool, &services, &config)),
        };
        change(&mut profile);
        let memories = store.map(|store| memory::memories(store, &services.base_url(), &pool));
        let jobs = AgentJobs::new(profile, shared);
        let jobs = Arc::new(match &memories {
            Some(memories) => jobs.with_memories(memories.clone()),
            None => jobs,
        });
        let server = LiveKit::start().await;
        let worker = RunningWorker::registered(server.server_config(), quick(""), jobs).await;
        Self {
            server,
            services,
            pools: vec![pool.clone(), stages.pool.clone()],
            stages,
            pool,
            cache,
            worker,
            memories,
        }
    }

    /// The words as the stand-in's voice says them, with silence around.
    async fn speech(&self, words: &str) -> AudioFrame {
        let mut frames = self.stages.tts.speak(words.to_owned());
        let mut samples = vec![0; 4_800];
        while let Some(frame) = frames.next().await {
            samples.extend(frame.expect("the stand-in speaks").samples);
        }
        samples.extend(vec![0; 4_800]);
        AudioFrame {
            samples,
            sample_rate_hz: 24_000,
        }
    }

    /// What there is while nobody calls.
    async fn at_rest(&self) -> Left {
        eventually("no call is under way", async || {
            left::left(&self.pools).await
        })
        .await
    }

    /// Waits until a call that met a fault has left nothing.
    async fn is_back_to(&self, before: Left, fault: &str) {
        left::back_to(before, fault, &self.pools).await;
    }

    /// Ends everything; the agent's pool is left to be looked at.
    async fn close(self) -> ConnectionPool {
        self.worker.stop(Stop::Drain).await;
        assert_eq!(self.worker.ended().await, WorkerEnd::Drained);
        self.services.stop().await;
        self.stages.pool.close().await;
        self.pool
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_greeted_understood_and_answered_by_voice_and_text() {
    let house = House::open(None, "Hello, how can I help you?").await;
    let hello = house.speech("hello there").await;
    let caller = Caller::join(&house.server.url(), "spoken").await;

    caller.hears(20).await;
    let greeting = caller.reads(true, "how can I help").await;
    let agent = caller.agent().expect("the agent is there");
    assert_eq!(agent.kind(), livekit::participant::ParticipantKind::Agent);
    assert_eq!(greeting.speaker, agent.identity().to_string());
    let publications = agent.track_publications();
    let voice = publications.values().next().expect("the agent's voice");
    assert_eq!(voice.name(), "roomio_audio");
    assert_eq!(voice.source(), livekit::prelude::TrackSource::Microphone);
    assert_eq!(greeting.track, voice.sid().to_string());

    caller.hears_silence().await;
    let n_loud = caller.n_loud();
    caller.say(&hello).await;
    let words = caller.reads(false, "hello there").await;
    assert!(words.segment.starts_with("SG_"), "{words:?}");
    caller.hears(20).await;
    caller.hears_silence().await;
    assert!(caller.n_loud() > n_loud + 20, "the answer is heard");

    // Nobody speculates on typed words, so there is something to wait for.
    caller.type_text("what is two plus two").await;
    caller.hears(20).await;
    let states = caller.states();
    for state in ["listening", "thinking", "speaking"] {
        assert!(states.iter().any(|seen| seen == state), "{states:?}");
    }
    caller.hang_up().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_silences_the_agent() {
    let fixed = Fixed {
        transcript: "please stop talking".to_owned(),
        reply: Some("I see. ".to_owned()),
        tone: Duration::from_secs(20),
        ..Fixed::default()
    };
    let house = House::open(Some(fixed), "A very long greeting.").await;
    // Three seconds of voice, from the real engine of another stand-in.
    let speaking = House::speech_of("one two three four five six seven eight nine").await;
    let caller = Caller::join(&house.server.url(), "interrupted").await;
    // Past the time in which the voice could be the agent's own echo.
    caller.hears(320).await;
    let began = Instant::now();
    let (last, ()) = tokio::join!(caller.hears_silence(), caller.say(&speaking));
    let took = last - began;
    // 0.2 s of silence before the voice, 0.5 s of voice, 0.2 s to fall silent, the network, the VAD.
    eprintln!("silent {took:?} after the recording began");
    assert!(took < Duration::from_millis(2500), "{took:?}");
    caller.hang_up().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_without_words_silences_the_agent_for_a_moment() {
    let fixed = Fixed {
        transcript: String::new(),
        tone: Duration::from_secs(20),
        ..Fixed::default()
    };
    let house = House::open(Some(fixed), "A very long greeting.").await;
    let speaking = House::speech_of("one two three four five six").await;
    let caller = Caller::join(&house.server.url(), "noisy").await;
    // Past the time in which the voice could be the agent's own echo.
    caller.hears(320).await;
    tokio::join!(caller.hears_silence(), caller.say(&speaking));
    // The greeting goes on where it was: there is nothing else that the agent could say.
    caller.hears(50).await;
    caller.hang_up().await;
    house.close().await;
}

impl House {
    /// Speech of the real engine, when the house's own services are fixed.
    async fn speech_of(words: &str) -> AudioFrame {
        let (_, services) = Server::bind(offline_openai::Config::default())
            .await
            .expect("the stand-in starts");
        let stages = Stages::new(&services.base_url());
        let mut samples = vec![0; 4_800];
        let mut frames = stages.tts.speak(words.to_owned());
        while let Some(frame) = frames.next().await {
            samples.extend(frame.expect("the stand-in speaks").samples);
        }
        services.stop().await;
        AudioFrame {
            samples,
            sample_rate_hz: 24_000,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pool_statistics_are_a_method_of_the_agents_participant() {
    let house = House::open(Some(Fixed::default()), "Hello.").await;
    let caller = Caller::join(&house.server.url(), "methods").await;
    caller.hears(20).await;
    let agent = caller.agent().expect("the agent is there");
    let participant = caller.room.local_participant();
    let answer = participant.perform_rpc(PerformRpcData {
        destination_identity: agent.identity().to_string(),
        method: "getConnectionPoolStats".to_owned(),
        ..PerformRpcData::default()
    });
    let answer = within("the method answers", answer)
        .await
        .expect("an answer");
    let stats: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert!(
        stats["connections"]["opened"].as_u64() >= Some(1),
        "{stats}"
    );
    let answer = participant.perform_rpc(PerformRpcData {
        destination_identity: agent.identity().to_string(),
        method: "cleanupConnectionPool".to_owned(),
        ..PerformRpcData::default()
    });
    let answer = within("the method answers", answer)
        .await
        .expect("an answer");
    let report: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(report["is_done"], true, "{report}");
    caller.hang_up().await;
    house.close().await;
}
