//! Changes the channel count of interleaved audio; shared by the mixer and the resampler.

/// Appends one sampling instant to `out`, converted from `frame` (one sample per channel) to
/// `channels` channels.
///
/// Mono goes to every channel; anything to mono is the mean; otherwise the channels that both
/// sides have are kept and further ones are silent. `frame` must not be empty.
pub(super) fn push_remixed(frame: &[f32], channels: usize, out: &mut Vec<f32>) {
    match (frame, channels) {
        (&[mono], _) => out.extend(std::iter::repeat_n(mono, channels)),
        (_, 1) => out.push(frame.iter().sum::<f32>() / frame.len() as f32),
        _ => out.extend((0..channels).map(|channel| frame.get(channel).copied().unwrap_or(0.0))),
    }
}

/// The nearest 16-bit sample; what is too loud is clipped.
pub(super) fn to_sample(value: f32) -> i16 {
    value.round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remixed(frame: &[f32], channels: usize) -> Vec<f32> {
        let mut out = Vec::new();
        push_remixed(frame, channels, &mut out);
        out
    }

    #[test]
    fn mono_is_copied_stereo_is_averaged_and_extra_channels_are_silent() {
        assert_eq!(remixed(&[5.0], 2), [5.0, 5.0]);
        assert_eq!(remixed(&[4.0, 8.0], 1), [6.0]);
        assert_eq!(remixed(&[1.0, 2.0], 3), [1.0, 2.0, 0.0]);
        assert_eq!(remixed(&[1.0, 2.0, 3.0], 2), [1.0, 2.0]);
    }

    #[test]
    fn loud_samples_are_clipped_not_wrapped() {
        assert_eq!(
            (to_sample(40_000.0), to_sample(-40_000.0)),
            (i16::MAX, i16::MIN)
        );
        assert_eq!(to_sample(f32::NAN), 0);
    }
}
