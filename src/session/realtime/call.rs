//! A speech-to-speech conversation in its room: events in, the dialogue's actions out.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::dialogue::{Action, Dialogue, Moment};
use super::microphone::Microphone;
use super::player::Player;
use super::protocol::{self, ClientEvent, RATE_HZ};
use super::{Config, RealtimeModel};
use crate::audio::earcon;
use crate::chat::{ToolCall, ToolOutput};
use crate::error::CallError;
use crate::memory::Briefing;
use crate::pool::TakenSocket;
use crate::room::{AudioOutput, RoomEvent, RoomOutput};
use crate::session::{Agent, GreetingMode, Links, SessionEnd, report};
use crate::turn::SessionTime;

/// How often what was heard is looked at while the agent speaks, and the connection's age else.
const STEP: Duration = Duration::from_millis(40);
const IDLE_STEP: Duration = Duration::from_secs(1);
/// The pause before another try after a connection that could not be opened.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

pub(super) fn connect(
    model: &RealtimeModel,
    delay: Duration,
) -> BoxFuture<'static, Result<TakenSocket, CallError>> {
    let sockets = model.sockets.clone();
    async move {
        tokio::time::sleep(delay).await;
        sockets.take().await
    }
    .boxed()
}

/// Everything that makes a session act.
pub(super) enum Event {
    Room(RoomEvent),
    Message(String),
    Connected(TakenSocket),
    NotConnected(CallError),
    Lost,
    Tool(ToolCall, ToolOutput),
    Briefing(Briefing),
    Step,
    Shutdown,
}

/// The way to the service.
pub(super) enum Line {
    Opening(BoxFuture<'static, Result<TakenSocket, CallError>>),
    Open(TakenSocket),
}

impl Line {
    /// Cancel safety: nothing is lost.
    pub(super) async fn next(&mut self) -> Event {
        match self {
            Self::Opening(opening) => match opening.await {
                Ok(socket) => Event::Connected(socket),
                Err(error) => Event::NotConnected(error),
            },
            Self::Open(socket) => match socket.next().await {
                Some(message) => Event::Message(message),
                None => Event::Lost,
            },
        }
    }
}

type Running = BoxFuture<'static, (ToolCall, ToolOutput)>;

/// A conversation in its room.
pub(super) struct Call {
    pub(super) dialogue: Dialogue,
    pub(super) model: RealtimeModel,
    pub(super) config: Config,
    pub(super) language: String,
    pub(super) agent: Agent,
    /// The agent's, with what is known of the user.
    pub(super) instructions: String,
    pub(super) room: Arc<dyn RoomOutput>,
    pub(super) output: Arc<dyn AudioOutput>,
    pub(super) player: Player,
    pub(super) line: Line,
    pub(super) microphone: Microphone,
    pub(super) tools: FuturesUnordered<Running>,
    pub(super) links: Links,
    pub(super) has_greeted: bool,
    pub(super) started: Instant,
    pub(super) end: Option<SessionEnd>,
}

impl Call {
    pub(super) fn on_event(&mut self, event: Event) {
        let at = self.moment();
        match event {
            Event::Room(event) => self.on_room(at, event),
            Event::Message(message) => self.dialogue.on_service(at, protocol::parse(&message)),
            Event::Connected(socket) => self.on_connected(socket),
            Event::NotConnected(error) => {
                report::failure(&error);
                self.line = Line::Opening(connect(&self.model, RECONNECT_AFTER));
                self.dialogue.on_failure(error);
            }
            Event::Lost => self.on_lost(at),
            Event::Tool(call, output) => self.dialogue.on_tool(call, output),
            Event::Briefing(briefing) => self.on_briefing(&briefing),
            Event::Step => {
                self.dialogue.follow(at);
                self.recycle_if_old();
            }
            Event::Shutdown => self.end = Some(SessionEnd::Shutdown),
        }
        self.act();
    }

    fn on_room(&mut self, at: Moment, event: RoomEvent) {
        match event {
            RoomEvent::Frame(frame) => {
                self.microphone.push(&frame.samples);
                self.send_sound();
            }
            // The service counts on its own clock.
            RoomEvent::Lag(_) => {}
            RoomEvent::Text(text) => {
                let text = text.expose().trim();
                if !text.is_empty() {
                    self.dialogue.typed(at, text.to_owned());
                }
            }
            RoomEvent::UserJoined(identity) => {
                let last = self.dialogue.user.replace(identity);
                if last.is_some() && last != self.dialogue.user {
                    self.dialogue.forget();
                    // The connection knows what the other one said.
                    self.line = Line::Opening(connect(&self.model, Duration::ZERO));
                }
                self.greet();
            }
            RoomEvent::UserLeft { is_final: true } => self.end = Some(SessionEnd::UserLeft),
            RoomEvent::UserLeft { is_final: false } => {
                self.dialogue.interrupt(at);
                self.instructions.clone_from(&self.agent.instructions);
            }
            RoomEvent::Disconnected => self.end = Some(SessionEnd::RoomClosed),
        }
    }

