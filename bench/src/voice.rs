//! The caller's voice.

use std::io::Cursor;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use crate::SAMPLE_RATE_HZ;

/// Speaks `text` with flite's `slt` voice.
///
/// Shape: 16 kHz mono PCM.
///
/// # Errors
/// When flite is not installed or says nothing.
pub async fn speak(text: &str) -> Result<Vec<i16>> {
    speak_as("slt", text).await
}

/// Speaks `text` with a voice of flite: one of its 16 kHz voices.
///
/// # Errors
/// When flite is not installed, has no such voice or says nothing.
pub async fn speak_as(voice: &str, text: &str) -> Result<Vec<i16>> {
    let output = Command::new("flite")
        .args(["-voice", voice, "-t", text, "-o", "/dev/stdout"])
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run flite: install the Debian package `flite`")?;
    if !output.status.success() {
        bail!(
            "flite failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let wav = hound::WavReader::new(Cursor::new(fix_length(output.stdout)))
        .context("flite wrote no readable WAV")?;
    let spec = wav.spec();
    ensure!(
        spec.sample_rate == SAMPLE_RATE_HZ && spec.channels == 1,
        "flite spoke at {} Hz with {} channels, expected {SAMPLE_RATE_HZ} Hz mono",
        spec.sample_rate,
        spec.channels
    );
    let samples = wav.into_samples().collect::<Result<Vec<i16>, _>>()?;
    ensure!(!samples.is_empty(), "flite had nothing to say");
    Ok(samples)
}

/// A pipe cannot be rewound, so flite leaves the length fields of the header unset there.
fn fix_length(mut wav: Vec<u8>) -> Vec<u8> {
    const HEADER: usize = 44;
    if wav.len() > HEADER {
        let data = (wav.len() - HEADER) as u32 & !1;
        wav[4..8].copy_from_slice(&(data + 36).to_le_bytes());
        wav[40..44].copy_from_slice(&data.to_le_bytes());
    }
    wav
}
