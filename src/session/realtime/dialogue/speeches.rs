//! What programs want to be said: it waits until the agent is free and the user has been answered.

use std::collections::HashMap;
use std::time::Duration;

use super::super::protocol::ClientEvent;
use super::{Action, Dialogue, Moment};
use crate::chat::ChatItem;
use crate::room::{AgentState, SessionEvent};
use crate::session::handle::{Command, Content, Ending, ReplyRequest};
use crate::turn::{QueuedSpeech, SpeechId, SpeechQueue, TurnId, TurnSource};

/// Between the end of the user's voice and its becoming a turn, which is the service's to say.
const COMMIT_WITHIN: Duration = Duration::from_secs(1);

/// What waits to be said. What is removed untold was dropped, and whoever waits for it hears that.
#[derive(Default)]
pub(super) struct Speeches {
    queue: SpeechQueue,
    waiting: HashMap<SpeechId, (Content, Ending)>,
}

impl Speeches {
    fn push(&mut self, speech: QueuedSpeech, content: Content, ending: Ending) {
        self.waiting.insert(speech.id, (content, ending));
        if let Some(surplus) = self.queue.push(speech) {
            self.waiting.remove(&surplus);
        }
    }

    fn pop(&mut self, is_user_turn: bool) -> Option<(QueuedSpeech, Content, Ending)> {
        let speech = self.queue.pop(is_user_turn)?;
        let (content, ending) = self.waiting.remove(&speech.id)?;
        Some((speech, content, ending))
    }

    fn take_back(&mut self, id: SpeechId) {
        self.queue.remove(id);
        self.waiting.remove(&id);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Dialogue {
    /// A program asks for something.
    pub(in super::super) fn on_command(&mut self, at: Moment, command: Command) {
        match command {
            Command::Speak {
                speech,
                content,
                ending,
            } => self.speeches.push(speech, content, ending),
            Command::Stop(id) => {
                let asked = self.turn.as_ref().and_then(|turn| turn.asked.as_ref());
                if asked.is_some_and(|(current, _)| *current == id) {
                    self.stop(at);
                } else {
                    self.speeches.take_back(id);
                }
            }
            Command::StopAll => {
                self.speeches.clear();
                self.stop(at);
            }
        }
    }

    /// Begins what waits to be said if its turn has come. `standing` are the model's instructions.
    pub(in super::super) fn speak_next(&mut self, at: Moment, standing: &str) {
        if self.turn.is_some() || self.is_apology_due || self.is_ending || !self.is_user_there() {
            return;
        }
        self.take_typed(at);
        if self.turn.is_some() {
            return;
        }
        let is_user_turn = self.is_user_taking_turn(at);
        let Some((speech, content, ending)) = self.speeches.pop(is_user_turn) else {
            return;
        };
        let turn = self.begin(TurnId::default(), TurnSource::Agent);
        turn.is_interruptible = speech.is_interruptible;
        turn.asked = Some((speech.id, ending));
        match content {
            Content::Words(words) => {
                turn.is_voicing = true;
                turn.timeline.tts_started = Some(at.now);
                self.act(Action::Speak(words));
                self.show(AgentState::Thinking);
            }
            Content::Reply(request) => self.reply(at, request, standing),
        }
    }

    fn reply(&mut self, at: Moment, request: ReplyRequest, standing: &str) {
        if let Some(turn) = &mut self.turn {
            turn.instructions = request.told(standing);
        }
        if let Some(text) = request.user_input {
            let item = ChatItem::User(text);
            self.act(Action::Send(ClientEvent::item(&item)));
            self.remember(item.clone());
            self.act(Action::Tell(SessionEvent::ConversationItemAdded {
                item,
                timeline: Box::default(),
                at: at.now,
            }));
        }
        if self.connected.is_some() {
            self.respond(at);
        } else if let Some(turn) = &mut self.turn {
            // The next connection is asked.
            turn.response = Some(String::new());
            self.is_owed = true;
            self.show(AgentState::Thinking);
        }
    }

    /// Whether the user speaks, or has just spoken and is about to be answered.
    fn is_user_taking_turn(&self, at: Moment) -> bool {
        let is_answer_due = |ended| at.now.since(ended) < COMMIT_WITHIN;
        self.is_user_speaking || self.speech_ended.is_some_and(is_answer_due)
    }
}
