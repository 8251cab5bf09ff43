//! What a session of either kind is tied to beside its room: the memory and whoever watches.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;

use super::report::{self, TurnObserver};
use crate::intake::{CallIntake, InputKind};
use crate::memory::Briefing;
use crate::turn::Turn;

/// Where a session's turns go and what it is told of its users. The default is tied to nothing.
#[derive(Default)]
pub struct Links {
    /// Gets every finished turn. Called on the session's loop: must not block.
    pub turns: Option<Box<dyn Fn(Turn) + Send + Sync>>,
    /// Is told the figures of every turn.
    pub observer: Option<Arc<dyn TurnObserver>>,
    /// What the model is told of the user who is there, the latest only. A generated greeting waits
    /// a moment for the first.
    pub briefings: Option<BoxStream<'static, Briefing>>,
    /// Counts what the user sent beyond a bound.
    pub intake: CallIntake,
}

impl Links {
    /// A turn is over: logs, counts and remembers it.
    pub(super) fn record(&self, turn: Turn) {
        report::turn(&turn);
        if let Some(observer) = &self.observer {
            observer.turn_ended(&turn);
        }
        if let Some(turns) = &self.turns {
            turns(turn);
        }
    }

    /// Counts texts that are not answered.
    pub(super) fn drop_texts(&self, n: usize) {
        for _ in 0..n {
            let why = "too much text waits for an answer";
            self.intake.refuse(InputKind::Text, why);
        }
    }

    /// The next thing to know about the user; `None` when nothing more will be known.
    ///
    /// Cancel safety: nothing is lost.
    pub(super) async fn next_briefing(&mut self) -> Option<Briefing> {
        self.briefings.as_mut()?.next().await
    }
}
