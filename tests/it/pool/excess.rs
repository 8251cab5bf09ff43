//! Services that send more than an answer can be: the answer ends at its bound, and is counted.

use voxpool::error::ErrorKind;
use voxpool::excess::Excess;

use super::stages::{Options, Stages};
use super::wire::{Step, Wire, answer, end, head, piece, said};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn audio_beyond_what_a_sentence_can_be_ends_the_sentence() {
    // "hello" may take 12.5 s; these are 60 s.
    let second = vec![1_u8; 2 * 24_000];
    let wire = Wire::start(move |_| {
        let seconds = (0..60).map(|_| piece(&second));
        let all = [head("audio/pcm")].into_iter().chain(seconds);
        all.chain([end()]).collect()
    })
    .await;
    let before = Excess::Speech.counted();
    let (samples, error) = Stages::new(&wire.base_url).speak("hello").await;
    assert_eq!(error.map(|error| error.kind), Some(ErrorKind::Malformed));
    let seconds = samples.len() / 24_000;
    assert!((10..=12).contains(&seconds), "{seconds} s are handed out");
    assert!(Excess::Speech.counted() > before);
}

#[tokio::test]
async fn slow_speech_has_more_time_for_a_sentence() {
    let second = vec![1_u8; 2 * 24_000];
    let wire = Wire::start(move |_| {
        let seconds = (0..40).map(|_| piece(&second));
        let all = [head("audio/pcm")].into_iter().chain(seconds);
        all.chain([end()]).collect()
    })
    .await;
    let mut options = Options::default();
    options.tts.speed = 0.25;
    let (samples, error) = Stages::with(&wire.base_url, options).speak("hello").await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(samples.len(), 40 * 24_000);
}

#[tokio::test]
async fn a_stream_of_words_without_end_is_cut_off() {
    let words = "word ".repeat(MIB / 8);
    let wire = Wire::start(move |_| {
        let mut steps = vec![head("text/event-stream")];
        steps.extend((0..80).map(|_| said(&words)));
        steps.push(Step::Stall);
        steps
    })
    .await;
    let before = Excess::Body.counted();
    let (text, error) = Stages::new(&wire.base_url).chat("hello").await;
    assert_eq!(error.map(|error| error.kind), Some(ErrorKind::Malformed));
    assert!(text.len() <= 32 * MIB, "{} bytes", text.len());
    assert!(Excess::Body.counted() > before);
}

#[tokio::test]
async fn a_transcription_that_is_a_book_is_refused() {
    let text = "a".repeat(17 * MIB);
    let body = format!("{{\"text\":\"{text}\"}}");
    let wire =
        Wire::start(move |_| answer("200 OK", "content-type: application/json\r\n", &body)).await;
    let before = Excess::Body.counted();
    let mut options = Options::default();
    options.pool.retries_max = 0;
    let stages = Stages::with(&wire.base_url, options);
    assert!(stages.transcribe().await.is_err());
    assert!(Excess::Body.counted() > before);
}

#[tokio::test]
async fn tool_calls_without_end_are_refused() {
    let wire = Wire::start(|_| {
        let call = |n: usize| {
            let call = format!(
                r#"{{"index":{n},"id":"c{n}","function":{{"name":"f","arguments":"{{}}"}}}}"#
            );
            let event =
                format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{call}]}}}}]}}\n\n");
            piece(event.as_bytes())
        };
        let mut steps = vec![head("text/event-stream"), said("hel")];
        steps.extend((0..100).map(call));
        steps.push(end());
        steps
    })
    .await;
    let before = Excess::ToolCalls.counted();
    let (text, error) = Stages::new(&wire.base_url).chat("hello").await;
    assert_eq!(
        (text.as_str(), error.map(|it| it.kind)),
        ("hel", Some(ErrorKind::Malformed))
    );
    assert!(Excess::ToolCalls.counted() > before);
}
