//! Sound through a real LiveKit server, to and from the official Python SDK.
//!
//! 440 Hz published by this engine (under the official `livekit` crate) and recorded by the Python
//! SDK, 600 Hz the other way, 20 s each: without loss nothing may be heard but the tone; with 5 % of
//! all packets lost each way, next to nothing.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]
#![allow(
    clippy::print_stdout,
    reason = "the figures are what the test is read for"
)]

mod relay;
mod server;
#[path = "../../src/engine/tone.rs"]
mod tone;

use std::{borrow::Cow, path::Path, sync::atomic::Ordering, time::Duration};

use livekit::{
    options::TrackPublishOptions,
    prelude::*,
    webrtc::{
        audio_frame::AudioFrame,
        audio_source::{AudioSourceOptions, RtcAudioSource, native::NativeAudioSource},
        audio_stream::native::NativeAudioStream,
        audio_track::RtcAudioTrack,
    },
};
use relay::Relay;
use server::{Server, piped, tool};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
    sync::{Mutex, mpsc::UnboundedReceiver},
    task::JoinSet,
    time::timeout,
};
use tokio_stream::StreamExt;
use tone::{AMPLITUDE, Verdict, judge, sine};

const RATE: u32 = 48_000;
const OURS_HZ: f64 = 440.0;
const THEIRS_HZ: f64 = 600.0;
const JUDGED_SECONDS: usize = 20;
/// Recorded in front of that: connecting, and the buffers' start.
const LEAD_SECONDS: usize = 3;
const RECORDED_SECONDS: usize = JUDGED_SECONDS + LEAD_SECONDS + 1;
/// Everything that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(90);

/// Two calls at once would disturb each other on a machine with few cores.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// What both sides heard.
struct Call {
    heard_by_python: Verdict,
    heard_by_us: Verdict,
}

/// One call of more than 20 s, with so much loss each way from the moment both are heard.
async fn call(loss_percent: u32) -> Call {
    let _turn = ONE_AT_A_TIME.lock().await;
    let server = Server::start().await;
    let relay = Relay::start(server.announced, server.media).await;
    let (room, mut events) =
        Room::connect(&server.url, &server.token("ours"), RoomOptions::default())
            .await
            .unwrap();
    let mut tasks = JoinSet::new();
    publish(&room, &mut tasks).await;

    let recording = server.directory().join("heard-by-python.pcm");
    let (mut peer, mut said) = start_peer(&server, &recording);
    expect(&mut said, "connected").await;
    let track = subscribed(&mut events).await;
    expect(&mut said, "recording").await;
    relay
        .traffic
        .loss_percent
        .store(loss_percent, Ordering::Relaxed);
    let ours = record(track).await;
    expect(&mut said, "done").await;

    let (lost, forwarded) = (
        relay.traffic.lost.load(Ordering::Relaxed),
        relay.traffic.forwarded.load(Ordering::Relaxed),
    );
    println!("{lost} packets lost on purpose, {forwarded} forwarded");
    drop(peer.stdin.take());
    peer.wait().await.unwrap();
    room.close().await.unwrap();
    let theirs = std::fs::read(&recording).unwrap();
    let theirs: Vec<i16> = theirs
        .chunks_exact(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]))
        .collect();
    let call = Call {
        heard_by_python: verdict(&theirs, OURS_HZ),
        heard_by_us: verdict(&ours, THEIRS_HZ),
    };
    println!(
        "{loss_percent} % loss, {OURS_HZ} Hz heard by Python: {:?}",
        call.heard_by_python
    );
    println!(
        "{loss_percent} % loss, {THEIRS_HZ} Hz heard by us: {:?}",
        call.heard_by_us
    );
    call
}

/// Judges the 20 s behind the lead.
fn verdict(pcm: &[i16], hz: f64) -> Verdict {
    let second = RATE as usize;
    assert!(
        pcm.len() >= RECORDED_SECONDS * second,
        "only {} samples were recorded",
        pcm.len()
    );
    judge(
        &pcm[LEAD_SECONDS * second..][..JUDGED_SECONDS * second],
        RATE,
        hz,
    )
}

