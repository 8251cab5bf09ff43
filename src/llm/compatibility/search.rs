//! What of a request a refusal is about. Plain code: refusal in, next question out.
//!
//! A refusal that names a part is answered at once by a request with less of it. One that names nothing is
//! searched: first each part alone is left out, then one after the other and all of them.

use super::{Part, Parts, Shape, words};
use crate::error::ErrorKind;
use crate::pool::Refusal;

/// Requests made for one answer at most.
const ASKS_MAX: usize = 28;
/// How often one conversation is shortened at most.
const SHORTENED_MAX: usize = 12;

/// What to do about a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Next {
    /// Ask in this shape.
    Ask(Shape),
    /// Ask with less of the conversation.
    Shorten,
    /// Nothing helps.
    GiveUp,
}

/// The questions to one service until it answers.
pub(in super::super) struct Search {
    /// What is known to be needed.
    base: Shape,
    /// What was asked last.
    asked: Shape,
    /// Parts that are set by hand.
    fixed: Parts,
    asks: usize,
    shortened: usize,
    /// Suspects of a refusal that names nothing; `None` before the first one.
    suspects: Option<Vec<Part>>,
    next: usize,
    /// What the service said when nothing was left out.
    said: String,
}

impl Search {
    pub(in super::super) fn new(shape: Shape, fixed: Parts) -> Self {
        Self {
            base: shape,
            asked: shape,
            fixed,
            asks: 1,
            shortened: 0,
            suspects: None,
            next: 0,
            said: String::new(),
        }
    }

    /// The shape that was asked in last.
    pub(in super::super) fn asked(&self) -> Shape {
        self.asked
    }

    /// Whether refusals that name nothing were searched.
    pub(in super::super) fn has_searched(&self) -> bool {
        self.suspects.is_some()
    }

    /// Takes the refusal of a request that had the parts of `sent`.
    pub(in super::super) fn refused(
        &mut self,
        refusal: &Refusal,
        kind: ErrorKind,
        sent: Parts,
        is_fruitless: bool,
    ) -> Next {
        self.asks += 1;
        if self.asks > ASKS_MAX || is_about_something_else(refusal, kind) {
            return Next::GiveUp;
        }
        if refusal.is_too_long() {
            self.shortened += 1;
            return match self.shortened <= SHORTENED_MAX {
                true => Next::Shorten,
                false => Next::GiveUp,
            };
        }
        if let Some(shape) = self.without_what_is_named(refusal, sent) {
            self.base = shape;
            self.asked = shape;
            return Next::Ask(shape);
        }
        if kind != ErrorKind::Rejected || ![400, 422].contains(&refusal.status.as_u16()) {
            return Next::GiveUp;
        }
        if is_fruitless {
            return Next::GiveUp;
        }
        self.search(refusal, sent)
    }

    fn without_what_is_named(&self, refusal: &Refusal, sent: Parts) -> Option<Shape> {
        let words = refusal.words();
        let can_change = |part: &Part| sent.has(*part) && !self.fixed.has(*part);
        let named = Part::ALL.into_iter().filter(can_change);
        let shapes = named.filter_map(|part| less_of(part, words, self.asked));
        shapes.into_iter().next()
    }

    fn search(&mut self, refusal: &Refusal, sent: Parts) -> Next {
        let Some(suspects) = &self.suspects else {
            let is_suspect = |part: &Part| sent.has(*part) && !self.fixed.has(*part);
            self.suspects = Some(Part::ALL.into_iter().filter(is_suspect).collect());
            self.said = refusal.words().to_owned();
            return self.next_suspect();
        };
        // Another refusal than without this change: it was one of several causes.
        if self.next <= suspects.len() && self.said != refusal.words() {
            self.base = self.asked;
            refusal.words().clone_into(&mut self.said);
        }
        self.next_suspect()
    }

    fn next_suspect(&mut self) -> Next {
        let suspects = self.suspects.as_deref().unwrap_or_default();
        while self.next < 2 * suspects.len() {
            let part = suspects[self.next % suspects.len()];
            let is_alone = self.next < suspects.len();
            // The second time, what was left out stays left out.
            let from = match is_alone || self.next == suspects.len() {
                true => self.base,
                false => self.asked,
            };
            self.next += 1;
            if let Some(shape) = least_of(part, from) {
                self.asked = shape;
                return Next::Ask(shape);
            }
        }
        Next::GiveUp
    }
}

/// The shape with so little of a part that a refusal that names nothing is met in one question.
fn least_of(part: Part, shape: Shape) -> Option<Shape> {
    let next = shape.with_less(part)?;
    Some(match part {
        Part::Turns => next.with(part, "alternating"),
        Part::Instructions => next.with(part, "user"),
        _ => next,
    })
}

/// Refusals that no other shape of the same request helps against.
fn is_about_something_else(refusal: &Refusal, kind: ErrorKind) -> bool {
    let words = refusal.words();
    let other_causes = [
        "model_not_found",
        "model not found",
        "api key",
        "api_key",
        "quota",
        "billing",
        "credit",
        "content_filter",
        "content management policy",
        "content_policy",
        "moderation",
        "safety system",
        "deploymentnotfound",
    ];
    let is_failure = matches!(
        kind,
        ErrorKind::RateLimited | ErrorKind::Unauthorized | ErrorKind::Timeout
    );
    is_failure || other_causes.iter().any(|cause| words.contains(cause))
}

/// The shape with less of a part, if the words name it.
fn less_of(part: Part, words: &str, shape: Shape) -> Option<Shape> {
    if !words::name(part, words) {
        return None;
    }
    match part {
        Part::Turns if words::want_alternation(words) => least_of(part, shape),
        Part::Instructions if !words.contains("developer") => least_of(part, shape),
        _ => shape.with_less(part),
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
