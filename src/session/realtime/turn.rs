//! One exchange as it happens: what is said, how much of it was heard, what tools are at work.

use std::time::Duration;

use crate::chat::{ToolCall, ToolOutput};
use crate::error::CallError;
use crate::redact::Pii;
use crate::room::SegmentId;
use crate::session::handle::Ending;
use crate::session::reply::Failure;
use crate::text::heard_prefix;
use crate::turn::{ReplyOutcome, SessionTime, SpeechId, Timeline, Turn, TurnId, TurnSource};

/// How long a character takes to say, for sound whose end is not known.
const CHAR: Duration = Duration::from_millis(60);

/// The output counts what it plays in pieces of its own, and each is rounded: what is missing by less
/// than this was heard.
pub(super) const GRAIN: Duration = Duration::from_millis(1);

/// Items of one answer: services make one, or one beside each tool call.
const ITEMS_MAX: usize = 256;

/// A stretch of the model's speech: an item of the service.
pub(super) struct Speech {
    pub(super) item: String,
    /// The output's position at its first sample.
    begins: Duration,
    length: Duration,
    text: String,
    /// Whether its words are there to be read, without a sound.
    is_read: bool,
    is_complete: bool,
    /// Whether the service does not know it: it was not made in this conversation.
    pub(super) is_ours: bool,
}

impl Speech {
    /// How much of its sound was heard when the output stood at `position`.
    pub(super) fn heard(&self, position: Duration) -> Duration {
        let heard = position.saturating_sub(self.begins).min(self.length);
        match self.length - heard < GRAIN {
            true => self.length,
            false => heard,
        }
    }

    /// Whether some of its sound was not heard.
    pub(super) fn is_cut(&self, position: Duration) -> bool {
        self.heard(position) < self.length
    }

    fn heard_text(&self, position: Duration) -> &str {
        if self.is_read {
            return &self.text;
        }
        if self.length.is_zero() {
            // Words come before their sound.
            return "";
        }
        let n_chars = u32::try_from(self.text.chars().count()).unwrap_or(u32::MAX);
        let total = match self.is_complete {
            true => self.length,
            false => self.length.max(CHAR.saturating_mul(n_chars)),
        };
        let heard = self.heard(position).as_secs_f64();
        heard_prefix(&self.text, heard, total.as_secs_f64())
    }
}

/// See the module.
pub(super) struct OpenTurn {
    pub(super) id: TurnId,
    /// The user it was begun by or for, also if another one is there when it ends.
    user: Option<Pii<String>>,
    pub(super) source: TurnSource,
    pub(super) segment: SegmentId,
    /// The item of what the user said, until its words are known.
    pub(super) user_item: Option<String>,
    pub(super) transcript: String,
    pub(super) timeline: Timeline,
    pub(super) speeches: Vec<Speech>,
    /// The response that is being made; empty when it was asked for and has not begun.
    pub(super) response: Option<String>,
    /// What the model is told for this answer in place of its standing instructions.
    pub(super) instructions: Option<String>,
    pub(super) may_use_tools: bool,
    /// Whether the voice of `[tts]` has more to say.
    pub(super) is_voicing: bool,
    pub(super) n_rounds: u32,
    pub(super) running: Vec<ToolCall>,
    pub(super) ran: Vec<(ToolCall, ToolOutput)>,
    /// All tools of the exchange.
    pub(super) tool_calls: Vec<ToolCall>,
    /// What the room was shown.
    reported: String,
    pub(super) is_interruptible: bool,
    /// How often the service was asked for the answer.
    pub(super) n_tries: u32,
    /// When the service last did something for the answer.
    pub(super) progress: SessionTime,
    /// Why the answer broke off, until what was sent of it is heard.
    pub(super) failure: Option<Failure>,
    /// Why the session ends after this.
    pub(super) ends_with: Option<CallError>,
    /// The wish of a program that this is, and who is told how it ended.
    pub(super) asked: Option<(SpeechId, Ending)>,
}

