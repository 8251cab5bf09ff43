//! What the calls keep, for Prometheus: the cache and the memory. And how many tasks do all that.

use std::fmt;

use futures::executor::block_on;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use tokio::runtime::Handle;

use super::page::Page;
use crate::cache::{Cache, CacheStats};
use crate::memory::{BatchStats, Memories, RecorderStats};

/// Shows the cache on the metrics page.
pub struct CacheCollector(pub Cache);

/// Shows the memory on the metrics page.
pub struct MemoryCollector(pub Memories);

/// Shows the runtime on the metrics page.
#[derive(Debug)]
pub struct RuntimeCollector(pub Handle);

impl fmt::Debug for CacheCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheCollector")
    }
}

impl fmt::Debug for MemoryCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryCollector")
    }
}

impl Collector for CacheCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Waits for nothing: the cache only tidies up before it counts.
        let stats = block_on(self.0.stats());
        let mut page = Page::new(encoder);
        cache_tiers(&mut page, &stats)?;
        cache_local(&mut page, &stats)?;
        cache_shared(&mut page, &stats)
    }
}

impl Collector for MemoryCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.0.stats();
        let mut page = Page::new(encoder);
        batches(&mut page, &stats.batches)?;
        recorder(&mut page, &stats.recorder)?;
        let unremembered = stats.unremembered.iter();
        let unremembered = unremembered.map(|(why, count)| (vec![("reason", *why)], *count));
        let help = "Calls with a user of whom nothing is remembered, by reason";
        let name = "voice_agent_memory_unremembered_calls";
        page.counters(name, help, unremembered.collect())
    }
}

impl Collector for RuntimeCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let n_tasks = self.0.metrics().num_alive_tasks() as f64;
        let mut page = Page::new(encoder);
        page.gauge("voice_agent_runtime_tasks", "Tasks alive", n_tasks)
    }
}

/// Hits and misses: of this process, and of the Redis that is asked when this process has nothing.
fn cache_tiers(page: &mut Page<'_>, stats: &CacheStats) -> fmt::Result {
    let shared_hits = stats.shared.map_or(0, |shared| shared.hits);
    let mut tiers = vec![("local", stats.hits, stats.misses + shared_hits)];
    tiers.extend((stats.shared).map(|shared| ("shared", shared.hits, shared.misses)));
    let tier = |name| vec![("tier", name)];
    let hits = tiers.iter().map(|(name, hits, _)| (tier(*name), *hits));
    let name = "voice_agent_cache_hits";
    page.counters(name, "Calls answered from the cache", hits.collect())?;
    let misses = tiers.iter().map(|(name, _, it)| (tier(*name), *it));
    let help = "Calls that the cache had nothing for";
    page.counters("voice_agent_cache_misses", help, misses.collect())?;
    let rates = tiers.iter().filter(|(_, hits, misses)| hits + misses > 0);
    let rates = rates.map(|(name, hits, misses)| {
        let rate = *hits as f64 / (hits + misses) as f64;
        (tier(*name), rate)
    });
    let help = "Share of calls answered from the cache, 0 to 1";
    page.gauges("voice_agent_cache_hit_ratio", help, rates.collect())
}

fn cache_local(page: &mut Page<'_>, stats: &CacheStats) -> fmt::Result {
    let help = "Values kept in this process";
    page.gauge("voice_agent_cache_entries", help, stats.entries as f64)?;
    let help = "Bytes of all values kept in this process";
    page.gauge("voice_agent_cache_bytes", help, stats.bytes as f64)?;
    let removed = [("size", stats.evictions), ("expired", stats.expired)];
    let removed = removed.map(|(reason, count)| (vec![("reason", reason)], count));
    let help = "Values dropped from this process";
    page.counters("voice_agent_cache_removed", help, removed.into())?;
    let counters = [
        (
            "voice_agent_cache_coalesced",
            "Calls that waited for another one that was making the same value",
            stats.coalesced,
        ),
        (
            "voice_agent_cache_make_failures",
            "Values that could not be made",
            stats.errors,
        ),
        (
            "voice_agent_cache_too_large",
            "Values too large to be kept",
            stats.too_large,
        ),
    ];
    for (name, help, value) in counters {
        page.counter(name, help, value)?;
    }
    Ok(())
}

