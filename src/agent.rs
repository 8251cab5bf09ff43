//! One job, in order: everything it needs starts together, then the conversation, then the end.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::audio::vad::EarshotVad;
use crate::cache::Cache;
use crate::chat::ToolCall;
use crate::memory::{CallMemory, Memories, Recorder};
use crate::pool::{ConnectionPool, Endpoint};
use crate::room::{
    AgentCard, AudioOutput, Joined, Models, RoomEvent, RoomOutput, RpcMethod, SilentOutput, Voice,
    join,
};
use crate::session::realtime::{self, RealtimeModel, RealtimeSession};
use crate::session::{Agent, Greeting, GreetingMode, Session, SessionEnd, Settings, TurnObserver};
use crate::tools::{ToolSet, memory_tools};
use crate::tts::SilentTts;
use crate::worker::{JobContext, JobHandler, JobOutcome};

/// What the end of the process waits for memories to be saved.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Settings of the agent itself.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Standing instructions for the model.
    pub instructions: String,
    /// How a conversation begins.
    pub greeting: Greeting,
    /// Tools that other participants can call as methods of the agent's participant.
    pub rpc_tools: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            instructions: "You are a friendly voice assistant on a call. Answer in one to three \
                           short spoken sentences, without lists, markdown or emoji."
                .to_owned(),
            greeting: Greeting::default(),
            rpc_tools: ["getConnectionPoolStats", "cleanupConnectionPool"]
                .map(str::to_owned)
                .to_vec(),
        }
    }
}

impl Config {
    /// What is wrong with the values, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        self.greeting.problems()
    }
}

/// The clients that all jobs share, and where they lead.
pub struct Services {
    /// The one way out of the process.
    pub pool: ConnectionPool,
    /// The hosts whose connections a job will want.
    pub endpoints: Vec<Endpoint>,
    /// Results worth keeping.
    pub cache: Cache,
}

/// Runs every job with the same agent, on the process's shared services.
pub struct AgentJobs {
    agent: Agent,
    settings: Settings,
    services: Services,
    rpc_tools: Vec<String>,
    memories: Option<Memories>,
    observer: Option<Arc<dyn TurnObserver>>,
    realtime: Option<RealtimeModel>,
}

impl AgentJobs {
    /// An agent with its settings.
    pub fn new(
        agent: Agent,
        settings: Settings,
        services: Services,
        rpc_tools: Vec<String>,
    ) -> Self {
        Self {
            agent,
            settings,
            services,
            rpc_tools,
            memories: None,
            observer: None,
            realtime: None,
        }
    }

    /// The same agent, and `observer` is told the figures of every turn of every job.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn TurnObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The same agent with one model in place of its stages: calls are speech to speech.
    #[must_use]
    pub fn with_realtime(mut self, model: RealtimeModel) -> Self {
        self.realtime = Some(model);
        self
    }

    /// The same agent with a memory: it knows its callers again.
    #[must_use]
    pub fn with_memories(mut self, memories: Memories) -> Self {
        self.memories = Some(memories);
        self
    }

    /// Makes everything that the first job would have to wait for: connections and the greeting.
    pub async fn prewarm(&self) {
        let greeting = async {
            self.services.cache.prewarm().await;
            if self.realtime.is_none() {
                self.agent.prewarm(&self.settings.session).await;
            }
        };
        tokio::join!(greeting, self.open_connections());
    }

    async fn open_connections(&self) {
        let http = self.services.pool.prewarm(&self.services.endpoints);
        let sockets = async {
            match &self.realtime {
                Some(model) => model.prewarm().await,
                None => self.agent.stt.prewarm().await,
            }
        };
        tokio::join!(http, sockets);
    }

    /// The one way out of the process.
    pub fn pool(&self) -> &ConnectionPool {
        &self.services.pool
    }

    /// Watches the health of what the jobs share, for ever.
    pub async fn monitor(&self) {
        self.services.pool.watch(&self.services.endpoints);
        self.services.pool.monitor().await;
    }

    /// Saves what the calls have left to be saved and closes what they shared, after the last of them.
    pub async fn close(&self) {
        if let Some(memories) = &self.memories {
            memories.close(CLOSE_WITHIN).await;
        }
        self.services.pool.close().await;
    }

    /// Whether the agent speaks first.
    pub fn agent_greets(&self) -> bool {
        self.agent.greeting.mode != GreetingMode::None
    }

