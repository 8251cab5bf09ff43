//! One conversation of either kind, with the memory that goes with it.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;

use super::profile::Profile;
use crate::audio::detector::VoiceDetector;
use crate::intake::CallIntake;
use crate::memory::{CallMemory, Recorder};
use crate::room::{AudioOutput, RoomEvent, RoomOutput, RpcMethod, UserChange};
use crate::session::realtime::RealtimeSession;
use crate::session::{Agent, Links, Session, SessionEnd, SessionMethod, TurnObserver};

/// A conversation that can begin.
pub(super) struct Conversation {
    session: AnySession,
    memory: Option<CallMemory>,
    recorder: Option<Recorder>,
}

/// Either kind of session.
enum AnySession {
    Stages(Box<Session>),
    Realtime(Box<RealtimeSession>),
}

impl Conversation {
    /// A conversation of `agent`, who is the profile's with the tools of this call: in stages, or
    /// speech to speech. What is to be remembered is given up when `ending` is cancelled.
    pub(super) fn prepare(
        profile: &Profile,
        agent: Agent,
        memory: Option<CallMemory>,
        observer: Option<Arc<dyn TurnObserver>>,
        intake: CallIntake,
        output: Arc<dyn AudioOutput>,
        ending: CancellationToken,
    ) -> Self {
        let recorder = memory.as_ref().map(|memory| memory.record_until(ending));
        let turns = recorder.as_ref().map(Recorder::turns);
        let links = Links {
            turns: turns.map(|turns| Box::new(move |turn| turns.push(turn)) as _),
            observer,
            briefings: memory.as_ref().map(CallMemory::briefings),
            intake,
        };
        let settings = profile.settings.clone();
        let session = match &profile.realtime {
            None => {
                let vad = Box::new(VoiceDetector::new());
                let session = Session::prepare(settings, agent, vad, output, links);
                AnySession::Stages(Box::new(session))
            }
            Some(model) => {
                let model = model.clone();
                let session = RealtimeSession::prepare(model, agent, settings, output, links);
                AnySession::Realtime(Box::new(session))
            }
        };
        Self {
            session,
            memory,
            recorder,
        }
    }

    /// The methods that reach it.
    pub(super) fn methods(&self, methods: &[SessionMethod]) -> Vec<RpcMethod> {
        let handle = match &self.session {
            AnySession::Stages(session) => session.handle(),
            AnySession::Realtime(session) => session.handle(),
        };
        methods.iter().map(|method| method.on(&handle)).collect()
    }

    /// Holds it to its end. What is left to be remembered then is the recorder's, if there is one.
    pub(super) async fn hold(
        self,
        events: BoxStream<'static, RoomEvent>,
        room: Arc<dyn RoomOutput>,
        shutdown: CancellationToken,
    ) -> (SessionEnd, Option<Recorder>) {
        let events = match self.memory {
            Some(memory) => introduce(events, memory),
            None => events,
        };
        let running: BoxFuture<'static, SessionEnd> = match self.session {
            AnySession::Stages(session) => session.run(events, room, shutdown).boxed(),
            AnySession::Realtime(session) => session.run(events, room, shutdown).boxed(),
        };
        (running.await, self.recorder)
    }
}

/// Tells the memory who is there, before the session hears of it.
fn introduce(
    events: BoxStream<'static, RoomEvent>,
    memory: CallMemory,
) -> BoxStream<'static, RoomEvent> {
    let look = move |event: &RoomEvent| match event {
        RoomEvent::User(UserChange::Joined(user)) => memory.user_joined(user),
        RoomEvent::User(UserChange::Gone | UserChange::Left) => memory.user_left(),
        _ => {}
    };
    events.inspect(look).boxed()
}

/// Saves what is left to be remembered.
pub(super) async fn remember(recorder: Option<Recorder>) {
    if let Some(recorder) = recorder {
        recorder.finish().await;
    }
}
