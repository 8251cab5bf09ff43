//! `caller`: holds the demo's conversation and reports it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use voxpool_bench::SAMPLE_RATE_HZ;
use voxpool_bench::hearing::Heard;
use voxpool_bench::report::{CallReport, Report, TurnReport};
use voxpool_bench::room::Call;
use voxpool_bench::script::{self, Line};
use voxpool_bench::server::Server;
use voxpool_bench::transcript::Transcriber;
use voxpool_bench::voice;

/// Talks to the agent in a room, hangs up and calls again to see what it remembers; prints the
/// dialogue as it is heard and ends with a line of JSON.
#[derive(Parser)]
#[command(name = "caller", version)]
struct Arguments {
    #[command(flatten)]
    server: Server,
    /// The room to call in; the next call is in a room with "-again" behind its name.
    #[arg(long, default_value = "demo")]
    room: String,
    /// Who calls: the agent remembers callers by their identity.
    #[arg(long, default_value = "caller")]
    identity: String,
    /// Base URL of the service that transcribes what is heard.
    #[arg(
        long,
        env = "OPENAI_BASE_URL",
        default_value = "https://api.openai.com/v1"
    )]
    stt_url: String,
    /// Its key.
    #[arg(
        long,
        env = "OPENAI_API_KEY",
        default_value = "none",
        hide_env_values = true
    )]
    stt_key: String,
    /// Its model.
    #[arg(long, default_value = "gpt-4o-mini-transcribe")]
    stt_model: String,
    /// How long to wait for an answer to begin, in seconds.
    #[arg(long, default_value_t = 20)]
    patience_seconds: u64,
    /// Print a token for joining the room under this identity, and do nothing else.
    #[arg(long, value_name = "IDENTITY")]
    print_token: Option<String>,
    /// Say this, in one call, instead of the demo's script; may be given several times.
    #[arg(long)]
    say: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<std::process::ExitCode> {
    let arguments = Arguments::parse();
    if let Some(identity) = &arguments.print_token {
        say(&arguments.server.token(&arguments.room, identity)?);
        return Ok(std::process::ExitCode::SUCCESS);
    }
    let report = converse(&arguments).await?;
    say(&serde_json::to_string(&report)?);
    Ok(if report.ok {
        std::process::ExitCode::SUCCESS
    } else {
        std::process::ExitCode::FAILURE
    })
}

async fn converse(arguments: &Arguments) -> Result<Report> {
    let transcriber = Transcriber {
        base_url: arguments.stt_url.clone(),
        api_key: arguments.stt_key.clone(),
        model: arguments.stt_model.clone(),
        http: reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .build()?,
    };
    if !arguments.say.is_empty() {
        let spoken = |text: &String| Line {
            say: text.clone(),
            expect_any: Vec::new(),
        };
        let lines: Vec<Line> = arguments.say.iter().map(spoken).collect();
        let only = call(arguments, &arguments.room, &lines, &transcriber).await?;
        return Ok(Report::new(only, None));
    }
    let first = call(arguments, &arguments.room, &script::demo(), &transcriber).await?;
    say("");
    say("       (the caller hangs up and calls again)");
    say("");
    let room = format!("{}-again", arguments.room);
    let next = call(arguments, &room, &script::next_call(), &transcriber).await?;
    Ok(Report::new(first, Some(next)))
}

/// One call, from joining to hanging up.
async fn call(
    arguments: &Arguments,
    room: &str,
    lines: &[Line],
    transcriber: &Transcriber,
) -> Result<CallReport> {
    // All voices first: synthesis must not steal time from the conversation.
    let mut voices = Vec::with_capacity(lines.len());
    for line in lines {
        voices.push(voice::speak(&line.say).await?);
    }
    let started = Instant::now();
    let mut call = Call::join(
        &arguments.server.url,
        &arguments.server.token(room, &arguments.identity)?,
    )
    .await?;
    let join = started.elapsed();
    let patience = Duration::from_secs(arguments.patience_seconds);

    let any = Line {
        say: String::new(),
        expect_any: Vec::new(),
    };
    let greeting = answer(&mut call, &any, started, patience, transcriber).await?;
    say(&greeting.dialogue());
    let mut turns = Vec::with_capacity(lines.len());
    for (line, samples) in lines.iter().zip(voices) {
        let spoken_at = call.say(samples).await?;
        let turn = answer(&mut call, line, spoken_at, patience, transcriber).await?;
        say(&turn.dialogue());
        turns.push(turn);
    }
    call.hang_up().await?;
    Ok(CallReport {
        join_ms: millis(join),
        greeting,
        turns,
    })
}

/// Hears one answer to its end and understands it.
async fn answer(
    call: &mut Call,
    line: &Line,
    since: Instant,
    patience: Duration,
    transcriber: &Transcriber,
) -> Result<TurnReport> {
    let mut turn = TurnReport {
        said: line.say.clone(),
        heard: String::new(),
        latency_ms: None,
        answer_ms: 0,
        ok: false,
    };
    while let Some(event) = call.hear(patience).await {
        match event.heard {
            Heard::Onset => {
                let latency = event.at.saturating_duration_since(since);
                turn.latency_ms.get_or_insert(millis(latency));
            }
            Heard::Speech { samples } => {
                turn.answer_ms = samples.len() as u64 * 1_000 / u64::from(SAMPLE_RATE_HZ);
                turn.heard = transcriber
                    .transcribe(&samples)
                    .await
                    .context("cannot transcribe what the agent said")?;
                turn.ok = line.is_answered_by(&turn.heard);
                break;
            }
        }
    }
    Ok(turn)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::print_stdout, reason = "the dialogue is this program's output")]
fn say(line: &str) {
    println!("{line}");
}
