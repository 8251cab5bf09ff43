//! Scripts of answers, each cut in several ways.

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
    wav.extend((2 * rate).to_le_bytes());
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
    let mut decoder = match SpeechDecoder::new(content_type, 24_000, LONG) {
        Ok(decoder) => decoder,
        Err(error) => return (Vec::new(), Some(error.kind())),
    };
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
fn a_wav_file_cut_short_is_an_error_after_its_sound() {
    check(
        "audio/wav",
        &wav(&SAMPLES, 24_000, 12),
        &SAMPLES,
        Some(ErrorKind::Malformed),
    );
}

#[test]
fn sound_of_another_rate_is_refused() {
    check(
        "audio/wav",
        &wav(&SAMPLES, 16_000, 10),
        &[],
        Some(ErrorKind::Malformed),
    );
    check(
        "audio/pcm;rate=16000",
        &pcm(&SAMPLES),
        &[],
        Some(ErrorKind::Rejected),
    );
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
    check("audio/pcm", b"", &[], Some(ErrorKind::Malformed));
    check(
        "audio/wav",
        &wav(&[], 24_000, 0),
        &[],
        Some(ErrorKind::Malformed),
    );
    check(
        "text/event-stream",
        b"data: {\"type\":\"speech.audio.done\"}\n\n",
        &[],
        Some(ErrorKind::Malformed),
    );
}

#[test]
fn compressed_sound_is_refused_by_name() {
    let error = SpeechDecoder::new("audio/mpeg", 24_000, LONG)
        .err()
        .unwrap();
    assert_eq!(error, NotPlayable::Compressed("audio/mpeg".to_owned()));
    assert_eq!(error.kind(), ErrorKind::Rejected);
}

#[test]
fn an_answer_that_is_no_sound_is_malformed_and_not_repeated() {
    for content_type in ["application/json", "text/html", "what the caller said"] {
        let error = SpeechDecoder::new(content_type, 24_000, LONG)
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(!error.to_string().contains("caller"), "{error}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_panic_and_alike_however_they_are_cut(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        prefix in prop_oneof![Just(&b""[..]), Just(&b"RIFF"[..]), Just(&b"RIFF\0\0\0\0WAVEfmt "[..]), Just(&b"data: "[..])],
        content_type in prop_oneof![Just("audio/pcm"), Just("audio/wav"), Just("text/event-stream")],
        cut in 0usize..200,
    ) {
        let answer = [prefix, &bytes].concat();
        let (a, b) = answer.split_at(cut.min(answer.len()));
        prop_assert_eq!(decode(content_type, &[&answer]), decode(content_type, &[a, b]));
    }
}
