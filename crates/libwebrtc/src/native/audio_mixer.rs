//! Adds the audio of several sources, 10 ms at a time.
//!
//! The rate is chosen anew for every mix from what the sources prefer. Sums are clipped; the C++
//! engine's limiter, which turns loud sums down instead, does not exist here.

use crate::{
    audio_frame::AudioFrame,
    native::remix::{push_remixed, to_sample},
};

/// Rates (Hz) that a mix can have. Source: WebRTC `modules/audio_mixer`, the native rates of its
/// audio processing.
const MIX_RATES_HZ: [u32; 4] = [8_000, 16_000, 32_000, 48_000];

/// Channels that a mix can have at most: more than any loudspeaker layout in use.
const MAX_CHANNELS: usize = 24;

/// **Works.** What a source had to say when asked for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AudioFrameInfo {
    /// It gave a frame.
    Normal,
    /// It is silent.
    Muted,
    /// It failed.
    Error,
}

/// **Works.** Something to mix.
pub trait AudioMixerSource {
    /// Tells sources apart; [`AudioMixer::remove_source`] takes it.
    fn ssrc(&self) -> i32;

    /// The rate (Hz) at which the source has its audio, so that it need not be resampled.
    fn preferred_sample_rate(&self) -> u32;

    /// The next 10 ms at `target_sample_rate` (Hz), or `None` for silence.
    ///
    /// A frame of another rate or length is left out of the mix, with a warning in the log.
    fn get_audio_frame_with_info(&self, target_sample_rate: u32) -> Option<AudioFrame<'_>>;
}

/// **Works.** A mixer and its sources.
#[derive(Default)]
pub struct AudioMixer {
    sources: Vec<Box<dyn AudioMixerSource>>,
    sum: Vec<f32>,
    mixed: Vec<i16>,
}

impl AudioMixer {
    /// **Works.** A mixer without sources.
    pub fn new() -> Self {
        Self::default()
    }

    /// **Works.** Adds `source` to all later mixes.
    pub fn add_source(&mut self, source: impl AudioMixerSource + 'static) {
        self.sources.push(Box::new(source));
    }

    /// **Works.** Removes every source with this `ssrc`.
    pub fn remove_source(&mut self, ssrc: i32) {
        self.sources.retain(|source| source.ssrc() != ssrc);
    }

    /// **Works.** The next 10 ms of all sources together, interleaved.
    ///
    /// The rate is the smallest of 8, 16, 32 and 48 kHz that serves every source's preference, 48
    /// kHz if there is none or more is preferred. More than 24 channels are an error: logged,
    /// and the result is empty.
    pub fn mix(&mut self, num_channels: usize) -> &[i16] {
        self.mixed.clear();
        if num_channels > MAX_CHANNELS {
            log::error!("cannot mix to {num_channels} channels: {MAX_CHANNELS} is the limit");
            return &self.mixed;
        }
        let rate = self.mix_rate_hz();
        let instants = (rate / 100) as usize;
        self.sum.clear();
        self.sum.resize(instants * num_channels, 0.0);
        for source in &self.sources {
            if let Some(frame) = source.get_audio_frame_with_info(rate) {
                add_frame(&mut self.sum, &frame, rate, num_channels, source.ssrc());
            }
        }
        self.mixed
            .extend(self.sum.iter().map(|&value| to_sample(value)));
        &self.mixed
    }

    fn mix_rate_hz(&self) -> u32 {
        let [.., highest] = MIX_RATES_HZ;
        let Some(wanted) = self
            .sources
            .iter()
            .map(|source| source.preferred_sample_rate())
            .max()
        else {
            return highest;
        };
        MIX_RATES_HZ
            .into_iter()
            .find(|&rate| rate >= wanted)
            .unwrap_or(highest)
    }
}