impl OpenTurn {
    pub(super) fn new(
        id: TurnId,
        user: Option<Pii<String>>,
        source: TurnSource,
        segment: SegmentId,
    ) -> Self {
        Self {
            id,
            user,
            source,
            segment,
            user_item: None,
            transcript: String::new(),
            timeline: Timeline::default(),
            speeches: Vec::new(),
            response: None,
            instructions: None,
            may_use_tools: true,
            is_voicing: false,
            n_rounds: 0,
            running: Vec::new(),
            ran: Vec::new(),
            tool_calls: Vec::new(),
            reported: String::new(),
            is_interruptible: true,
            n_tries: 0,
            progress: SessionTime::ZERO,
            failure: None,
            ends_with: None,
            asked: None,
        }
    }

    /// Words that the service knows nothing of; their sound follows.
    pub(super) fn begin_ours(&mut self, text: &str) {
        self.complete();
        let item = format!("ours {}", self.speeches.len());
        let speech = self.speech(&item);
        speech.text.push_str(text);
        speech.is_ours = true;
    }

    /// More sound of the words that began last.
    pub(super) fn add_our_sound(&mut self, begins: Duration, length: Duration) {
        let last = self.speeches.iter().rfind(|speech| speech.is_ours);
        if let Some(item) = last.map(|speech| speech.item.clone()) {
            self.add_sound(&item, begins, length);
        }
    }

    /// More sound of an item, the first of which will be heard at `begins`.
    pub(super) fn add_sound(&mut self, item: &str, begins: Duration, length: Duration) {
        let speech = self.speech(item);
        if speech.length.is_zero() {
            speech.begins = begins;
        }
        speech.length += length;
    }

    /// More words of an item: of its sound, or to be read.
    pub(super) fn add_words(&mut self, item: &str, text: &str, is_read: bool) {
        let speech = self.speech(item);
        speech.text += text;
        speech.is_read = is_read;
    }

    /// Whether the service's part of the answer is longer than one may be.
    pub(super) fn is_beyond(&self, length_max: Duration, characters_max: usize) -> bool {
        let theirs = || self.speeches.iter().filter(|speech| !speech.is_ours);
        let length: Duration = theirs().map(|speech| speech.length).sum();
        // Bytes where most scripts have as many characters: this runs for each piece of audio.
        let n_bytes: usize = theirs().map(|speech| speech.text.len()).sum();
        let has_words = n_bytes > characters_max
            && theirs().map(|it| it.text.chars().count()).sum::<usize>() > characters_max;
        length > length_max || has_words || self.speeches.len() > ITEMS_MAX
    }

    /// Nothing more comes of the items so far.
    pub(super) fn complete(&mut self) {
        for speech in &mut self.speeches {
            speech.is_complete = true;
        }
    }

    /// What was heard when the output stood at `position`.
    pub(super) fn heard_text(&self, position: Duration) -> String {
        join(self.speeches.iter().map(|it| it.heard_text(position)))
    }

    /// What was heard and not shown yet.
    pub(super) fn news(&mut self, position: Duration) -> Option<String> {
        let heard = self.heard_text(position);
        // An estimate may have been too high for a moment; what was shown stays shown.
        let delta = heard.strip_prefix(&self.reported)?.to_owned();
        if delta.is_empty() {
            return None;
        }
        self.reported = heard;
        Some(delta)
    }

    /// Whether the model and the voice have nothing more to do.
    pub(super) fn is_said(&self) -> bool {
        let is_made = self.response.is_none() && !self.is_voicing;
        is_made && self.running.is_empty() && self.ran.is_empty()
    }

    /// The record of the exchange.
    pub(super) fn record(self, outcome: ReplyOutcome, position: Duration) -> Turn {
        let heard = self.heard_text(position);
        Turn {
            id: self.id,
            user: self.user,
            source: self.source,
            transcript: Pii::new(self.transcript),
            reply: Pii::new(join(self.speeches.iter().map(|it| it.text.as_str()))),
            heard: Pii::new(heard),
            tool_calls: Pii::new(self.tool_calls),
            outcome,
            timeline: self.timeline,
        }
    }

    fn speech(&mut self, item: &str) -> &mut Speech {
        let place = self.speeches.iter().position(|it| it.item == item);
        let place = place.unwrap_or_else(|| {
            self.speeches.push(Speech {
                item: item.to_owned(),
                begins: Duration::ZERO,
                length: Duration::ZERO,
                text: String::new(),
                is_read: false,
                is_complete: false,
                is_ours: false,
            });
            self.speeches.len() - 1
        });
        &mut self.speeches[place]
    }
}

fn join<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
    texts.join(" ")
}
