//! `peer`: voxpool and livekit-agents side by side, as callers hear them.
//!
//! One LiveKit server and one stand-in for OpenAI with fixed delays serve first the one worker, then
//! the other. Callers with a recorded voice measure what their own WebRTC connection receives; what
//! the workers use is read from the kernel, their connections are counted by the stand-in.
//!
//! - `call`: one call, from joining to hanging up. `setting`: some of them at once. `arrivals`: the
//!   agent's coming alone, also where the worker itself is asked for it. `interruptions`: the caller
//!   speaks over the agent.
//! - `side`: a worker and its process tree. `livekit`: the server.
//! - `figures`: what is made of the measurements. `table`, `plot`: how they are shown.

mod arrivals;
mod call;
mod figures;
mod interruptions;
mod livekit;
mod plot;
mod setting;
mod side;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use offline_openai::{Config, Delays, Fixed, Server, ServerHandle};
use voxpool_bench::progress::Progress;
use voxpool_bench::voice;

use self::call::Since;
use self::figures::{Results, SideFigures};
use self::interruptions::InterruptionFigures;
use self::livekit::LiveKit;
use self::setting::Setting;
use self::side::{Kind, Side};

/// How long the services take.
const DELAYS: Delays = Delays {
    stt: Duration::from_millis(100),
    llm_first_token: Duration::from_millis(150),
    llm_token: Duration::ZERO,
    tts_first_byte: Duration::from_millis(100),
};
/// How long every answer sounds: it only has to be heard.
const ANSWER: Duration = Duration::from_millis(600);
/// What is answered. It is spoken by two requests: as far as the comma, and the rest.
const REPLY: &str = "That is a good question, and I know the answer.";

/// What callers say, in turn. Each ends on another sound, as a detector of voices sees it.
const SAYINGS: [&str; 4] = [
    "What is the weather like today?",
    "Please tell me about the garden.",
    "How long does it take to get there?",
    "I would like to know who that was.",
];

/// Both sides by turns of 1, 5 and 20 calls at once; 200 turns of each side with five.
const SETTINGS: [Setting; 3] = [
    Setting::new(1, 4, 5),
    Setting::new(5, 2, 20),
    Setting::new(20, 2, 2),
];

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Until the agent is there and heard.
    Arrivals,
    /// Until it answers, and what that takes.
    Turns,
    /// Until it is silent.
    Interruptions,
}

/// Measures voxpool beside livekit-agents on the same server and services.
#[derive(Parser)]
#[command(name = "peer", version)]
struct Arguments {
    /// The worker's program, a release build.
    #[arg(long, default_value = "target/release/voxpool")]
    voxpool: PathBuf,
    /// The Python that livekit-agents is installed for.
    #[arg(long, default_value = ".tools/peer-venv/bin/python")]
    python: PathBuf,
    /// The peer's agent.
    #[arg(long, default_value = "bench/peer/agent.py")]
    agent: PathBuf,
    /// Measure this side only.
    #[arg(long)]
    only: Option<Kind>,
    /// Calls at once, instead of 1, 5 and 20; may be given several times. Of another number there is one
    /// round of two turns.
    #[arg(long)]
    calls: Vec<usize>,
    /// Measure this part only; may be given several times.
    #[arg(long)]
    part: Vec<Part>,
    /// Calls one after the other that nothing but the agent's arrival is measured of.
    #[arg(long, default_value_t = 30)]
    arrivals: usize,
    /// Folder of the logs, the figures as JSON and the plot.
    #[arg(long, default_value = "target/bench-peer")]
    output: PathBuf,
    /// Measure nothing; show the figures of this file once more.
    #[arg(long)]
    show: Option<PathBuf>,
}

impl Arguments {
    fn wants(&self, part: Part) -> bool {
        self.part.is_empty() || self.part.contains(&part)
    }

