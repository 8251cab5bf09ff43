//! What a caller sends beyond the bounds of a call: the call goes on, and so do its services.

use std::borrow::Cow;

use livekit::SendByteOptions;
use livekit::options::TrackPublishOptions;
use livekit::prelude::*;
use livekit::webrtc::audio_frame::AudioFrame as RtcAudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use voxpool::audio::AudioFrame;

use super::House;
use super::caller::Caller;
use crate::common::within;

/// Says it again and again, with pauses that end a turn, until its words are read.
async fn say_until_read(
    caller: &Caller,
    source: &NativeAudioSource,
    sound: &AudioFrame,
    words: &str,
) {
    let pause = vec![0; 2 * sound.sample_rate_hz as usize];
    let samples = [&sound.samples[..], &pause].concat();
    let frame = RtcAudioFrame {
        data: Cow::Borrowed(&samples),
        sample_rate: sound.sample_rate_hz,
        num_channels: 1,
        samples_per_channel: u32::try_from(samples.len()).expect("a short sound"),
    };
    let is_read = || {
        let lines = caller.own_lines();
        lines.iter().any(|line| line.text.contains(words))
    };
    within(words, async {
        while !is_read() {
            source.capture_frame(&frame).await.expect("it is taken");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_track_that_goes_leaves_the_first_one_heard() {
    let house = House::open(None, "Hello.").await;
    let (hello, time) = tokio::join!(house.speech("hello there"), house.speech("what time is it"));
    let caller = Caller::join(&house.server.url(), "two-tracks").await;
    caller.reads(true, "Hello").await;
    let second = NativeAudioSource::new(AudioSourceOptions::default(), 24_000, 1, 200);
    let track =
        LocalAudioTrack::create_audio_track("second", RtcAudioSource::Native(second.clone()));
    let participant = caller.room.local_participant();
    let published = participant
        .publish_track(LocalTrack::Audio(track), TrackPublishOptions::default())
        .await
        .expect("it is published");
    say_until_read(&caller, &second, &hello, "hello there").await;
    participant
        .unpublish_track(&published.sid())
        .await
        .expect("it is unpublished");
    say_until_read(&caller, caller.microphone(), &time, "what time is it").await;
    caller.hang_up().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_texts_costs_few_requests_and_the_call_goes_on() {
    let house = House::open(None, "Hello.").await;
    let caller = Caller::join(&house.server.url(), "flood").await;
    caller.reads(true, "Hello").await;
    let n_chats = || house.services.stats().endpoints.chat.requests;
    let before = n_chats();
    for _ in 0..100 {
        caller.type_text("hello there").await;
    }
    // Ten at once and five a second, of which those that come before an answer is heard are one.
    caller.hears_silence().await;
    let n_flood = n_chats() - before;
    assert!((1..=20).contains(&n_flood), "{n_flood} requests");
    caller.type_text("hello there").await;
    caller.hears(10).await;
    caller.hang_up().await;
    house.close().await;
}

/// AAC as iOS records it.
const RECORDING: &[u8] = include_bytes!("../../../src/audio/recordings/aac.mp4");

/// A box of MP4.
fn mp4_box(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(8 + content.len()).expect("a small box");
    [&size.to_be_bytes(), &name[..], content].concat()
}

/// The recording up to its first fragment, and then one of 2³² samples without bytes.
fn endless_recording() -> Vec<u8> {
    let words = |words: &[u32]| {
        words
            .iter()
            .flat_map(|n| n.to_be_bytes())
            .collect::<Vec<u8>>()
    };
    let mut names = RECORDING.windows(4);
    let moof = names.position(|name| name == b"moof").expect("a fragment") - 4;
    let track = [
        mp4_box(b"tfhd", &words(&[0x02_0000, 1])),
        mp4_box(b"trun", &words(&[0, u32::MAX])),
    ];
    let fragment = [
        mp4_box(b"mfhd", &words(&[0, 1])),
        mp4_box(b"traf", &track.concat()),
    ];
    let parts = [&RECORDING[..moof], &mp4_box(b"moof", &fragment.concat())];
    [&parts.concat(), &mp4_box(b"mdat", &[0; 16])[..]].concat()
}

/// The recording at a rate of 16.8 MHz.
fn fast_recording() -> Vec<u8> {
    let mut recording = RECORDING.to_vec();
    let old = [0x11, 0x88, 0x56, 0xe5, 0x00];
    let mut places = recording.windows(old.len());
    let place = places
        .position(|bytes| bytes == old)
        .expect("its configuration");
    recording[place..place + old.len()].copy_from_slice(&[0x17, 0xff, 0xff, 0xfe, 0x88]);
    recording
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_that_are_made_to_do_harm_leave_the_call_as_it_was() {
    let house = House::open(None, "Hello.").await;
    let caller = Caller::join(&house.server.url(), "hostile").await;
    caller.reads(true, "Hello").await;
    for recording in [endless_recording(), fast_recording()]
        .iter()
        .cycle()
        .take(8)
    {
        let mut options = SendByteOptions::new_with_topic("lk.agent.pre-connect-audio-buffer");
        options.mime_type = Some("audio/mp4".to_owned());
        options.attributes = [("trackId".to_owned(), "TR_1".to_owned())].into();
        let participant = caller.room.local_participant();
        let sent = participant.send_bytes(recording, options).await;
        sent.expect("it is sent");
    }
    // The streams are free, and no core is busy.
    caller.type_text("hello there").await;
    caller.hears(10).await;
    caller.hears_silence().await;
    let hello = house.speech("hello there").await;
    say_until_read(&caller, caller.microphone(), &hello, "hello there").await;
    caller.hang_up().await;
    house.close().await;
}
