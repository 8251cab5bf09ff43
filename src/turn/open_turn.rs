//! The turn that the user is taking: its times and the transcripts of its parts.

use std::time::Duration;

use super::{RequestId, SessionTime};

/// A stretch of sound on its way to words.
enum Part {
    /// Not sent yet, or the user spoke on since.
    Unasked,
    /// Sent; the answer is awaited.
    Asked(RequestId),
    /// Transcribed; may be empty.
    Known(String),
}

/// What the user has said since the last turn ended. Long speech has several parts; only the last
/// is still growing.
pub(super) struct OpenTurn {
    pub(super) started_at: SessionTime,
    pub(super) voice_ended_at: SessionTime,
    pub(super) transcript_final_at: Option<SessionTime>,
    /// Voice in all of the turn.
    pub(super) voiced: Duration,
    /// Voice of the current utterance before its last pause.
    pub(super) utterance_voiced: Duration,
    pub(super) n_pauses: u32,
    pub(super) is_reply_prepared: bool,
    /// Whether the words so far are asked for while the user still speaks.
    pub(super) is_asked_early: bool,
    /// When it became too long: what was said by then is answered as soon as its words are known,
    /// though the user still speaks.
    pub(super) cut_off_at: Option<SessionTime>,
    /// Whether it is the rest of a turn that was cut off: the answer to that one is heard first.
    pub(super) is_rest: bool,
    /// Words of the open part while it is spoken, as far as the transcriber tells them.
    interim: String,
    closed: Vec<Part>,
    open: Part,
}

impl OpenTurn {
    pub(super) fn new(started_at: SessionTime) -> Self {
        Self {
            started_at,
            voice_ended_at: started_at,
            transcript_final_at: None,
            voiced: Duration::ZERO,
            utterance_voiced: Duration::ZERO,
            n_pauses: 0,
            is_reply_prepared: false,
            is_asked_early: false,
            cut_off_at: None,
            is_rest: false,
            interim: String::new(),
            closed: Vec::new(),
            open: Part::Unasked,
        }
    }

    pub(super) fn is_unasked(&self) -> bool {
        matches!(self.open, Part::Unasked)
    }

    pub(super) fn ask(&mut self, request: RequestId) {
        self.open = Part::Asked(request);
    }

    /// What was asked so far stands for itself; what follows, if anything, is a new part.
    pub(super) fn close_part(&mut self, more_follows: bool) {
        let next = if more_follows {
            Part::Unasked
        } else {
            Part::Known(String::new())
        };
        self.closed.push(std::mem::replace(&mut self.open, next));
        self.interim.clear();
    }

    /// The turn is too long: what was said so far is answered, what follows is the rest.
    pub(super) fn cut_off(&mut self, now: SessionTime) {
        self.cut_off_at = Some(now);
        self.close_part(true);
    }

    /// What was cut off has been taken: from here on this is the rest, a turn of its own.
    pub(super) fn go_on_behind_cut(&mut self) {
        let Some(cut_off_at) = self.cut_off_at.take() else {
            return;
        };
        self.started_at = cut_off_at;
        self.voice_ended_at = self.voice_ended_at.max(cut_off_at);
        self.transcript_final_at = None;
        self.voiced = Duration::ZERO;
        self.n_pauses = 0;
        self.is_rest = true;
        self.closed.clear();
    }

    /// Takes the words of the open part as they are spoken.
    pub(super) fn hear(&mut self, words: String) {
        self.interim = words;
    }

    /// All words known so far, also those that may still change.
    pub(super) fn words_so_far(&self) -> String {
        let closed = self.closed.iter().filter_map(|part| match part {
            Part::Known(text) => Some(text.trim()),
            Part::Unasked | Part::Asked(_) => None,
        });
        let words: Vec<&str> = closed.chain([self.interim.trim()]).collect();
        words.join(" ").trim().to_owned()
    }

    /// The open part has grown: its transcript, awaited or known, is worth nothing any more.
    /// Returns the request to cancel.
    pub(super) fn reopen(&mut self) -> Option<RequestId> {
        self.is_asked_early = false;
        match std::mem::replace(&mut self.open, Part::Unasked) {
            Part::Asked(request) => Some(request),
            Part::Unasked | Part::Known(_) => None,
        }
    }

    /// Whether this asks for the words so far of a user who still speaks.
    pub(super) fn is_early(&self, request: RequestId) -> bool {
        self.is_asked_early && matches!(self.open, Part::Asked(id) if id == request)
    }

    /// Takes an answer; false when nobody waits for it any more.
    pub(super) fn answer(&mut self, request: RequestId, text: String) -> bool {
        let awaited = self
            .closed
            .iter_mut()
            .chain(std::iter::once(&mut self.open))
            .find(|part| matches!(part, Part::Asked(id) if *id == request));
        match awaited {
            Some(part) => {
                *part = Part::Known(text);
                true
            }
            None => false,
        }
    }

    /// What is answered, when all of it is known: everything the user said, or what they had said
    /// when the turn became too long.
    pub(super) fn transcript(&self) -> Option<String> {
        let open = self.cut_off_at.is_none().then_some(&self.open);
        let parts: Option<Vec<&str>> = self
            .closed
            .iter()
            .chain(open)
            .map(|part| match part {
                Part::Known(text) => Some(text.trim()),
                Part::Unasked | Part::Asked(_) => None,
            })
            .collect();
        let mut parts = parts?;
        parts.retain(|text| !text.is_empty());
        Some(parts.join(" "))
    }

    /// The requests that are still awaited.
    pub(super) fn awaited(&self) -> impl Iterator<Item = RequestId> {
        self.closed
            .iter()
            .chain(std::iter::once(&self.open))
            .filter_map(|part| match part {
                Part::Asked(request) => Some(*request),
                Part::Unasked | Part::Known(_) => None,
            })
    }
}
