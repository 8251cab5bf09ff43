//! What a service's troubles do to its callers, and that nothing is left of them afterwards.
//!
//! The stand-in makes the trouble that HTTP can tell, toxiproxy the trouble of the network.

use futures::StreamExt;
use offline_openai::FaultKind;
use serde_json::json;
use voxpool::error::ErrorKind;
use voxpool::llm::Llm;
use voxpool::pool::BreakerState;

use super::outage::{FAILURES, Outage, REPLY, options};
use super::stages::{Stages, request};

#[tokio::test]
async fn five_hundreds() {
    let outage = Outage::prepare().await;
    outage.fail(FaultKind::ServerError);
    outage.runs_its_course(ErrorKind::Unavailable).await;
}

#[tokio::test]
async fn a_service_that_accepts_and_says_nothing() {
    let outage = Outage::prepare().await;
    outage.fail(FaultKind::Hang);
    outage.runs_its_course(ErrorKind::Timeout).await;
}

#[tokio::test]
async fn answers_that_stall_half_way() {
    let outage = Outage::prepare().await;
    outage.fail(FaultKind::Stall);
    outage.runs_its_course(ErrorKind::Timeout).await;
}

#[tokio::test]
async fn answers_that_are_cut() {
    let outage = Outage::prepare().await;
    outage.fail(FaultKind::Cut);
    outage.runs_its_course(ErrorKind::Malformed).await;
}

#[tokio::test]
async fn answers_that_are_no_json() {
    let outage = Outage::prepare().await;
    outage.fail(FaultKind::Malformed);
    outage.runs_its_course(ErrorKind::Malformed).await;
}

#[tokio::test]
async fn refused_connections() {
    let outage = Outage::prepare().await;
    outage.link.take_away().await;
    outage.runs_its_course(ErrorKind::Unavailable).await;
}

#[tokio::test]
async fn a_network_that_swallows_everything() {
    let outage = Outage::prepare().await;
    let toxic = json!({"type": "timeout", "attributes": {"timeout": 0}});
    outage.link.poison(toxic).await;
    outage.runs_its_course(ErrorKind::Timeout).await;
}

#[tokio::test]
async fn connections_that_are_reset() {
    let outage = Outage::prepare().await;
    let toxic = json!({"type": "reset_peer", "attributes": {"timeout": 0}});
    outage.link.poison(toxic).await;
    outage.runs_its_course(ErrorKind::Unavailable).await;
}

#[tokio::test]
async fn a_service_that_restarts_between_two_calls_is_not_missed() {
    let outage = Outage::prepare().await;
    // Every connection closes, and the server is back.
    outage.link.take_away().await;
    outage.mend().await;
    assert_eq!(outage.ask().await, Ok("hello there".to_owned()));
    assert_eq!(outage.breaker().await, (BreakerState::Closed, 0));
    assert_eq!(outage.stats().await.errors_total(), 0);
    outage.leaves_nothing().await;
}

#[tokio::test]
async fn too_many_requests_are_an_answer_and_lower_the_limit() {
    let outage = Outage::prepare().await;
    for _ in 0..8 {
        outage.fail(FaultKind::RateLimited);
        let error = outage.stages.transcribe().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::RateLimited);
        assert_eq!(error.retry_after.unwrap().as_secs(), 60);
        // Something gets through in between.
        outage.mend().await;
        outage.ask().await.unwrap();
    }
    let stats = outage.stats().await;
    assert_eq!(stats.retries, 0, "nobody waits a minute within a call");
    let host = &stats.hosts[0];
    assert_eq!(host.breaker.unwrap().state, BreakerState::Closed);
    let lowered = host.limit.unwrap().limit;
    assert!(lowered < 30, "{lowered}");

    for _ in 0..20 {
        outage.ask().await.unwrap();
    }
    let limit = outage.stats().await.hosts[0].limit.unwrap().limit;
    assert!(limit > lowered, "{limit}: it grows back from {lowered}");
    outage.leaves_nothing().await;
}

