//! Making sound longer or shorter without changing its pitch, and continuing it when it breaks off.
//!
//! All of it rests on one idea (WSOLA): sound repeats itself after a *lag*, the period of the voice
//! or a multiple; cutting out or repeating just one lag, with a cross-fade, is not heard. Positions
//! and lags are in frames (one sample of every channel); slices are interleaved.

/// Shortest and longest lag, in microseconds: 400 Hz down to 67 Hz, the range of voices.
const LAG_US: std::ops::RangeInclusive<usize> = 2_500..=15_000;
/// Sound compared to find a lag.
const WINDOW_US: usize = 8_000;
/// Root mean square below which sound is silence and may be cut anywhere (about -56 dBov).
const SILENCE_RMS: f64 = 50.0;

/// Where sound repeats itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Lag {
    pub(crate) frames: usize,
    /// 1 = repeats exactly, 0 = not at all. Silence counts as 1.
    pub(crate) likeness: f64,
}

/// What the functions need to know of the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) sample_rate: u32,
    pub(crate) channels: usize,
}

impl Shape {
    pub(crate) fn frames(self, microseconds: usize) -> usize {
        self.sample_rate as usize * microseconds / 1_000_000
    }

    /// Frames before the end that [`lag_before`](Self::lag_before) may look at.
    pub(crate) fn history_frames(self) -> usize {
        self.frames(*LAG_US.end() + WINDOW_US)
    }

    pub(crate) fn lag_max(self) -> usize {
        self.frames(*LAG_US.end())
    }

    pub(crate) fn lag_min(self) -> usize {
        self.frames(*LAG_US.start())
    }

    /// The lag after which the sound at `at` comes again, up to `lag_max`; None if the sound that
    /// is there is too short to tell.
    pub(crate) fn lag_after(self, pcm: &[i16], at: usize, lag_max: usize) -> Option<Lag> {
        let frames = pcm.len() / self.channels;
        let lag_max = lag_max
            .min(self.lag_max())
            .min(frames.saturating_sub(at) / 2);
        let window = self
            .frames(WINDOW_US)
            .min(frames.saturating_sub(at + lag_max));
        self.best_lag(lag_max, |lag, stride| {
            self.likeness(pcm, at, at + lag, window, stride)
        })
    }

    /// The lag before which the sound that ends at `end` was there already.
    pub(crate) fn lag_before(self, pcm: &[i16], end: usize, lag_max: usize) -> Option<Lag> {
        let window = self.frames(WINDOW_US);
        let lag_max = lag_max.min(self.lag_max()).min(end.saturating_sub(window));
        let start = end.saturating_sub(window);
        self.best_lag(lag_max, |lag, stride| {
            self.likeness(pcm, start - lag, start, end - start, stride)
        })
    }

    /// Coarse search over all lags, then a fine one around the best.
    fn best_lag(self, lag_max: usize, likeness: impl Fn(usize, usize) -> f64) -> Option<Lag> {
        let lag_min = self.lag_min();
        if lag_max < lag_min {
            return None;
        }
        // As fine as 8 kHz is enough to find the neighbourhood.
        let stride = (self.sample_rate as usize / 8_000).max(1);
        let best = |lags: &mut dyn Iterator<Item = usize>, stride| {
            let rated = lags.map(|lag| Lag {
                frames: lag,
                likeness: likeness(lag, stride),
            });
            rated.max_by(|a, b| a.likeness.total_cmp(&b.likeness))
        };
        let coarse = best(&mut (lag_min..=lag_max).step_by(stride), stride)?.frames;
        let from = coarse.saturating_sub(stride).max(lag_min);
        best(&mut (from..=(coarse + stride).min(lag_max)), 1)
    }

    /// Normalised correlation of two stretches of `window` frames.
    fn likeness(self, pcm: &[i16], a: usize, b: usize, window: usize, stride: usize) -> f64 {
        let frame = |at: usize| -> f64 {
            let frame = &pcm[at * self.channels..(at + 1) * self.channels];
            frame.iter().map(|s| f64::from(*s)).sum()
        };
        let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
        let mut count = 0;
        for k in (0..window).step_by(stride) {
            let (x, y) = (frame(a + k), frame(b + k));
            (ab, aa, bb) = (ab + x * y, aa + x * x, bb + y * y);
            count += 1;
        }
        let silence = SILENCE_RMS * SILENCE_RMS * f64::from(count);
        if aa < silence && bb < silence {
            return 1.0;
        }
        ab / (aa * bb).sqrt().max(f64::MIN_POSITIVE)
    }

    /// Cuts `lag` frames out at `at`: what was there fades into what comes one lag later.
    pub(crate) fn cut(self, pcm: &mut Vec<i16>, at: usize, lag: usize) {
        let (from, width) = (at * self.channels, lag * self.channels);
        for k in 0..width {
            let (old, new) = (pcm[from + k], pcm[from + width + k]);
            pcm[from + k] = self.mix(old, new, k / self.channels, lag);
        }
        pcm.drain(from + width..from + 2 * width);
    }

    /// Repeats the `lag` frames before `at` once more: what was at `at` fades into them, and comes
    /// whole after that.
    ///
    /// `pcm` needs a lag before and after `at`, and grows by one lag.
    pub(crate) fn repeat(self, pcm: &mut Vec<i16>, at: usize, lag: usize) {
        let (from, width) = (at * self.channels, lag * self.channels);
        let end = pcm.len();
        pcm.resize(end + width, 0);
        pcm.copy_within(from..end, from + width);
        for k in 0..width {
            let (old, new) = (pcm[from + width + k], pcm[from - width + k]);
            pcm[from + k] = self.mix(old, new, k / self.channels, lag);
        }
    }

    /// The offset in `old` from which it is most like the start of `new`, so that one can fade into
    /// the other over `fade` frames without a break.
    pub(crate) fn alignment(self, old: &[i16], new: &[i16], fade: usize) -> usize {
        let channels = self.channels;
        let frames = (old.len() / channels)
            .saturating_sub(fade)
            .min(self.lag_max());
        let mono = |pcm: &[i16], at: usize| -> f64 {
            pcm[at * channels..(at + 1) * channels]
                .iter()
                .map(|s| f64::from(*s))
                .sum()
        };
        let likeness = |offset: usize| {
            let pairs = (0..fade).map(|k| (mono(old, offset + k), mono(new, k)));
            let (ab, aa) = pairs.fold((0.0, 0.0), |(ab, aa), (x, y)| (ab + x * y, aa + x * x));
            ab / f64::sqrt(aa).max(1.0)
        };
        let best = (0..=frames).map(|offset| (offset, likeness(offset)));
        best.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
            .map_or(0, |(offset, _)| offset)
    }

    /// One sample on the way from `old` to `new`, `step` of `steps` gone.
    pub(crate) fn mix(self, old: i16, new: i16, step: usize, steps: usize) -> i16 {
        let share = (step as f64 + 0.5) / steps.max(1) as f64;
        (f64::from(old) * (1.0 - share) + f64::from(new) * share).round() as i16
    }
}
