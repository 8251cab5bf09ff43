//! What the agent says of itself: greeting, apologies, and what programs ask for, through one queue.

use super::event_loop::Conversation;
use super::exchange::{Exchange, Kind};
use super::handle::{Command, Content, Ending, ReplyRequest};
use super::writing::Source;
use crate::chat::ChatItem;
use crate::turn::{QueuedSpeech, SessionTime, SpeechId, Timeline, TurnInput};

/// Something that waits for its turn.
pub(super) enum Waiting {
    /// Is already being made.
    Made(Box<Exchange>),
    /// Is begun when its turn has come, on the conversation as it is then.
    Asked(Content, Ending),
}

impl Conversation {
    pub(super) fn on_command(&mut self, now: SessionTime, command: Command) {
        match command {
            Command::Speak {
                speech,
                content,
                ending,
            } => self.enqueue(now, speech, Waiting::Asked(content, ending)),
            Command::Stop(id) => {
                if self
                    .active
                    .as_ref()
                    .is_some_and(|active| active.speech == Some(id))
                {
                    self.input(now, TurnInput::StopAgent);
                } else {
                    self.take_back(now, id);
                }
            }
            Command::StopAll => {
                let waiting: Vec<SpeechId> = self.speeches.keys().copied().collect();
                for id in waiting {
                    self.take_back(now, id);
                }
                self.input(now, TurnInput::StopAgent);
            }
        }
    }

    /// Adds something to say; the turn machine decides when it is said.
    pub(super) fn enqueue(&mut self, now: SessionTime, speech: QueuedSpeech, waiting: Waiting) {
        self.speeches.insert(speech.id, waiting);
        self.input(now, TurnInput::SpeechQueued(speech));
    }

    fn take_back(&mut self, now: SessionTime, id: SpeechId) {
        self.speeches.remove(&id);
        self.input(now, TurnInput::SpeechDropped(id));
    }

    /// The agent's turn: says what has waited.
    pub(super) fn speak(&mut self, now: SessionTime, id: SpeechId) {
        let mut exchange = match self.speeches.remove(&id) {
            Some(Waiting::Made(exchange)) => *exchange,
            Some(Waiting::Asked(content, ending)) => {
                let source = match content {
                    Content::Words(words) => Source::Words(words),
                    Content::Reply(request) => self.reply_source(now, request),
                };
                let mut exchange = self.core.make(source, Kind::Answer);
                exchange.ending = Some(ending);
                exchange
            }
            None => {
                debug_assert!(false, "the queue and what waits in it differ");
                return;
            }
        };
        exchange.speech = Some(id);
        self.release(exchange);
    }

    fn reply_source(&mut self, now: SessionTime, request: ReplyRequest) -> Source {
        let told = request.told(&self.core.chat.instructions);
        if let Some(text) = request.user_input {
            self.add_to_chat(now, vec![ChatItem::User(text)], Timeline::default());
        }
        let mut context = self.core.chat.clone();
        if let Some(told) = told {
            context.instructions = told;
        }
        Source::Chat(context)
    }
}
