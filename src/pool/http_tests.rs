use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;

use futures::future::join_all;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::super::connector::awaited;
use super::*;

/// Clients whose recipe works while the switch says so, which it does not yet.
fn http() -> (Http, Arc<AtomicBool>) {
    let works = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&works);
    let resolver = CachingResolver::system(Duration::from_secs(1));
    let mut http = Http::new(&Config::default(), resolver, Ledger::default()).unwrap();
    let good = std::mem::replace(&mut http.recipe, Box::new(|_| ClientBuilder::new()));
    http.recipe = Box::new(move |underway| {
        let client = good(underway);
        match switch.load(Ordering::Relaxed) {
            true => client,
            // No header may hold that.
            false => client.user_agent("two\nlines"),
        }
    });
    (http, works)
}

#[test]
fn a_client_that_cannot_be_built_is_done_without_and_built_by_who_needs_it() {
    let (http, works) = http();
    let host = Arc::from("a:443");
    drop([http.take(&host), http.take(&host)]);
    let stats = http.stats();
    assert!(!stats.is_shared);
    assert_eq!((stats.build_failures, stats.one_off_requests), (2, 2));
    works.store(true, Ordering::Relaxed);
    drop(http.take(&host));
    let stats = http.stats();
    assert!(stats.is_shared);
    assert_eq!((stats.build_failures, stats.one_off_requests), (2, 2));
}

#[test]
fn a_websocket_is_never_asked_for_over_http2() {
    let (http, _) = http();
    assert_eq!(http.socket_tls().alpn_protocols, [b"http/1.1"]);
}

/// A server that speaks HTTP/2 alone, and how many connections it got.
async fn http2_server() -> (SocketAddr, Arc<AtomicUsize>, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&accepted);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = service_fn(async |_| {
                let body = reqwest::Body::from("hello");
                Ok::<_, Infallible>(http::Response::new(body))
            });
            let server = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
        }
    });
    (address, accepted, AbortOnDropHandle::new(serving))
}

#[tokio::test]
async fn requests_to_a_host_that_speaks_http2_share_one_connection() {
    let (address, accepted, _server) = http2_server().await;
    let (mut http, works) = http();
    works.store(true, Ordering::Relaxed);
    let recipe = std::mem::replace(&mut http.recipe, Box::new(|_| ClientBuilder::new()));
    http.recipe = Box::new(move |underway| recipe(underway).http2_prior_knowledge());
    let host: Arc<str> = Arc::from(address.to_string());
    let ask = async || {
        let slot = http.take(&host);
        let request = slot.client.get(format!("http://{address}/"));
        let response = awaited(request.send()).await.unwrap();
        http.answered(&slot, &response);
        assert_eq!(response.text().await.unwrap(), "hello");
        slot.note_read();
    };
    ask().await;
    join_all((0..50).map(|_| ask())).await;
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
    http.drop_all_idle();
    // The next one is opened once, however many ask for it before it is there.
    join_all((0..50).map(|_| ask())).await;
    assert_eq!(accepted.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn more_requests_than_a_connection_carries_open_another_one() {
    let (address, accepted, _server) = http2_server().await;
    let (mut http, works) = http();
    works.store(true, Ordering::Relaxed);
    let recipe = std::mem::replace(&mut http.recipe, Box::new(|_| ClientBuilder::new()));
    http.recipe = Box::new(move |underway| recipe(underway).http2_prior_knowledge());
    let host: Arc<str> = Arc::from(address.to_string());
    let answered = async || {
        let slot = http.take(&host);
        let response = awaited(slot.client.get(format!("http://{address}/")).send()).await;
        assert!(http.answered(&slot, &response.unwrap()));
        slot
    };
    let mut held = vec![answered().await];
    for _ in 1..250 {
        held.push(answered().await);
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 3, "a hundred to each");
    held.truncate(90);
    held.push(answered().await);
    assert_eq!(accepted.load(Ordering::SeqCst), 3);
}
