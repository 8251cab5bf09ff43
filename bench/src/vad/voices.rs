//! Who speaks, and when exactly.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Span, db, rms};
use crate::{FRAME_SAMPLES, SAMPLE_RATE_HZ, voice};

/// How loud every utterance is while it lasts: -26 dBFS, an ordinary call's level.
pub const SPEECH_RMS: f64 = 32_768.0 * 0.05;
/// A frame of 10 ms belongs to the speech when it is at most so far below the loudest one.
const SPEECH_BELOW_LOUDEST_DB: f64 = 35.0;
/// Utterances with a longer silence inside are left out: whether they end there is a matter of taste.
const SILENCE_INSIDE_FRAMES_MAX: usize = 15;
/// The shortest and the longest recording that is used.
const RECORDING_SECONDS: (f64, f64) = (0.8, 5.0);

/// The voices of flite, a man's and a woman's among them.
const FLITE_VOICES: [&str; 4] = ["slt", "rms", "awb", "kal16"];

/// Sentences without a pause inside that end on vowels, nasals, plosives and fricatives.
const SENTENCES: [&str; 8] = [
    "What is the weather like today?",
    "Please tell me about the garden.",
    "How long does it take to get there?",
    "I would like to know who that was.",
    "My name is John.",
    "Can you book a table for six?",
    "Stop.",
    "That is not what I meant.",
];

/// One stretch of speech, alone in silence.
pub struct Utterance {
    /// 16 kHz mono, as loud as all others.
    pub samples: Vec<f64>,
    /// When somebody speaks in it.
    pub speech: Span,
}

impl Utterance {
    /// Finds the speech in clean sound by its energy; `None` when there is none, or a pause in it.
    pub fn of(samples: &[i16]) -> Option<Self> {
        let samples: Vec<f64> = samples.iter().copied().map(f64::from).collect();
        let levels: Vec<f64> = samples.chunks(FRAME_SAMPLES).map(rms).collect();
        let loudest = levels.iter().copied().fold(0.0, f64::max);
        let loud: Vec<usize> = (0..levels.len())
            .filter(|at| loudest > 0.0 && levels[*at] >= loudest * db(-SPEECH_BELOW_LOUDEST_DB))
            .collect();
        let (first, last) = (*loud.first()?, *loud.last()?);
        let is_one_piece = loud
            .windows(2)
            .all(|pair| pair[1] - pair[0] <= SILENCE_INSIDE_FRAMES_MAX);
        let (from, to) = (
            first * FRAME_SAMPLES,
            ((last + 1) * FRAME_SAMPLES).min(samples.len()),
        );
        let gain = SPEECH_RMS / rms(&samples[from..to]);
        is_one_piece.then(|| Self {
            samples: samples.iter().map(|sample| sample * gain).collect(),
            speech: Span {
                from: from as f64 / f64::from(SAMPLE_RATE_HZ),
                to: to as f64 / f64::from(SAMPLE_RATE_HZ),
            },
        })
    }
}

/// The sentences in the voices of flite; `n_each` of each voice.
///
/// # Errors
/// When flite is not installed.
pub async fn synthetic(n_each: usize) -> Result<Vec<Utterance>> {
    let mut utterances = Vec::new();
    for (index, name) in FLITE_VOICES.iter().enumerate() {
        for n in 0..n_each {
            let sentence = SENTENCES[(index * n_each + n) % SENTENCES.len()];
            let samples = voice::speak_as(name, sentence).await?;
            utterances.extend(Utterance::of(&samples));
        }
    }
    Ok(utterances)
}

/// `n_each` recordings of each folder in `directory`, spread over all there are; none when there is no
/// such directory.
///
/// # Errors
/// When a file cannot be read.
pub fn recorded(directory: &Path, n_each: usize) -> Result<Vec<Utterance>> {
    let mut utterances = Vec::new();
    for folder in entries(directory)? {
        let mut usable = Vec::new();
        for file in entries(&folder)? {
            let samples = read_wav(&file)?;
            let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE_HZ);
            if (RECORDING_SECONDS.0..RECORDING_SECONDS.1).contains(&seconds) {
                usable.extend(Utterance::of(&samples));
            }
        }
        let step = (usable.len() / n_each.max(1)).max(1);
        utterances.extend(usable.into_iter().step_by(step).take(n_each));
    }
    Ok(utterances)
}

/// What is in a folder, by name; nothing when it is not there.
pub(crate) fn entries(directory: &Path) -> Result<Vec<std::path::PathBuf>> {
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let mut paths = std::fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// The samples of a 16 kHz mono WAV file.
///
/// # Errors
/// When it is no such file.
pub(crate) fn read_wav(path: &Path) -> Result<Vec<i16>> {
    let wav = hound::WavReader::open(path).with_context(|| format!("{}", path.display()))?;
    let spec = wav.spec();
    ensure!(
        spec.sample_rate == SAMPLE_RATE_HZ && spec.channels == 1,
        "{}: not 16 kHz mono",
        path.display()
    );
    Ok(wav.into_samples().collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half a second of a tone between silences, in samples of 10 ms frames.
    fn tone(stretches: &[(f64, usize)]) -> Vec<i16> {
        let frames = stretches
            .iter()
            .flat_map(|(level, n)| std::iter::repeat_n(*level, n * FRAME_SAMPLES));
        frames
            .enumerate()
            .map(|(n, level)| (level * (n as f64 * 0.3).sin()) as i16)
            .collect()
    }

    #[test]
    fn speech_is_what_is_at_most_35_db_below_the_loudest() {
        let samples = tone(&[(0.0, 20), (300.0, 5), (10_000.0, 50), (100.0, 20)]);
        let utterance = Utterance::of(&samples).unwrap();
        assert_eq!(
            utterance.speech,
            Span {
                from: 0.2,
                to: 0.75
            }
        );
    }

    #[test]
    fn an_utterance_with_a_pause_inside_is_left_out() {
        assert!(Utterance::of(&tone(&[(9_000.0, 20), (0.0, 14), (9_000.0, 20)])).is_some());
        assert!(Utterance::of(&tone(&[(9_000.0, 20), (0.0, 20), (9_000.0, 20)])).is_none());
        assert!(Utterance::of(&tone(&[(0.0, 20)])).is_none());
    }
}