/// Publishes the sine; a task keeps it going.
async fn publish(room: &Room, tasks: &mut JoinSet<()>) {
    let source = NativeAudioSource::new(AudioSourceOptions::default(), RATE, 1, 100);
    let track = LocalAudioTrack::create_audio_track("sine", RtcAudioSource::Native(source.clone()));
    let options = TrackPublishOptions {
        source: TrackSource::Microphone,
        ..TrackPublishOptions::default()
    };
    room.local_participant()
        .publish_track(LocalTrack::Audio(track), options)
        .await
        .unwrap();
    tasks.spawn(async move {
        for frame in 0.. {
            let samples = RATE / 100;
            let data = sine(frame * samples as usize, samples as usize, RATE, OURS_HZ, 1);
            let frame = AudioFrame {
                data: Cow::Owned(data),
                sample_rate: RATE,
                num_channels: 1,
                samples_per_channel: samples,
            };
            source.capture_frame(&frame).await.unwrap();
        }
    });
}

fn start_peer(server: &Server, recording: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sound/peer.py");
    let mut peer = piped(tool("venv/bin/python"))
        .arg(script)
        .args([&server.url, &server.token("python")])
        .args([THEIRS_HZ, AMPLITUDE, RECORDED_SECONDS as f64].map(|n| n.to_string()))
        .arg(recording)
        .spawn()
        .unwrap();
    let said = BufReader::new(peer.stdout.take().unwrap()).lines();
    (peer, said)
}

/// Waits until the Python peer says that line.
async fn expect(said: &mut Lines<BufReader<ChildStdout>>, wanted: &str) {
    let find = async {
        while let Some(line) = said.next_line().await.unwrap() {
            if line == wanted {
                return;
            }
        }
        panic!("the Python peer ended before it said {wanted:?}");
    };
    timeout(PATIENCE, find)
        .await
        .unwrap_or_else(|_| panic!("no {wanted:?} from the Python peer"));
}

/// Waits for the Python peer's track.
async fn subscribed(events: &mut UnboundedReceiver<RoomEvent>) -> RtcAudioTrack {
    let find = async {
        loop {
            let event = events.recv().await.expect("the room ended");
            if let RoomEvent::TrackSubscribed {
                track: RemoteTrack::Audio(track),
                ..
            } = event
            {
                return track.rtc_track();
            }
        }
    };
    timeout(PATIENCE, find)
        .await
        .expect("the Python peer's track did not come")
}

async fn record(track: RtcAudioTrack) -> Vec<i16> {
    let mut stream = NativeAudioStream::new(track, RATE as i32, 1);
    let mut pcm = Vec::new();
    let fill = async {
        while pcm.len() < RECORDED_SECONDS * RATE as usize {
            let frame = stream.next().await.expect("the track ended");
            pcm.extend_from_slice(&frame.data);
        }
    };
    timeout(PATIENCE, fill).await.expect("the sound stopped");
    pcm
}

fn assert_frequency(verdict: &Verdict, hz: f64) {
    assert!((verdict.hz - hz).abs() < 1.0, "{hz} Hz became {verdict:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_loss_nothing_but_the_tone_is_heard() {
    let call = call(0).await;
    for (verdict, hz) in [
        (&call.heard_by_python, OURS_HZ),
        (&call.heard_by_us, THEIRS_HZ),
    ] {
        assert_frequency(verdict, hz);
        assert_eq!(
            (verdict.quiet, verdict.glitched),
            (0, 0),
            "{hz} Hz: {verdict:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_percent_loss_each_way_is_hardly_heard() {
    let call = call(5).await;
    for (verdict, hz) in [
        (&call.heard_by_python, OURS_HZ),
        (&call.heard_by_us, THEIRS_HZ),
    ] {
        assert_frequency(verdict, hz);
        assert!(
            verdict.quiet == 0 && verdict.glitches <= 2,
            "{hz} Hz: {verdict:?}"
        );
    }
}
