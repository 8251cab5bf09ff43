//! Services that fail in the middle of a real call: the caller hears of it, and the call goes on.

use std::time::Duration;

use offline_openai::{Server, ServerHandle};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;
use voxpool::pool::{BreakerState, BreakerStats, HostStats};
use voxpool::session::Greeting;

use super::{Caller, House};
use crate::common::eventually;
use crate::common::left::leaves_nothing;
use crate::common::names::Names;
use crate::common::toxiproxy::Link;
use crate::pool::stages::Options;

fn fault(rule: &str) -> offline_openai::FaultRule {
    rule.parse().expect("a fault that the stand-in knows")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_model_is_apologised_for_and_the_next_turn_is_answered() {
    let house = House::open(None, "Welcome.").await;
    let at_rest = house.at_rest().await;
    let cases = [
        ("chat:unauthorized", "wrong on my side"),
        ("chat:rate_limited:1:60", "too much to do"),
        ("chat:cut", "having trouble"),
        // As often as it is tried.
        ("chat:server_error:4", "having trouble"),
        ("chat:malformed:2", "having trouble"),
    ];
    for (n, (rule, apology)) in cases.into_iter().enumerate() {
        let room = format!("model-trouble-{n}");
        let caller = Caller::join(&house.server.url(), &room).await;
        caller.reads(true, "Welcome").await;
        house.services.fail(fault(rule));
        caller.type_text("tell me something").await;
        caller.reads(true, apology).await;
        caller.type_text("my name is John").await;
        caller.reads(true, "Nice to meet you").await;
        assert_eq!(caller.n_lines(apology), 1, "{rule}");
        caller.hang_up().await;
        house.is_back_to(at_rest, rule).await;
    }
    leaves_nothing(house.close().await).await;
}

/// The host that the model is at, once it was asked.
async fn host(house: &House) -> Option<HostStats> {
    let services = house.pool.stats().await.services;
    let mut hosts = services.into_iter().flat_map(|service| service.hosts);
    let host = house.stages.llm.endpoint().host();
    hosts.find(|it| it.host.as_deref() == Some(&**host))
}

async fn breaker(house: &House) -> BreakerStats {
    let host = host(house).await.expect("the model was asked");
    host.breaker.expect("breakers are on")
}

/// A house whose model is behind a link that can be broken, with the pool's monitor at work.
struct FarModel {
    house: House,
    link: Link,
    model: ServerHandle,
    monitor: AbortOnDropHandle<()>,
}

impl FarModel {
    /// `settings` say how the model is reached.
    async fn open(settings: impl Fn(&Link, &mut Options)) -> Self {
        let (address, model) = Server::bind(offline_openai::Config::default())
            .await
            .expect("the model starts");
        let link = Link::to(&address.to_string()).await;
        let options = || {
            let mut options = Options::default();
            options.pool.retries_max = 1;
            options.pool.breaker.failures_in_a_row = 1;
            options.pool.breaker.open = Duration::from_millis(500);
            settings(&link, &mut options);
            options
        };
        let welcome = Greeting {
            text: "Welcome.".to_owned(),
            ..Greeting::default()
        };
        let house = House::open_as(None, welcome, None, options).await;
        house.pool.watch(&[house.stages.llm.endpoint().clone()]);
        let pool = house.pool.clone();
        let monitor = tokio::spawn(async move { pool.monitor().await });
        Self {
            house,
            link,
            model,
            monitor: AbortOnDropHandle::new(monitor),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_gone_or_silent_is_apologised_for_and_back_before_anybody_asks() {
    let FarModel {
        house,
        link,
        model,
        monitor,
    } = FarModel::open(|link, options| {
        options.llm.base_url = format!("http://{}/v1", link.address);
    })
    .await;
    let at_rest = house.at_rest().await;
    for trouble in ["refused", "silent"] {
        let caller = Caller::join(&house.server.url(), trouble).await;
        caller.reads(true, "Welcome").await;
        caller.type_text("hello there").await;
        caller.reads(true, "help you").await;
        let before = breaker(&house).await.opened;
        match trouble {
            "refused" => link.take_away().await,
            _ => {
                let silent = json!({"type": "timeout", "attributes": {"timeout": 0}});
                link.poison(silent).await;
            }
        }
        caller.type_text("tell me something").await;
        caller.reads(true, "having trouble").await;
        assert!(breaker(&house).await.opened > before, "{trouble}");
        link.mend().await;
        eventually("the breaker closes, and nobody has asked", async || {
            (breaker(&house).await.state == BreakerState::Closed).then_some(())
        })
        .await;
        caller.type_text("my name is John").await;
        caller.reads(true, "Nice to meet you").await;
        assert_eq!(caller.n_lines("having trouble"), 1, "{trouble}");
        caller.hang_up().await;
        house.is_back_to(at_rest, trouble).await;
    }
    drop(monitor);
    let pool = house.close().await;
    model.stop().await;
    leaves_nothing(pool).await;
}

/// An outage of DNS: the name of the model's server cannot be resolved, and the server is well.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_name_is_gone_is_not_missed_at_first_and_back_before_anybody_asks() {
    let names = Names::default();
    let FarModel {
        house,
        link,
        model,
        monitor,
    } = FarModel::open(|link, options| {
        let port = link.address.trim_start_matches("127.0.0.1:");
        options.llm.base_url = format!("http://model.test:{port}/v1");
        options.names = Some(names.clone());
        // Each connection that is new needs the name.
        options.pool.dns_ttl = Duration::ZERO;
    })
    .await;
    let at_rest = house.at_rest().await;
    eventually("the monitor has looked", async || {
        host(&house).await?.last_check
    })
    .await;
    // What it has opened and learned goes: the call has its own.
    assert!(house.pool.cleanup().await.is_done);
    let caller = Caller::join(&house.server.url(), "name-gone").await;
    caller.reads(true, "Welcome").await;
    caller.type_text("hello there").await;
    caller.reads(true, "help you").await;

    // The connections are closed, and the old answer leads to new ones.
    names.take_away();
    link.take_away().await;
    link.mend().await;
    caller.type_text("how are you").await;
    caller.reads(true, "very well").await;
    let stats = house.pool.stats().await;
    assert!(stats.dns.stale_answers >= 1, "{:?}", stats.dns);
    assert_eq!(breaker(&house).await.opened, 0);

    // Without it nobody gets there.
    assert_eq!(house.pool.cleanup().await.dns_answers_dropped, 1);
    let n_failed = house.pool.stats().await.connections.failed;
    caller.type_text("tell me something").await;
    caller.reads(true, "having trouble").await;
    let stats = house.pool.stats().await;
    assert!(stats.connections.failed > n_failed, "{stats:?}");
    assert!(stats.services[0].errors["unavailable"] >= 1, "{stats:?}");
    assert!(breaker(&house).await.opened >= 1);

    names.give_back();
    eventually("the breaker closes, and nobody has asked", async || {
        (breaker(&house).await.state == BreakerState::Closed).then_some(())
    })
    .await;
    caller.type_text("my name is John").await;
    caller.reads(true, "Nice to meet you").await;
    assert_eq!(caller.n_lines("having trouble"), 1);
    caller.hang_up().await;
    house.is_back_to(at_rest, "a name that is gone").await;
    drop(monitor);
    let pool = house.close().await;
    model.stop().await;
    leaves_nothing(pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_transcription_is_apologised_for_and_the_next_words_are_understood() {
    let house = House::open(None, "Welcome.").await;
    let at_rest = house.at_rest().await;
    let hello = house.speech("hello there").await;
    let caller = Caller::join(&house.server.url(), "transcription-trouble").await;
    caller.reads(true, "Welcome").await;
    // The guess at the pause may be one of the two.
    house
        .services
        .fail(fault("transcriptions:rate_limited:2:60"));
    caller.say(&hello).await;
    caller.reads(true, "too much to do").await;
    house.services.clear_faults();
    caller.hears_silence().await;
    caller.say(&hello).await;
    caller.reads(false, "hello there").await;
    caller.reads(true, "help you").await;
    caller.hang_up().await;
    house.is_back_to(at_rest, "transcription").await;
    leaves_nothing(house.close().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_that_fails_is_replaced_by_a_tone_and_comes_back() {
    let house = House::open(None, "Welcome.").await;
    let at_rest = house.at_rest().await;
    let caller = Caller::join(&house.server.url(), "voice-trouble").await;
    caller.reads(true, "Welcome").await;
    caller.hears_silence().await;
    house.services.fail(fault("speech:unauthorized:9"));
    caller.type_text("hello there").await;
    caller.hears(5).await;
    house.services.clear_faults();
    caller.type_text("my name is John").await;
    caller.reads(true, "Nice to meet you").await;
    caller.hang_up().await;
    house.is_back_to(at_rest, "voice").await;
    leaves_nothing(house.close().await).await;
}
