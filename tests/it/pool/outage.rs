//! A worker's pool while its service is in trouble: the set-up of `outages.rs` and `health.rs`.

use std::time::Duration;

use offline_openai::{Config as ServerConfig, FaultKind, FaultRule, FaultTarget, Fixed};
use offline_openai::{Delays, Server, ServerHandle};
use tokio::task::JoinHandle;
use voxpool::error::ErrorKind;
use voxpool::pool::{BreakerConfig, BreakerState, Config, ConnectionPool, ServiceStats};

use super::stages::{Options, Stages};
use crate::common::toxiproxy::Link;
use crate::common::{eventually, left};

/// How long the breaker stays open: long enough to be seen open on a busy machine.
const OPEN: Duration = Duration::from_millis(1000);

/// Failures in a row that open it.
pub(crate) const FAILURES: u32 = 3;

/// A pool with its monitor, and a server at the other end of a link that can be broken.
pub(crate) struct Outage {
    pub(crate) stages: Stages,
    pub(crate) server: ServerHandle,
    pub(crate) link: Link,
    monitor: JoinHandle<()>,
}

/// What every reply says.
pub(crate) const REPLY: &str = "Hello. How can I help you? I know a lot about tea and trains.";

impl Outage {
    pub(crate) async fn prepare() -> Self {
        Self::with(options()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let config = ServerConfig {
            fixed: Some(Fixed {
                reply: Some(REPLY.to_owned()),
                ..Fixed::default()
            }),
            delays: Delays {
                llm_token: Duration::from_millis(5),
                ..Delays::default()
            },
            ..ServerConfig::default()
        };
        let (address, server) = Server::bind(config).await.unwrap();
        let link = Link::to(&address.to_string()).await;
        let stages = Stages::with(&format!("http://{}/v1", link.address), options);
        // All is well at first, so the monitor has nothing to check for now.
        stages.transcribe().await.unwrap();
        let monitor = tokio::spawn(monitor(&stages));
        Self {
            stages,
            server,
            link,
            monitor,
        }
    }

    /// Makes every request fail in this way until [`Outage::mend`].
    pub(crate) fn fail(&self, kind: FaultKind) {
        let is_accepted = self.server.fail(FaultRule {
            endpoint: FaultTarget::Any,
            kind,
            count: u64::MAX,
            retry_after_s: 60,
        });
        assert!(is_accepted);
    }

    /// Ends every kind of trouble.
    pub(crate) async fn mend(&self) {
        self.server.clear_faults();
        self.link.mend().await;
    }

    /// Transcribes; the kind of the failure.
    pub(crate) async fn ask(&self) -> Result<String, ErrorKind> {
        let result = self.stages.transcribe().await;
        result.map_err(|error| error.kind)
    }

    /// The service's statistics.
    pub(crate) async fn stats(&self) -> ServiceStats {
        self.stages.pool.stats().await.services.remove(0)
    }

    /// State of the breaker, and how often it has opened.
    pub(crate) async fn breaker(&self) -> (BreakerState, u64) {
        let breaker = self.stats().await.hosts[0].breaker.unwrap();
        (breaker.state, breaker.opened)
    }

    /// Waits until the monitor has closed the breaker; no caller asks meanwhile.
    pub(crate) async fn closed(&self) {
        eventually("the breaker closes", async || {
            (self.breaker().await.0 == BreakerState::Closed).then_some(())
        })
        .await;
    }

    /// Calls fail as expected until the breaker opens; then they are refused at once. When the
    /// trouble is over the breaker closes by itself, and all is as before.
    pub(crate) async fn runs_its_course(self, expected: ErrorKind) {
        for _ in 0..FAILURES {
            assert_eq!(self.ask().await, Err(expected));
        }
        assert_eq!(self.breaker().await, (BreakerState::Open, 1));
        let asked = self.server.stats().endpoints.transcriptions.requests;
        let refused = self.stages.transcribe().await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::CircuitOpen);
        assert!(refused.retry_after.unwrap() <= 2 * OPEN);
        let after = self.server.stats().endpoints.transcriptions.requests;
        assert_eq!(after, asked, "nothing was sent");

        let stats = self.stats().await;
        assert_eq!(stats.errors[expected.label()], u64::from(FAILURES));
        assert_eq!(stats.errors["circuit_open"], 1);
        assert_eq!(stats.last_failure, Some(expected.label()));

        self.mend().await;
        self.closed().await;
        assert_eq!(self.ask().await, Ok("hello there".to_owned()));
        self.leaves_nothing().await;
    }

    /// Ends everything: no call, place, socket or task of the pool is left.
    pub(crate) async fn leaves_nothing(self) {
        self.monitor.abort();
        let stats = self.stages.pool.stats().await;
        for host in stats.services.iter().flat_map(|it| &it.hosts) {
            assert_eq!(host.limit.unwrap().in_use, 0);
        }
        let pool = self.stages.pool.clone();
        left::closes(&pool).await;
        drop((self.stages, self.server, self.link));
        left::leaves_nothing(pool).await;
    }
}

/// Short times, so that no test waits long for one.
pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.pool = Config {
        retries_max: 1,
        health_interval: Duration::from_millis(100),
        breaker: BreakerConfig {
            failures_in_a_row: FAILURES,
            open: OPEN,
            open_max: 2 * OPEN,
            ..BreakerConfig::default()
        },
        ..options.pool
    };
    options.stt.timeout = Duration::from_millis(400);
    options.stt.attempt_timeout = Duration::from_millis(200);
    options.llm.timeout = Duration::from_millis(2000);
    options.llm.idle_timeout = voxpool::pool::IDLE_TIMEOUT_MIN;
    options
}

fn monitor(stages: &Stages) -> impl Future<Output = ()> + Send + 'static {
    let pool: ConnectionPool = stages.pool.clone();
    pool.watch(&[stages.stt.endpoint().clone()]);
    async move { pool.monitor().await }
}
