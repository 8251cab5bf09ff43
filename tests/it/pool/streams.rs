//! Chat and speech over the wire: pieces cut anywhere, streams that break, stall or are dropped.

use std::time::Duration;

use futures::StreamExt;
use voxpool::error::ErrorKind;
use voxpool::llm::{Llm, LlmEvent};
use voxpool::pool::IDLE_TIMEOUT_MIN;

use super::stages::{Options, Stages, request};
use super::wire::{Step, Wire, chat, end, head, piece, said, stop};

/// The reply to a script, the error that ended it, and how many requests it took.
async fn reply(
    script: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static,
) -> (String, Option<ErrorKind>, usize) {
    let wire = Wire::start(script).await;
    let mut options = Options::default();
    options.llm.first_token_timeout = Duration::from_millis(300);
    options.llm.idle_timeout = IDLE_TIMEOUT_MIN;
    let (text, error) = Stages::with(&wire.base_url, options).chat("hello").await;
    (text, error.map(|error| error.kind), wire.requests())
}

/// The samples of a script, the error that ended them, and how many requests it took.
async fn sound(
    script: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static,
) -> (Vec<i16>, Option<ErrorKind>, usize) {
    let wire = Wire::start(script).await;
    let mut options = Options::default();
    options.tts.first_byte_timeout = Duration::from_millis(300);
    options.tts.idle_timeout = IDLE_TIMEOUT_MIN;
    let (samples, error) = Stages::with(&wire.base_url, options).speak("hello").await;
    (samples, error.map(|error| error.kind), wire.requests())
}

#[tokio::test]
async fn a_chat_stream_may_come_byte_by_byte() {
    let text = "data: {\"choices\":[{\"delta\":null}]}\n\n\
                data: {\"choices\":[{\"delta\":{\"content\":\"gr\u{fc}\u{df} dich \u{1f642}\"}}]}\n\n\
                data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let script = |_| {
        let mut steps = vec![head("text/event-stream")];
        steps.extend(text.as_bytes().iter().map(|byte| piece(&[*byte])));
        steps.push(end());
        steps
    };
    assert_eq!(reply(script).await, ("grüß dich 🙂".to_owned(), None, 1));
}

#[tokio::test]
async fn a_reply_cut_after_its_first_word_is_not_begun_again() {
    let cut = |_| vec![head("text/event-stream"), said("hel"), Step::Close];
    assert_eq!(
        reply(cut).await,
        ("hel".to_owned(), Some(ErrorKind::Malformed), 1)
    );
}

#[tokio::test]
async fn a_reply_ends_with_its_body() {
    let short = |_| vec![head("text/event-stream"), said("hel"), end()];
    assert_eq!(reply(short).await, ("hel".to_owned(), None, 1));
}

#[tokio::test]
async fn a_reply_cut_before_its_first_word_is_asked_for_again() {
    let cut = |n| match n {
        0 => vec![head("text/event-stream"), Step::Close],
        _ => chat("hello"),
    };
    assert_eq!(reply(cut).await, ("hello".to_owned(), None, 2));
}

#[tokio::test]
async fn a_reply_that_stalls_ends_with_a_timeout() {
    let stalled = |_| vec![head("text/event-stream"), said("hel"), Step::Stall];
    assert_eq!(
        reply(stalled).await,
        ("hel".to_owned(), Some(ErrorKind::Timeout), 1)
    );
}

#[tokio::test]
async fn a_reply_that_never_begins_is_asked_for_again() {
    let stalled = |n| match n {
        0 => vec![head("text/event-stream"), Step::Stall],
        _ => chat("hello"),
    };
    assert_eq!(reply(stalled).await, ("hello".to_owned(), None, 2));
}

#[tokio::test]
async fn a_reply_that_is_complete_needs_no_end() {
    let open = |_| {
        vec![
            head("text/event-stream"),
            said("hello"),
            stop(),
            Step::Stall,
        ]
    };
    assert_eq!(reply(open).await, ("hello".to_owned(), None, 1));
}

#[tokio::test]
async fn a_reply_in_one_piece_is_a_reply() {
    let body = r#"{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}"#;
    let whole = |_| super::wire::answer("200 OK", "content-type: application/json\r\n", body);
    assert_eq!(reply(whole).await, ("hello".to_owned(), None, 1));
}

#[tokio::test]
async fn sound_may_be_cut_inside_a_sample() {
    let script = |_| {
        let mut steps = vec![head("audio/pcm")];
        steps.extend([&[1u8][..], &[0, 2], &[0, 3, 0], &[4], &[0]].map(piece));
        steps.push(end());
        steps
    };
    assert_eq!(sound(script).await, (vec![1, 2, 3, 4], None, 1));
}

#[tokio::test]
async fn sound_cut_half_way_is_an_error_after_what_came() {
    let cut = |_| vec![head("audio/pcm"), piece(&[1, 0]), Step::Close];
    assert_eq!(sound(cut).await, (vec![1], Some(ErrorKind::Malformed), 1));
}

#[tokio::test]
async fn sound_that_stalls_ends_with_a_timeout() {
    let stalled = |_| vec![head("audio/pcm"), piece(&[1, 0]), Step::Stall];
    assert_eq!(sound(stalled).await, (vec![1], Some(ErrorKind::Timeout), 1));
}

#[tokio::test]
async fn no_sound_at_all_is_asked_for_again() {
    let silent = |n| match n {
        0 => vec![head("audio/pcm"), end()],
        _ => vec![head("audio/pcm"), piece(&[1, 0]), end()],
    };
    assert_eq!(sound(silent).await, (vec![1], None, 2));
}

#[tokio::test]
async fn dropping_a_stream_closes_its_request() {
    let wire = Wire::start(|_| vec![head("text/event-stream"), said("hel"), Step::Stall]).await;
    let stages = Stages::new(&wire.base_url);
    let mut events = stages.llm.chat(request("hello"));
    assert!(matches!(events.next().await, Some(Ok(LlmEvent::Text(text))) if text == "hel"));
    drop(events);
    wire.closed(1).await;
    let stats = stages.pool.stats().await;
    assert_eq!((stats.services[0].in_flight, stats.permits.in_use), (0, 0));
}

#[tokio::test]
async fn dropping_a_call_before_its_answer_counts_as_cancelled() {
    let wire = Wire::start(|_| vec![Step::Stall]).await;
    let stages = Stages::new(&wire.base_url);
    {
        let mut call = Box::pin(stages.transcribe());
        while wire.requests() == 0 {
            tokio::select! {
                _ = &mut call => panic!("answered by a server that does not answer"),
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        }
    }
    wire.closed(1).await;
    let stats = stages.pool.stats().await;
    let service = &stats.services[0];
    assert_eq!(
        (service.cancelled, service.in_flight, service.errors_total()),
        (1, 0, 0)
    );
}

#[tokio::test]
async fn nothing_to_say_asks_for_nothing() {
    let wire = Wire::start(|_| vec![Step::Close]).await;
    let (samples, error) = Stages::new(&wire.base_url).speak(" \n").await;
    assert!(samples.is_empty() && error.is_none());
    assert_eq!(wire.requests(), 0);
}
