//! Two services that listen while the user speaks: one takes over from the other, and back again.

use std::time::Duration;

use offline_openai::{Fixed, Server, ServerHandle};
use voxpool::config::Config;
use voxpool::pool::{self, BreakerConfig, ConnectionPool};
use voxpool::stages::Stages;
use voxpool::stt::Stt;
use voxpool::stt::{Fallback, Mode};

use super::stages::utterance;
use crate::common::eventually;

async fn hearing(transcript: &str) -> ServerHandle {
    let config = offline_openai::Config {
        fixed: Some(Fixed {
            transcript: transcript.to_owned(),
            ..Fixed::default()
        }),
        ..offline_openai::Config::default()
    };
    let (_, server) = Server::bind(config).await.unwrap();
    server
}

/// What is heard of an utterance that is listened to as it is spoken.
async fn listen(stt: &dyn Stt) -> String {
    let hearing = stt.listen().expect("it listens");
    hearing.hear(&utterance());
    hearing.transcribe(utterance()).await.unwrap()
}

#[tokio::test]
async fn another_service_listens_while_the_first_is_in_trouble() {
    let (first, second) = (hearing("first").await, hearing("second").await);
    let mut config = Config::default();
    config.openai.base_url = first.base_url();
    config.stt.mode = Mode::Realtime;
    config.stt.fallback_after = Duration::from_secs(2);
    config.stt.fallback.push(Fallback {
        base_url: second.base_url(),
        ..Fallback::default()
    });
    config.pool = pool::Config {
        health_interval: Duration::from_millis(200),
        breaker: BreakerConfig {
            open: Duration::from_millis(400),
            open_max: Duration::from_millis(800),
            ..BreakerConfig::default()
        },
        ..config.pool
    };
    let pool = ConnectionPool::new(config.pool.clone()).unwrap();
    let stages = Stages::new(&config, &pool).unwrap();
    let endpoints: Vec<_> = stages.endpoints.iter().map(|(_, it)| it.clone()).collect();
    pool.watch(&endpoints);
    let watching = pool.clone();
    let monitor = tokio::spawn(async move { watching.monitor().await });

    assert_eq!(listen(&*stages.stt).await, "first");
    for fault in [
        "transcriptions:server_error",
        "transcriptions:hang",
        "realtime:server_error",
    ] {
        let n_faults = match fault {
            "realtime:server_error" => {
                // The connections that are open are good; there is to be a new one.
                pool.cleanup().await;
                9
            }
            _ => 1,
        };
        for _ in 0..n_faults {
            assert!(first.fail(fault.parse().unwrap()));
        }
        assert_eq!(listen(&*stages.stt).await, "second", "{fault}");
        first.clear_faults();
        eventually("the first listens again", async || {
            (listen(&*stages.stt).await == "first").then_some(())
        })
        .await;
    }
    first.stop().await;
    assert_eq!(listen(&*stages.stt).await, "second");
    monitor.abort();
}
