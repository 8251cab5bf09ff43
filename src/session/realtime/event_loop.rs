//! The loop of a speech-to-speech session: one `select!` over one closed enum of events.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::RealtimeModel;
use super::call::{Call, Event, Line, connect};
use super::dialogue::{Dialogue, Limits};
use super::microphone::Microphone;
use super::player::Player;
use crate::error::CallError;
use crate::pool::TakenSocket;
use crate::room::{AgentState, AudioOutput, RoomEvent, RoomOutput};
use crate::session::{Agent, Links, SessionEnd};

/// A conversation that one model hears, thinks and speaks.
pub struct RealtimeSession {
    model: RealtimeModel,
    agent: Agent,
    config: crate::session::Config,
    output: Arc<dyn AudioOutput>,
    links: Links,
    connecting: BoxFuture<'static, Result<TakenSocket, CallError>>,
}

impl RealtimeSession {
    /// Takes everything but the room; the connection is opened while the room is joined, from the
    /// first poll of [`RealtimeSession::run`] on. `output` plays at 24 kHz. Of `agent` the
    /// instructions, the greeting and the tools are used.
    pub fn prepare(
        model: RealtimeModel,
        agent: Agent,
        config: crate::session::Config,
        output: Arc<dyn AudioOutput>,
        links: Links,
    ) -> Self {
        let connecting = connect(&model, Duration::ZERO);
        Self {
            model,
            agent,
            config,
            output,
            links,
            connecting,
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
        let mut call = Call {
            dialogue: Dialogue::new(Limits {
                items_max: self.config.chat_items_max,
                tool_rounds_max: self.config.tool_rounds_max,
                errors_max: self.config.errors_max,
            }),
            instructions: self.agent.instructions.clone(),
            language: self.model.language.clone(),
            config: self.model.config.clone(),
            model: self.model,
            player: Player::new(Arc::clone(&self.output)),
            output: self.output,
            agent: self.agent,
            room,
            line: Line::Opening(self.connecting),
            microphone: Microphone::new(),
            tools: FuturesUnordered::new(),
            links: self.links,
            has_greeted: false,
            started: Instant::now(),
            end: None,
        };
        call.room.set_agent_state(AgentState::Listening);
        loop {
            let step = call.step();
            let event = tokio::select! {
                biased;
                () = shutdown.cancelled() => Event::Shutdown,
                Some((tool, output)) = call.tools.next() => Event::Tool(tool, output),
                event = call.line.next() => event,
                Some(briefing) = call.links.next_briefing() => Event::Briefing(briefing),
                event = room_events.next() => {
                    Event::Room(event.unwrap_or(RoomEvent::Disconnected))
                }
                never = call.player.play() => match never {},
                () = tokio::time::sleep(step) => Event::Step,
            };
            call.on_event(event);
            if let Some(end) = call.end.take() {
                call.close().await;
                return end;
            }
        }
    }
}