    fn settings(&self) -> Vec<Setting> {
        let known = |calls: usize| SETTINGS.into_iter().find(|it| it.calls == calls);
        let asked = self.calls.iter();
        let asked = asked.map(|&calls| known(calls).unwrap_or(Setting::new(calls, 1, 2)));
        match self.calls.is_empty() {
            true => SETTINGS.into(),
            false => asked.collect(),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(
        !arguments.calls.contains(&0),
        "--calls must be 1 or more: a call needs a caller"
    );
    std::fs::create_dir_all(&arguments.output)?;
    if let Some(file) = &arguments.show {
        let json = std::fs::read(file).with_context(|| format!("{}", file.display()))?;
        return show(&serde_json::from_slice(&json)?, &arguments.output);
    }
    let mut sayings = Vec::with_capacity(SAYINGS.len());
    for saying in SAYINGS {
        sayings.push(voice::speak(saying).await?);
    }
    let progress = Progress::new();
    let livekit = LiveKit::start(&arguments.output.join("livekit-server.log")).await?;
    let mut results = Results::default();
    for kind in [Kind::Voxpool, Kind::LivekitAgents] {
        if arguments.only.is_none_or(|only| only == kind) {
            let measured = measure(&arguments, kind, &livekit, &sayings, &progress).await;
            results
                .sides
                .push(measured.with_context(|| format!("{} was not measured", kind.name()))?);
        }
    }
    progress.done();
    let json = arguments.output.join("results.json");
    std::fs::write(&json, serde_json::to_string_pretty(&results)?)?;
    progress.note(&format!("{} and latency.svg beside it", json.display()));
    show(&results, &arguments.output)
}

/// The figures as a table, and as a plot in `folder`.
fn show(results: &Results, folder: &Path) -> Result<()> {
    table::print(results);
    Ok(std::fs::write(
        folder.join("latency.svg"),
        plot::svg(results),
    )?)
}

/// One side, with stand-ins of its own, so that its connections can be told.
async fn measure(
    arguments: &Arguments,
    kind: Kind,
    livekit: &LiveKit,
    sayings: &[Vec<i16>],
    progress: &Progress,
) -> Result<SideFigures> {
    progress.note(&format!("{}: starting", kind.name()));
    let services = services(ANSWER).await?;
    let side = Side::start(arguments, kind, kind.name(), livekit, &services).await?;
    let bench = setting::Bench {
        side: &side,
        livekit,
        services: &services,
        sayings,
        progress,
    };
    let mut figures = bench.idle().await?;
    // Whatever a worker does the first time, it has then done.
    bench.warm_up().await?;
    let calls = arguments.arrivals;
    if arguments.wants(Part::Arrivals) {
        let desk = livekit.desk();
        let joined = bench.arrivals((&desk, Since::Now), "usual", calls);
        figures.arrivals = Some(joined.await?);
        let waiting = bench.arrivals((&desk, Since::AWhile), "waiting", calls);
        figures.arrivals_waiting = Some(waiting.await?);
    }
    if arguments.wants(Part::Turns) {
        for setting in arguments.settings() {
            figures.settings.push(bench.run(&setting, &figures).await?);
        }
    }
    if arguments.wants(Part::Arrivals)
        && let Some(desk) = side.desk()
    {
        figures.direct = bench.direct_arrivals(&desk, calls).await?;
    }
    side.stop().await?;
    services.stop().await;
    if arguments.wants(Part::Interruptions) {
        let interrupted = interrupted(arguments, kind, livekit, sayings, progress);
        figures.interruptions = Some(interrupted.await?);
    }
    Ok(figures)
}

/// The same worker, whose services now speak long enough to be interrupted.
async fn interrupted(
    arguments: &Arguments,
    kind: Kind,
    livekit: &LiveKit,
    sayings: &[Vec<i16>],
    progress: &Progress,
) -> Result<InterruptionFigures> {
    let services = services(interruptions::ANSWER).await?;
    let log = format!("{}-interruptions", kind.name());
    let side = Side::start(arguments, kind, &log, livekit, &services).await?;
    let bench = setting::Bench {
        side: &side,
        livekit,
        services: &services,
        sayings,
        progress,
    };
    let figures = bench.interruptions().await?;
    side.stop().await?;
    services.stop().await;
    Ok(figures)
}

/// The stand-in; everything it speaks lasts so long.
async fn services(tone: Duration) -> Result<ServerHandle> {
    let fixed = Fixed {
        reply: Some(REPLY.to_owned()),
        tone,
        ..Fixed::default()
    };
    let config = Config {
        fixed: Some(fixed),
        delays: DELAYS,
        ..Config::default()
    };
    let (_, services) = Server::bind(config).await?;
    Ok(services)
}
