//! The loop: everything that can happen to a conversation, one thing at a time.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::exchange::Exchange;
use super::handle::{COMMANDS_MAX, Command, SessionHandle, SpeechIds};
use super::links::Links;
use super::listener::Listener;
use super::reply::{EVENTS_MAX, ReplyEvent, ReplyEvents, ReplyId};
use super::speeches::Waiting;
use super::transcriptions::{Heard, Transcriptions};
use super::{Agent, BoxVad, Config, SessionEnd};
use crate::audio::{AudioFrame, speech};
use crate::chat::ChatContext;
use crate::memory::Briefing;
use crate::pool::{CallOptions, CallerId};
use crate::redact::Pii;
use crate::room::{AgentState, AudioOutput, RoomEvent, RoomOutput, SegmentId, Usage, UserState};
use crate::turn::{self, SessionTime, SpeechId, TurnInput, TurnOutput};

/// All settings of a session.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Limits.
    pub session: Config,
    /// Voice activity.
    pub vad: speech::Config,
    /// Turn-taking.
    pub turn: turn::Config,
}

/// A conversation that can begin: its greeting is being made.
pub struct Session {
    core: Core,
    replies: mpsc::Receiver<(ReplyId, ReplyEvent)>,
    commands: mpsc::Receiver<Command>,
    handle: SessionHandle,
    vad: BoxVad,
    settings: Settings,
    links: Links,
}

/// What a session needs to make replies.
pub(super) struct Core {
    pub(super) agent: Agent,
    pub(super) config: Config,
    pub(super) output: Arc<dyn AudioOutput>,
    pub(super) events: ReplyEvents,
    pub(super) chat: ChatContext,
    pub(super) greeting: Option<Exchange>,
    pub(super) n_replies: u32,
    pub(super) n_segments: u32,
    pub(super) speech_ids: SpeechIds,
    pub(super) usage: Usage,
    /// The name under which the pool shares permits out.
    pub(super) caller: CallerId,
    /// The identity of the user, there or away.
    pub(super) user: Option<Pii<String>>,
}

impl Core {
    /// What the model is given has its limits.
    pub(super) fn trim_chat(&mut self) {
        let config = &self.config;
        self.chat
            .keep_last(config.chat_items_max, config.chat_bytes_max);
    }
}

impl Session {
    /// Takes everything but the room and starts to make the greeting, so that it is ready when the
    /// room is. Must be called within a Tokio runtime. Dropping the session ends what it started.
    pub fn prepare(
        settings: Settings,
        agent: Agent,
        vad: BoxVad,
        output: Arc<dyn AudioOutput>,
        links: Links,
    ) -> Self {
        let (events, replies) = mpsc::channel(EVENTS_MAX);
        let (commands_in, commands) = mpsc::channel(COMMANDS_MAX);
        let speech_ids = SpeechIds::default();
        let handle = SessionHandle::new(commands_in, speech_ids.clone());
        let mut core = Core {
            chat: ChatContext::new(agent.instructions.clone()),
            config: settings.session.clone(),
            output,
            events,
            greeting: None,
            n_replies: 0,
            n_segments: 0,
            speech_ids,
            usage: Usage::default(),
            caller: CallerId::next(),
            user: None,
            agent,
        };
        core.greeting = core.make_greeting();
        Self {
            core,
            replies,
            commands,
            handle,
            vad,
            settings,
            links,
        }
    }

    /// For programs that have something to say in this conversation.
    pub fn handle(&self) -> SessionHandle {
        self.handle.clone()
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
        let listener = Listener::new(self.vad, &self.settings.vad, &self.settings.turn);
        let mut replies = self.replies;
        let mut commands = self.commands;
        let mut conversation = Conversation {
            core: self.core,
            room,
            listener,
            transcriptions: Transcriptions::default(),
            active: None,
            prepared: None,
            speeches: HashMap::new(),
            user_segment: None,
            shown: None,
            user_state: UserState::default(),
            n_errors: 0,
            links: self.links,
            greet_by: None,
            end: None,
        };
        let started = Instant::now();
        conversation.show(AgentState::Listening);
        loop {
            let deadline = conversation.deadline();
            let event = tokio::select! {
                biased;
                () = shutdown.cancelled() => Event::Shutdown,
                Some((id, event)) = replies.recv() => Event::Reply(id, event),
                heard = conversation.transcriptions.next() => Event::Transcript(heard),
                Some(command) = commands.recv() => Event::Command(command),
                Some(briefing) = conversation.links.next_briefing() => Event::Briefing(briefing),
                event = room_events.next() => {
                    Event::Room(event.unwrap_or(RoomEvent::Disconnected))
                }
                () = sleep_until(started, deadline) => Event::Deadline,
            };
            let now = SessionTime::after_start(started.elapsed());
            conversation.on_event(now, event);
            conversation.show_user_state();
            if let Some(end) = conversation.end.take() {
                conversation.close(now);
                return end;
            }
        }
    }
}

async fn sleep_until(started: Instant, deadline: Option<SessionTime>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(started + deadline.since_start()).await,
        None => std::future::pending().await,
    }
}

/// Everything that makes a session act.
pub(super) enum Event {
    Room(RoomEvent),
    Transcript(Heard),
    Reply(ReplyId, ReplyEvent),
    Command(Command),
    Briefing(Briefing),
    Deadline,
    Shutdown,
}

