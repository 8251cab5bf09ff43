//! `vad`: our detector of voices and that of livekit-agents, on the same sound.
//!
//! See `voxpool_bench::vad` for the sound and the figures. `table`, `plot`: how they are shown.

mod plot;
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde::Serialize;
use tokio::process::Command;
use voxpool_bench::SAMPLE_RATE_HZ;
use voxpool_bench::progress::Progress;
use voxpool_bench::vad::figures::{Figures, figures};
use voxpool_bench::vad::scene::{self, Recordings, Scene};
use voxpool_bench::vad::voices::{self, Utterance};
use voxpool_bench::vad::{Heard, detector};

/// Sentences of each voice of flite, and recordings of each language.
const SENTENCES_EACH: usize = 6;
const RECORDINGS_EACH: usize = 10;
/// What the noise around held-out voices is made from.
const HELD_OUT_SEED: u64 = 1_000;

/// Measures the detector of voices beside livekit-agents' on the same sound.
#[derive(Parser)]
#[command(name = "vad", version)]
struct Arguments {
    /// The Python that livekit-agents is installed for.
    #[arg(long, default_value = ".tools/peer-venv/bin/python")]
    python: PathBuf,
    /// The peer's script.
    #[arg(long, default_value = "bench/vad/peer.py")]
    peer: PathBuf,
    /// Folder of recorded sound; without it everything is synthetic.
    #[arg(long, default_value = ".tools/vad-sounds")]
    sounds: PathBuf,
    /// Folder of the scenes as WAV files, the figures as JSON and the plot.
    #[arg(long, default_value = "target/bench-vad")]
    output: PathBuf,
}

/// What was measured.
#[derive(Serialize)]
struct Results {
    utterances_synthetic: usize,
    utterances_recorded: usize,
    /// Of people whom the detector's limits were not chosen on, in the conditions that say so.
    utterances_held_out: usize,
    conditions: Vec<Condition>,
}

/// One scene, as both heard it.
#[derive(Serialize)]
struct Condition {
    name: String,
    seconds: f64,
    voxpool: Figures,
    livekit_agents: Figures,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.output)?;
    let progress = Progress::new();
    progress.note("people speak");
    let mut utterances = voices::synthetic(SENTENCES_EACH).await?;
    let utterances_synthetic = utterances.len();
    let recorded = voices::recorded(&arguments.sounds.join("voices"), RECORDINGS_EACH)?;
    let utterances_recorded = recorded.len();
    utterances.extend(recorded);
    let held_out = voices::recorded(&arguments.sounds.join("held-out"), RECORDINGS_EACH)?;
    let mut results = Results {
        utterances_synthetic,
        utterances_recorded,
        utterances_held_out: held_out.len(),
        conditions: Vec::new(),
    };
    for scene in scenes(&arguments, &utterances, &held_out)? {
        progress.note(&format!(
            "{}: {:.0} s of sound",
            scene.name,
            scene.seconds()
        ));
        results.conditions.push(measure(&arguments, &scene).await?);
    }
    progress.done();
    table::print(&results);
    let json = arguments.output.join("results.json");
    std::fs::write(&json, serde_json::to_string_pretty(&results)?)?;
    let svg = arguments.output.join("ends.svg");
    std::fs::write(&svg, plot::svg(&results))?;
    progress.note(&format!("{} and {}\n", json.display(), svg.display()));
    Ok(())
}

fn scenes(
    arguments: &Arguments,
    utterances: &[Utterance],
    held_out: &[Utterance],
) -> Result<Vec<Scene>> {
    let recordings = Recordings::read(&arguments.sounds)?;
    let mut scenes = scene::all(utterances, &recordings, 0);
    if !held_out.is_empty() {
        let others = scene::speaking(held_out, &recordings, HELD_OUT_SEED);
        scenes.extend(others.into_iter().map(|scene| Scene {
            name: format!("held out, {}", scene.name),
            ..scene
        }));
    }
    Ok(scenes)
}

async fn measure(arguments: &Arguments, scene: &Scene) -> Result<Condition> {
    let name = scene.name.replace([' ', ','], "-");
    let wav = arguments.output.join(format!("{name}.wav"));
    write_wav(&wav, &scene.samples)?;
    let ours = detector::hear(&scene.samples);
    let theirs = hear_as_peer(arguments, &wav).await?;
    Ok(Condition {
        name: scene.name.clone(),
        seconds: scene.seconds(),
        voxpool: figures(scene, &ours),
        livekit_agents: figures(scene, &theirs),
    })
}

async fn hear_as_peer(arguments: &Arguments, wav: &Path) -> Result<Heard> {
    let output = Command::new(&arguments.python)
        .arg(&arguments.peer)
        .arg(wav)
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| {
            format!(
                "cannot run {}: see scripts/bench-vad",
                arguments.python.display()
            )
        })?;
    ensure!(
        output.status.success(),
        "livekit-agents' VAD failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn write_wav(path: &Path, samples: &[i16]) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE_HZ,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec)?;
    for sample in samples {
        wav.write_sample(*sample)?;
    }
    Ok(wav.finalize()?)
}
