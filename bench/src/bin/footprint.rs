//! `footprint`: what the worker uses idle, and what each listening call adds.

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use futures::future::try_join_all;
use serde::Serialize;
use voxpool_bench::process::{Usage, usage};
use voxpool_bench::room::Call;
use voxpool_bench::server::Server;

/// Measures a running worker: idle, then with quiet callers on the line.
#[derive(Parser)]
#[command(name = "footprint", version)]
struct Arguments {
    #[command(flatten)]
    server: Server,
    /// The worker's process.
    #[arg(long)]
    pid: u32,
    /// Callers at once, each in a room of its own.
    #[arg(long, default_value_t = 10)]
    calls: u32,
    /// How long each state is measured.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

#[derive(Serialize)]
struct Footprint {
    calls: u32,
    idle_pss_mib: f64,
    idle_cpu_percent: f64,
    pss_mib_per_call: f64,
    cpu_percent_per_call: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let window = Duration::from_secs(arguments.seconds);
    let (idle, idle_cpu) = measure(arguments.pid, window).await?;

    let run = std::process::id();
    let mut calls = try_join_all((0..arguments.calls).map(|index| {
        let room = format!("footprint-{run}-{index}");
        let server = &arguments.server;
        async move { Call::join(&server.url, &server.token(&room, "caller")?).await }
    }))
    .await?;
    // The greetings first: a listening call is one in which nobody speaks.
    for call in &mut calls {
        while call.hear(Duration::from_secs(5)).await.is_some() {}
    }
    let (busy, busy_cpu) = measure(arguments.pid, window).await?;
    for call in calls {
        call.hang_up().await?;
    }

    let per_call = |total: f64| total / f64::from(arguments.calls.max(1));
    let footprint = Footprint {
        calls: arguments.calls,
        idle_pss_mib: mib(idle),
        idle_cpu_percent: idle_cpu,
        pss_mib_per_call: per_call(mib(busy) - mib(idle)),
        cpu_percent_per_call: per_call(busy_cpu - idle_cpu),
    };
    print(&footprint)
}

/// Memory at the end of the window, and CPU over it in percent of one core.
async fn measure(pid: u32, window: Duration) -> Result<(Usage, f64)> {
    let before = usage(pid)?;
    tokio::time::sleep(window).await;
    let after = usage(pid)?;
    let busy = after.cpu.saturating_sub(before.cpu);
    Ok((after, busy.as_secs_f64() / window.as_secs_f64() * 100.0))
}

fn mib(usage: Usage) -> f64 {
    usage.pss_bytes as f64 / f64::from(1 << 20)
}

#[expect(clippy::print_stdout, reason = "the figures are this program's output")]
fn print(footprint: &Footprint) -> Result<()> {
    println!(
        "idle worker        {:7.1} MiB   {:6.2} % of a core",
        footprint.idle_pss_mib, footprint.idle_cpu_percent
    );
    println!(
        "per listening call {:7.2} MiB   {:6.2} % of a core   ({} calls)",
        footprint.pss_mib_per_call, footprint.cpu_percent_per_call, footprint.calls
    );
    println!("{}", serde_json::to_string(footprint)?);
    Ok(())
}
