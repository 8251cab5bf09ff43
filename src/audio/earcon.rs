//! Short sounds of our own, for when there is no voice to say it with.

use std::f32::consts::TAU;
use std::time::Duration;

use super::AudioFrame;

/// Two falling notes, 0.4 s, soft: "something went wrong here".
pub fn trouble(sample_rate_hz: u32) -> AudioFrame {
    let mut samples = note(523.25, Duration::from_millis(180), sample_rate_hz);
    samples.extend(note(392.0, Duration::from_millis(220), sample_rate_hz));
    AudioFrame {
        samples,
        sample_rate_hz,
    }
}

/// A sine that fades in within 10 ms and out to silence, so that it does not click.
fn note(hz: f32, duration: Duration, sample_rate_hz: u32) -> Vec<i16> {
    let rate = sample_rate_hz as f32;
    let n_samples = (duration.as_secs_f32() * rate) as usize;
    (0..n_samples)
        .map(|n| {
            let fade_in = (n as f32 / (0.01 * rate)).min(1.0);
            let fade_out = 1.0 - n as f32 / n_samples as f32;
            (5000.0 * fade_in * fade_out * (TAU * hz * n as f32 / rate).sin()) as i16
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sound_is_short_audible_and_without_clicks() {
        let sound = trouble(24_000);
        assert_eq!(sound.duration(), Duration::from_millis(400));
        assert!(sound.samples.iter().any(|sample| *sample > 3000));
        let steepest = sound
            .samples
            .windows(2)
            .map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs())
            .max();
        assert!(steepest < Some(1000), "{steepest:?}");
    }
}