fn cache_shared(page: &mut Page<'_>, stats: &CacheStats) -> fmt::Result {
    let Some(shared) = &stats.shared else {
        return Ok(());
    };
    let is_up = f64::from(u8::from(shared.is_up));
    let help = "1 if Redis answered the last question";
    page.gauge("voice_agent_cache_shared_up", help, is_up)?;
    let counters = [
        (
            "voice_agent_cache_shared_errors",
            "Questions that Redis did not answer in time or refused",
            shared.errors,
        ),
        (
            "voice_agent_cache_shared_stored",
            "Values given to Redis",
            shared.stored,
        ),
        (
            "voice_agent_cache_shared_awaited",
            "Values that another worker was making and that were waited for",
            shared.awaited,
        ),
        (
            "voice_agent_cache_shared_unreadable",
            "Values in Redis that are none of ours",
            shared.unreadable,
        ),
    ];
    for (name, help, value) in counters {
        page.counter(name, help, value)?;
    }
    Ok(())
}

fn batches(page: &mut Page<'_>, stats: &BatchStats) -> fmt::Result {
    let help = "Operations that wait for their batch";
    page.gauge("voice_agent_memory_queued", help, stats.queued as f64)?;
    let name = "voice_agent_memory_operations_per_batch";
    page.gauge(name, "Mean size of a batch", stats.operations_per_batch)?;
    let rows = [
        ("saved", stats.rows_saved),
        ("found", stats.rows_found),
        ("deleted", stats.rows_deleted),
        ("trimmed", stats.rows_trimmed),
    ];
    let rows = rows.map(|(what, count)| (vec![("what", what)], count));
    let help = "Rows of callers";
    page.counters("voice_agent_memory_rows", help, rows.into())?;
    let counters = [
        (
            "voice_agent_memory_batches",
            "Batches given to the store",
            stats.batches,
        ),
        (
            "voice_agent_memory_operations",
            "Operations in batches",
            stats.operations,
        ),
        (
            "voice_agent_memory_operations_merged",
            "Operations that shared their batch",
            stats.merged,
        ),
        (
            "voice_agent_memory_operations_failed",
            "Operations that failed at the store",
            stats.failed,
        ),
        (
            "voice_agent_memory_operations_refused",
            "Operations refused because the queue was full or closed",
            stats.refused,
        ),
        (
            "voice_agent_memory_operations_abandoned",
            "Reads left out because nobody waited any more",
            stats.abandoned,
        ),
    ];
    for (name, help, value) in counters {
        page.counter(name, help, value)?;
    }
    Ok(())
}

