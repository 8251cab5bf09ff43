//! Scenes: people who speak now and then, and what is heard meanwhile.

use std::path::Path;

use anyhow::Result;

use super::noise::{self, Random};
use super::voices::{self, SPEECH_RMS, Utterance};
use super::{Span, db};
use crate::SAMPLE_RATE_HZ;

const RATE: f64 = SAMPLE_RATE_HZ as f64;
/// Between two utterances, so that the first is over before the second begins.
const GAP_SECONDS: (f64, f64) = (2.0, 3.5);
/// How quiet a quiet line is.
const QUIET_DB: f64 = -55.0;
/// How much of each piece of music is heard.
const PIECE_SECONDS: f64 = 20.0;

/// One condition.
pub struct Scene {
    /// What it is called in the results.
    pub name: String,
    /// 16 kHz mono.
    pub samples: Vec<i16>,
    /// When somebody speaks.
    pub speech: Vec<Span>,
}

impl Scene {
    /// How long nobody speaks, in seconds.
    pub fn silence_seconds(&self) -> f64 {
        self.seconds()
            - self
                .speech
                .iter()
                .map(|span| span.to - span.from)
                .sum::<f64>()
    }

    /// How long it is.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / RATE
    }
}

/// What is recorded rather than made; empty where it is not installed.
#[derive(Default)]
pub struct Recordings {
    /// Pieces of music.
    pub music: Vec<Vec<f64>>,
    /// Single keys of a keyboard.
    pub keys: Vec<Vec<f64>>,
}

impl Recordings {
    /// From the folders `music` and `keys`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(directory: &Path) -> Result<Self> {
        let read = |folder| -> Result<Vec<Vec<f64>>> {
            voices::entries(&directory.join(folder))?
                .iter()
                .map(|file| {
                    let samples = voices::read_wav(file)?;
                    Ok(noise::normal(samples.into_iter().map(f64::from).collect()))
                })
                .collect()
        };
        Ok(Self {
            music: read("music")?,
            keys: read("keys")?,
        })
    }
}

/// All conditions, with these people in each. Another `seed` makes another noise of the same kind.
pub fn all(utterances: &[Utterance], recordings: &Recordings, seed: u64) -> Vec<Scene> {
    let mut scenes = speaking(utterances, recordings, seed);
    let alone_seconds = PIECE_SECONDS * (1 + recordings.music.len()) as f64;
    let alone =
        |name: &str, add: &mut dyn FnMut(&mut [f64])| mix(name, &[], alone_seconds, seed, add);
    scenes.push(alone("music alone, loud", &mut |bed| {
        add(bed, 0, &music(bed.len(), &recordings.music, seed), 0.0);
    }));
    scenes.push(alone("keyboard and breath alone", &mut |bed| {
        typing(bed, &recordings.keys, seed);
        breaths(bed, seed);
    }));
    scenes
}

/// The conditions in which somebody speaks.
pub fn speaking(utterances: &[Utterance], recordings: &Recordings, seed: u64) -> Vec<Scene> {
    let speaking =
        |name: &str, add: &mut dyn FnMut(&mut [f64])| mix(name, utterances, 0.0, seed, add);
    let mut scenes = vec![speaking("clean", &mut |_| {})];
    for snr_db in [10.0, 5.0] {
        let name = format!("room noise, {snr_db} dB");
        scenes.push(speaking(&name, &mut |bed| {
            add(
                bed,
                0,
                &noise::pink(bed.len(), &mut Random::new(seed + 1)),
                -snr_db,
            );
        }));
        let name = format!("babble, {snr_db} dB");
        scenes.push(speaking(&name, &mut |bed| {
            add(bed, 0, &babble(bed.len(), utterances, seed), -snr_db);
        }));
    }
    scenes.push(speaking("fan, 5 dB", &mut |bed| {
        add(
            bed,
            0,
            &noise::fan(bed.len(), &mut Random::new(seed + 2)),
            -5.0,
        );
    }));
    scenes.push(speaking("breath", &mut |bed| breaths(bed, seed)));
    scenes.push(speaking("keyboard", &mut |bed| {
        typing(bed, &recordings.keys, seed);
    }));
    scenes.push(speaking("music, 10 dB", &mut |bed| {
        add(bed, 0, &music(bed.len(), &recordings.music, seed), -10.0);
    }));
    scenes
}

