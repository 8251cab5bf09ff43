//! `pool`: what pooling is worth. The same calls pooled and unpooled, over TLS, in one run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use futures::StreamExt;
use futures::future::join_all;
use offline_openai::{Delays, Fixed};
use serde::Serialize;
use voxpool::cache::{Cache, CacheKey};
use voxpool::chat::{ChatContext, ChatItem};
use voxpool::error::{CallError, Service};
use voxpool::llm::openai::OpenAiLlm;
use voxpool::llm::{ChatRequest, Llm, LlmEvent};
use voxpool::memory::{BatchConfig, Batcher, Category, Memory, MemoryOp, UserId};
use voxpool::pool::{
    Config, ConnectionPool, EndpointConfig, OpenAiClient, PARALLEL_TIMEOUT, parallel_ai_calls,
};
use voxpool::redact::Pii;
use voxpool::tts::Tts;
use voxpool::tts::openai::OpenAiTts;
use voxpool_bench::tls::{Door, make_certificate};

/// How long the stand-in thinks, as design and peers are measured.
const LLM_FIRST_TOKEN: Duration = Duration::from_millis(150);
const TTS_FIRST_BYTE: Duration = Duration::from_millis(100);
/// Calls one after the other, in which connections are counted.
const CALLS: usize = 200;
const CALLERS: usize = 100;
const SAVES_PER_CALLER: usize = 100;
/// Saves from which the speed of not merging is read.
const SAVES_ALONE: usize = 1_000;

/// Measures the pool against the same program without it.
#[derive(Parser)]
#[command(name = "pool", version)]
struct Arguments {
    /// Where the results are written as JSON.
    #[arg(long, default_value = "target/bench-pool.json")]
    json: PathBuf,
    /// Set by the program itself: the folder of the certificate that it trusts.
    #[arg(long, hide = true)]
    certificates: Option<PathBuf>,
}

