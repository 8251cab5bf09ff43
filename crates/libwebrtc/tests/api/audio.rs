//! Audio frames, sources, streams and tools.

use std::{borrow::Cow, fmt::Debug, future::Future};

use libwebrtc::{
    RtcError,
    audio_frame::AudioFrame,
    audio_source::{
        AudioSourceOptions, DEFAULT_NUM_CHANNELS, DEFAULT_SAMPLE_RATE, RtcAudioSource,
        native::NativeAudioSource,
    },
    audio_stream::native::{NativeAudioStream, NativeAudioStreamOptions},
    audio_track::RtcAudioTrack,
    native::{
        apm::AudioProcessingModule,
        audio_mixer::{AudioFrameInfo, AudioMixer, AudioMixerSource},
        audio_resampler::AudioResampler,
        create_random_uuid,
    },
};
use tokio_stream::Stream;

use crate::{all_fields, signatures, traits};

all_fields!(AudioFrame<'a> {
    data: Cow<'a, [i16]>,
    sample_rate: u32,
    num_channels: u32,
    samples_per_channel: u32,
});
all_fields!(AudioSourceOptions {
    echo_cancellation: bool,
    noise_suppression: bool,
    auto_gain_control: bool,
});
all_fields!(NativeAudioStreamOptions { queue_size_frames: Option<usize>, });

const _: (u32, u32) = (DEFAULT_SAMPLE_RATE, DEFAULT_NUM_CHANNELS);

signatures! {
    AudioFrame::new => fn(u32, u32, u32) -> AudioFrame<'static>;

    RtcAudioSource::Native => fn(NativeAudioSource) -> RtcAudioSource;
    RtcAudioSource::set_audio_options => fn(&RtcAudioSource, AudioSourceOptions);
    RtcAudioSource::audio_options => fn(&RtcAudioSource) -> AudioSourceOptions;
    RtcAudioSource::sample_rate => fn(&RtcAudioSource) -> u32;
    RtcAudioSource::num_channels => fn(&RtcAudioSource) -> u32;

    NativeAudioSource::new => fn(AudioSourceOptions, u32, u32, u32) -> NativeAudioSource;
    NativeAudioSource::clear_buffer => fn(&NativeAudioSource);
    NativeAudioSource::set_audio_options => fn(&NativeAudioSource, AudioSourceOptions);
    NativeAudioSource::audio_options => fn(&NativeAudioSource) -> AudioSourceOptions;
    NativeAudioSource::sample_rate => fn(&NativeAudioSource) -> u32;
    NativeAudioSource::num_channels => fn(&NativeAudioSource) -> u32;

    NativeAudioStream::new => fn(RtcAudioTrack, i32, i32) -> NativeAudioStream;
    NativeAudioStream::with_options
        => fn(RtcAudioTrack, i32, i32, NativeAudioStreamOptions) -> NativeAudioStream;
    NativeAudioStream::track => fn(&NativeAudioStream) -> RtcAudioTrack;
    NativeAudioStream::close => fn(&mut NativeAudioStream);

    create_random_uuid => fn() -> String;

    AudioProcessingModule::new => fn(bool, bool, bool, bool) -> AudioProcessingModule;
    AudioProcessingModule::process_stream
        => fn(&mut AudioProcessingModule, &mut [i16], i32, i32) -> Result<(), RtcError>;
    AudioProcessingModule::process_reverse_stream
        => fn(&mut AudioProcessingModule, &mut [i16], i32, i32) -> Result<(), RtcError>;
    AudioProcessingModule::set_stream_delay_ms
        => fn(&mut AudioProcessingModule, i32) -> Result<(), RtcError>;

    AudioMixer::new => fn() -> AudioMixer;
    AudioMixer::add_source => fn(&mut AudioMixer, Source);
    AudioMixer::remove_source => fn(&mut AudioMixer, i32);
    AudioMixer::mix => fn(&mut AudioMixer, usize) -> &[i16];

    AudioResampler::remix_and_resample
        => for<'a> fn(&'a mut AudioResampler, &[i16], u32, u32, u32, u32, u32) -> &'a [i16];
}

const _: RtcAudioSource = RtcAudioSource::Device;
const _: [AudioFrameInfo; 2] = [AudioFrameInfo::Normal, AudioFrameInfo::Muted];

/// A source as an application writes it.
struct Source;

impl AudioMixerSource for Source {
    fn ssrc(&self) -> i32 {
        1
    }
    fn preferred_sample_rate(&self) -> u32 {
        48_000
    }
    fn get_audio_frame_with_info(&self, target_sample_rate: u32) -> Option<AudioFrame<'_>> {
        Some(AudioFrame::new(
            target_sample_rate,
            1,
            target_sample_rate / 100,
        ))
    }
}

fn capture_can_be_awaited_on_any_thread<'a>(
    source: &'a NativeAudioSource,
    frame: &'a AudioFrame<'a>,
) -> impl Future<Output = Result<(), RtcError>> + Send + 'a {
    source.capture_frame(frame)
}

fn a_stream_yields_frames(
    stream: NativeAudioStream,
) -> impl Stream<Item = AudioFrame<'static>> + Unpin + Send {
    stream
}

traits! {
    AudioFrame<'static>: Debug, Clone, Send, Sync;
    AudioSourceOptions: Debug, Default;
    RtcAudioSource: Debug, Clone, Send, Sync;
    NativeAudioSource: Debug, Clone, Send, Sync;
    NativeAudioStreamOptions: Debug, Clone, Default;
    NativeAudioStream: Debug, Send, Sync;
    AudioResampler: Default;
}
