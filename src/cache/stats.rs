//! What the cache did.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// The numbers of a moment, counted since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CacheStats {
    /// Values kept in this process.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Calls answered from this process.
    pub hits: u64,
    /// Calls that waited for another one that was making the same value.
    pub coalesced: u64,
    /// Calls that made their value.
    pub misses: u64,
    /// Of the misses, those that failed; failures are not kept.
    pub errors: u64,
    /// Share of calls answered without making a value, 0 to 1; `None` before the first call.
    pub hit_rate: Option<f64>,
    /// Values dropped to make room.
    pub evictions: u64,
    /// Values dropped because their time was over.
    pub expired: u64,
    /// Values too large to be kept.
    pub too_large: u64,
    /// The tier that workers share; `None` without Redis.
    pub shared: Option<SharedStats>,
}

/// What the shared tier did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SharedStats {
    /// Calls answered from it.
    pub hits: u64,
    /// Calls it had nothing for.
    pub misses: u64,
    /// Values it held that are none of ours: of another type, version or size. Each is a miss, too.
    pub unreadable: u64,
    /// Questions it did not answer in time or refused.
    pub errors: u64,
    /// Values given to it.
    pub stored: u64,
    /// Of the hits, those that another worker was making and that were waited for.
    pub awaited: u64,
    /// Whether the last question was answered.
    pub is_up: bool,
}

impl CacheStats {
    /// A sentence or two that sound right when a voice reads them out.
    pub fn spoken(&self) -> String {
        let entries = match self.entries {
            1 => "1 value".to_owned(),
            n => format!("{n} values"),
        };
        let used = match self.hit_rate {
            None => "has not been asked yet".to_owned(),
            Some(rate) => format!("answered {:.0} percent of its calls", rate * 100.0),
        };
        let shared = match self.shared {
            Some(SharedStats { is_up: false, .. }) => " The shared cache is not reachable.",
            _ => "",
        };
        format!("The cache holds {entries} and {used}.{shared}")
    }
}

/// A number that only grows.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of the calls.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) hits: Counter,
    pub(super) coalesced: Counter,
    pub(super) misses: Counter,
    pub(super) errors: Counter,
    pub(super) too_large: Counter,
}

/// Share of calls that were answered without making a value.
pub(super) fn hit_rate(answered: u64, misses: u64) -> Option<f64> {
    let all = answered + misses;
    (all > 0).then(|| answered as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spoken() {
        let mut stats = CacheStats::default();
        let spoken = stats.spoken();
        assert_eq!(
            spoken,
            "The cache holds 0 values and has not been asked yet."
        );
        stats.entries = 1;
        stats.hit_rate = hit_rate(2, 1);
        let spoken = stats.spoken();
        assert_eq!(
            spoken,
            "The cache holds 1 value and answered 67 percent of its calls."
        );
        stats.shared = Some(SharedStats::default());
        assert!(stats.spoken().ends_with("not reachable."));
    }
}
