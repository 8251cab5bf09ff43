//! Greetings that workers share.

use std::sync::Arc;

use offline_openai::{Server, ServerHandle};
use voxpool::cache::{Cache, CacheStats, Config};
use voxpool::session::{self, Agent, Greeting, GreetingCache, GreetingMode, MadeWith};
use voxpool::tools::ToolSet;

use crate::common::redis::Redis;
use crate::pool::stages::Stages;

/// A worker that has just started: it has its greeting made or gets it.
async fn start(services: &ServerHandle, redis: &Redis) -> CacheStats {
    let stages = Stages::new(&services.base_url());
    let config = Config {
        redis_url: redis.url(),
        redis_timeout: std::time::Duration::from_secs(2),
        ..Config::default()
    };
    let cache = Cache::new(config, &stages.pool).unwrap();
    let agent = Agent {
        instructions: "You are a friendly voice assistant.".to_owned(),
        greeting: Greeting {
            mode: GreetingMode::Generate,
            text: "Greet the caller.".to_owned(),
            ..Greeting::default()
        },
        greetings: Some(GreetingCache::new(cache.clone(), MadeWith::default())),
        stt: Arc::new(stages.stt),
        llm: Arc::new(stages.llm),
        tts: Arc::new(stages.tts),
        tools: ToolSet::new(Vec::new()),
    };
    agent.prewarm(&session::Config::default()).await;
    let stats = cache.stats().await;
    cache.close().await;
    stats
}

#[tokio::test]
async fn two_workers_make_one_greeting_and_a_broken_copy_is_made_anew() {
    let redis = Redis::start().await;
    let (_, services) = Server::bind(offline_openai::Config::default())
        .await
        .unwrap();
    let first = start(&services, &redis).await;
    assert_eq!((first.misses, first.shared.unwrap().stored), (1, 1));
    let requests = services.stats().total.requests;
    let second = start(&services, &redis).await;
    assert_eq!((second.misses, second.shared.unwrap().hits), (0, 1));
    assert_eq!(first.bytes, second.bytes);
    assert_eq!(services.stats().total.requests, requests);

    let key = &redis.keys()[0];
    assert!(key.starts_with("voxpool:greeting:v1:"), "{key}");
    let bytes: usize = redis::cmd("STRLEN")
        .arg(key)
        .query(&mut redis.client())
        .unwrap();
    let _: usize = redis::cmd("SETRANGE")
        .arg(key)
        .arg(bytes)
        .arg("!")
        .query(&mut redis.client())
        .unwrap();
    let third = start(&services, &redis).await;
    assert_eq!((third.misses, third.shared.unwrap().unreadable), (1, 1));
    services.stop().await;
}
