//! Scripts of answers, each cut in several ways.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

use super::*;

const LONG: Duration = Duration::from_secs(60);

const SAMPLES: [i16; 5] = [1, -2, 300, i16::MIN, i16::MAX];

fn pcm(samples: &[i16]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

fn wav(samples: &[i16], rate: u32, data_bytes: u32) -> Vec<u8> {
    let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    wav.extend(rate.to_le_bytes());
    wav.extend(rate.wrapping_mul(2).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(data_bytes.to_le_bytes());
    wav.extend(pcm(samples));
    wav
}

fn events(samples: &[i16], is_done: bool) -> Vec<u8> {
    let bytes = pcm(samples);
    // An odd number of bytes in the first event.
    let (first, second) = bytes.split_at(bytes.len().min(3));
    let mut text = String::new();
    for part in [first, second] {
        let audio = BASE64_STANDARD.encode(part);
        text += &format!(
            "event: x\ndata: {{\"type\":\"speech.audio.delta\",\"audio\":\"{audio}\"}}\n\n"
        );
    }
    if is_done {
        text += "data: {\"type\":\"speech.audio.done\",\"usage\":{}}\n\n";
    }
    text.into_bytes()
}

fn decode(content_type: &str, chunks: &[&[u8]]) -> (Vec<i16>, Option<ErrorKind>) {
    let mut decoder = SpeechDecoder::new(content_type, 24_000, 24_000, LONG);
    let mut frames = VecDeque::new();
    let mut result = Ok(());
    for chunk in chunks {
        result = result.and_then(|()| decoder.push(chunk, &mut frames));
    }
    result = result.and_then(|()| decoder.finish(&mut frames));
    let samples = frames.into_iter().flat_map(|frame| frame.samples).collect();
    (samples, result.err().map(|fault| fault.kind))
}

fn check(content_type: &str, answer: &[u8], expected: &[i16], error: Option<ErrorKind>) {
    for size in [1, 2, 3, 7, 50, 10_000] {
        let chunks: Vec<_> = answer.chunks(size).collect();
        let found = decode(content_type, &chunks);
        assert_eq!(
            found,
            (expected.to_vec(), error),
            "{content_type}, pieces of {size}"
        );
    }
}

#[test]
fn raw_sound_is_played_as_it_is() {
    for content_type in [
        "audio/pcm",
        "application/octet-stream",
        "",
        "audio/L16;rate=24000",
    ] {
        check(content_type, &pcm(&SAMPLES), &SAMPLES, None);
    }
}

#[test]
fn a_byte_too_many_at_the_end_is_dropped() {
    check(
        "audio/pcm",
        &[&pcm(&SAMPLES)[..], &[7]].concat(),
        &SAMPLES,
        None,
    );
}

#[test]
fn sound_that_begins_like_a_wav_file_is_still_sound() {
    let sound = b"RIFFRIFFRIFFRIFF";
    let samples: Vec<_> = sound
        .chunks(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]))
        .collect();
    check("audio/pcm", sound, &samples, None);
    check("audio/pcm", &sound[..4], &samples[..2], None);
}

#[test]
fn a_wav_file_is_recognised_whatever_it_is_called() {
    for content_type in [
        "audio/wav",
        "audio/x-wav",
        "audio/pcm",
        "application/octet-stream",
    ] {
        check(content_type, &wav(&SAMPLES, 24_000, 10), &SAMPLES, None);
        check(
            content_type,
            &wav(&SAMPLES, 24_000, u32::MAX),
            &SAMPLES,
            None,
        );
    }
}

#[test]
fn what_follows_the_sound_of_a_wav_file_is_not_played() {
    let file = [&wav(&SAMPLES, 24_000, 10)[..], b"LIST\x04\0\0\0text"].concat();
    check("audio/wav", &file, &SAMPLES, None);
}

#[test]
fn an_answer_that_ends_in_order_is_whole_whatever_its_header_claims() {
    for length in [
        0,
        12,
        1 << 20,
        0x7FFF_FFFF,
        0x7FFF_F000,
        1 << 31,
        u32::MAX - 36,
        u32::MAX,
    ] {
        check("audio/wav", &wav(&SAMPLES, 24_000, length), &SAMPLES, None);
    }
}

#[test]
fn audio_of_another_rate_is_brought_to_the_rooms() {
    let tone = |rate: u32| -> Vec<i16> {
        let sample =
            |n: u32| (f64::from(n) * 440.0 * std::f64::consts::TAU / f64::from(rate)).sin();
        (0..rate).map(|n| (sample(n) * 10_000.0) as i16).collect()
    };
    for rate in [8_000, 16_000, 22_050, 44_100, 48_000] {
        let answer = wav(&tone(rate), rate, u32::MAX);
        let (samples, error) = decode("audio/wav", &[&answer]);
        assert_eq!(error, None);
        assert_tone(&samples, &format!("{rate} Hz"));
        let (samples, error) = decode(&format!("audio/pcm;rate={rate}"), &[&pcm(&tone(rate))]);
        assert_eq!(error, None);
        assert_tone(&samples, &format!("raw at {rate} Hz"));
    }
}

#[test]
fn a_rate_that_no_voice_has_is_refused() {
    for rate in [0, 7_999, 96_001, 16_777_213, u32::MAX] {
        let answer = wav(&SAMPLES, rate, 10);
        check("audio/wav", &answer, &[], Some(ErrorKind::Rejected));
    }
}

