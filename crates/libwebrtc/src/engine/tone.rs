//! Tones for tests: made, and judged after a trip through codec, network and buffer.

use std::f64::consts::TAU;

pub(crate) const AMPLITUDE: f64 = 8000.0;

/// `frames` of a sine from frame `from` on, the same on every channel.
pub(crate) fn sine(from: usize, frames: usize, rate: u32, hz: f64, channels: usize) -> Vec<i16> {
    let sample = |n: usize| (AMPLITUDE * (TAU * hz * n as f64 / f64::from(rate)).sin()) as i16;
    (from..from + frames)
        .flat_map(|n| std::iter::repeat_n(sample(n), channels))
        .collect()
}

/// What is wrong with a recorded tone, by windows of 10 ms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) windows: usize,
    /// Windows with less than half of the tone's level.
    pub(crate) quiet: usize,
    /// Windows that are no sine of that frequency: more than 15 % of the level is something else.
    pub(crate) glitched: usize,
    /// Mean frequency by zero crossings.
    pub(crate) hz: f64,
}

/// Judges a mono recording of a sine of [`AMPLITUDE`].
pub(crate) fn judge(pcm: &[i16], rate: u32, hz: f64) -> Verdict {
    let windows = pcm.chunks_exact(rate as usize / 100);
    let mut verdict = Verdict {
        windows: windows.len(),
        quiet: 0,
        glitched: 0,
        hz: 0.0,
    };
    for window in windows {
        let rms = rms(window.iter().map(|s| f64::from(*s)));
        verdict.quiet += usize::from(rms < AMPLITUDE / 2f64.sqrt() / 2.0);
        verdict.glitched += usize::from(residual(window, rate, hz) > 0.15 * rms.max(1.0));
    }
    verdict.hz = frequency(pcm, rate);
    verdict
}

/// What remains of a window after the best-fitting sine is taken out, as root mean square.
fn residual(window: &[i16], rate: u32, hz: f64) -> f64 {
    let angle = |n: usize| TAU * hz * n as f64 / f64::from(rate);
    let (mut ss, mut cc, mut sc, mut xs, mut xc) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (n, x) in window.iter().enumerate() {
        let (s, c) = angle(n).sin_cos();
        let x = f64::from(*x);
        (ss, cc, sc, xs, xc) = (ss + s * s, cc + c * c, sc + s * c, xs + x * s, xc + x * c);
    }
    let det = ss * cc - sc * sc;
    let (a, b) = ((xs * cc - xc * sc) / det, (xc * ss - xs * sc) / det);
    let rest = window.iter().enumerate().map(|(n, x)| {
        let (s, c) = angle(n).sin_cos();
        f64::from(*x) - a * s - b * c
    });
    rms(rest)
}

fn rms(samples: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = samples.len().max(1) as f64;
    (samples.map(|s| s * s).sum::<f64>() / count).sqrt()
}

/// Upward zero crossings per second, placed between samples by interpolation.
fn frequency(pcm: &[i16], rate: u32) -> f64 {
    let crossing = |(n, w): (usize, &[i16])| {
        let (a, b) = (f64::from(w[0]), f64::from(w[1]));
        (a < 0.0 && b >= 0.0).then(|| n as f64 + a / (a - b))
    };
    let crossings: Vec<f64> = pcm.windows(2).enumerate().filter_map(crossing).collect();
    match (crossings.first(), crossings.last()) {
        (Some(first), Some(last)) if last > first => {
            (crossings.len() - 1) as f64 * f64::from(rate) / (last - first)
        }
        _ => 0.0,
    }
}

#[test]
fn a_judge_sees_gaps_and_clicks() {
    let mut pcm = sine(0, 48_000, 48_000, 440.0, 1);
    let good = judge(&pcm, 48_000, 440.0);
    assert_eq!((good.windows, good.quiet, good.glitched), (100, 0, 0));
    assert!((good.hz - 440.0).abs() < 0.01);
    pcm[4800..5280].fill(0);
    pcm[9700..].rotate_left(50);
    let bad = judge(&pcm, 48_000, 440.0);
    assert_eq!(
        (bad.quiet, bad.glitched),
        (1, 2),
        "a gap; a jump in phase and its end"
    );
}
