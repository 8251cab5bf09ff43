//! Name resolution with a memory: answers are reused until their time is over.
//!
//! The system's resolver does the asking, or another one that is given. While it fails, an old answer
//! is better than none, so an expired one is used again; a failure itself is never remembered.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::Serialize;
use tokio::time::Instant;

/// Names remembered at most; the process talks to a handful.
const NAMES_MAX: usize = 256;

type Lookup = dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// A caching resolver; clones share one memory.
#[derive(Clone)]
pub(super) struct CachingResolver {
    cache: Arc<Mutex<Cache>>,
    lookup: Arc<Lookup>,
    ttl: Duration,
}

/// What the resolver did since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DnsStats {
    /// Names asked for and answered from memory.
    pub hits: u64,
    /// Names that the system was asked for.
    pub misses: u64,
    /// Times the system had no answer.
    pub failures: u64,
    /// Failures that an expired answer covered.
    pub stale_answers: u64,
}

#[derive(Default)]
struct Cache {
    entries: HashMap<String, Entry>,
    stats: DnsStats,
}

struct Entry {
    addresses: Vec<SocketAddr>,
    expires: Instant,
}

impl CachingResolver {
    /// Asks the operating system.
    pub(super) fn system(ttl: Duration) -> Self {
        Self::new(ttl, |name| {
            Box::pin(
                async move { Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.collect()) },
            )
        })
    }

    /// Asks `resolver`.
    pub(super) fn asking(ttl: Duration, resolver: impl Resolve + 'static) -> Self {
        let resolver = Arc::new(resolver);
        Self::new(ttl, move |name| {
            let resolver = Arc::clone(&resolver);
            Box::pin(async move {
                let name: Name = name.parse().map_err(io::Error::other)?;
                let found = resolver.resolve(name).await;
                Ok(found.map_err(io::Error::other)?.collect())
            })
        })
    }

    fn new(
        ttl: Duration,
        lookup: impl Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            cache: Arc::default(),
            lookup: Arc::new(lookup),
            ttl,
        }
    }

    pub(super) fn stats(&self) -> DnsStats {
        self.lock().stats
    }

    /// Drops the answer for a host that could not be reached, so that the next try asks anew.
    pub(super) fn expire(&self, name: &str) {
        if let Some(entry) = self.lock().entries.get_mut(name) {
            entry.expires = Instant::now();
        }
    }

    /// Drops answers whose time is over; returns how many.
    pub(super) fn drop_expired(&self) -> usize {
        let now = Instant::now();
        let entries = &mut self.lock().entries;
        let before = entries.len();
        entries.retain(|_, entry| entry.expires > now);
        before - entries.len()
    }

    /// All addresses of a host; their ports are not set.
    pub(super) async fn addresses(&self, name: String) -> io::Result<Vec<SocketAddr>> {
        if let Some(addresses) = self.remembered(&name) {
            return Ok(addresses);
        }
        match (self.lookup)(name.clone()).await {
            Ok(addresses) if !addresses.is_empty() => {
                self.remember(name, addresses.clone());
                Ok(addresses)
            }
            Ok(_) => self.covered(&name, io::Error::other("the name has no address")),
            Err(error) => self.covered(&name, error),
        }
    }

    fn remembered(&self, name: &str) -> Option<Vec<SocketAddr>> {
        let mut cache = self.lock();
        let now = Instant::now();
        let found = cache
            .entries
            .get(name)
            .filter(|entry| entry.expires > now)
            .map(|entry| entry.addresses.clone());
        match found {
            Some(_) => cache.stats.hits += 1,
            None => cache.stats.misses += 1,
        }
        found
    }

    fn remember(&self, name: String, addresses: Vec<SocketAddr>) {
        let mut cache = self.lock();
        if cache.entries.len() >= NAMES_MAX && !cache.entries.contains_key(&name) {
            cache.entries.clear();
        }
        let expires = Instant::now() + self.ttl;
        cache.entries.insert(name, Entry { addresses, expires });
    }

    fn covered(&self, name: &str, error: io::Error) -> io::Result<Vec<SocketAddr>> {
        let mut cache = self.lock();
        cache.stats.failures += 1;
        let Some(entry) = cache.entries.get(name) else {
            return Err(error);
        };
        let addresses = entry.addresses.clone();
        cache.stats.stale_answers += 1;
        Ok(addresses)
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolve for CachingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str().to_owned()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
#[path = "dns_outage_tests.rs"]
mod outage_tests;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

    use super::*;

    /// A system whose answers count up, so that each one shows when it was given.
    fn counting(fails: Arc<AtomicBool>) -> CachingResolver {
        let asked = AtomicU16::new(0);
        CachingResolver::new(Duration::from_secs(300), move |_| {
            let answer = asked.fetch_add(1, Ordering::Relaxed);
            let fails = fails.load(Ordering::Relaxed);
            Box::pin(async move {
                if fails {
                    return Err(io::Error::other("no such host"));
                }
                Ok(vec![SocketAddr::from(([127, 0, 0, 1], answer))])
            })
        })
    }

    async fn port(resolver: &CachingResolver) -> Option<u16> {
        let addresses = resolver.addresses("host".to_owned()).await.ok()?;
        Some(addresses[0].port())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_used_until_its_time_is_over() {
        let resolver = counting(Arc::default());
        assert_eq!(port(&resolver).await, Some(0));
        tokio::time::advance(Duration::from_secs(299)).await;
        assert_eq!(port(&resolver).await, Some(0));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(port(&resolver).await, Some(1));
        assert_eq!((resolver.stats().hits, resolver.stats().misses), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_covers_a_failing_system() {
        let fails = Arc::new(AtomicBool::new(false));
        let resolver = counting(fails.clone());
        assert_eq!(port(&resolver).await, Some(0));
        fails.store(true, Ordering::Relaxed);
        tokio::time::advance(Duration::from_secs(400)).await;
        assert_eq!(port(&resolver).await, Some(0));
        fails.store(false, Ordering::Relaxed);
        assert_eq!(port(&resolver).await, Some(2), "the failure was remembered");
    }

    #[tokio::test]
    async fn a_failure_without_an_old_answer_is_a_failure() {
        let resolver = counting(Arc::new(AtomicBool::new(true)));
        assert_eq!(port(&resolver).await, None);
        assert_eq!(resolver.stats().failures, 1);
    }

    #[tokio::test]
    async fn an_unreachable_host_is_asked_for_anew() {
        let resolver = counting(Arc::default());
        assert_eq!(port(&resolver).await, Some(0));
        resolver.expire("host");
        assert_eq!(port(&resolver).await, Some(1));
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let resolver = counting(Arc::default());
        for n in 0..2 * NAMES_MAX {
            resolver.addresses(format!("host-{n}")).await.unwrap();
        }
        assert!(resolver.lock().entries.len() <= NAMES_MAX);
    }
}
