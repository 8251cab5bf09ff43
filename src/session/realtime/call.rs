//! A speech-to-speech conversation in its room: events in, the dialogue's actions out.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::dialogue::{Action, Dialogue, Moment, Recorded, Voiced};
use super::line::{Line, Pending};
use super::microphone::Microphone;
use super::player::Player;
use super::protocol::{self, ClientEvent};
use super::voice::{self, Voice};
use super::{Config, Connected, RealtimeModel, greeting};
use crate::chat::{ToolCall, ToolOutput};
use crate::error::{CallError, ErrorKind, Service};
use crate::excess::Panicked;
use crate::memory::Briefing;
use crate::room::{AudioOutput, RoomEvent, RoomOutput};
use crate::session::handle::Command;
use crate::session::speech::Speech;
use crate::session::{Agent, GreetingMode, Links, SessionEnd};
use crate::turn::SessionTime;

/// How often what was heard is looked at while the agent speaks, and the connection's age else.
const STEP: Duration = Duration::from_millis(40);
const IDLE_STEP: Duration = Duration::from_secs(1);
/// The pause before another try after a connection that could not be opened, and after one that
/// nobody waits for.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);
const SPARE_AFTER: Duration = Duration::from_secs(10);

/// Everything that makes a session act.
pub(super) enum Event {
    Room(RoomEvent),
    Message(String),
    Connected(Connected),
    NotConnected(CallError),
    /// A connection to take over from the one in use.
    Spare(Result<Connected, CallError>),
    Lost,
    Greeting(Result<Speech, CallError>),
    Apology {
        recorded: Recorded,
        ends_with: Option<CallError>,
    },
    Voice(Voiced),
    Command(Command),
    Tool(ToolCall, ToolOutput),
    Briefing(Briefing),
    Step,
    Shutdown,
}

type Running = BoxFuture<'static, (ToolCall, ToolOutput)>;

