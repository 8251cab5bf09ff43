//! A name that is gone and comes back, under a pool with its monitor and real sockets.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::super::{BreakerConfig, BreakerState, Config, ConnectionPool, Endpoint, PoolStats};
use super::*;
use crate::error::{ErrorKind, Service};

/// A server that answers everything with `{}`, and how many connections it has.
async fn server() -> (u16, Arc<AtomicUsize>, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let open = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&open);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let open = Arc::clone(&counted);
            open.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                answer(stream).await.ok();
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (port, open, AbortOnDropHandle::new(task))
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    loop {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(answer).await?;
        }
    }
}

/// A pool for which there is one name, while the switch says so.
fn pool() -> (ConnectionPool, Arc<AtomicBool>) {
    let is_gone = Arc::<AtomicBool>::default();
    let switch = Arc::clone(&is_gone);
    let resolver = CachingResolver::new(Duration::ZERO, move |_| {
        let answer = match switch.load(Ordering::SeqCst) {
            true => Err(io::Error::other("no such name")),
            false => Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))]),
        };
        Box::pin(async move { answer })
    });
    let config = Config {
        retries_max: 0,
        health_interval: Duration::from_millis(100),
        cleanup_interval_min: Duration::ZERO,
        breaker: BreakerConfig {
            failures_in_a_row: 3,
            open: Duration::from_millis(300),
            open_max: Duration::from_millis(600),
            ..BreakerConfig::default()
        },
        ..Config::default()
    };
    let pool = ConnectionPool::build(config, resolver).unwrap();
    (pool, is_gone)
}

async fn ask(pool: &ConnectionPool, endpoint: &Endpoint) -> Result<(), ErrorKind> {
    let client = pool.http(endpoint, Duration::from_secs(10));
    let answer = client.send("test", Method::GET, "/", |request| request);
    answer.await.map(drop).map_err(|error| error.kind)
}

fn breaker(stats: &PoolStats) -> (BreakerState, u64) {
    let breaker = stats.services[0].hosts[0].breaker.unwrap();
    (breaker.state, breaker.opened)
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    waited.unwrap_or_else(|_| panic!("{what}: not within 30 s"));
}

#[tokio::test]
async fn a_name_that_is_gone_is_not_missed_at_first_and_used_again_when_it_is_back() {
    let (port, open, server) = server().await;
    let (pool, is_gone) = pool();
    let url = format!("http://service.test:{port}");
    let endpoint = Endpoint::of(Service::Http, &url, HeaderMap::new()).unwrap();
    pool.watch(std::slice::from_ref(&endpoint));
    let monitor = {
        let pool = pool.clone();
        AbortOnDropHandle::new(tokio::spawn(async move { pool.monitor().await }))
    };
    assert_eq!(ask(&pool, &endpoint).await, Ok(()));

    // The old answer still leads there, also for a connection that is new.
    is_gone.store(true, Ordering::SeqCst);
    pool.0.shared.http.drop_all_idle();
    assert_eq!(ask(&pool, &endpoint).await, Ok(()));
    assert!(pool.stats().await.dns.stale_answers >= 1);

    // Without one nobody gets there, and is told so at once when that is known.
    assert_eq!(pool.cleanup().await.dns_answers_dropped, 1);
    while ask(&pool, &endpoint).await != Err(ErrorKind::CircuitOpen) {
        assert_eq!(
            pool.stats().await.services[0].last_failure,
            Some("unavailable")
        );
    }
    let stats = pool.stats().await;
    assert!(breaker(&stats).1 >= 1);
    assert!(stats.dns.failures >= 3 && stats.services[0].errors["unavailable"] >= 3);

    is_gone.store(false, Ordering::SeqCst);
    until("the breaker closes, and no caller asks", async || {
        breaker(&pool.stats().await).0 == BreakerState::Closed
    })
    .await;
    assert_eq!(ask(&pool, &endpoint).await, Ok(()));

    drop(monitor);
    let stats = pool.stats().await;
    assert_eq!((stats.permits.in_use, stats.services[0].in_flight), (0, 0));
    pool.close().await;
    until("every socket is closed", async || {
        open.load(Ordering::SeqCst) == 0
    })
    .await;
    drop((pool, server));
    until("every task ends", async || {
        Handle::current().metrics().num_alive_tasks() == 0
    })
    .await;
}