#[derive(Serialize)]
struct Results {
    /// Times as fast as one after the other, of 5 and of 50.
    parallel_5: f64,
    parallel_50: f64,
    client_unpooled_us: f64,
    client_pooled_us: f64,
    greeting_unpooled_ms: f64,
    greeting_cached_ms: f64,
    calls: usize,
    connections_unpooled: u64,
    connections_pooled: u64,
    call_unpooled_p50_ms: f64,
    call_pooled_p50_ms: f64,
    saves: usize,
    save_batches: u64,
    saves_merged_per_second: f64,
    saves_alone_per_second: f64,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let Some(certificates) = &arguments.certificates else {
        return trusting_a_new_certificate();
    };
    let results = tokio::runtime::Runtime::new()?.block_on(measure(certificates))?;
    print(&results);
    std::fs::write(&arguments.json, serde_json::to_string_pretty(&results)?)
        .with_context(|| format!("{} cannot be written", arguments.json.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// What a process trusts is read from its environment once: so this one starts another.
fn trusting_a_new_certificate() -> Result<ExitCode> {
    let directory = tempfile::tempdir()?;
    let certificate = make_certificate(directory.path())?;
    let status = std::process::Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg("--certificates")
        .arg(directory.path())
        .env("SSL_CERT_FILE", certificate)
        .status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One set of clients.
struct Side {
    pool: ConnectionPool,
    llm: OpenAiLlm,
    tts: OpenAiTts,
}

impl Side {
    fn new(door: &Door, is_pooled: bool) -> Result<Self> {
        let config = Config {
            enabled: is_pooled,
            // For the 50 calls side by side; the default of 30 would be two rounds.
            connections_per_host_max: 64,
            ..Config::default()
        };
        let shared = EndpointConfig {
            base_url: format!("https://localhost:{}/v1", door.address.port()),
            api_key: Pii::new("bench".to_owned()),
            ..EndpointConfig::default()
        };
        let pool = ConnectionPool::new(config)?;
        Ok(Self {
            llm: OpenAiLlm::new(pool.clone(), &shared, Default::default())?,
            tts: OpenAiTts::new(pool.clone(), &shared, Default::default())?,
            pool,
        })
    }

    fn client(&self) -> OpenAiClient {
        self.pool.openai(self.llm.endpoint(), PARALLEL_TIMEOUT)
    }

    async fn chat(&self) -> Result<String, CallError> {
        let mut context = ChatContext {
            instructions: "Answer shortly.".to_owned(),
            ..ChatContext::default()
        };
        context.items.push(ChatItem::User("hello there".to_owned()));
        let request = ChatRequest {
            context,
            tools: Vec::new(),
        };
        let mut events = self.llm.chat(request);
        let mut text = String::new();
        while let Some(event) = events.next().await {
            if let LlmEvent::Text(piece) = event? {
                text += &piece;
            }
        }
        Ok(text)
    }

    /// Words and sound of a greeting, to its first sound or to its end.
    async fn greeting(&self, is_whole: bool) -> Result<Vec<i16>, CallError> {
        let text = self.chat().await?;
        let mut frames = self.tts.speak(text);
        let mut samples = Vec::new();
        while let Some(frame) = frames.next().await {
            samples.extend(frame?.samples);
            if !is_whole {
                break;
            }
        }
        Ok(samples)
    }
}

async fn measure(certificates: &Path) -> Result<Results> {
    let config = offline_openai::Config {
        fixed: Some(Fixed {
            reply: Some("Hello, how can I help you?".to_owned()),
            ..Fixed::default()
        }),
        delays: Delays {
            llm_first_token: LLM_FIRST_TOKEN,
            tts_first_byte: TTS_FIRST_BYTE,
            ..Delays::default()
        },
        ..offline_openai::Config::default()
    };
    let (server, _services) = offline_openai::Server::bind(config).await?;
    let door = Door::open(certificates, server).await?;
    let pooled = Side::new(&door, true)?;
    let unpooled = Side::new(&door, false)?;

    let (connections_unpooled, call_unpooled_p50_ms) = calls(&door, &unpooled).await?;
    let (connections_pooled, call_pooled_p50_ms) = calls(&door, &pooled).await?;
    let (client_unpooled_us, client_pooled_us) = clients(&door, &pooled)?;
    let (greeting_unpooled_ms, greeting_cached_ms) = greetings(&unpooled, &pooled).await?;
    let (saves_merged_per_second, saves_alone_per_second, save_batches) =
        saves(&pooled.pool).await?;
    Ok(Results {
        parallel_5: parallel(&pooled, 5).await?,
        parallel_50: parallel(&pooled, 50).await?,
        client_unpooled_us,
        client_pooled_us,
        greeting_unpooled_ms,
        greeting_cached_ms,
        calls: CALLS,
        connections_unpooled,
        connections_pooled,
        call_unpooled_p50_ms,
        call_pooled_p50_ms,
        saves: CALLERS * SAVES_PER_CALLER,
        save_batches,
        saves_merged_per_second,
        saves_alone_per_second,
    })
}

/// Connections opened for [`CALLS`] calls one after the other, and how long half of them took at most.
async fn calls(door: &Door, side: &Side) -> Result<(u64, f64)> {
    let before = door.accepted();
    let mut took = Vec::new();
    for _ in 0..CALLS {
        let began = Instant::now();
        side.chat().await?;
        took.push(began.elapsed());
    }
    took.sort();
    Ok((door.accepted() - before, ms(took[CALLS / 2])))
}

/// How many times as fast `n` calls side by side are as one after the other, on warm connections.
async fn parallel(side: &Side, n: usize) -> Result<f64> {
    for result in parallel_ai_calls((0..n).map(|_| side.chat()), PARALLEL_TIMEOUT).await {
        result?;
    }
    let began = Instant::now();
    for _ in 0..n {
        side.chat().await?;
    }
    let one_by_one = began.elapsed();
    let began = Instant::now();
    let results = parallel_ai_calls((0..n).map(|_| side.chat()), PARALLEL_TIMEOUT).await;
    let side_by_side = began.elapsed();
    ensure!(results.iter().all(Result::is_ok), "a parallel call failed");
    Ok(one_by_one.as_secs_f64() / side_by_side.as_secs_f64())
}

/// Microseconds until there is an OpenAI client: built anew, and taken from the pool.
fn clients(door: &Door, pooled: &Side) -> Result<(f64, f64)> {
    const FRESH: u32 = 20;
    const TAKEN: u32 = 100_000;
    let began = Instant::now();
    for _ in 0..FRESH {
        let side = Side::new(door, true)?;
        std::hint::black_box(side.client());
    }
    let fresh = began.elapsed() / FRESH;
    let began = Instant::now();
    for _ in 0..TAKEN {
        std::hint::black_box(pooled.client());
    }
    let taken = began.elapsed() / TAKEN;
    Ok((us(fresh), us(taken)))
}

/// Milliseconds to a greeting's first sound: made anew, and from the cache.
async fn greetings(unpooled: &Side, pooled: &Side) -> Result<(f64, f64)> {
    let began = Instant::now();
    unpooled.greeting(false).await?;
    let made = began.elapsed();
    let cache = Cache::new(Default::default(), &pooled.pool)?;
    let greet = || async {
        let sound = pooled.greeting(true).await?;
        Ok(bytes::Bytes::from_iter(
            sound.iter().flat_map(|sample| sample.to_le_bytes()),
        ))
    };
    let key = || CacheKey::new("bench-greeting", &["hello"]);
    cache.cached_async_call(key(), None, greet).await?;
    let began = Instant::now();
    let sound: bytes::Bytes = cache.cached_async_call(key(), None, greet).await?;
    let cached = began.elapsed();
    ensure!(!sound.is_empty(), "a greeting without sound");
    Ok((ms(made), ms(cached)))
}

/// Rows a second into the embedded store, merged across callers and one by one, and the batches.
async fn saves(pool: &ConnectionPool) -> Result<(f64, f64, u64)> {
    let directory = tempfile::tempdir()?;
    let config = voxpool::memory::Config {
        sqlite_path: directory.path().join("memory.db").display().to_string(),
        ..Default::default()
    };
    let store = voxpool::memory::open(&config, &Default::default(), pool)
        .await?
        .context("no store")?;
    let began = Instant::now();
    for n in 0..SAVES_ALONE {
        let op = save("alone", &n.to_string())?;
        for result in store.run(vec![op]).await {
            result?;
        }
    }
    let alone = SAVES_ALONE as f64 / began.elapsed().as_secs_f64();
    let batcher = Batcher::new(store, Service::Sqlite, BatchConfig::default());
    let began = Instant::now();
    let callers = (0..CALLERS).map(|caller| {
        let batcher = batcher.clone();
        async move {
            for turn in 0..SAVES_PER_CALLER / 5 {
                let ops = (0..5).map(|n| save(&format!("caller{caller}"), &format!("{turn}-{n}")));
                let ops = ops.collect::<Result<Vec<_>>>()?;
                for result in batcher.batch_memory_operations(ops).await {
                    result?;
                }
            }
            anyhow::Ok(())
        }
    });
    for result in join_all(callers).await {
        result?;
    }
    let merged = (CALLERS * SAVES_PER_CALLER) as f64 / began.elapsed().as_secs_f64();
    Ok((merged, alone, batcher.stats().batches))
}

fn save(user: &str, key: &str) -> Result<MemoryOp> {
    let user = UserId::new(user).ok_or_else(|| anyhow!("a user without a name"))?;
    let memory = Memory {
        category: Category::new("FACT"),
        key: Pii::new(key.to_owned()),
        value: Pii::new("likes green tea".to_owned()),
    };
    Ok(MemoryOp::Save(user, memory))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[expect(clippy::print_stdout, reason = "the figures are this program's output")]
fn print(r: &Results) {
    let fewer = 100.0 * (1.0 - r.connections_pooled as f64 / r.connections_unpooled.max(1) as f64);
    println!("{:34} {:>12} {:>12} {:>12}", "", "unpooled", "pooled", "");
    println!(
        "{:34} {:>12} {:>12} {:>10.2} x",
        "5 calls in parallel", "", "", r.parallel_5
    );
    println!(
        "{:34} {:>12} {:>12} {:>10.2} x",
        "50 calls in parallel", "", "", r.parallel_50
    );
    println!(
        "{:34} {:>9.1} us {:>9.3} us",
        "an OpenAI client", r.client_unpooled_us, r.client_pooled_us
    );
    println!(
        "{:34} {:>9.1} ms {:>9.3} ms",
        "greeting, to its first sound", r.greeting_unpooled_ms, r.greeting_cached_ms
    );
    println!(
        "{:34} {:>12} {:>12} {:>9.1} % fewer",
        format!("connections of {} calls", r.calls),
        r.connections_unpooled,
        r.connections_pooled,
        fewer
    );
    println!(
        "{:34} {:>9.1} ms {:>9.1} ms",
        "a chat call, median", r.call_unpooled_p50_ms, r.call_pooled_p50_ms
    );
    println!(
        "{:34} {:>8.0} r/s {:>8.0} r/s   in {} batches",
        format!("{} memory saves (SQLite)", r.saves),
        r.saves_alone_per_second,
        r.saves_merged_per_second,
        r.save_batches
    );
}
