//! Everything that the calls of this process share, for those who ask how it is doing: the model
//! (two tools), programs (methods of the agent's participant) and operators (`/pool`).

use serde::Serialize;

use crate::cache::{Cache, CacheStats};
use crate::memory::{Memories, MemoryStats};
use crate::pool::{CleanupReport, ConnectionPool, PoolStats};

/// What is shared. Clones show the same.
#[derive(Clone)]
pub struct Overview {
    /// The connections.
    pub pool: ConnectionPool,
    /// Results worth keeping.
    pub cache: Cache,
    /// What is remembered of callers, where anything is.
    pub memories: Option<Memories>,
}

/// One moment of it, as JSON for programs.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// The connections.
    #[serde(flatten)]
    pub pool: PoolStats,
    /// Results worth keeping.
    pub cache: CacheStats,
    /// What is remembered of callers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStats>,
}

/// What a cleanup did, as JSON for programs.
#[derive(Clone, Debug, Serialize)]
pub struct Cleaned {
    /// The connections.
    #[serde(flatten)]
    pub pool: CleanupReport,
    /// Cached values that were dropped because their time was over.
    pub cache_expired: u64,
}

impl Overview {
    /// The numbers of this moment.
    pub async fn stats(&self) -> Stats {
        Stats {
            pool: self.pool.stats().await,
            cache: self.cache.stats().await,
            memory: self.memories.as_ref().map(Memories::stats),
        }
    }

    /// Drops what is idle or expired. Calls in flight are not touched.
    pub async fn cleanup(&self) -> Cleaned {
        Cleaned {
            pool: self.pool.cleanup().await,
            cache_expired: self.cache.cleanup().await,
        }
    }
}

impl Stats {
    /// A few sentences that sound right when a voice reads them out.
    pub fn spoken(&self) -> String {
        let mut text = format!("{} {}", self.pool.spoken(), self.cache.spoken());
        if let Some(memory) = &self.memory {
            text += " ";
            text += &memory.spoken();
        }
        text
    }
}

impl Cleaned {
    /// One or two sentences that sound right when a voice reads them out.
    pub fn spoken(&self) -> String {
        let pool = self.pool.spoken();
        match self.cache_expired {
            0 => pool,
            1 => format!("{pool} One cached value was out of date and was dropped."),
            n => format!("{pool} {n} cached values were out of date and were dropped."),
        }
    }
}
