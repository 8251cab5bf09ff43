//! What running calls want of a limit that they share, and whether one more call fits below it. Plain
//! code; the worker asks for the measure twice a second.

use std::fmt;

/// How fast a fall is believed, for each measure: calls speak now and then, so a quiet moment says
/// little. About ten seconds for half of it.
const FALL: f32 = 0.035;

/// A limit that the running jobs share, such as the permits of the connection pool.
pub trait Demand: Send + Sync {
    /// The part of the limit that was wanted at once lately; above 1 where something had to wait.
    fn wanted(&self) -> f32;
}

/// What one call wants of the limit, as far as it was measured.
#[derive(Clone, Copy, Default)]
pub(super) struct PerCall(f32);

impl fmt::Debug for PerCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4}", self.0)
    }
}

impl PerCall {
    /// Takes a measure while so many calls ran.
    pub(super) fn measure(&mut self, wanted: f32, n_calls: usize) {
        if n_calls == 0 || !wanted.is_finite() {
            return;
        }
        let now = wanted.max(0.0) / n_calls as f32;
        self.0 = match now > self.0 {
            true => now,
            false => self.0 + (now - self.0) * FALL,
        };
    }

    /// The part of the limit that so many calls would want.
    pub(super) fn of(self, n_calls: usize) -> f32 {
        self.0 * n_calls as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_believed_at_once_and_less_slowly() {
        let mut per_call = PerCall::default();
        per_call.measure(0.5, 10);
        assert!((per_call.of(10) - 0.5).abs() < 0.001);
        per_call.measure(0.0, 10);
        assert!(per_call.of(10) > 0.45, "callers take turns");
        for _ in 0..200 {
            per_call.measure(0.2, 10);
        }
        assert!((per_call.of(10) - 0.2).abs() < 0.01);
    }

    #[test]
    fn without_calls_nothing_is_learnt() {
        let mut per_call = PerCall::default();
        per_call.measure(5.0, 0);
        per_call.measure(f32::NAN, 1);
        assert!(per_call.of(100) < 0.001);
    }
}
