//! Voices of different paces, and what they keep from other callers.

use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use voxpool::audio::AudioFrame;
use voxpool::error::ErrorKind;
use voxpool::pool::{AdaptiveConfig, CallOptions, CallerId, Config, Items, Urgency};
use voxpool::tts::Tts;

use super::stages::{Options, SOON, Stages};
use super::wire::read_request;

/// Sound of one piece, at 24 kHz and 16 bits.
const PIECE: Duration = Duration::from_millis(100);
const PIECE_BYTES: usize = 4_800;

/// A voice that begins at once and sends its sound at this multiple of the pace of speech.
async fn voice(pace: f64, pieces: usize) -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(speak(stream, pace, pieces));
        }
    });
    (address, AbortOnDropHandle::new(serving))
}

async fn speak(mut stream: TcpStream, pace: f64, pieces: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    while read_request(&mut stream).await?.is_some() {
        let head =
            b"HTTP/1.1 200 OK\r\ncontent-type: audio/pcm\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head).await?;
        for _ in 0..pieces {
            let mut piece = format!("{PIECE_BYTES:x}\r\n").into_bytes();
            piece.extend([1; PIECE_BYTES]);
            piece.extend(b"\r\n");
            stream.write_all(&piece).await?;
            sleep(PIECE.div_f64(pace)).await;
        }
        stream.write_all(b"0\r\n\r\n").await?;
    }
    Ok(())
}

fn stages(address: SocketAddr, pool: Config) -> Stages {
    let options = Options {
        pool,
        ..Options::default()
    };
    Stages::with(&format!("http://{address}/v1"), options)
}

/// A caller asks for a sentence and has heard its beginning.
async fn first_sound(stages: &Stages, urgency: Urgency) -> (Items<AudioFrame>, Duration) {
    let began = Instant::now();
    let options = CallOptions {
        caller: Some(CallerId::next()),
        urgency,
        ..CallOptions::default()
    };
    let mut sound = stages.tts.speak_with("hello".to_owned(), &options);
    let first = timeout(SOON, sound.next()).await.expect("a sound");
    first.unwrap().expect("sound");
    (sound, began.elapsed())
}

/// The pool of a worker with 100 slots, and few permits to ask.
fn of_a_worker(limit_start: usize) -> Config {
    let mut config = Config {
        adaptive: AdaptiveConfig {
            limit_start,
            ..AdaptiveConfig::default()
        },
        ..Config::default()
    };
    config.fit(100, false, false);
    config
}

#[tokio::test]
async fn callers_who_listen_to_a_voice_at_its_pace_do_not_delay_the_next_one() {
    let (address, _voice) = voice(1.0, 300).await;
    // Six permits: whoever listens needs none.
    let stages = stages(address, of_a_worker(6));
    let alone = first_sound(&stages, Urgency::FirstSentence).await.1;
    let asked = (0..60).map(|_| first_sound(&stages, Urgency::FirstSentence));
    let listening = join_all(asked).await;
    let permits = stages.pool.stats().await.permits;
    assert_eq!((permits.asking, permits.answering), (0, 60), "{permits:?}");

    // The quickest of some, for the machine has other things to do.
    let mut quickest = Duration::MAX;
    for _ in 0..10 {
        let (_sound, delay) = first_sound(&stages, Urgency::FirstSentence).await;
        quickest = quickest.min(delay);
    }
    assert!(
        quickest < alone + Duration::from_millis(20),
        "{quickest:?}, alone {alone:?}"
    );
    drop(listening);
}

/// All that a call may have at once: the model's answer and two sentences. None of it waits, whatever
/// the pace of the voice.
#[tokio::test]
async fn a_hundred_calls_fit_into_the_limits_that_a_worker_starts_with() {
    let (address, _voice) = voice(2.0, 20).await;
    let stages = stages(address, of_a_worker(0));
    let calls = (0..100).map(|_| async {
        let (first, second, third) = tokio::join!(
            first_sound(&stages, Urgency::Turn),
            first_sound(&stages, Urgency::FirstSentence),
            first_sound(&stages, Urgency::LaterSentence),
        );
        [first.0, second.0, third.0]
    });
    let listening = join_all(calls).await;
    let permits = stages.pool.stats().await.permits;
    assert!(
        permits.waits.values().all(|it| it.count == 0),
        "{permits:?}"
    );
    assert!(stages.pool.demand() <= 1.0, "{}", stages.pool.demand());
    drop(listening);
}

/// Where there are fewer connections than callers who listen, there is no help over HTTP/1.1; the wait
/// for one ends before the caller gives up, and says why.
#[tokio::test]
async fn where_all_connections_are_heard_a_request_fails_in_time_and_says_why() {
    let (address, _voice) = voice(1.0, 300).await;
    let pool = Config {
        connections_per_host_max: 2,
        permit_timeout: Duration::from_millis(100),
        adaptive: AdaptiveConfig {
            limit_min: 1,
            ..AdaptiveConfig::default()
        },
        ..Config::default()
    };
    let stages = stages(address, pool);
    let _first = first_sound(&stages, Urgency::Turn).await;
    let _second = first_sound(&stages, Urgency::Turn).await;
    let (_, error) = stages.speak("hello").await;
    assert_eq!(error.map(|error| error.kind), Some(ErrorKind::Saturated));
    assert!(stages.pool.demand() > 1.0, "so no more calls are taken");
}
