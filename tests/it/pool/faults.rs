//! Trouble before an answer: what is tried again, what is not, and what the caller learns.

use std::time::Duration;

use offline_openai::{FaultKind, FaultRule, FaultTarget, Server};
use voxpool::error::ErrorKind;
use voxpool::pool::Config;

use super::stages::{Options, Stages};
use super::wire::{Step, Wire, answer, transcript};

/// The outcome of one transcription against a script, and how many requests it took.
async fn transcribe(
    script: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static,
) -> (Result<String, ErrorKind>, usize) {
    let wire = Wire::start(script).await;
    let result = Stages::new(&wire.base_url).transcribe().await;
    (result.map_err(|error| error.kind), wire.requests())
}

/// `status` for the first `times` requests, then an answer.
async fn fails(times: usize, status: &'static str) -> (Result<String, ErrorKind>, usize) {
    transcribe(move |n| match n {
        n if n < times => answer(status, "", "{}"),
        _ => transcript("hello"),
    })
    .await
}

#[tokio::test]
async fn a_failing_service_is_tried_three_times_more() {
    assert_eq!(fails(3, "500 Oops").await, (Ok("hello".to_owned()), 4));
    assert_eq!(fails(4, "503 Busy").await, (Err(ErrorKind::Unavailable), 4));
}

#[tokio::test]
async fn a_late_transcription_is_asked_for_a_second_time_and_the_first_answer_counts() {
    let late = |n| match n {
        0 => vec![Step::Stall],
        _ => transcript("hello"),
    };
    let wire = Wire::start(late).await;
    let mut options = Options::default();
    options.stt.hedge_after = Duration::from_millis(50);
    let stages = Stages::with(&wire.base_url, options);
    assert_eq!(stages.transcribe().await.unwrap(), "hello");
    assert_eq!(wire.requests(), 2);
    let stats = stages.pool.stats().await;
    let service = &stats.services[0];
    assert_eq!((service.hedges, service.retries), (1, 0));
    // The other one is over, too.
    wire.closed(1).await;
}

#[tokio::test]
async fn what_cannot_get_better_is_tried_once() {
    assert_eq!(fails(1, "401 No").await, (Err(ErrorKind::Unauthorized), 1));
    assert_eq!(fails(1, "400 Bad").await, (Err(ErrorKind::Rejected), 1));
    assert_eq!(fails(1, "308 Moved").await, (Err(ErrorKind::Rejected), 1));
}

#[tokio::test]
async fn a_short_wait_is_waited_and_a_long_one_is_not() {
    let limited = |headers: &'static str| {
        transcribe(move |n| match n {
            0 => answer("429 Slow", headers, "{}"),
            _ => transcript("hello"),
        })
    };
    assert_eq!(
        limited("retry-after-ms: 5\r\n").await,
        (Ok("hello".to_owned()), 2)
    );
    assert_eq!(
        limited("retry-after: 60\r\n").await,
        (Err(ErrorKind::RateLimited), 1)
    );
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_asked_for_once_more() {
    let garbage = |times: usize| {
        transcribe(move |n| match n {
            n if n < times => answer("200 OK", "", "<html>"),
            _ => transcript("hello"),
        })
    };
    assert_eq!(garbage(1).await, (Ok("hello".to_owned()), 2));
    assert_eq!(garbage(2).await, (Err(ErrorKind::Malformed), 2));
}

#[tokio::test]
async fn an_answer_cut_short_is_asked_for_once_more() {
    let cut = transcribe(|n| match n {
        0 => vec![
            Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"text\":\"he".to_vec()),
            Step::Close,
        ],
        _ => transcript("hello"),
    });
    assert_eq!(cut.await, (Ok("hello".to_owned()), 2));
}

#[tokio::test]
async fn a_server_that_speaks_no_http_is_unavailable() {
    let (result, _) =
        transcribe(|_| vec![Step::Send(b"SSH-2.0-x\r\n".to_vec()), Step::Close]).await;
    assert_eq!(result, Err(ErrorKind::Unavailable));
}

