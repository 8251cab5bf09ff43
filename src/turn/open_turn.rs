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
    /// Whether it is answered as soon as its words are known, though the user still speaks.
    pub(super) is_cut_off: bool,
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
            is_cut_off: false,
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
    }

    /// The open part has grown: its transcript, awaited or known, is worth nothing any more.
    /// Returns the request to cancel.
    pub(super) fn reopen(&mut self) -> Option<RequestId> {
        match std::mem::replace(&mut self.open, Part::Unasked) {
            Part::Asked(request) => Some(request),
            Part::Unasked | Part::Known(_) => None,
        }
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

    /// Everything the user said, when all of it is known.
    pub(super) fn transcript(&self) -> Option<String> {
        let parts: Option<Vec<&str>> = self
            .closed
            .iter()
            .chain(std::iter::once(&self.open))
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
