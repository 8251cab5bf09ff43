//! `pool`: what pooling is worth. The same calls pooled and unpooled, over TLS, in one run.

mod background;
mod saves;
mod side;
mod table;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use offline_openai::{Delays, Fixed};
use real_parts::tls::{Door, make_certificate};
use serde::Serialize;
use voxpool::cache::{Cache, CacheKey};
use voxpool::pool::{PARALLEL_TIMEOUT, parallel_ai_calls};

use self::background::background;
use self::saves::{Saves, saves};
use self::side::Side;

/// How long the stand-in thinks, as design and peers are measured.
const DELAYS: Delays = Delays {
    stt: Duration::from_millis(100),
    llm_first_token: Duration::from_millis(150),
    llm_token: Duration::ZERO,
    tts_first_byte: Duration::from_millis(100),
};
/// Calls one after the other, in which connections are counted.
const CALLS: usize = 200;
/// A figure that varies is the median of so many.
const ROUNDS: usize = 9;

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

/// What was measured.
#[derive(Serialize)]
struct Results {
    /// Times as fast as one after the other, of 5 and of 50.
    parallel_5: f64,
    parallel_50: f64,
    client_unpooled_us: f64,
    client_pooled_us: f64,
    greeting_unpooled_ms: f64,
    greeting_cached_ms: f64,
    /// The work after one turn, and after a call of five.
    background_1_unpooled_ms: f64,
    background_1_pooled_ms: f64,
    background_5_unpooled_ms: f64,
    background_5_pooled_ms: f64,
    calls: usize,
    connections_unpooled: u64,
    connections_pooled: u64,
    call_unpooled_p50_ms: f64,
    call_pooled_p50_ms: f64,
    saves: Vec<Saves>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let Some(certificates) = &arguments.certificates else {
        return trusting_a_new_certificate();
    };
    let results = tokio::runtime::Runtime::new()?.block_on(measure(certificates))?;
    table::print(&results);
    std::fs::write(&arguments.json, serde_json::to_string_pretty(&results)?)
        .with_context(|| format!("{} cannot be written", arguments.json.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// What a process trusts is read from its environment once: so this one starts another.
fn trusting_a_new_certificate() -> Result<ExitCode> {
    let directory = tempfile::tempdir()?;
    let certificate = make_certificate(directory.path());
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

async fn measure(certificates: &Path) -> Result<Results> {
    let greeter = Fixed {
        reply: Some("Hello, how can I help you?".to_owned()),
        ..Fixed::default()
    };
    let (door, _server) = open_door(certificates, greeter).await?;
    let (pooled, unpooled) = (
        Side::new(door.address, true)?,
        Side::new(door.address, false)?,
    );
    let (connections_unpooled, call_unpooled_p50_ms) = calls(&door, &unpooled).await?;
    let (connections_pooled, call_pooled_p50_ms) = calls(&door, &pooled).await?;
    let (client_unpooled_us, client_pooled_us) = clients(door.address, &pooled)?;
    let (greeting_unpooled_ms, greeting_cached_ms) = greetings(&unpooled, &pooled).await?;
    let parallel_5 = parallel(&pooled, 5).await?;
    let parallel_50 = parallel(&pooled, 50).await?;

    // The rules of this one find what is worth remembering.
    let (door, _server) = open_door(certificates, Fixed::default()).await?;
    let (pooled, unpooled) = (
        Side::new(door.address, true)?,
        Side::new(door.address, false)?,
    );
    Ok(Results {
        parallel_5,
        parallel_50,
        client_unpooled_us,
        client_pooled_us,
        greeting_unpooled_ms,
        greeting_cached_ms,
        background_1_unpooled_ms: backgrounds(&unpooled, 1, false).await?,
        background_1_pooled_ms: backgrounds(&pooled, 1, true).await?,
        background_5_unpooled_ms: backgrounds(&unpooled, 5, false).await?,
        background_5_pooled_ms: backgrounds(&pooled, 5, true).await?,
        calls: CALLS,
        connections_unpooled,
        connections_pooled,
        call_unpooled_p50_ms,
        call_pooled_p50_ms,
        saves: saves().await?,
    })
}

/// A stand-in with fixed delays behind TLS, for as long as the second value lives.
async fn open_door(certificates: &Path, fixed: Fixed) -> Result<(Door, impl Sized)> {
    let config = offline_openai::Config {
        fixed: Some(fixed),
        delays: DELAYS,
        ..offline_openai::Config::default()
    };
    let (address, server) = offline_openai::Server::bind(config).await?;
    Ok((Door::open(certificates, address).await, server))
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
    Ok((door.accepted() - before, ms(median(took))))
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
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let results = parallel_ai_calls((0..n).map(|_| side.chat()), PARALLEL_TIMEOUT).await;
        took.push(began.elapsed());
        ensure!(results.iter().all(Result::is_ok), "a parallel call failed");
    }
    Ok(one_by_one.as_secs_f64() / median(took).as_secs_f64())
}

/// Microseconds until there is an OpenAI client: built anew, and taken from the pool.
fn clients(address: SocketAddr, pooled: &Side) -> Result<(f64, f64)> {
    const FRESH: u32 = 20;
    const TAKEN: u32 = 100_000;
    let began = Instant::now();
    for _ in 0..FRESH {
        let side = Side::new(address, true)?;
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
    let mut made = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        unpooled.greeting(false).await?;
        made.push(began.elapsed());
    }
    let cache = Cache::new(Default::default(), &pooled.pool)?;
    let greet = || async {
        let sound = pooled.greeting(true).await?;
        Ok(bytes::Bytes::from_iter(
            sound.iter().flat_map(|sample| sample.to_le_bytes()),
        ))
    };
    let key = || CacheKey::new("bench-greeting", &["hello"]);
    cache.cached_async_call(key(), None, greet).await?;
    let mut cached = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let sound: bytes::Bytes = cache.cached_async_call(key(), None, greet).await?;
        cached.push(began.elapsed());
        ensure!(!sound.is_empty(), "a greeting without sound");
    }
    Ok((ms(median(made)), ms(median(cached))))
}

/// Milliseconds until what was said in so many turns is remembered.
async fn backgrounds(side: &Side, n_turns: usize, side_by_side: bool) -> Result<f64> {
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        took.push(background(side, n_turns, side_by_side).await?);
    }
    Ok(ms(median(took)))
}

/// The middle one of an odd number.
fn median(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took.get(took.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