    /// Lets the agent speak first, once there is somebody to hear it and a way to say it.
    fn greet(&mut self) {
        let is_ready = matches!(self.line, Line::Open(_)) && self.dialogue.user.is_some();
        if !is_ready || std::mem::replace(&mut self.has_greeted, true) {
            return;
        }
        let text = &self.agent.greeting.text;
        match self.agent.greeting.mode {
            GreetingMode::None => {}
            GreetingMode::Say => {
                let exactly = format!("Say exactly this and nothing else: {text}");
                self.dialogue.greet(exactly);
            }
            GreetingMode::Generate => {
                let instructions = format!("{}\n\n{text}", self.instructions);
                self.dialogue.greet(instructions);
            }
        }
    }

    fn on_connected(&mut self, socket: TakenSocket) {
        self.line = Line::Open(socket);
        self.send_session();
        for event in self.dialogue.replay() {
            self.send(&event);
        }
        self.send_sound();
        self.dialogue.on_connected();
        self.greet();
    }

    /// Whatever happens to a connection, the next one is told of the conversation so far.
    fn on_lost(&mut self, at: Moment) {
        tracing::debug!("the realtime connection is lost; a new one takes over");
        self.line = Line::Opening(connect(&self.model, Duration::ZERO));
        self.dialogue.on_lost(at);
    }

    fn recycle_if_old(&mut self) {
        if let Line::Open(socket) = &self.line
            && socket.age() >= self.config.socket_age_max
            && self.dialogue.is_idle()
        {
            self.line = Line::Opening(connect(&self.model, Duration::ZERO));
        }
    }

    fn on_briefing(&mut self, briefing: &Briefing) {
        self.instructions.clone_from(&self.agent.instructions);
        if !briefing.is_empty() {
            self.instructions = format!("{}\n\n{}", self.instructions, briefing.text());
        }
        self.send_session();
    }

    fn send_session(&mut self) {
        let tools = self.agent.tools.specs();
        let session =
            ClientEvent::session(&self.config, &self.language, &self.instructions, &tools);
        self.send(&session);
    }

    fn send_sound(&mut self) {
        if matches!(self.line, Line::Open(_)) {
            for piece in self.microphone.pieces() {
                self.send(&piece);
            }
        }
    }

    /// What cannot be sent goes with its connection, whose loss is the next event.
    fn send(&mut self, event: &ClientEvent) {
        if let Line::Open(socket) = &self.line
            && !socket.send(event.to_json())
        {
            tracing::debug!("the realtime connection takes nothing any more");
        }
    }

    fn act(&mut self) {
        for action in self.dialogue.take_actions() {
            match action {
                Action::Send(event) => self.send(&event),
                Action::Play(samples) => self.player.push(&samples),
                Action::Silence => self.player.clear(),
                Action::Run(call) => {
                    let output = self.agent.tools.call(&call);
                    let run = output.map(|output| (call, output));
                    self.tools.push(run.boxed());
                }
                Action::CancelTools => self.tools.clear(),
                Action::Show(state) => self.room.set_agent_state(state),
                Action::UserWords(segment, text, is_final) => {
                    self.room.user_transcript(segment, &text, is_final);
                }
                Action::AgentWords(segment, delta) => self.room.agent_transcript(segment, &delta),
                Action::EndAgentWords(segment) => self.room.end_agent_transcript(segment),
                Action::Tell(event) => self.room.session_event(event),
                Action::Record(turn) => self.links.record(*turn),
                Action::Trouble { error, is_final } => {
                    report::failure(&error);
                    self.player.push(&earcon::trouble(RATE_HZ).samples);
                    if is_final {
                        self.end = Some(SessionEnd::Failed(error));
                    }
                }
            }
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            now: SessionTime::after_start(self.started.elapsed()),
            position: self.output.position(),
        }
    }

    pub(super) fn step(&self) -> Duration {
        if self.dialogue.is_speaking() {
            STEP
        } else {
            IDLE_STEP.min(self.config.socket_age_max)
        }
    }

    pub(super) async fn close(&mut self) {
        self.dialogue.close(self.moment());
        self.act();
        // The sound of trouble, which an interruption leaves out, is heard to its end.
        let rest = earcon::trouble(RATE_HZ).duration() + STEP;
        if self.player.is_busy() {
            tokio::time::timeout(rest, self.player.play()).await.ok();
        }
    }
}