/// A second of 440 Hz at 24 kHz.
fn assert_tone(samples: &[i16], name: &str) {
    let seconds = samples.len() as f64 / 24_000.0;
    assert!((0.9..1.2).contains(&seconds), "{name}: {seconds} s");
    let middle = &samples[6_000..18_000];
    let crossings = middle.windows(2).filter(|two| two[0] < 0 && two[1] >= 0);
    let pitch = crossings.count() as f64 * 2.0;
    assert!((pitch - 440.0).abs() <= 4.0, "{name}: {pitch} Hz");
}

/// Recordings of 440 Hz: by LAME of 24 kHz mono and of 44.1 kHz stereo, by FFmpeg with Opus.
const COMPRESSED: [(&str, &[u8]); 3] = [
    ("MP3", include_bytes!("../recordings/tone-24k.mp3")),
    (
        "MP3 with variable bit rate",
        include_bytes!("../recordings/tone-44k-vbr.mp3"),
    ),
    ("Opus", include_bytes!("../../audio/recordings/opus.ogg")),
];

#[test]
fn compressed_audio_is_played_whatever_it_is_called() {
    for (name, answer) in COMPRESSED {
        for content_type in [
            "audio/mpeg",
            "audio/ogg",
            "audio/pcm",
            "application/octet-stream",
            "",
        ] {
            let mut all = Vec::new();
            for size in [100, 1_000, 100_000] {
                let chunks: Vec<_> = answer.chunks(size).collect();
                let (samples, error) = decode(content_type, &chunks);
                assert_eq!(error, None, "{name} as {content_type}");
                assert_tone(&samples, name);
                all.push(samples);
            }
            assert!(
                all.windows(2).all(|two| two[0] == two[1]),
                "{name}: cuts change it"
            );
        }
    }
}

#[test]
fn pcm_is_played_whatever_it_is_called() {
    for content_type in [
        "audio/mpeg",
        "audio/mp3",
        "audio/ogg",
        "audio/flac",
        "text/plain",
        "video/mp4",
    ] {
        check(content_type, &pcm(&SAMPLES), &SAMPLES, None);
    }
}

#[test]
fn json_with_audio_is_played_and_a_refusal_is_one() {
    let audio = BASE64_STANDARD.encode(wav(&SAMPLES, 24_000, 10));
    for field in ["audio", "data", "audioContent"] {
        let answer = format!("{{\"{field}\": \"{audio}\"}}");
        check("application/json", answer.as_bytes(), &SAMPLES, None);
    }
    let nested = format!("{{\"data\": {{\"audio\": \"{audio}\"}}}}");
    check("application/json", nested.as_bytes(), &SAMPLES, None);
    let refusal = br#"{"error":{"message":"busy","type":"server_error"}}"#;
    for content_type in ["application/json", "audio/pcm"] {
        check(content_type, refusal, &[], Some(ErrorKind::Unavailable));
    }
}

#[test]
fn events_are_joined_across_samples() {
    check(
        "text/event-stream; charset=utf-8",
        &events(&SAMPLES, true),
        &SAMPLES,
        None,
    );
}

#[test]
fn events_without_an_end_are_an_error_after_their_sound() {
    check(
        "text/event-stream",
        &events(&SAMPLES, false),
        &SAMPLES,
        Some(ErrorKind::Malformed),
    );
}

#[test]
fn an_error_event_is_the_services() {
    let answer = [
        &events(&SAMPLES, false)[..],
        b"data: {\"error\":{\"type\":\"server_error\"}}\n\n",
    ];
    check(
        "text/event-stream",
        &answer.concat(),
        &SAMPLES,
        Some(ErrorKind::Unavailable),
    );
}

#[test]
fn an_answer_without_sound_is_an_error() {
    check("audio/pcm", b"", &[], Some(ErrorKind::Empty));
    check(
        "audio/wav",
        &wav(&[], 24_000, 0),
        &[],
        Some(ErrorKind::Empty),
    );
    check(
        "text/event-stream",
        b"data: {\"type\":\"speech.audio.done\"}\n\n",
        &[],
        Some(ErrorKind::Empty),
    );
}

#[test]
fn a_coding_that_is_not_decoded_is_named() {
    let mut decoder = SpeechDecoder::new("audio/pcm", 24_000, 24_000, LONG);
    let error = decoder
        .push(b"fLaC and what follows", &mut VecDeque::new())
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Rejected);
    assert!(
        error.cause.to_string().contains("audio/flac"),
        "{}",
        error.cause
    );
}

#[test]
fn an_answer_that_is_no_audio_is_malformed_and_not_repeated() {
    for content_type in ["application/json", "text/html", "what the caller said"] {
        let mut decoder = SpeechDecoder::new(content_type, 24_000, 24_000, LONG);
        let mut frames = VecDeque::new();
        let page = b"<html><body>It is busy.</body></html>";
        let error = decoder.push(page, &mut frames).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed);
        let cause = error.cause.to_string();
        assert!(
            !cause.contains("caller") && !cause.contains("busy"),
            "{cause}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_panic_and_alike_however_they_are_cut(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        prefix in prop_oneof![Just(&b""[..]), Just(&b"RIFF"[..]), Just(&b"RIFF\0\0\0\0WAVEfmt "[..]), Just(&b"data: "[..]), Just(&b"OggS"[..]), Just(&b"ID3"[..]), Just(&b"\xFF\xFB\x90"[..]), Just(&b"{"[..])],
        content_type in prop_oneof![Just("audio/pcm"), Just("audio/wav"), Just("text/event-stream"), Just("audio/mpeg"), Just("application/json"), Just("")],
        cut in 0usize..200,
    ) {
        let answer = [prefix, &bytes].concat();
        let (a, b) = answer.split_at(cut.min(answer.len()));
        prop_assert_eq!(decode(content_type, &[&answer]), decode(content_type, &[a, b]));
    }
}