#[tokio::test]
async fn an_attempt_that_hangs_is_given_up_and_made_again() {
    let wire = Wire::start(|n| match n {
        0 => vec![Step::Stall],
        _ => transcript("hello"),
    })
    .await;
    let mut options = Options::default();
    options.stt.attempt_timeout = Duration::from_millis(200);
    let stages = Stages::with(&wire.base_url, options);
    assert_eq!(stages.transcribe().await.unwrap(), "hello");
    wire.closed(1).await;
}

#[tokio::test]
async fn a_service_that_only_hangs_ends_at_the_deadline() {
    let wire = Wire::start(|_| vec![Step::Stall]).await;
    let mut options = Options::default();
    options.stt.attempt_timeout = Duration::from_millis(100);
    options.stt.timeout = Duration::from_millis(150);
    let stages = Stages::with(&wire.base_url, options);
    assert_eq!(
        stages.transcribe().await.unwrap_err().kind,
        ErrorKind::Timeout
    );
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    // Bound and closed again: nobody listens on this port.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for base_url in [
        format!("http://{address}"),
        "http://nobody.invalid".to_owned(),
    ] {
        let stages = Stages::new(&base_url);
        let error = stages.transcribe().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{base_url}");
        let stats = stages.pool.stats().await;
        assert_eq!(stats.connections.failed, 4, "{base_url}");
        assert_eq!(stats.services[0].retries, 3, "{base_url}");
        assert_eq!(stats.services[0].errors["unavailable"], 1, "{base_url}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced_without_anyone_noticing() {
    // The second request finds its connection closed, as after a server's restart.
    let wire = Wire::start(|n| match n {
        1 => vec![Step::Close],
        _ => transcript("hello"),
    })
    .await;
    let options = Options {
        pool: Config {
            // A pause this long would not go unnoticed.
            retry_delay_min: Duration::from_secs(1000),
            retry_delay_max: Duration::from_secs(1000),
            ..Config::default()
        },
        ..Options::default()
    };
    let stages = Stages::with(&wire.base_url, options);
    assert_eq!(stages.transcribe().await.unwrap(), "hello");
    assert_eq!(stages.transcribe().await.unwrap(), "hello");
    let stats = stages.pool.stats().await;
    assert_eq!((wire.requests(), wire.accepted()), (3, 2));
    assert_eq!((stats.evictions, stats.services[0].errors_total()), (1, 0));
}

#[tokio::test]
async fn idle_connections_are_dropped_as_a_class_when_one_has_died() {
    // Three connections are opened at once; then every request on one of them finds it dead.
    let wire = Wire::start(|n| match n {
        3 => vec![Step::Close],
        _ => transcript("hello"),
    })
    .await;
    let stages = Stages::new(&wire.base_url);
    let three = (0..3).map(|_| stages.transcribe());
    for result in futures::future::join_all(three).await {
        result.unwrap();
    }
    let before = wire.accepted();
    stages.transcribe().await.unwrap();
    // All of the old ones close, not just the one that was tried.
    wire.closed(before).await;
    assert_eq!(stages.pool.stats().await.evictions, 1);
}

#[tokio::test]
async fn an_empty_account_is_refused_and_not_asked_again() {
    let config = offline_openai::Config {
        fixed: Some(offline_openai::Fixed::default()),
        ..offline_openai::Config::default()
    };
    let (_, server) = Server::bind(config).await.unwrap();
    server.fail(FaultRule {
        endpoint: FaultTarget::Chat,
        kind: FaultKind::QuotaExceeded,
        count: 9,
        retry_after_s: 1,
    });
    let (_, error) = Stages::new(&server.base_url()).chat("hello").await;
    assert_eq!(error.unwrap().kind, ErrorKind::Rejected);
    assert_eq!(server.stats().endpoints.chat.requests, 1);
}