    /// Holds one conversation by text: the same session in another room, without a voice.
    pub async fn talk_in_text(
        &self,
        events: BoxStream<'static, RoomEvent>,
        room: Arc<dyn RoomOutput>,
        shutdown: CancellationToken,
    ) -> SessionEnd {
        let (mut agent, memory) = self.agent_with_memory();
        agent.tts = Arc::new(SilentTts);
        // Those have a sound.
        agent.greetings = None;
        let output = Arc::new(SilentOutput::default());
        let (session, recorder) = self.prepare(agent, memory.as_ref(), output, shutdown.clone());
        let events = match memory {
            Some(memory) => introduce(events, memory),
            None => events,
        };
        let end = session.run(events, room, shutdown).await;
        if let Some(recorder) = recorder {
            recorder.finish().await;
        }
        end
    }

    /// The agent of one conversation: it can look into the memory.
    fn agent_with_memory(&self) -> (Agent, Option<CallMemory>) {
        let memory = self.memories.clone().map(CallMemory::new);
        let mut agent = self.agent.clone();
        if let Some(memory) = &memory {
            agent.tools = agent.tools.and(memory_tools(memory));
        }
        (agent, memory)
    }

    fn prepare(
        &self,
        agent: Agent,
        memory: Option<&CallMemory>,
        output: Arc<dyn AudioOutput>,
        ending: CancellationToken,
    ) -> (Session, Option<Recorder>) {
        let vad = Box::new(EarshotVad::new());
        let mut session = Session::prepare(self.settings.clone(), agent, vad, output);
        if let Some(observer) = &self.observer {
            session = session.observe_with(Arc::clone(observer));
        }
        let Some(memory) = memory else {
            return (session, None);
        };
        let recorder = memory.record_until(ending);
        let session = session
            .brief_with(memory.briefings())
            .record_to(recorder.turns());
        (session, Some(recorder))
    }

    /// The conversation of a call: in stages, or speech to speech.
    fn prepare_call(
        &self,
        agent: Agent,
        memory: Option<&CallMemory>,
        voice: &Arc<Voice>,
        ending: CancellationToken,
    ) -> (AnySession, Option<Recorder>) {
        let output = Arc::clone(voice) as Arc<dyn AudioOutput>;
        let Some(model) = &self.realtime else {
            let (session, recorder) = self.prepare(agent, memory, output, ending);
            return (AnySession::Stages(Box::new(session)), recorder);
        };
        let config = self.settings.session.clone();
        let mut session = RealtimeSession::prepare(model.clone(), agent, config, output);
        let recorder = memory.map(|memory| memory.record_until(ending));
        if let (Some(memory), Some(recorder)) = (memory, &recorder) {
            session = session
                .brief_with(memory.briefings())
                .record_to(recorder.turns());
        }
        (AnySession::Realtime(Box::new(session)), recorder)
    }

    async fn talk(&self, job: JobContext) -> JobOutcome {
        // The greeting is made while the room is joined.
        let rate_hz = match &self.realtime {
            Some(_) => realtime::SAMPLE_RATE_HZ,
            None => self.agent.tts.sample_rate_hz(),
        };
        let voice = Arc::new(Voice::new(rate_hz));
        let (agent, memory) = self.agent_with_memory();
        let card = self.card(&job.agent_name, &agent.tools);
        let (session, recorder) =
            self.prepare_call(agent, memory.as_ref(), &voice, job.shutdown.clone());
        let joining = join(&job.url, &job.token, voice, self.rpc_methods(), card);
        let joined = tokio::select! {
            joined = joining => joined,
            () = job.shutdown.cancelled() => return JobOutcome::Success,
        };
        let mut joined = match joined {
            Ok(joined) => joined,
            Err(error) => {
                tracing::error!(%error, "the job ends before it began");
                return JobOutcome::Failed(error.to_string());
            }
        };
        if let Some(memory) = memory {
            joined.events = introduce(joined.events, memory);
        }
        let end = converse(session, joined, job.shutdown, recorder).await;
        tracing::info!(end = end.label(), "the session is over");
        match end {
            SessionEnd::UserLeft | SessionEnd::RoomClosed | SessionEnd::Shutdown => {
                JobOutcome::Success
            }
            SessionEnd::Failed(error) => JobOutcome::Failed(error.to_string()),
        }
    }

    /// What front ends may know of the agent.
    fn card(&self, name: &str, tools: &ToolSet) -> AgentCard {
        let (turn, session) = (&self.settings.turn, &self.settings.session);
        let options = [
            ("endpointing", json(&turn.endpointing)),
            ("interruption", json(&turn.interruption)),
            ("max_tool_steps", json(&session.tool_rounds_max)),
        ];
        AgentCard {
            id: match name {
                "" => env!("CARGO_PKG_NAME").to_owned(),
                name => name.to_owned(),
            },
            instructions: self.agent.instructions.clone(),
            tools: tools.specs().into_iter().map(|tool| tool.name).collect(),
            models: self.models(),
            options: options.map(|(name, value)| (name.to_owned(), value)).into(),
        }
    }