fn recorder(page: &mut Page<'_>, stats: &RecorderStats) -> fmt::Result {
    let name = "voice_agent_memory_extractions_in_flight";
    page.gauge(name, "Questions to the model now", stats.in_flight as f64)?;
    let asked = [("memories", stats.extractions), ("profile", stats.profiles)];
    let asked = asked.map(|(what, count)| (vec![("what", what)], count));
    let help = "Questions to the model about what is worth remembering";
    page.counters("voice_agent_memory_extractions", help, asked.into())?;
    let counters = [
        (
            "voice_agent_memory_extraction_failures",
            "Questions that were not answered, or not as asked",
            stats.failed,
        ),
        (
            "voice_agent_memory_turns",
            "Turns in which somebody said something",
            stats.turns,
        ),
        (
            "voice_agent_memory_turns_dropped",
            "Turns dropped because too many waited",
            stats.dropped,
        ),
        (
            "voice_agent_memory_turns_lost",
            "Turns that nobody had looked at when their call was over",
            stats.lost,
        ),
        (
            "voice_agent_memory_saved",
            "Memories and summaries saved",
            stats.saved,
        ),
        (
            "voice_agent_memory_entries_refused",
            "Entries of answers that cannot be remembered",
            stats.refused,
        ),
        (
            "voice_agent_memory_unsaved",
            "Memories and summaries that were never saved",
            stats.unsaved,
        ),
        (
            "voice_agent_memory_flushes",
            "Calls whose end waited for their last turns",
            stats.flushes,
        ),
        (
            "voice_agent_memory_flushes_cut",
            "Such waits that were over before everything was saved",
            stats.flushes_cut,
        ),
        (
            "voice_agent_memory_flush_milliseconds",
            "Time of all such waits",
            stats.flush_ms,
        ),
    ];
    for (name, help, value) in counters {
        page.counter(name, help, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::*;
    use crate::cache::{CacheKey, Json};
    use crate::error::{CallError, Service};
    use crate::llm::{StructuredLlm, StructuredRequest};
    use crate::memory::{BatchConfig, Batcher, MemoryOp, Selection, UserId, VolatileStore};
    use crate::pool::ConnectionPool;
    use crate::telemetry::Metrics;

    struct SilentLlm;

    impl StructuredLlm for SilentLlm {
        fn ask(&self, _: StructuredRequest) -> BoxFuture<'static, Result<String, CallError>> {
            std::future::pending().boxed()
        }
    }

    fn page(collector: Box<dyn Collector>) -> String {
        let mut metrics = Metrics::default();
        metrics.register(collector);
        metrics.render()
    }

    fn check(page: &str, rows: &[&str]) {
        for row in rows {
            assert!(
                page.lines().any(|line| line == *row),
                "{row} not in\n{page}"
            );
        }
    }

    #[tokio::test]
    async fn the_page_tells_what_the_cache_keeps() {
        let pool = ConnectionPool::new(Default::default()).unwrap();
        let cache = Cache::new(Default::default(), &pool).unwrap();
        for _ in 0..4 {
            let key = CacheKey::new("test", ["x"]);
            let made = cache.cached_async_call(key, None, || async { Ok(Json(1)) });
            made.await.unwrap();
        }
        let rows = [
            "voice_agent_cache_hits_total{tier=\"local\"} 3",
            "voice_agent_cache_misses_total{tier=\"local\"} 1",
            "voice_agent_cache_hit_ratio{tier=\"local\"} 0.75",
            "voice_agent_cache_entries 1.0",
            "voice_agent_cache_make_failures_total 0",
        ];
        let page = page(Box::new(CacheCollector(cache)));
        check(&page, &rows);
        assert!(!page.contains("shared"), "there is no Redis: {page}");
    }

    #[tokio::test]
    async fn the_page_tells_what_the_memory_does() {
        let store = Arc::<VolatileStore>::default();
        let batcher = Batcher::new(store, Service::Sqlite, BatchConfig::default());
        let memories = Memories::new(batcher, Arc::new(SilentLlm), Default::default());
        let get = || MemoryOp::Get(UserId::new("a").unwrap(), Selection::All, 1);
        memories.batch_memory_operations(vec![get(), get()]).await;
        let rows = [
            "voice_agent_memory_batches_total 1",
            "voice_agent_memory_operations_total 2",
            "voice_agent_memory_operations_merged_total 2",
            "voice_agent_memory_rows_total{what=\"found\"} 0",
            "voice_agent_memory_rows_total{what=\"trimmed\"} 0",
            "voice_agent_memory_unremembered_calls_total{reason=\"starter_template\"} 0",
            "voice_agent_memory_flushes_total 0",
            "voice_agent_memory_extractions_total{what=\"profile\"} 0",
        ];
        check(&page(Box::new(MemoryCollector(memories))), &rows);
    }

    #[tokio::test]
    async fn the_page_tells_how_many_tasks_there_are() {
        let task = tokio::spawn(std::future::pending::<()>());
        let page = page(Box::new(RuntimeCollector(Handle::current())));
        check(&page, &["voice_agent_runtime_tasks 1.0"]);
        task.abort();
    }
}
