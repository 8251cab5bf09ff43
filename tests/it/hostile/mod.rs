//! One participant sends everything, ten others go on talking: the real program, LiveKit's server, the
//! official SDK as the attacker.

mod attacker;
mod calls;

use std::time::Duration;

use offline_openai::{Delays, Fixed, Server, ServerHandle};

use self::attacker::Attacker;
use self::calls::{Calls, Figures};
use crate::common::livekit::{API_KEY, API_SECRET, LiveKit};
use crate::common::within;
use crate::program::Started;

/// Calls beside the attacked one.
const CALLS: usize = 10;

/// How long the calls talk, in peace and under attack.
const TALKING: Duration = Duration::from_secs(60);

/// The worker's drain: how long SIGTERM leaves to running calls.
const DRAIN: Duration = Duration::from_secs(5);

/// The services of the field at a steady pace, so that the worker is what is measured.
async fn services() -> ServerHandle {
    let config = offline_openai::Config {
        fixed: Some(Fixed {
            reply: Some("All right.".to_owned()),
            tone: Duration::from_millis(800),
            ..Fixed::default()
        }),
        delays: Delays {
            stt: Duration::from_millis(100),
            llm_first_token: Duration::from_millis(150),
            ..Delays::default()
        },
        ..offline_openai::Config::default()
    };
    Server::bind(config).await.expect("the stand-in starts").1
}

async fn worker(server: &LiveKit, services: &ServerHandle) -> Started {
    let (url, base_url) = (server.url(), services.base_url());
    let drain = DRAIN.as_secs().to_string();
    let mut worker = Started::with(&[
        ("LIVEKIT_URL", url.as_str()),
        ("LIVEKIT_API_KEY", API_KEY),
        ("LIVEKIT_API_SECRET", API_SECRET),
        ("OPENAI_API_KEY", "unused"),
        ("OPENAI_BASE_URL", &base_url),
        ("VOXPOOL__HTTP__HOST", "127.0.0.1"),
        ("VOXPOOL__MEMORY__STORE", "none"),
        // The log is a pipe that is not read while the calls talk, so it must not fill.
        ("VOXPOOL_LOG", "warn,voxpool::app=info,voxpool::worker=info"),
        ("VOXPOOL__WORKER__LOAD_THRESHOLD", "1"),
        ("VOXPOOL__WORKER__DRAIN_TIMEOUT_SECONDS", &drain),
    ])
    .await;
    worker.logged("registered").await;
    worker
}

#[tokio::test(flavor = "multi_thread")]
async fn one_hostile_caller_costs_the_others_nothing() {
    let (server, services) = (LiveKit::start().await, services().await);
    let worker = worker(&server, &services).await;
    let mut calls = Calls::join(&server, CALLS).await;
    let mut attacker = Attacker::join(&server.url(), "attacked").await;
    let peace = measure(&mut calls, &worker).await;
    attacker.attack().await;
    let attack = measure(&mut calls, &worker).await;
    eprintln!("in peace:     {peace}\nunder attack: {attack}");
    assert_eq!((peace.missed, attack.missed), (0, 0), "turns were missed");
    let grown = attack
        .resident_bytes_max
        .saturating_sub(peace.resident_bytes_max);
    assert!(grown <= 50 << 20, "the attack costs {} MB", grown >> 20);
    // A guard against what callers would notice. The exact ratio needs a quiet machine: attacker, server,
    // callers and an unoptimised worker share its cores here.
    assert!(attack.p95() <= 2 * peace.p95(), "the others wait too long");

    worker.signal("TERM");
    let ending = worker.exit_code();
    let code = tokio::time::timeout(DRAIN + Duration::from_secs(10), ending).await;
    let code = code.expect("the worker ends within its drain");
    assert_eq!(code, 0, "the drain was all there was");
    let sent = within("the attacker stops", attacker.stop()).await;
    eprintln!("sent: {sent}");
}

/// The calls talk for a while; what they waited for, and the most memory that the worker had.
async fn measure(calls: &mut Calls, worker: &Started) -> Figures {
    let talking = calls.talk(TALKING);
    tokio::pin!(talking);
    let mut resident_bytes_max = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    let mut figures = loop {
        tokio::select! {
            figures = &mut talking => break figures,
            _ = ticks.tick() => resident_bytes_max = resident_bytes_max.max(worker.resident_bytes()),
        }
    };
    figures.resident_bytes_max = resident_bytes_max;
    figures
}
