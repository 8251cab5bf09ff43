//! The monitor against a real server: what is down is noticed without a caller, and when it is back.

use std::time::Duration;

use super::outage::{Outage, options};
use crate::common::eventually;

/// A pool that is checked all the time.
async fn watched() -> Outage {
    let mut options = options();
    options.pool.health_check_after = Duration::ZERO;
    Outage::with(options).await
}

impl Outage {
    /// Waits until the last check has this result.
    async fn is_found(&self, result: &str) {
        eventually("the check", async || {
            let stats = self.stages.pool.stats().await;
            let check = stats.services.first()?.hosts[0].last_check?;
            (check.result == result).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_outage_that_no_caller_meets_is_found_and_its_sockets_are_dropped() {
    let outage = watched().await;
    outage.is_found("ok").await;
    outage.link.take_away().await;
    outage.is_found("unavailable").await;
    assert!(outage.stages.pool.stats().await.evictions >= 1);
    outage.mend().await;
    outage.is_found("ok").await;
    assert_eq!(outage.ask().await, Ok("hello there".to_owned()));
    outage.leaves_nothing().await;
}

#[tokio::test]
async fn a_refused_key_is_found() {
    let outage = watched().await;
    outage.is_found("ok").await;
    outage.fail(offline_openai::FaultKind::Unauthorized);
    outage.is_found("unauthorized").await;
    let evictions = outage.stages.pool.stats().await.evictions;
    assert_eq!(evictions, 0, "the connections are fine");
    outage.mend().await;
    outage.is_found("ok").await;
    outage.leaves_nothing().await;
}