    fn models(&self) -> Models {
        let Some(model) = &self.realtime else {
            return Models {
                stt: self.agent.stt.model().to_owned(),
                llm: self.agent.llm.model().to_owned(),
                tts: self.agent.tts.model().to_owned(),
            };
        };
        Models {
            stt: String::new(),
            llm: model.name().to_owned(),
            tts: String::new(),
        }
    }

    fn rpc_methods(&self) -> Vec<RpcMethod> {
        let methods = self.rpc_tools.iter().map(|name| {
            let (name, tools) = (name.clone(), self.agent.tools.clone());
            RpcMethod {
                name: name.clone(),
                call: Arc::new(move |payload| {
                    let call = ToolCall {
                        id: String::new(),
                        name: name.clone(),
                        arguments: payload,
                    };
                    let output = tools.call_for_program(&call);
                    output
                        .map(|output| match output.is_error {
                            true => Err(output.text),
                            false => Ok(output.text),
                        })
                        .boxed()
                }),
            }
        });
        methods.collect()
    }
}

/// A setting as front ends read it.
fn json(setting: &impl serde::Serialize) -> String {
    serde_json::to_string(setting).unwrap_or_default()
}

/// Tells the memory who is there, before the session hears of it.
fn introduce(
    events: BoxStream<'static, RoomEvent>,
    memory: CallMemory,
) -> BoxStream<'static, RoomEvent> {
    let look = move |event: &RoomEvent| match event {
        RoomEvent::UserJoined(identity) => memory.user_joined(identity.expose()),
        RoomEvent::UserLeft { .. } => memory.user_left(),
        _ => {}
    };
    events.inspect(look).boxed()
}

/// Either kind of conversation.
enum AnySession {
    Stages(Box<Session>),
    Realtime(Box<RealtimeSession>),
}

impl AnySession {
    fn run(
        self,
        events: BoxStream<'static, RoomEvent>,
        room: Arc<dyn RoomOutput>,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, SessionEnd> {
        match self {
            Self::Stages(session) => session.run(events, room, shutdown).boxed(),
            Self::Realtime(session) => session.run(events, room, shutdown).boxed(),
        }
    }
}

async fn converse(
    session: AnySession,
    mut joined: Joined,
    shutdown: CancellationToken,
    recorder: Option<Recorder>,
) -> SessionEnd {
    let events = std::mem::replace(&mut joined.events, Box::pin(futures::stream::empty()));
    let end = session
        .run(events, Arc::clone(&joined.output), shutdown)
        .await;
    // The last turns are remembered while the room is left.
    let recording = async {
        if let Some(recorder) = recorder {
            recorder.finish().await;
        }
    };
    tokio::join!(joined.leave(), recording);
    end
}

impl JobHandler for AgentJobs {
    fn run(&self, job: JobContext) -> BoxFuture<'_, JobOutcome> {
        // Nobody waits for the connections: what is not warm yet is opened by its first call.
        alongside(self.talk(job), self.open_connections()).boxed()
    }
}

/// Runs `main` to its end; what `side` has not done by then is dropped.
pub(crate) async fn alongside<T>(
    main: impl Future<Output = T>,
    side: impl Future<Output = ()>,
) -> T {
    let endless = async {
        side.await;
        std::future::pending().await
    };
    tokio::select! {
        output = main => output,
        never = endless => never,
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;

    /// A section of the documented defaults.
    fn section<T: DeserializeOwned + serde::Serialize>(path: &[&str]) -> T {
        let table: toml::Table = toml::from_str(include_str!("../config/default.toml")).unwrap();
        let mut value = toml::Value::Table(table);
        for key in path {
            value = value[*key].clone();
        }
        value.try_into().unwrap()
    }

    fn check<T: DeserializeOwned + serde::Serialize + Default>(path: &[&str]) {
        let documented = serde_json::to_value(section::<T>(path)).unwrap();
        let default = serde_json::to_value(T::default()).unwrap();
        assert_eq!(documented, default, "{path:?}");
    }

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        check::<Config>(&["agent"]);
        check::<crate::session::Config>(&["session"]);
        check::<crate::session::realtime::Config>(&["realtime"]);
        check::<crate::turn::Config>(&["turn"]);
        check::<crate::audio::speech::Config>(&["vad"]);
    }
}
