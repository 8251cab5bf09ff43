//! What a resampler must keep: pitch, level, length, and the seams between calls.

use std::f64::consts::PI;

use proptest::prelude::*;

use super::*;

const AMPLITUDE: f64 = 12_000.0;

fn tone(frequency_hz: f64, rate: u32, samples: usize) -> Vec<i16> {
    (0..samples)
        .map(|n| (AMPLITUDE * (2.0 * PI * frequency_hz * n as f64 / f64::from(rate)).sin()) as i16)
        .collect()
}

/// Converts mono audio in frames of 10 ms.
fn in_frames(src: &[i16], rate: u32, dst_rate: u32) -> Vec<i16> {
    let mut resampler = AudioResampler::default();
    let frame = (rate / 100) as usize;
    src.chunks(frame)
        .flat_map(|part| {
            resampler
                .remix_and_resample(part, part.len() as u32, 1, rate, 1, dst_rate)
                .to_vec()
        })
        .collect()
}

/// Amplitude of the part of `samples` at `frequency_hz` (one bin of a Fourier transform).
fn amplitude_at(samples: &[i16], frequency_hz: f64, rate: u32) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        let angle = 2.0 * PI * frequency_hz * n as f64 / f64::from(rate);
        re += f64::from(sample) * angle.cos();
        im += f64::from(sample) * angle.sin();
    }
    2.0 * re.hypot(im) / samples.len() as f64
}

fn root_mean_square(samples: &[i16]) -> f64 {
    let sum: f64 = samples
        .iter()
        .map(|&sample| f64::from(sample).powi(2))
        .sum();
    (sum / samples.len() as f64).sqrt()
}

#[test]
fn a_tone_keeps_its_pitch_and_level_at_every_pair_of_rates() {
    for (rate, dst_rate) in [
        (48_000, 16_000),
        (16_000, 48_000),
        (44_100, 48_000),
        (48_000, 44_100),
        (8_000, 48_000),
        (24_000, 16_000),
        (48_000, 8_000),
        (22_050, 16_000),
        (96_000, 48_000),
        (48_000, 47_900),
    ] {
        let out = in_frames(&tone(440.0, rate, rate as usize), rate, dst_rate);
        assert_eq!(
            out.len(),
            dst_rate as usize,
            "{rate} → {dst_rate}: one second stays one second"
        );
        let steady = &out[(dst_rate / 10) as usize..(dst_rate / 10 * 9) as usize];
        let level = amplitude_at(steady, 440.0, dst_rate);
        assert!(
            (level / AMPLITUDE - 1.0).abs() < 0.002,
            "{rate} → {dst_rate}: level {level}"
        );
        // All of the sound is in that one tone: what else there is lies 60 dB below it.
        let rest = (root_mean_square(steady).powi(2) - level.powi(2) / 2.0)
            .max(0.0)
            .sqrt();
        assert!(
            rest < AMPLITUDE / 1_000.0,
            "{rate} → {dst_rate}: {rest} beside the tone"
        );
    }
}

#[test]
fn what_the_lower_rate_cannot_hold_is_removed_not_folded_back() {
    let out = in_frames(&tone(6_000.0, 48_000, 48_000), 48_000, 8_000);
    assert!(root_mean_square(&out[800..]) < AMPLITUDE / 1_000.0);
}

#[test]
fn ten_milliseconds_in_give_ten_milliseconds_out_from_the_first_call() {
    let mut resampler = AudioResampler::default();
    for _ in 0..3 {
        let out = resampler.remix_and_resample(&[0; 882], 441, 2, 44_100, 1, 16_000);
        assert_eq!(out.len(), 160);
    }
}

#[test]
fn a_constant_passes_unchanged_and_channels_stay_apart() {
    let mut resampler = AudioResampler::default();
    let src: Vec<i16> = (0..4_800).flat_map(|_| [1_000, -2_000]).collect();
    let out = resampler.remix_and_resample(&src, 4_800, 2, 48_000, 2, 24_000);
    assert!(
        out.chunks_exact(2)
            .skip(100)
            .all(|pair| pair == [1_000, -2_000])
    );
}

#[test]
fn an_equal_rate_only_remixes_without_delay() {
    let mut resampler = AudioResampler::default();
    assert_eq!(
        resampler.remix_and_resample(&[10, 20, 30, 50], 2, 2, 16_000, 1, 16_000),
        [15, 40]
    );
    assert_eq!(
        resampler.remix_and_resample(&[7, 8], 2, 1, 16_000, 2, 16_000),
        [7, 7, 8, 8]
    );
}

#[test]
fn impossible_formats_give_nothing() {
    let mut resampler = AudioResampler::default();
    let src = [0; 480];
    for (samples, channels, rate, dst_channels, dst_rate) in [
        (481, 1, 48_000, 1, 16_000),
        (480, 0, 48_000, 1, 16_000),
        (480, 1, 0, 1, 16_000),
        (480, 1, 48_000, 1, 0),
        (480, 1, 48_000, u32::MAX, 16_000),
        (1, u32::MAX, 48_000, 1, 16_000),
        (480, 1, 48_000, 0, 16_000),
        (480, 1, u32::MAX, 1, 4_000),
    ] {
        let out =
            resampler.remix_and_resample(&src, samples, channels, rate, dst_channels, dst_rate);
        assert!(out.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn cutting_a_stream_differently_changes_nothing(
        rate in 4_000_u32..50_000, dst_rate in 4_000_u32..50_000,
        cuts in proptest::collection::vec(1_usize..700, 1..12),
    ) {
        let src = tone(300.0, rate, cuts.iter().sum());
        let mut whole = AudioResampler::default();
        let expected = whole
            .remix_and_resample(&src, src.len() as u32, 1, rate, 1, dst_rate)
            .to_vec();
        let length = (src.len() as u64 * u64::from(dst_rate)).div_ceil(u64::from(rate));
        prop_assert_eq!(expected.len() as u64, length);

        let mut resampler = AudioResampler::default();
        let (mut rest, mut joined) = (src.as_slice(), Vec::new());
        for cut in cuts {
            let (part, later) = rest.split_at(cut);
            let out = resampler.remix_and_resample(part, cut as u32, 1, rate, 1, dst_rate);
            joined.extend_from_slice(out);
            rest = later;
        }
        prop_assert_eq!(joined, expected);
    }
}
