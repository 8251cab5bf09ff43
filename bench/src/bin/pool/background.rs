//! What a worker does beside its calls: finding out what is worth remembering, and saving it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use voxpool::error::Service;
use voxpool::memory::{BatchConfig, Batcher, CallMemory, Config, Memories, RecorderConfig};
use voxpool::participant::Participant;
use voxpool::redact::Pii;
use voxpool::turn::{ReplyOutcome, Timeline, Turn, TurnId, TurnSource};

use crate::side::Side;

/// What a caller says in a call.
const SAID: [&str; 5] = [
    "my name is john",
    "i live in london",
    "i like green tea",
    "i work as a nurse",
    "remember that my sister is called mary",
];

/// How long it takes until the last `n_turns` turns of a call are looked at, summed up and saved:
/// side by side and in batches, or one after the other.
pub(crate) async fn background(
    side: &Side,
    n_turns: usize,
    side_by_side: bool,
) -> Result<Duration> {
    let directory = tempfile::tempdir()?;
    let batch = BatchConfig {
        // Nobody to wait for when nothing is merged.
        wait: match side_by_side {
            true => BatchConfig::default().wait,
            false => Duration::ZERO,
        },
        ..BatchConfig::default()
    };
    let config = Config {
        sqlite_path: directory.path().join("memory.db").display().to_string(),
        ..Config::default()
    };
    let store =
        voxpool::memory::open(&config, &Default::default(), &side.pool)?.context("no store")?;
    store.prewarm().await?;
    let recorder = RecorderConfig {
        side_by_side,
        profile_every_turns: n_turns as u32,
        flush_timeout: Duration::from_secs(60),
        ..RecorderConfig::default()
    };
    let llm = side.structured(recorder.extraction_timeout)?;
    let batcher = Batcher::new(store, Service::Sqlite, batch);
    let memories = Memories::new(batcher, Arc::new(llm), recorder);
    let call = CallMemory::new(memories.clone());
    call.user_joined(&Participant::new("john"));

    let recorder = call.record();
    let began = Instant::now();
    for (at, said) in SAID.iter().take(n_turns).enumerate() {
        recorder.turns().push(turn(at as u32 + 1, said));
    }
    recorder.finish().await;
    let took = began.elapsed();
    let stats = memories.stats().recorder;
    ensure!(
        stats.saved > n_turns as u64 && stats.failed + stats.lost == 0,
        "not everything was remembered: {stats:?}"
    );
    Ok(took)
}

fn turn(id: u32, said: &str) -> Turn {
    Turn {
        id: TurnId(id),
        user: Some(Pii::new("john".to_owned())),
        source: TurnSource::Speech,
        transcript: Pii::new(said.to_owned()),
        reply: Pii::new("All right.".to_owned()),
        heard: Pii::new("All right.".to_owned()),
        tool_calls: Pii::default(),
        outcome: ReplyOutcome::Finished,
        timeline: Timeline::default(),
    }
}
