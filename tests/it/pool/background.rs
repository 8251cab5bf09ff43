//! Work that no caller waits for, while its service is in trouble: the conversations go on.

use std::time::Duration;

use offline_openai::{FaultKind, FaultRule, FaultTarget};
use serde_json::json;
use voxpool::error::ErrorKind;
use voxpool::llm::{OpenAiStructuredLlm, StructuredLlm, StructuredRequest};
use voxpool::pool::{BreakerState, EndpointConfig, HostStats, Priority};
use voxpool::redact::Pii;

use super::outage::{FAILURES, Outage};
use crate::common::eventually;

fn question() -> StructuredRequest {
    StructuredRequest {
        name: "test",
        instructions: "Answer in JSON.".to_owned(),
        input: "hello".to_owned(),
        schema: json!({"type": "object"}),
    }
}

async fn host(outage: &Outage, priority: Priority) -> HostStats {
    let hosts = outage.stats().await.hosts.into_iter();
    let mut hosts = hosts.filter(|host| host.priority == priority);
    hosts.next().expect("it was asked")
}

#[tokio::test]
async fn a_breaker_that_opens_in_the_background_is_closed_by_the_monitor_and_no_caller_meets_it() {
    let outage = Outage::prepare().await;
    let shared = EndpointConfig {
        base_url: format!("http://{}/v1", outage.link.address),
        api_key: Pii::new("sk-test-key".to_owned()),
        ..EndpointConfig::default()
    };
    let llm = OpenAiStructuredLlm::new(
        outage.stages.pool.clone(),
        &shared,
        Default::default(),
        "",
        Duration::from_secs(5),
    )
    .unwrap();
    assert!(outage.server.fail(FaultRule {
        endpoint: FaultTarget::Chat,
        kind: FaultKind::ServerError,
        count: u64::MAX,
        retry_after_s: 60,
    }));
    for _ in 0..FAILURES {
        let error = llm.ask(question()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
    }
    let refused = llm.ask(question()).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::CircuitOpen);
    assert_eq!(outage.ask().await, Ok("hello there".to_owned()));
    let callers = host(&outage, Priority::Caller).await.breaker.unwrap();
    assert_eq!((callers.state, callers.opened), (BreakerState::Closed, 0));

    outage.mend().await;
    eventually("the breaker closes", async || {
        let breaker = host(&outage, Priority::Background).await.breaker?;
        assert!(breaker.opened >= 1);
        (breaker.state == BreakerState::Closed).then_some(())
    })
    .await;
    llm.ask(question()).await.unwrap();
    let permits = outage.stages.pool.stats().await.permits;
    assert_eq!((permits.background_max, permits.background_in_use), (8, 0));
    drop(llm);
    outage.leaves_nothing().await;
}