/// Puts utterances on a quiet line and adds what else is heard.
fn mix(
    name: &str,
    utterances: &[Utterance],
    seconds_min: f64,
    seed: u64,
    add_noise: &mut dyn FnMut(&mut [f64]),
) -> Scene {
    let mut random = Random::new(seed + 11);
    let mut gap = || (random.between(GAP_SECONDS.0, GAP_SECONDS.1) * RATE) as usize;
    let mut places = Vec::new();
    let mut n_samples = gap().max((seconds_min * RATE) as usize);
    for utterance in utterances {
        places.push(n_samples);
        n_samples += utterance.samples.len() + gap();
    }
    let mut bed = noise::pink(n_samples, &mut Random::new(seed + 3));
    bed.iter_mut()
        .for_each(|sample| *sample *= SPEECH_RMS * db(QUIET_DB));
    let mut speech = Vec::new();
    for (utterance, at) in utterances.iter().zip(&places) {
        for (into, sample) in bed[*at..].iter_mut().zip(&utterance.samples) {
            *into += sample;
        }
        let offset = *at as f64 / RATE;
        speech.push(Span {
            from: offset + utterance.speech.from,
            to: offset + utterance.speech.to,
        });
    }
    add_noise(&mut bed);
    Scene {
        name: name.to_owned(),
        samples: bed
            .iter()
            .map(|sample| sample.clamp(-32_768.0, 32_767.0) as i16)
            .collect(),
        speech,
    }
}

/// Adds a sound of level 1, so loud beside speech.
fn add(bed: &mut [f64], at: usize, sound: &[f64], level_db: f64) {
    let gain = SPEECH_RMS * db(level_db);
    for (into, sample) in bed.iter_mut().skip(at).zip(sound) {
        *into += gain * sample;
    }
}

/// Breaths every one to three seconds, as a headset has them.
fn breaths(bed: &mut [f64], seed: u64) {
    let mut random = Random::new(seed + 4);
    let mut at = 0;
    loop {
        at += (random.between(1.0, 3.0) * RATE) as usize;
        if at >= bed.len() {
            return;
        }
        let level_db = random.between(-18.0, -8.0);
        add(bed, at, &noise::breath(&mut random), level_db);
    }
}

/// Quick typing in bursts, half of the keys recorded where there are recordings.
fn typing(bed: &mut [f64], keys: &[Vec<f64>], seed: u64) {
    let mut random = Random::new(seed + 5);
    let mut at = 0;
    loop {
        let is_burst_over = random.unit() < 0.08;
        let wait = if is_burst_over {
            (0.8, 2.0)
        } else {
            (0.09, 0.26)
        };
        at += (random.between(wait.0, wait.1) * RATE) as usize;
        if at >= bed.len() {
            return;
        }
        let level_db = random.between(-12.0, -2.0);
        if keys.is_empty() || random.unit() < 0.5 {
            add(bed, at, &noise::key(&mut random), level_db);
        } else {
            add(bed, at, &keys[random.below(keys.len())], level_db);
        }
    }
}

/// Pieces one after the other: one made here, then those that are recorded.
fn music(n_samples: usize, recorded: &[Vec<f64>], seed: u64) -> Vec<f64> {
    let n_piece = (PIECE_SECONDS * RATE) as usize;
    let mut pieces = vec![noise::music(n_piece, &mut Random::new(seed + 6))];
    // Their beginnings are soft.
    pieces.extend(recorded.iter().map(|piece| {
        let from = (piece.len() / 4).min(piece.len().saturating_sub(n_piece));
        noise::normal(piece[from..].iter().take(n_piece).copied().collect())
    }));
    let sound = pieces.into_iter().cycle().flatten();
    sound.take(n_samples).collect()
}

/// Twenty people who talk all the time, none of them to us.
fn babble(n_samples: usize, utterances: &[Utterance], seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed + 7);
    let mut sum = vec![0.0; n_samples];
    for _ in 0..20 {
        let mut at = 0;
        while at < n_samples && !utterances.is_empty() {
            let Utterance { samples, speech } = &utterances[random.below(utterances.len())];
            let spoken = &samples[(speech.from * RATE) as usize..(speech.to * RATE) as usize];
            add(&mut sum, at, spoken, 0.0);
            at += spoken.len() + (random.between(0.0, 0.3) * RATE) as usize;
        }
    }
    noise::normal(sum)
}
