//! Recordings of browsers are heard, damaged recordings do no harm, and recordings that are made to do
//! harm cost no more than their bytes.

mod hostile;

use proptest::prelude::*;

use super::*;

const WEBM: &[u8] = include_bytes!("../../recordings/chromium.webm");
const MP4: &[u8] = include_bytes!("../../recordings/chromium.mp4");
const OGG: &[u8] = include_bytes!("../../recordings/opus.ogg");
const AAC: &[u8] = include_bytes!("../../recordings/aac.mp4");

/// A second or two of 440 Hz each: the first two as Chromium's `MediaRecorder` writes them
/// (pieces of 100 ms, lengths unknown), the others by FFmpeg.
const RECORDINGS: [(&str, &[u8]); 4] = [
    ("WebM with Opus", WEBM),
    ("MP4 with Opus", MP4),
    ("Ogg with Opus", OGG),
    ("MP4 with AAC, as iOS", AAC),
];

fn at_once() -> Duration {
    Duration::ZERO
}

fn decode(bytes: &[u8]) -> Result<AudioFrame, Unreadable> {
    super::decode(bytes.to_vec(), 16_000, Duration::from_secs(60), at_once)
}

/// How often the audio crosses zero upwards in a second, away from its edges.
fn pitch(audio: &AudioFrame) -> f64 {
    let middle = &audio.samples[4_000..12_000];
    let crossings = middle.windows(2).filter(|two| two[0] < 0 && two[1] >= 0);
    crossings.count() as f64 * 2.0
}

#[test]
fn what_browsers_record_is_heard_at_its_pitch() {
    for (name, recording) in RECORDINGS {
        let audio = decode(recording).expect(name);
        let seconds = audio.duration().as_secs_f64();
        assert!((0.9..2.0).contains(&seconds), "{name}: {seconds} s");
        assert!(
            (pitch(&audio) - 440.0).abs() <= 4.0,
            "{name}: {}",
            pitch(&audio)
        );
    }
}

#[test]
fn a_recording_that_is_cut_off_is_heard_up_to_there() {
    for (name, recording) in [RECORDINGS[0], RECORDINGS[1]] {
        let whole = decode(recording).unwrap().samples.len();
        let half = decode(&recording[..recording.len() / 2]).expect(name);
        let n_samples = half.samples.len();
        assert!(
            (whole / 4..whole).contains(&n_samples),
            "{name}: {n_samples}"
        );
    }
}

#[test]
fn a_recording_is_heard_up_to_its_longest() {
    let half = Duration::from_millis(500);
    let audio = super::decode(WEBM.to_vec(), 16_000, half, at_once);
    let seconds = audio.unwrap().duration().as_secs_f64();
    assert!((0.5..0.63).contains(&seconds), "{seconds} s");
}

#[test]
fn what_is_no_recording_is_refused_in_words() {
    for (bytes, part) in [
        (&b""[..], "no WebM"),
        (b"this is no recording at all", "no WebM"),
        (&WEBM[..60], "no WebM"),
        (b"\0\0\0\x08ftyp", "no WebM"),
        (b"OggS", "no WebM"),
    ] {
        let refused = decode(bytes).unwrap_err().to_string();
        assert!(refused.contains(part), "{refused}");
    }
}

proptest! {
    #[test]
    fn damage_does_no_harm(
        which in 0..RECORDINGS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let mut bytes = RECORDINGS[which].1.to_vec();
        for (place, value) in changes {
            *place.get_mut(&mut bytes) = value;
        }
        if let Ok(audio) = decode(&bytes) {
            prop_assert!(audio.duration() <= Duration::from_secs(61));
        }
    }
}
