//! One job, in order: everything it needs starts together, then the conversation, then the end.
//!
//! `jobs` is what all jobs share, `profile` an agent as they run it, `conversation` a session of either
//! kind with its memory.

mod config;
mod conversation;
mod jobs;
mod profile;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio_util::sync::CancellationToken;

pub use self::config::Config;
use self::conversation::{Conversation, remember};
pub use self::jobs::{AgentJobs, Services};
pub use self::profile::Profile;
use crate::arrival::{Arrival, Step};
use crate::memory::CallMemory;
use crate::room::{
    FrontEnd, Joined, Participation, RoomEvent, RoomOutput, SilentOutput, Voice, join,
};
use crate::session::{Agent, SessionEnd};
use crate::tools::memory_tools;
use crate::tts::SilentTts;
use crate::worker::{JobContext, JobHandler, JobOutcome};

impl AgentJobs {
    async fn talk(&self, job: JobContext) -> JobOutcome {
        // The greeting is made while the room is joined.
        let profile = self.profile(&job.agent_name);
        let arrival = Arrival::new(job.id.clone(), job.asked_at, self.arrivals.clone());
        arrival.reach(Step::Assigned, job.assigned_at);
        let voice = Arc::new(Voice::new(profile.sample_rate_hz(), arrival));
        let (mut agent, memory) = self.agent_with_memory(profile);
        let front_end = FrontEnd::default();
        agent.tools = agent.tools.and(profile.tools_of(&front_end));
        let card = profile.card(&agent.tools);
        let output = Arc::clone(&voice) as _;
        let (observer, ending) = (self.observer.clone(), job.shutdown.clone());
        let intake = self.refused_input.for_call();
        let conversation = Conversation::prepare(
            profile,
            agent,
            memory,
            observer,
            intake.clone(),
            output,
            ending,
        );
        let mut methods = profile.rpc_methods();
        methods.extend(conversation.methods(&profile.session_methods));
        let participation = Participation {
            return_within: profile.settings.session.return_within,
            rpc_callers: profile.rpc_callers.clone(),
            intake,
        };
        let (url, token) = (&job.url, &job.token);
        let joining = join(url, token, voice, methods, &front_end, card, participation);
        let joined = tokio::select! {
            joined = joining => joined,
            () = job.shutdown.cancelled() => return JobOutcome::Success,
        };
        let joined = match joined {
            Ok(joined) => joined,
            Err(error) => {
                tracing::error!(%error, "the job ends before it began");
                return JobOutcome::Failed(error.to_string());
            }
        };
        let end = converse(conversation, joined, job.shutdown).await;
        tracing::info!(end = end.label(), "the session is over");
        match end {
            SessionEnd::UserLeft | SessionEnd::RoomClosed | SessionEnd::Shutdown => {
                JobOutcome::Success
            }
            SessionEnd::Failed(error) => JobOutcome::Failed(error.to_string()),
        }
    }

    /// The agent of one conversation: it can look into the memory.
    fn agent_with_memory(&self, profile: &Profile) -> (Agent, Option<CallMemory>) {
        let memory = self.memories.clone().map(CallMemory::new);
        let mut agent = profile.agent.clone();
        if let Some(memory) = &memory {
            agent.tools = agent.tools.and(memory_tools(memory));
        }
        agent.tools = agent.tools.only(&profile.tools);
        (agent, memory)
    }

    /// Holds one conversation by text: the same session in another room, without a voice.
    pub async fn talk_in_text(
        &self,
        events: BoxStream<'static, RoomEvent>,
        room: Arc<dyn RoomOutput>,
        shutdown: CancellationToken,
    ) -> SessionEnd {
        self.mcp.lock().await.settled().await;
        let profile = Profile {
            realtime: None,
            ..self.default.clone()
        };
        let (mut agent, memory) = self.agent_with_memory(&profile);
        agent.tts = Arc::new(SilentTts);
        // Those have a sound.
        agent.greetings = None;
        let output = Arc::new(SilentOutput::default());
        let (observer, ending) = (self.observer.clone(), shutdown.clone());
        let intake = self.refused_input.for_call();
        let conversation =
            Conversation::prepare(&profile, agent, memory, observer, intake, output, ending);
        let (end, recorder) = conversation.hold(events, room, shutdown).await;
        remember(recorder).await;
        end
    }
}

impl JobHandler for AgentJobs {
    fn run(&self, job: JobContext) -> BoxFuture<'_, JobOutcome> {
        // Nobody waits for the connections: what is not warm yet is opened by its first call.
        alongside(self.talk(job), self.open_connections()).boxed()
    }
}

async fn converse(
    conversation: Conversation,
    mut joined: Joined,
    shutdown: CancellationToken,
) -> SessionEnd {
    let events = std::mem::replace(&mut joined.events, Box::pin(futures::stream::empty()));
    let room = Arc::clone(&joined.output);
    let (end, recorder) = conversation.hold(events, room, shutdown).await;
    // The last turns are remembered while the room is left.
    tokio::join!(joined.leave(), remember(recorder));
    end
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