/// A conversation in its room.
pub(super) struct Conversation {
    pub(super) core: Core,
    pub(super) room: Arc<dyn RoomOutput>,
    pub(super) listener: Listener,
    pub(super) transcriptions: Transcriptions,
    /// The reply that the user hears or waits for.
    pub(super) active: Option<Exchange>,
    /// The reply to what the user may have finished saying.
    pub(super) prepared: Option<Exchange>,
    /// What the agent wants to say of itself.
    pub(super) speeches: HashMap<SpeechId, Waiting>,
    /// Words of the user that the room was shown and that are not final.
    pub(super) user_segment: Option<(SegmentId, String)>,
    pub(super) shown: Option<AgentState>,
    pub(super) user_state: UserState,
    /// Failures since the last answer that was heard.
    pub(super) n_errors: u32,
    pub(super) links: Links,
    /// Until when the greeting waits for what is known of them.
    pub(super) greet_by: Option<SessionTime>,
    pub(super) end: Option<SessionEnd>,
}

impl Conversation {
    fn on_event(&mut self, now: SessionTime, event: Event) {
        match event {
            Event::Room(event) => self.on_room(now, event),
            Event::Transcript(Heard::Words(text)) => {
                self.show_user_words(&text);
                self.input(now, TurnInput::Words(text));
            }
            Event::Transcript(Heard::Answer(request, Ok(text))) => {
                self.input(now, TurnInput::Transcript { request, text });
            }
            Event::Transcript(Heard::Answer(request, Err(failure))) => {
                self.input(now, TurnInput::TranscriptionFailed { request });
                self.on_lost_words(now, &failure);
            }
            Event::Reply(id, event) => self.on_reply(now, id, event),
            Event::Command(command) => self.on_command(now, command),
            Event::Briefing(briefing) => self.on_briefing(now, &briefing),
            Event::Deadline => {
                self.greet_if_late(now);
                let outputs = self.listener.tick(now);
                self.apply(now, outputs);
            }
            Event::Shutdown => self.end = Some(SessionEnd::Shutdown),
        }
    }

    fn on_room(&mut self, now: SessionTime, event: RoomEvent) {
        match event {
            RoomEvent::Lag(lag) => self.listener.hear_late(lag),
            RoomEvent::Frame(frame) => {
                self.transcriptions.hear(&frame);
                let outputs = self.listener.hear(now, &frame);
                self.apply(now, outputs);
            }
            RoomEvent::Text(text) => {
                let text = text.expose().trim();
                if !text.is_empty() {
                    self.input(now, TurnInput::UserText(text.to_owned()));
                }
            }
            RoomEvent::User(change) => self.on_user(now, change),
            RoomEvent::Disconnected => self.end = Some(SessionEnd::RoomClosed),
        }
    }

    /// Tells the turn machine and does what it decides.
    pub(super) fn input(&mut self, now: SessionTime, input: TurnInput) {
        let outputs = self.listener.input(now, input);
        self.apply(now, outputs);
    }

    fn apply(&mut self, now: SessionTime, outputs: Vec<TurnOutput>) {
        for output in outputs {
            match output {
                TurnOutput::Open => {
                    self.listener.utterance().open();
                    let sound = self.listener.utterance().so_far();
                    self.transcriptions.open(&*self.core.agent.stt, &sound);
                }
                TurnOutput::Transcribe(request) => {
                    let sound = self.listener.utterance().so_far();
                    self.core.usage.stt_audio += sound.duration();
                    let stt = Arc::clone(&self.core.agent.stt);
                    let stall_max = self.core.config.stall_max;
                    let options = CallOptions {
                        caller: Some(self.core.caller),
                        ..CallOptions::default()
                    };
                    self.transcriptions
                        .start(request, (&*stt, &options), sound, stall_max);
                }
                TurnOutput::CutSound => {
                    let sound = self.listener.utterance().cut();
                    let nothing = AudioFrame {
                        samples: Vec::new(),
                        ..sound
                    };
                    self.transcriptions.open(&*self.core.agent.stt, &nothing);
                }
                TurnOutput::CancelTranscription(request) => self.cancel_transcription(request),
                TurnOutput::Prepare(text) => self.prepare(text),
                TurnOutput::Pause => self.pause(now),
                TurnOutput::Resume => self.resume(),
                TurnOutput::Hold => self.hold(now),
                TurnOutput::GoOn => self.go_on(),
                TurnOutput::DropPrepared => self.drop_prepared(),
                TurnOutput::Interrupt => self.interrupt(now),
                TurnOutput::Commit(commit) => self.commit(now, commit),
                TurnOutput::Speak(id) => self.speak(now, id),
                TurnOutput::DropTexts(n) => self.links.drop_texts(n),
                TurnOutput::DropSpeech(id) => drop(self.speeches.remove(&id)),
                TurnOutput::Overlap {
                    began,
                    is_interruption,
                } => self.on_overlap(now, began, is_interruption),
                TurnOutput::Discard => {
                    self.transcriptions.close();
                    self.listener.utterance().close();
                    self.finish_user_segment(None);
                }
            }
        }
    }

    pub(super) fn show(&mut self, state: AgentState) {
        if self.shown.replace(state) != Some(state) {
            self.room.set_agent_state(state);
        }
    }
}
