//! Whether the limits of the pool fit the calls that a worker takes, and limits that do.

use super::config::Config;

/// Connections that one call has to one host at most, where each request needs its own (HTTP/1.1): the
/// model's answer, the sentence that is heard, and the one after it or a transcription.
const PER_CALL: usize = 3;

/// The most that a limit is raised to by itself.
const RAISED_MAX: usize = 10_000;

/// Connections that so many calls need when all of them speak at once.
struct Need {
    per_host: usize,
    all: usize,
}

impl Need {
    fn of(slots_max: usize, background_max: usize) -> Self {
        let per_host = slots_max
            .saturating_mul(PER_CALL)
            .saturating_add(background_max);
        Self {
            per_host,
            // Beside its services each call may ask one of its tools.
            all: per_host.saturating_add(slots_max),
        }
    }
}

impl Config {
    /// Raises the limits that were not set to what `slots_max` calls need. None is lowered.
    pub fn fit(&mut self, slots_max: usize, is_all_set: bool, is_per_host_set: bool) {
        let need = Need::of(slots_max, self.background_max);
        if !is_all_set {
            let least = match is_per_host_set {
                true => need.all.max(self.connections_per_host_max),
                false => need.all,
            };
            self.connections_max = self.connections_max.max(least.min(RAISED_MAX));
        }
        if !is_per_host_set {
            let least = need.per_host.min(self.connections_max);
            self.connections_per_host_max = match is_all_set {
                true => self
                    .connections_per_host_max
                    .min(self.connections_max)
                    .max(least),
                false => self.connections_per_host_max.max(least),
            };
        }
    }

    /// Calls that one host has connections for over HTTP/1.1, beside what work in the background may
    /// take of them.
    fn calls_at_once(&self) -> usize {
        let background = self.background_max.min(self.connections_per_host_max / 2);
        ((self.connections_per_host_max - background) / PER_CALL).max(1)
    }

    /// What does not fit `slots_max` calls, with the arithmetic; empty when all of it does.
    pub fn misfits(&self, slots_max: usize) -> Vec<String> {
        let need = Need::of(slots_max, self.background_max);
        let sum = format!(
            "worker.slots_max = {slots_max} calls × {PER_CALL} + pool.background_max = {}",
            self.background_max
        );
        let mut misfits = Vec::new();
        if self.connections_per_host_max < need.per_host {
            misfits.push(format!(
                "over HTTP/1.1 {sum} is {} connections to a host, and \
                 pool.connections_per_host_max = {} is enough for {} that speak at once: raise \
                 it, or lower worker.slots_max; over HTTP/2 it is enough",
                need.per_host,
                self.connections_per_host_max,
                self.calls_at_once(),
            ));
        }
        if self.connections_max < need.all {
            misfits.push(format!(
                "over HTTP/1.1 {sum}, and one tool for each call, is {} connections, and \
                 pool.connections_max = {} is less: raise it, or lower worker.slots_max; over HTTP/2 \
                 it is enough",
                need.all, self.connections_max,
            ));
        }
        misfits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(slots_max: usize, all: Option<usize>, per_host: Option<usize>) -> (usize, usize) {
        let mut config = Config::default();
        config.connections_max = all.unwrap_or(config.connections_max);
        config.connections_per_host_max = per_host.unwrap_or(config.connections_per_host_max);
        config.fit(slots_max, all.is_some(), per_host.is_some());
        let is_valid = config.problems().is_empty();
        assert!(is_valid || per_host > all, "{:?}", config.problems());
        (config.connections_max, config.connections_per_host_max)
    }

    #[test]
    fn limits_grow_with_the_calls_and_never_fall() {
        assert_eq!(fitted(1, None, None), (100, 30));
        assert_eq!(fitted(100, None, None), (408, 308));
        assert_eq!(fitted(1_000_000, None, None), (10_000, 10_000));
    }

    #[test]
    fn what_was_set_stays_and_the_other_follows() {
        assert_eq!(fitted(100, Some(50), None), (50, 50));
        assert_eq!(fitted(100, Some(20), None), (20, 20));
        assert_eq!(fitted(100, None, Some(6)), (408, 6));
        assert_eq!(fitted(1, None, Some(500)), (500, 500));
        assert_eq!(fitted(100, Some(50), Some(6)), (50, 6));
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_arithmetic() {
        let mut config = Config::default();
        let misfits = config.misfits(100);
        assert_eq!(misfits.len(), 2);
        for part in [
            "100 calls × 3",
            "308 connections",
            "= 30",
            "for 7 that speak",
        ] {
            assert!(misfits[0].contains(part), "{part} not in {}", misfits[0]);
        }
        assert!(misfits[1].contains("408 connections"), "{}", misfits[1]);
        config.connections_per_host_max = 6;
        assert!(config.misfits(100)[0].contains("for 1 that speak"));
        config.fit(100, false, false);
        assert!(config.misfits(100).is_empty());
    }
}
