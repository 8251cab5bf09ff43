//! The detector of voices, measured: sound of which it is known when somebody speaks, and what a
//! detector made of it.
//!
//! - [`voices`]: who speaks, from `flite` and from recordings, and when exactly.
//! - [`noise`]: what else is heard, made from a seed.
//! - [`scene`]: the two together, one scene for each condition.
//! - [`detector`]: ours, as a session runs it.
//! - [`figures`]: how far off it was.

pub mod detector;
pub mod figures;
pub mod noise;
pub mod scene;
#[cfg(test)]
mod tests;
pub mod voices;

use serde::{Deserialize, Serialize};

/// A stretch of time, in seconds from the beginning of a scene.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Span {
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
}

/// Speech as a detector sees it. Seconds from the beginning of a scene.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detected {
    /// When it was decided that somebody speaks.
    pub started_at: f64,
    /// Since when, as it was decided then.
    pub from: f64,
    /// When it was decided that it is over; absent when the scene ended before.
    pub ended_at: Option<f64>,
    /// Since when, as it was decided then.
    pub to: Option<f64>,
}

/// What a detector made of one scene.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Heard {
    /// In order.
    pub speeches: Vec<Detected>,
    /// Processor time for all of the scene.
    pub cpu_seconds: f64,
}

/// Root mean square of samples.
fn rms(samples: &[f64]) -> f64 {
    let sum: f64 = samples.iter().map(|sample| sample * sample).sum();
    (sum / samples.len().max(1) as f64).sqrt()
}

/// A ratio of amplitudes.
fn db(decibel: f64) -> f64 {
    10_f64.powf(decibel / 20.0)
}
