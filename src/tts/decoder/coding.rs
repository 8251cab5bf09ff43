//! Tells the coding of an answer by its first bytes. Plain code.
//!
//! The label is a hint only where bytes leave a doubt: servers send raw PCM as `audio/mpeg`, WAV as
//! `audio/pcm` and events as `audio/wav`.

use super::mp3;

/// How the audio of an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Samples and nothing else.
    Raw,
    Wav,
    Mp3,
    Ogg,
    /// Server-sent events with base64 in them.
    Events,
    /// A JSON object: a refusal, or audio in base64.
    Json,
    /// Known, and not decoded here; its name.
    Other(&'static str),
    /// A page, or words for a reader.
    Text,
}

/// Signatures of codings that are not decoded. AAC's frames begin with 12 bits that raw PCM may have,
/// so it counts only with its label.
const OTHERS: [(&[u8], &str); 3] = [
    (b"fLaC", "audio/flac"),
    (b"\x1A\x45\xDF\xA3", "audio/webm"),
    (b"#!AMR", "audio/amr"),
];

/// Lines that an event stream may begin with. Source: WHATWG HTML, 9.2.6.
const EVENT_FIELDS: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b": "];

/// Bytes that no text has, and audio has soon.
fn is_text(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7F || matches!(byte, b'\t' | b'\n' | b'\r')
}

/// What these bytes begin; `None` while more of them may tell otherwise. `label` is the answer's content
/// type without parameters, in lower case.
pub(super) fn tell(head: &[u8], label: &str, is_end: bool) -> Option<Coding> {
    let has = |magic: &[u8]| head.starts_with(magic);
    let may_have = |magic: &[u8]| !is_end && !head.is_empty() && magic.starts_with(head);
    if head.is_empty() {
        return is_end.then_some(Coding::Raw);
    }
    let riff = [&b"RIFF"[..], b"RF64"].into_iter().find(|magic| has(magic));
    if riff.is_some() {
        return match head.get(8..12) {
            Some(kind) => Some(if kind == b"WAVE" {
                Coding::Wav
            } else {
                Coding::Raw
            }),
            None => is_end.then_some(Coding::Raw),
        };
    }
    if has(b"OggS") {
        return Some(Coding::Ogg);
    }
    if let Some((_, name)) = OTHERS.into_iter().find(|(magic, _)| has(magic)) {
        return Some(Coding::Other(name));
    }
    let magics = [&b"RIFF"[..], b"RF64", b"OggS"].into_iter();
    if magics.chain(OTHERS.map(|(magic, _)| magic)).any(may_have) {
        return None;
    }
    if let Some(text) = tell_text(head, label, is_end) {
        return text;
    }
    let is_aac = matches!(label, "audio/aac" | "audio/aacp" | "audio/x-aac");
    if is_aac && head[0] == 0xFF && head.get(1).is_some_and(|byte| byte & 0xF6 == 0xF0) {
        return Some(Coding::Other("audio/aac"));
    }
    let is_labelled = matches!(
        label,
        "audio/mpeg" | "audio/mp3" | "audio/x-mp3" | "audio/mpeg3"
    );
    mp3::is_mp3(head, is_labelled, is_end).map(|is_mp3| match is_mp3 {
        true => Coding::Mp3,
        false => Coding::Raw,
    })
}

/// Events, JSON or a page, if the first bytes are text; the inner `None` while more bytes are needed.
/// A fixed number of bytes decides, so that it does not matter how the answer is cut.
fn tell_text(head: &[u8], label: &str, is_end: bool) -> Option<Option<Coding>> {
    let window = &head[..head.len().min(TEXT_BYTES)];
    if !window.iter().copied().all(is_text) {
        return None;
    }
    let text = window
        .strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(window)
        .trim_ascii_start();
    let is_whole = is_end || window.len() == TEXT_BYTES;
    let coding = match text {
        text if EVENT_FIELDS.iter().any(|field| text.starts_with(field)) => Coding::Events,
        [b'{' | b'[', ..] => Coding::Json,
        [b'<', ..] => Coding::Text,
        _ if label == "text/event-stream" => Coding::Events,
        _ if label.contains("json") => Coding::Json,
        _ if label.starts_with("text/") => Coding::Text,
        text => {
            let may_be_event = EVENT_FIELDS.iter().any(|field| field.starts_with(text));
            return (may_be_event && !is_whole).then_some(None);
        }
    };
    Some(is_whole.then_some(coding))
}

/// So many printable bytes, of which the first ones begin a text, are no samples.
const TEXT_BYTES: usize = 16;
