//! One Opus decoder, and what can be told from a packet without decoding it.
//!
//! Decodes at the sink's rate directly: libopus does that itself, so no resampler is needed.
//!
//! Source: RFC 6716, 3 (packet layout) and 4.2.3 (where SILK says that it carries LBRR frames).

use opus::Decoder;

use super::pcm::{PcmFormat, RTP_CLOCK_HZ};

/// Shortest step in which libopus conceals: 2.5 ms.
pub(crate) const TICKS_MIN: u32 = RTP_CLOCK_HZ / 400;
/// Longest sound in one packet: 120 ms.
pub(crate) const TICKS_MAX: u32 = RTP_CLOCK_HZ * 12 / 100;

/// How long a packet sounds, in ticks of the RTP clock; None if it is no Opus packet.
pub(crate) fn packet_ticks(packet: &[u8]) -> Option<u32> {
    if packet.is_empty() {
        return None;
    }
    let ticks = opus::packet::get_nb_samples(packet, RTP_CLOCK_HZ).ok()? as u32;
    (TICKS_MIN..=TICKS_MAX).contains(&ticks).then_some(ticks)
}

/// Whether a packet only says that silence goes on: such are sent a few times a second (DTX).
pub(crate) fn is_dtx(packet: &[u8]) -> bool {
    packet.len() <= 2
}

/// Whether a packet repeats the frame before it in coarse form (in-band FEC).
pub(crate) fn carries_fec(packet: &[u8]) -> bool {
    let Some(&toc) = packet.first() else {
        return false;
    };
    // Configurations from 16 on are CELT only, which has no FEC.
    let config = toc >> 3;
    if config >= 16 {
        return false;
    }
    let frame = match toc & 3 {
        0 | 1 => packet.get(1),
        // Two frames of different size: the size of the first stands before it, in 1 or 2 bytes.
        2 => packet
            .get(1)
            .and_then(|size| packet.get(if *size < 252 { 2 } else { 3 })),
        // Any number of frames: rare, and worth the allocation to read it properly.
        _ => {
            return opus::packet::parse(packet).is_ok_and(|p| {
                p.frames
                    .first()
                    .and_then(|f| f.first())
                    .is_some_and(|b| lbrr_flag(toc, *b))
            });
        }
    };
    frame.is_some_and(|byte| lbrr_flag(toc, *byte))
}

/// The flag in the first byte of a SILK frame, behind one voice-activity bit per 20 ms.
fn lbrr_flag(toc: u8, first: u8) -> bool {
    let config = toc >> 3;
    let silk_frames = match config {
        // SILK: 10, 20, 40, 60 ms for each bandwidth; hybrid (12 to 15): 10 and 20 ms.
        0..12 if config & 3 >= 2 => config & 3,
        _ => 1,
    };
    let flag = |shift: u8| (first >> shift) & 1 == 1;
    let is_stereo = toc & 4 != 0;
    flag(7 - silk_frames) || (is_stereo && flag(6 - 2 * silk_frames))
}

/// Decodes one stream.
#[derive(Debug)]
pub(crate) struct OpusDecoder {
    decoder: Decoder,
    format: PcmFormat,
    /// Room for the longest packet.
    pcm: Box<[i16]>,
}

impl OpusDecoder {
    /// # Errors
    /// libopus could not get memory.
    pub(crate) fn new(format: PcmFormat) -> Result<Self, opus::Error> {
        let decoder = Decoder::new(format.sample_rate(), format.opus_channels())?;
        let samples = format.samples_of_ticks(TICKS_MAX) * format.channels();
        Ok(Self {
            decoder,
            format,
            pcm: vec![0; samples].into_boxed_slice(),
        })
    }

    /// Interleaved sound of a packet.
    ///
    /// # Errors
    /// The packet is damaged; the decoder stays usable.
    pub(crate) fn decode(&mut self, packet: &[u8]) -> Result<&[i16], opus::Error> {
        let frames = self.decoder.decode(packet, &mut self.pcm, false)?;
        Ok(&self.pcm[..frames * self.format.channels()])
    }

    /// Sound of the lost packet before `packet`, which lasted `ticks`, from its in-band FEC.
    ///
    /// # Errors
    /// The packet is damaged.
    pub(crate) fn decode_fec(&mut self, packet: &[u8], ticks: u32) -> Result<&[i16], opus::Error> {
        let samples = self.samples(ticks);
        let frames = self
            .decoder
            .decode(packet, &mut self.pcm[..samples], true)?;
        Ok(&self.pcm[..frames * self.format.channels()])
    }

    /// What the decoder thinks may have sounded for `ticks`: concealment, or comfort noise in DTX.
    ///
    /// # Errors
    /// libopus failed; it does not for whole multiples of [`TICKS_MIN`].
    pub(crate) fn conceal(&mut self, ticks: u32) -> Result<&[i16], opus::Error> {
        let samples = self.samples(ticks);
        let frames = self.decoder.decode(&[], &mut self.pcm[..samples], false)?;
        Ok(&self.pcm[..frames * self.format.channels()])
    }

    /// Interleaved samples in so many ticks, brought into what libopus takes.
    fn samples(&self, ticks: u32) -> usize {
        let ticks = ticks.clamp(TICKS_MIN, TICKS_MAX) / TICKS_MIN * TICKS_MIN;
        self.format.samples_of_ticks(ticks) * self.format.channels()
    }
}
