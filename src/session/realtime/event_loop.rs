//! The loop of a speech-to-speech session: one `select!` over one closed enum of events.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::call::{Call, Event};
use super::dialogue::{Dialogue, Limits};
use super::line::{Line, Pending, pending};
use super::microphone::Microphone;
use super::player::{AHEAD_MAX, Player};
use super::voice::voiced;
use super::{Connected, RealtimeModel, greeting};
use crate::error::CallError;
use crate::excess::Panicked;
use crate::room::{AgentState, AudioOutput, RoomEvent, RoomOutput};
use crate::session::handle::{COMMANDS_MAX, Command, SessionHandle, SpeechIds};
use crate::session::speech::Speech;
use crate::session::{Agent, Links, SessionEnd, Settings};

/// A conversation that one model hears, thinks and speaks.
pub struct RealtimeSession {
    model: RealtimeModel,
    agent: Agent,
    settings: Settings,
    output: Arc<dyn AudioOutput>,
    links: Links,
    connecting: BoxFuture<'static, Result<Connected, CallError>>,
    greeting: Pending<Result<Speech, CallError>>,
    commands: mpsc::Receiver<Command>,
    handle: SessionHandle,
}

impl RealtimeSession {
    /// Takes everything but the room; the connection is opened while the room is joined, from the
    /// first poll of [`RealtimeSession::run`] on. `output` plays at 24 kHz. Of `agent` the
    /// instructions, the greeting and the tools are used, and the voice of `tts` for apologies and
    /// for what programs let it say; of `settings` the limits of a session and when the user counts
    /// as away.
    pub fn prepare(
        model: RealtimeModel,
        agent: Agent,
        settings: Settings,
        output: Arc<dyn AudioOutput>,
        links: Links,
    ) -> Self {
        let connecting = model.connect(Duration::ZERO);
        let greeting = greeting::kept(&model, &agent);
        let (commands_in, commands) = mpsc::channel(COMMANDS_MAX);
        Self {
            model,
            agent,
            settings,
            output,
            links,
            connecting,
            greeting,
            commands,
            handle: SessionHandle::new(commands_in, SpeechIds::default()),
        }
    }

    /// For programs that have something to say in this conversation.
    pub fn handle(&self) -> SessionHandle {
        self.handle.clone()
    }

    fn limits(&self) -> Limits {
        let (session, first) = (&self.settings.session, &self.model.services[0].config);
        Limits {
            items_max: session.chat_items_max,
            bytes_max: session.chat_bytes_max,
            tool_rounds_max: session.tool_rounds_max,
            errors_max: session.errors_max,
            reply_max: session.reply_max.min(AHEAD_MAX),
            reply_characters_max: session.reply_characters_max,
            silence_max: first.answer_timeout,
            tries_max: u32::try_from(self.model.services.len()).unwrap_or(u32::MAX),
            connection_age_max: first.socket_age_max,
            away_after: self.settings.turn.away.after,
        }
    }

    /// Holds the conversation until the user leaves, the room ends or `shutdown` is cancelled.
    ///
    /// Cancel safety: dropping the future ends the session with everything it started.
    pub async fn run(
        self,
        mut room_events: BoxStream<'static, RoomEvent>,
        room: Arc<dyn RoomOutput>,
        shutdown: CancellationToken,
    ) -> SessionEnd {
        let limits = self.limits();
        let mut commands = self.commands;
        let mut call = Call {
            dialogue: Dialogue::new(limits),
            instructions: self.agent.instructions.clone(),
            place: 0,
            model: self.model,
            player: Player::new(Arc::clone(&self.output)),
            output: self.output,
            agent: self.agent,
            room,
            line: Line::Opening(self.connecting),
            spare: None,
            greeting: self.greeting,
            apology: None,
            voice: None,
            stall_max: self.settings.session.stall_max,
            kept: None,
            greet_by: None,
            is_known: false,
            microphone: Microphone::new(),
            tools: FuturesUnordered::new(),
            links: self.links,
            has_greeted: false,
            started: Instant::now(),
            end: None,
        };
        call.room.set_agent_state(AgentState::Listening);
        // The user's frames come more often than a step: it has a time, not a delay.
        let mut stepped = Instant::now();
        loop {
            let next_step = stepped + call.step();
            let event = tokio::select! {
                biased;
                () = shutdown.cancelled() => Event::Shutdown,
                Some((tool, output)) = call.tools.next() => Event::Tool(tool, output),
                event = call.line.next() => event,
                spare = pending(&mut call.spare) => Event::Spare(spare),
                greeting = pending(&mut call.greeting) => Event::Greeting(greeting),
                apology = pending(&mut call.apology) => apology,
                Some(briefing) = call.links.next_briefing() => Event::Briefing(briefing),
                Some(command) = commands.recv() => Event::Command(command),
                voiced = voiced(&mut call.voice), if call.player.has_room() => Event::Voice(voiced),
                event = room_events.next() => {
                    Event::Room(event.unwrap_or(RoomEvent::Disconnected))
                }
                never = call.player.play() => match never {},
                () = tokio::time::sleep_until(next_step) => {
                    stepped = Instant::now();
                    Event::Step
                }
            };
            // A bug costs the answer that is being given, not the call.
            let handled = AssertUnwindSafe(|| call.on_event(event));
            if let Err(text) = catch_unwind(handled) {
                call.on_bug(Panicked::caught(text));
            }
            if let Some(end) = call.end.take() {
                call.close();
                return end;
            }
        }
    }
}
