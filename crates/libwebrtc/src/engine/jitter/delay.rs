//! How unevenly packets arrive, and how long sound must wait so that nearly all are there in time.
//!
//! The fastest packet of the last seconds is the yardstick; each packet's *relative delay* is how
//! much longer it took. A histogram of those with a slow memory gives the wait.
//!
//! Source: RFC 3550, 6.4.1 and A.8 (interarrival jitter).

/// Width of a bin of the histogram.
const BIN_MS: f64 = 5.0;
const BINS: usize = 60;
/// Share of packets that shall come in time.
const IN_TIME: f64 = 0.99;
/// Memory of the histogram, in packets: about 10 s.
const MEMORY_PACKETS: f64 = 500.0;
/// Packets without delay the histogram starts with, so that one late at the start is no drama.
const PRIOR_PACKETS: f64 = 50.0;
/// Age at which the fastest packet is forgotten (after one to two of these).
const YARDSTICK_MS: f64 = 2_000.0;
/// On top of the relative delay, which is rounded up: a pull takes 10 ms at a time.
const MARGIN_MS: f64 = 10.0;
/// Bounds of the target delay.
const TARGET_MS: (f64, f64) = (35.0, 200.0);
/// Least wait, whatever the length of a packet.
const WAIT_MS_MIN: f64 = 15.0;

/// Watches arrivals and recommends a wait.
#[derive(Debug)]
pub(super) struct DelayEstimator {
    bins: [f64; BINS],
    packets: f64,
    /// Least transit time in this period and in the one before.
    least: [f64; 2],
    period_start_ms: f64,
    last_transit_ms: Option<f64>,
    jitter_ms: f64,
}

impl DelayEstimator {
    pub(super) fn new() -> Self {
        let mut bins = [0.0; BINS];
        bins[0] = 1.0;
        Self {
            bins,
            packets: PRIOR_PACKETS,
            least: [f64::INFINITY; 2],
            period_start_ms: 0.0,
            last_transit_ms: None,
            jitter_ms: 0.0,
        }
    }

    /// Forgets the clocks, as when the sender starts anew, but not how uneven the path is.
    pub(super) fn restart_clock(&mut self) {
        self.least = [f64::INFINITY; 2];
        self.last_transit_ms = None;
    }

    /// Takes a packet into account; gives its relative delay in ms.
    ///
    /// Both times in ms, each from its own origin. `is_in_order` = it is the newest so far.
    pub(super) fn observe(&mut self, arrival_ms: f64, media_ms: f64, is_in_order: bool) -> f64 {
        let transit = arrival_ms - media_ms;
        if is_in_order {
            if let Some(last) = self.last_transit_ms {
                self.jitter_ms += ((transit - last).abs() - self.jitter_ms) / 16.0;
            }
            self.last_transit_ms = Some(transit);
        }
        if arrival_ms - self.period_start_ms > YARDSTICK_MS {
            self.period_start_ms = arrival_ms;
            self.least = [transit, self.least[0]];
        }
        self.least[0] = self.least[0].min(transit);
        let delay = transit - self.least[0].min(self.least[1]);
        self.note(delay);
        delay
    }

    /// Takes a relative delay into account that no packet of its own shows, such as that of a lost
    /// packet whose substitute comes with the next one.
    pub(super) fn note(&mut self, delay: f64) {
        let share = 1.0 / (self.packets + 1.0);
        self.packets = (self.packets + 1.0).min(MEMORY_PACKETS);
        self.bins.iter_mut().for_each(|bin| *bin *= 1.0 - share);
        self.bins[((delay / BIN_MS) as usize).min(BINS - 1)] += share;
    }

    /// How long a packet without relative delay should wait before it is played.
    pub(super) fn wait_ms(&self, packet_ms: f64) -> f64 {
        (self.target_ms(packet_ms) - packet_ms).max(WAIT_MS_MIN)
    }

    /// The wait together with the length of a packet: from its arrival to the end of its sound.
    pub(super) fn target_ms(&self, packet_ms: f64) -> f64 {
        let mut sum = 0.0;
        let in_time = |bin: &f64| {
            sum += bin;
            sum >= IN_TIME
        };
        let bin = self.bins.iter().position(in_time).unwrap_or(BINS - 1);
        let delay = (bin + 1) as f64 * BIN_MS;
        (delay + MARGIN_MS + packet_ms).clamp(TARGET_MS.0, TARGET_MS.1)
    }

    /// Interarrival jitter of RFC 3550, in ms.
    pub(super) fn jitter_ms(&self) -> f64 {
        self.jitter_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Target after packets every 20 ms with such delays, in a loop.
    fn target_after(packets: usize, delays_ms: &[f64]) -> f64 {
        let mut estimator = DelayEstimator::new();
        for n in 0..packets {
            let media = n as f64 * 20.0;
            estimator.observe(media + 1000.0 + delays_ms[n % delays_ms.len()], media, true);
        }
        estimator.target_ms(20.0)
    }

    #[test]
    fn the_target_follows_the_spread_of_arrivals() {
        assert_eq!(target_after(500, &[0.0]), 35.0);
        let uneven = target_after(500, &[0.0, 30.0, 10.0, 58.0]);
        assert!((85.0..=95.0).contains(&uneven), "{uneven}");
        assert_eq!(target_after(500, &[0.0, 400.0]), 200.0);
    }

    #[test]
    fn a_single_late_packet_changes_little_and_is_forgotten() {
        let mut estimator = DelayEstimator::new();
        for n in 0..1500 {
            let media = f64::from(n) * 20.0;
            let late = if n == 100 { 90.0 } else { 0.0 };
            estimator.observe(media + late, media, true);
        }
        assert_eq!(estimator.target_ms(20.0), 35.0);
    }

    #[test]
    fn a_slower_path_becomes_the_new_yardstick() {
        let mut estimator = DelayEstimator::new();
        let mut delay = 0.0;
        for n in 0..600 {
            let media = f64::from(n) * 20.0;
            let step = if n < 200 { 0.0 } else { 80.0 };
            delay = estimator.observe(media + step, media, true);
        }
        assert_eq!(delay, 0.0);
        assert!(estimator.jitter_ms() < 0.1);
    }

    #[test]
    fn long_packets_add_their_own_length() {
        let estimator = DelayEstimator::new();
        assert_eq!(estimator.target_ms(60.0), 75.0);
        assert_eq!(estimator.wait_ms(60.0), 15.0);
        assert_eq!(estimator.wait_ms(2.5), 32.5);
    }
}