/// A conversation in its room.
pub(super) struct Call {
    pub(super) dialogue: Dialogue,
    pub(super) model: RealtimeModel,
    /// Which of the model's services the line leads to.
    pub(super) place: usize,
    pub(super) agent: Agent,
    /// The agent's, with what is known of the user.
    pub(super) instructions: String,
    pub(super) room: Arc<dyn RoomOutput>,
    pub(super) output: Arc<dyn AudioOutput>,
    pub(super) player: Player,
    pub(super) line: Line,
    pub(super) spare: Pending<Result<Connected, CallError>>,
    pub(super) greeting: Pending<Result<Speech, CallError>>,
    pub(super) apology: Pending<Event>,
    /// What a program lets the agent say, as the voice of `[tts]` speaks it.
    pub(super) voice: Voice,
    /// The longest silence of that voice.
    pub(super) stall_max: Duration,
    /// The greeting that calls share.
    pub(super) kept: Option<Speech>,
    /// Until when a greeting waits for what is known of the user.
    pub(super) greet_by: Option<SessionTime>,
    /// Whether something is known of the user.
    pub(super) is_known: bool,
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
            Event::Connected(connected) => self.on_connected(at, connected),
            Event::NotConnected(error) => {
                self.line = Line::Opening(self.model.connect(RECONNECT_AFTER));
                self.dialogue.on_unreachable(error);
            }
            Event::Spare(Ok(connected)) => {
                if self.dialogue.is_idle() {
                    self.on_connected(at, connected);
                }
            }
            Event::Spare(Err(error)) => {
                tracing::debug!(%error, "no connection to take over; the one in use stays");
                self.spare = Some(self.model.connect(SPARE_AFTER));
            }
            Event::Greeting(made) => {
                match made {
                    Ok(speech) => self.kept = Some(speech),
                    // It is asked for on this call's own connection, and what fails there is heard.
                    Err(error) => tracing::debug!(%error, "no greeting is kept"),
                }
                self.greet(at);
            }
            Event::Apology {
                recorded,
                ends_with,
            } => self.dialogue.apologise(at, recorded, ends_with),
            Event::Voice(voiced) => {
                if let Voiced::Failed(_) | Voiced::End = voiced {
                    self.voice = None;
                }
                self.dialogue.on_voice(at, voiced);
            }
            Event::Command(command) => self.dialogue.on_command(at, command),
            Event::Lost => self.on_lost(at),
            Event::Tool(call, output) => self.dialogue.on_tool(at, call, output),
            Event::Briefing(briefing) => self.on_briefing(at, &briefing),
            Event::Step => {
                self.dialogue.follow(at);
                self.greet(at);
                self.replace_line(at);
            }
            Event::Shutdown => self.end = Some(SessionEnd::Shutdown),
        }
        if self.has_greeted && self.end.is_none() {
            self.dialogue.speak_next(at, &self.instructions);
        }
        self.act();
    }

    /// A bug stopped the handling of an event. The connection may be in the middle of anything, so the
    /// next one takes over with what is known, and the user hears of it.
    pub(super) fn on_bug(&mut self, bug: Panicked) {
        let error = CallError::new(Service::OpenAi, protocol::OPERATION, ErrorKind::Internal);
        self.line = Line::Opening(self.model.connect(Duration::ZERO));
        (self.spare, self.voice) = (None, None);
        self.player.clear();
        self.tools.clear();
        self.dialogue.on_bug(self.moment(), error.because(bug));
        self.act();
    }

    fn on_room(&mut self, at: Moment, event: RoomEvent) {
        match event {
            RoomEvent::Frame(frame) => {
                if !self.dialogue.is_deaf() {
                    self.microphone.push(&frame.samples);
                    self.send_sound();
                }
            }
            // The service counts on its own clock.
            RoomEvent::Lag(_) => {}
            RoomEvent::Text(text) => {
                let text = text.expose().trim();
                if !text.is_empty() {
                    self.dialogue.typed(at, text.to_owned());
                }
            }
            RoomEvent::User(change) => self.on_user(at, change),
            RoomEvent::Disconnected => self.end = Some(SessionEnd::RoomClosed),
        }
    }

    /// Lets the agent speak first, once there is somebody to hear it and a way to say it.
    pub(super) fn greet(&mut self, at: Moment) {
        let is_waiting = self.greet_by.is_some_and(|by| at.now < by);
        if self.has_greeted || !self.dialogue.is_user_there() || is_waiting {
            return;
        }
        let is_interruptible = self.agent.greeting.is_interruptible;
        let is_personal = self.is_known && self.agent.greeting.mode == GreetingMode::Generate;
        let kept = self.kept.take().filter(|_| !is_personal);
        if let Some(speech) = kept {
            self.dialogue.say(at, speech.into(), is_interruptible);
        } else if !is_personal && self.greeting.is_some() {
            return;
        } else {
            let asked = greeting::instructions(&self.agent, &self.instructions);
            match (asked, &self.line) {
                (Some(_), Line::Opening(_)) => return,
                (Some(asked), _) => self.dialogue.greet(at, asked, is_interruptible),
                (None, _) => {}
            }
        }
        self.has_greeted = true;
    }

    fn on_connected(&mut self, at: Moment, (place, socket): Connected) {
        let age = socket.age();
        self.line = Line::Open(socket);
        self.place = place;
        self.spare = None;
        self.send_session();
        for event in self.dialogue.replay() {
            self.send(&event);
        }
        self.send_sound();
        self.dialogue.on_connected(at, age);
        self.greet(at);
    }

    /// Whatever happens to a connection, the next one is told of the conversation so far.
    fn on_lost(&mut self, at: Moment) {
        tracing::debug!("the realtime connection is lost; a new one takes over");
        self.line = Line::Opening(self.model.connect(Duration::ZERO));
        self.spare = None;
        self.dialogue.on_lost(at);
    }

    /// Opens a connection to take over from one that is old or leads to a fallback whose better is
    /// well again, in a quiet moment.
    fn replace_line(&mut self, at: Moment) {
        let is_open = matches!(self.line, Line::Open(_)) && self.spare.is_none();
        let is_better = self.dialogue.is_idle() && self.model.has_better(self.place);
        if is_open && (is_better || self.dialogue.is_connection_old(at)) {
            self.spare = Some(self.model.connect(Duration::ZERO));
        }
    }

    fn on_briefing(&mut self, at: Moment, briefing: &Briefing) {
        self.forget_briefing();
        self.greet_by = None;
        if !briefing.is_empty() {
            self.is_known = true;
            self.instructions = format!("{}\n\n{}", self.instructions, briefing.text());
        }
        self.send_session();
        self.greet(at);
    }

    pub(super) fn forget_briefing(&mut self) {
        self.is_known = false;
        self.instructions.clone_from(&self.agent.instructions);
    }

    fn send_session(&mut self) {
        let tools = self.agent.tools.specs();
        let (config, language) = (self.config(), &self.model.language);
        let session = ClientEvent::session(config, language, &self.instructions, &tools);
        self.send(&session);
    }

    fn send_sound(&mut self) {
        if matches!(self.line, Line::Open(_)) {
            for piece in self.microphone.pieces() {
                self.send(&piece);
            }
        }
    }

    /// What cannot be sent goes with its connection, which ends then: its loss is the next event.
    fn send(&mut self, event: &ClientEvent) {
        if let Line::Open(socket) = &self.line
            && !socket.send(event.to_json())
        {
            tracing::debug!("the realtime connection takes nothing any more");
        }
    }

    pub(super) fn act(&mut self) {
        for action in self.dialogue.take_actions() {
            match action {
                Action::Send(event) => self.send(&event),
                Action::Play(samples) => self.player.push(&samples),
                Action::Speak(words) => {
                    self.voice = Some(voice::speak(&self.agent.tts, words, self.stall_max));
                }
                Action::Silence => {
                    self.player.clear();
                    self.voice = None;
                }
                Action::Run(call) => {
                    let output = self.agent.tools.call(&call);
                    let run = output.map(|output| (call, output));
                    self.tools.push(run.boxed());
                }
                Action::CancelTools => self.tools.clear(),
                Action::DropTexts(n) => self.links.drop_texts(n),
                Action::Show(state) => self.room.set_agent_state(state),
                Action::UserWords(segment, text, is_final) => {
                    self.room.user_transcript(segment, &text, is_final);
                }
                Action::AgentWords(segment, delta) => self.room.agent_transcript(segment, &delta),
                Action::EndAgentWords(segment) => self.room.end_agent_transcript(segment),
                Action::Tell(event) => self.room.session_event(event),
                Action::Record(turn) => self.links.record(*turn),
                Action::Trouble {
                    stage,
                    error,
                    is_final,
                } => self.on_trouble(stage, error, is_final),
                Action::Reconnect(error) => {
                    tracing::debug!(%error, "the realtime service is asked anew");
                    self.model.failed(self.place, &error);
                    self.line = Line::Opening(self.model.connect(Duration::ZERO));
                }
                Action::End(error) => self.end = Some(SessionEnd::Failed(error)),
            }
        }
    }

    fn config(&self) -> &Config {
        &self.model.services[self.place].config
    }

    fn moment(&self) -> Moment {
        Moment {
            now: SessionTime::after_start(self.started.elapsed()),
            position: self.output.position(),
        }
    }

    pub(super) fn step(&self) -> Duration {
        if self.dialogue.is_speaking() || self.greet_by.is_some() && !self.has_greeted {
            STEP
        } else {
            IDLE_STEP
        }
    }

    pub(super) fn close(&mut self) {
        self.dialogue.close(self.moment());
        self.act();
    }
}
