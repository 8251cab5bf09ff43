//! MP3 that arrives in pieces: frames out of bytes, samples out of frames.
//!
//! symphonia decodes frames but wants a file to find them in; here they come from a socket.
//!
//! Source of the header's fields: ISO/IEC 11172-3, 2.4.1.3 and ISO/IEC 13818-3, 2.4.2.3.

use symphonia::core::codecs::audio::well_known::CODEC_ID_MP3;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use crate::audio::recording::mono;

/// Kilobits per second of layer III by index: MPEG-1, and MPEG-2 with its extension 2.5.
const BIT_RATES_KBPS: [[u32; 15]; 2] = [
    [
        0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// Sample rates of MPEG-1 by index; MPEG-2 has half of them, MPEG-2.5 a quarter.
const SAMPLE_RATES_HZ: [u32; 3] = [44_100, 48_000, 32_000];

const HEADER_BYTES: usize = 4;

/// Header and flags of an ID3v2 tag, and of the footer that may end it.
const ID3_HEADER_BYTES: usize = 10;

/// A frame's header, as far as the next frame and the rate need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) frame_bytes: usize,
    pub(super) sample_rate_hz: u32,
}

impl Header {
    /// Reads a header of layer III; `None` if these bytes are none. Frames of free format, whose
    /// length only the next frame tells, are not read: encoders of speech do not make them.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let header = u32::from_be_bytes(*bytes.first_chunk::<HEADER_BYTES>()?);
        let version = header >> 19 & 3;
        let (bit_rate, rate) = (header >> 12 & 15, header >> 10 & 3);
        let is_layer_3 = header >> 17 & 3 == 1;
        if header >> 21 != 0x7FF || version == 1 || !is_layer_3 || bit_rate % 15 == 0 || rate == 3 {
            return None;
        }
        let is_mpeg_1 = version == 3;
        let divisor = match version {
            3 => 1,
            2 => 2,
            _ => 4,
        };
        let sample_rate_hz = SAMPLE_RATES_HZ[rate as usize] / divisor;
        let bits_per_second = BIT_RATES_KBPS[usize::from(!is_mpeg_1)][bit_rate as usize] * 1_000;
        let bytes_per_hertz = if is_mpeg_1 { 144 } else { 72 };
        let padding = header >> 9 & 1;
        Some(Self {
            frame_bytes: (bytes_per_hertz * bits_per_second / sample_rate_hz + padding) as usize,
            sample_rate_hz,
        })
    }
}

/// Whether the bytes are MP3: a tag, or a frame whose end is the beginning of another of its rate. One
/// frame alone proves it only where the answer ends, or its label says so. `None` while more bytes
/// are needed.
pub(super) fn is_mp3(bytes: &[u8], is_labelled: bool, is_end: bool) -> Option<bool> {
    if bytes.starts_with(b"ID3") {
        return Some(true);
    }
    if bytes.len() < HEADER_BYTES {
        let may_be = bytes.is_empty() || b"ID3".starts_with(bytes) || bytes[0] == 0xFF;
        return (is_end || !may_be).then_some(false);
    }
    let Some(first) = Header::read(bytes) else {
        return Some(false);
    };
    if is_labelled {
        return Some(true);
    }
    match bytes.get(first.frame_bytes..first.frame_bytes + HEADER_BYTES) {
        Some(next) => {
            let next = Header::read(next);
            Some(next.is_some_and(|next| next.sample_rate_hz == first.sample_rate_hz))
        }
        None if is_end => Some(bytes.len() == first.frame_bytes),
        None => None,
    }
}

/// Decodes MP3 as it comes.
pub(super) struct Mp3Decoder {
    decoder: Box<dyn AudioDecoder>,
    bytes: Vec<u8>,
    /// Bytes of a tag that are still to be passed over.
    skip_bytes: usize,
    /// The first frame may hold figures of the file in place of audio.
    has_begun: bool,
}

impl Mp3Decoder {
    /// `None` where the decoder was left out of the build.
    pub(super) fn new() -> Option<Self> {
        let mut parameters = AudioCodecParameters::new();
        parameters.for_codec(CODEC_ID_MP3);
        let codecs = symphonia::default::get_codecs();
        let decoder = codecs.make_audio_decoder(&parameters, &Default::default());
        Some(Self {
            decoder: decoder.ok()?,
            bytes: Vec::new(),
            skip_bytes: 0,
            has_begun: false,
        })
    }

    /// The samples of the frames that `bytes` complete, with their rate. What is no frame is passed over.
    pub(super) fn push(&mut self, bytes: &[u8], mut take: impl FnMut(u32, Vec<i16>)) {
        self.bytes.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let skipped = self.skip_bytes.min(self.bytes.len() - at);
            self.skip_bytes -= skipped;
            at += skipped;
            let rest = &self.bytes[at..];
            if rest.starts_with(b"ID3") {
                let Some(tag) = rest.first_chunk::<ID3_HEADER_BYTES>() else {
                    break;
                };
                self.skip_bytes = id3_bytes(tag);
                continue;
            }
            if rest.len() < HEADER_BYTES {
                break;
            }
            let Some(header) = Header::read(rest) else {
                at += 1;
                continue;
            };
            let Some(frame) = rest.get(..header.frame_bytes) else {
                break;
            };
            if std::mem::replace(&mut self.has_begun, true) || !is_info(frame) {
                let frame = frame.to_vec();
                let samples = self.decode(frame);
                take(header.sample_rate_hz, samples);
            }
            at += header.frame_bytes;
        }
        self.bytes.drain(..at);
    }

    /// The samples of one frame; none of a broken one.
    fn decode(&mut self, frame: Vec<u8>) -> Vec<i16> {
        let packet = Packet::new(0, Timestamp::ZERO, Duration::ZERO, frame);
        let Ok(decoded) = self.decoder.decode(&packet) else {
            return Vec::new();
        };
        let channels = decoded.num_planes().max(1);
        let mut samples: Vec<i16> = Vec::new();
        decoded.copy_to_vec_interleaved(&mut samples);
        mono(&samples, channels).collect()
    }
}

/// The length of a whole tag by its header: 28 bits in four bytes, and a footer if its flag is set.
///
/// Source: ID3v2.4.0, 3.1.
fn id3_bytes(header: &[u8; ID3_HEADER_BYTES]) -> usize {
    let size = header[6..].iter();
    let size = size.fold(0, |size, byte| size << 7 | usize::from(byte & 0x7F));
    let footer = usize::from(header[5] & 0x10 != 0) * ID3_HEADER_BYTES;
    ID3_HEADER_BYTES + size + footer
}

/// Whether a frame holds the figures of a file (`Xing`, `Info`) and no audio.
fn is_info(frame: &[u8]) -> bool {
    let has = |tag: &[u8]| frame.windows(4).take(64).any(|bytes| bytes == tag);
    has(b"Xing") || has(b"Info")
}