fn add_frame(sum: &mut [f32], frame: &AudioFrame<'_>, rate: u32, num_channels: usize, ssrc: i32) {
    let instants = (rate / 100) as usize;
    let frame_channels = frame.num_channels as usize;
    let fits = frame.sample_rate == rate
        && frame_channels > 0
        && frame.data.len().checked_div(frame_channels) == Some(instants)
        && frame.data.len().is_multiple_of(frame_channels);
    if !fits {
        log::warn!(
            "source {ssrc} gave {} samples at {} Hz and {frame_channels} channels instead of 10 ms \
             at {rate} Hz; it is left out of this mix",
            frame.data.len(),
            frame.sample_rate,
        );
        return;
    }
    let mut instant = Vec::with_capacity(frame_channels);
    let mut remixed = Vec::with_capacity(num_channels);
    for (samples, sums) in frame
        .data
        .chunks_exact(frame_channels)
        .zip(sum.chunks_exact_mut(num_channels.max(1)))
    {
        instant.clear();
        instant.extend(samples.iter().map(|&sample| f32::from(sample)));
        remixed.clear();
        push_remixed(&instant, num_channels, &mut remixed);
        for (sum, value) in sums.iter_mut().zip(&remixed) {
            *sum += value;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Level {
        ssrc: i32,
        preferred: u32,
        channels: u32,
        level: i16,
    }

    impl AudioMixerSource for Level {
        fn ssrc(&self) -> i32 {
            self.ssrc
        }
        fn preferred_sample_rate(&self) -> u32 {
            self.preferred
        }
        fn get_audio_frame_with_info(&self, target_sample_rate: u32) -> Option<AudioFrame<'_>> {
            let mut frame =
                AudioFrame::new(target_sample_rate, self.channels, target_sample_rate / 100);
            frame.data.to_mut().fill(self.level);
            Some(frame)
        }
    }

    fn mono(ssrc: i32, level: i16) -> Level {
        Level {
            ssrc,
            preferred: 48_000,
            channels: 1,
            level,
        }
    }

    #[test]
    fn sources_are_added_and_removed() {
        let mut mixer = AudioMixer::new();
        mixer.add_source(mono(1, 1_000));
        mixer.add_source(mono(2, -300));
        assert_eq!(mixer.mix(1), [700; 480]);
        mixer.remove_source(1);
        assert_eq!(mixer.mix(2), [-300; 960]);
    }

    #[test]
    fn a_sum_that_is_too_loud_is_clipped() {
        let mut mixer = AudioMixer::new();
        mixer.add_source(mono(1, 30_000));
        mixer.add_source(mono(2, 30_000));
        assert_eq!(mixer.mix(1), [i16::MAX; 480]);
        mixer.add_source(mono(3, i16::MIN));
        assert_eq!(
            mixer.mix(1),
            [27_232; 480],
            "the sum is clipped, not its parts"
        );
    }

    #[test]
    fn the_rate_serves_the_highest_preference() {
        let mut mixer = AudioMixer::new();
        assert_eq!(mixer.mix(1).len(), 480, "silence at 48 kHz without sources");
        mixer.add_source(Level {
            preferred: 8_000,
            ..mono(1, 1)
        });
        assert_eq!(mixer.mix(1).len(), 80);
        mixer.add_source(Level {
            preferred: 11_025,
            ..mono(2, 1)
        });
        assert_eq!(mixer.mix(1).len(), 160);
        mixer.add_source(Level {
            preferred: 96_000,
            ..mono(3, 1)
        });
        assert_eq!(mixer.mix(1).len(), 480);
    }

    #[test]
    fn an_impossible_channel_count_gives_nothing() {
        let mut mixer = AudioMixer::new();
        mixer.add_source(mono(1, 1));
        assert!(mixer.mix(0).is_empty());
        assert!(mixer.mix(usize::MAX).is_empty());
    }

    struct Odd(AudioFrame<'static>);

    impl AudioMixerSource for Odd {
        fn ssrc(&self) -> i32 {
            9
        }
        fn preferred_sample_rate(&self) -> u32 {
            self.0.sample_rate
        }
        fn get_audio_frame_with_info(&self, _target_sample_rate: u32) -> Option<AudioFrame<'_>> {
            Some(self.0.clone())
        }
    }

    proptest! {
        #[test]
        fn a_frame_of_any_shape_is_mixed_or_left_out(
            data in proptest::collection::vec(any::<i16>(), 0..1_000),
            sample_rate in prop_oneof![Just(8_000), Just(48_000), any::<u32>()],
            num_channels in prop_oneof![0_u32..4, any::<u32>()],
            samples_per_channel: u32,
            mix_channels in 0_usize..5,
        ) {
            let frame = AudioFrame { data: data.into(), sample_rate, num_channels, samples_per_channel };
            let mut mixer = AudioMixer::new();
            mixer.add_source(Odd(frame));
            let mixed = mixer.mix(mix_channels).len();
            prop_assert!([80, 160, 320, 480].map(|instants| instants * mix_channels).contains(&mixed));
        }
    }
}