#[tokio::test]
async fn nothing_but_too_many_requests() {
    let outage = Outage::prepare().await;
    outage.fail(FaultKind::RateLimited);
    outage.runs_its_course(ErrorKind::RateLimited).await;
}

#[tokio::test]
async fn replies_that_break_off_open_the_breaker_although_they_began_well() {
    let outage = Outage::prepare().await;
    // The head of the answer and a few words pass.
    let toxic = json!({"type": "limit_data", "attributes": {"bytes": 900}});
    outage.link.poison(toxic).await;
    // With the one before the trouble ten calls, and so many say something about the service.
    for _ in 0..9 {
        let (text, error) = outage.stages.chat("hello").await;
        assert!(
            REPLY.starts_with(&text) && !text.is_empty() && text != REPLY,
            "{text}"
        );
        assert_eq!(error.unwrap().kind, ErrorKind::Malformed);
    }
    assert_eq!(outage.breaker().await, (BreakerState::Open, 1));
    assert_eq!(outage.stats().await.errors["malformed"], 9);

    outage.mend().await;
    outage.closed().await;
    assert_eq!(outage.stages.chat("hello").await.0, REPLY);
    outage.leaves_nothing().await;
}

#[tokio::test]
async fn a_name_that_is_gone() {
    let mut options = options();
    // The system's resolver may take its time to say that there is no such name.
    options.stt.timeout = super::stages::SOON;
    options.stt.attempt_timeout = super::stages::SOON;
    let stages = Stages::with("http://nobody.invalid/v1", options);
    for _ in 0..FAILURES {
        let error = stages.transcribe().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
    }
    let stats = stages.pool.stats().await;
    let asked = 2 * u64::from(FAILURES);
    assert_eq!((stats.dns.failures, stats.connections.opened), (asked, 0));
    let breaker = stats.services[0].hosts[0].breaker.unwrap();
    assert_eq!(breaker.opened, 1);
}

#[tokio::test]
async fn callers_who_give_up_leave_nothing_and_are_no_failures() {
    let outage = Outage::prepare().await;
    outage.fail(FaultKind::Hang);
    for _ in 0..20 {
        let before = outage.server.stats().endpoints.chat.requests;
        let mut reply = outage.stages.llm.chat(request("hello"));
        tokio::select! {
            _ = reply.next() => panic!("answered by a server that hangs"),
            () = crate::common::eventually("the request arrives", async || {
                (outage.server.stats().endpoints.chat.requests > before).then_some(())
            }) => {}
        }
    }
    let stats = outage.stats().await;
    assert_eq!((stats.cancelled, stats.errors_total()), (20, 0));
    assert_eq!(outage.breaker().await, (BreakerState::Closed, 0));
    assert_eq!(stats.hosts[0].limit.unwrap().limit, 30);
    outage.leaves_nothing().await;
}

/// A service that becomes slow while it has much to do is asked less at once.
#[tokio::test]
async fn a_service_that_slows_down_under_load_is_asked_less_at_once() {
    let mut options = options();
    options.stt.timeout = super::stages::SOON;
    options.stt.attempt_timeout = super::stages::SOON;
    let outage = Outage::with(options).await;
    for _ in 0..20 {
        outage.ask().await.unwrap();
    }
    let toxic = json!({"type": "latency", "attributes": {"latency": 1000}});
    outage.link.poison(toxic).await;
    let calls = (0..40).map(|_| outage.ask());
    for result in futures::future::join_all(calls).await {
        assert_eq!(result, Ok("hello there".to_owned()));
    }
    let stats = outage.stats().await;
    let limit = stats.hosts[0].limit.unwrap().limit;
    assert!(limit < 30, "{limit}");
    assert_eq!(outage.breaker().await, (BreakerState::Closed, 0));
    outage.mend().await;
    outage.leaves_nothing().await;
}
