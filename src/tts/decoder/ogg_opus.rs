//! Opus in Ogg that arrives in pieces: packets out of pages, samples out of packets.
//!
//! Source: RFC 3533, 6 (pages), RFC 7845, 4 and 5.1 (the two header packets, pre-skip).

use opus::Channels;

/// Up to the table of segments.
const PAGE_HEADER_BYTES: usize = 27;
/// The longest Opus packet that is read: far above 120 ms at any bit rate of speech.
const PACKET_BYTES_MAX: usize = 64 * 1024;
/// Samples of the longest packet, 120 ms, at 48 kHz.
const PACKET_SAMPLES_MAX: usize = 5_760;
/// The rate of everything that the container counts.
const CONTAINER_RATE_HZ: u32 = 48_000;

/// The stream cannot be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OggError {
    /// Another codec, such as Vorbis.
    #[error("the Ogg stream is not Opus")]
    NotOpus,
    /// No page where one should begin, or a packet without an end.
    #[error("the Ogg stream is damaged")]
    Damaged,
}

/// Decodes to mono at the rate it was made with.
pub(super) struct OggOpusDecoder {
    decoder: opus::Decoder,
    sample_rate_hz: u32,
    bytes: Vec<u8>,
    /// The beginning of a packet whose end has not come yet.
    packet: Vec<u8>,
    n_packets: usize,
    /// Samples that the encoder put before the audio.
    skip_samples: usize,
}

impl OggOpusDecoder {
    /// `sample_rate_hz` is one of Opus' own: 8, 12, 16, 24 or 48 kHz.
    pub(super) fn new(sample_rate_hz: u32) -> Result<Self, OggError> {
        let decoder = opus::Decoder::new(sample_rate_hz, Channels::Mono);
        Ok(Self {
            decoder: decoder.map_err(|_| OggError::NotOpus)?,
            sample_rate_hz,
            bytes: Vec::new(),
            packet: Vec::new(),
            n_packets: 0,
            skip_samples: 0,
        })
    }

    /// The samples of the pages that `bytes` complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<i16>, OggError> {
        self.bytes.extend_from_slice(bytes);
        let mut samples = Vec::new();
        while let Some(length) = page_bytes(&self.bytes)? {
            let page: Vec<u8> = self.bytes.drain(..length).collect();
            self.take_page(&page, &mut samples)?;
        }
        Ok(samples)
    }

    fn take_page(&mut self, page: &[u8], samples: &mut Vec<i16>) -> Result<(), OggError> {
        let n_segments = usize::from(page[PAGE_HEADER_BYTES - 1]);
        let (header, mut body) = page.split_at(PAGE_HEADER_BYTES + n_segments);
        for &lace in &header[PAGE_HEADER_BYTES..] {
            let (segment, rest) = body.split_at(usize::from(lace));
            body = rest;
            if self.packet.len() + segment.len() > PACKET_BYTES_MAX {
                return Err(OggError::Damaged);
            }
            self.packet.extend_from_slice(segment);
            // A full segment says that the packet goes on.
            if lace < u8::MAX {
                let packet = std::mem::take(&mut self.packet);
                self.take_packet(&packet, samples)?;
            }
        }
        Ok(())
    }

    fn take_packet(&mut self, packet: &[u8], samples: &mut Vec<i16>) -> Result<(), OggError> {
        let is_head = packet.starts_with(b"OpusHead");
        let is_header = is_head || packet.starts_with(b"OpusTags");
        if self.n_packets == 0 && !is_head {
            return Err(OggError::NotOpus);
        }
        self.n_packets += 1;
        if is_head {
            // Also of a stream that follows another one: some servers send one for each sentence.
            let skip = packet.get(10..12).ok_or(OggError::Damaged)?;
            let skip = u32::from(u16::from_le_bytes([skip[0], skip[1]]));
            self.skip_samples = (skip * self.sample_rate_hz / CONTAINER_RATE_HZ) as usize;
        }
        if is_header {
            return Ok(());
        }
        let mut decoded = [0; PACKET_SAMPLES_MAX];
        // A broken packet costs its own audio only.
        let n_samples = self.decoder.decode(packet, &mut decoded, false);
        let decoded = &decoded[..n_samples.unwrap_or_default()];
        let skipped = self.skip_samples.min(decoded.len());
        self.skip_samples -= skipped;
        samples.extend_from_slice(&decoded[skipped..]);
        Ok(())
    }
}

/// The length of the page that these bytes begin with; `None` while it is not whole.
fn page_bytes(bytes: &[u8]) -> Result<Option<usize>, OggError> {
    let magic = b"OggS";
    if !magic.starts_with(&bytes[..bytes.len().min(magic.len())]) {
        return Err(OggError::Damaged);
    }
    let Some(&n_segments) = bytes.get(PAGE_HEADER_BYTES - 1) else {
        return Ok(None);
    };
    let body_at = PAGE_HEADER_BYTES + usize::from(n_segments);
    let Some(table) = bytes.get(PAGE_HEADER_BYTES..body_at) else {
        return Ok(None);
    };
    let length = body_at + table.iter().copied().map(usize::from).sum::<usize>();
    Ok((bytes.len() >= length).then_some(length))
}
