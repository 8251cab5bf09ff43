//! From captured sound to RTP payloads: 20 ms packets, Opus, RED, timestamps, audio level.
//!
//! Pure: no socket and no thread. The caller decides on which thread to encode and hands each
//! [`OutgoingAudio`] to its RTP stream. SSRC, header extensions and encryption are not known here.
//!
//! Source: RFC 7587 (RTP payload of Opus), RFC 2198 (RED), RFC 6464 (level).

use std::time::{Duration, Instant};

use super::{
    audio_level::AudioLevel,
    clock::TICK,
    opus_encode::{EncoderSettings, OpusEncoder, PACKET_MS},
    pcm::{PcmFormat, RTP_CLOCK_HZ},
    red::RedPacker,
    resample::Converter,
};

const TICKS_PER_PACKET: u32 = RTP_CLOCK_HZ / 1000 * PACKET_MS as u32;
/// RTP ticks of the 10 ms that a source gives at a time.
const TICKS_PER_FRAME: u32 = RTP_CLOCK_HZ / 100;
/// A source silent for longer has paused: its timestamps jump, so that the other side keeps its
/// delay. Shorter gaps are uneven delivery.
const PAUSE: Duration = Duration::from_millis(150);
/// Packets of a silence that are sent whole, so that the encoder's last sound fades out; then one in
/// so many says that the silence goes on. 200 and 400 ms: as libopus does.
const SILENCE_WHOLE_PACKETS: u32 = 10;
const DTX_INTERVAL_PACKETS: u32 = 20;
/// How far a source that delivers faster than real time may run ahead of its clock.
const AHEAD_MAX: Duration = Duration::from_secs(1);

/// Payload types and redundancy that were negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SendFormat {
    pub(crate) opus_payload_type: u8,
    /// Set if the other side prefers RED.
    pub(crate) red: Option<SendRed>,
    /// The other side wants next to nothing during silence (DTX).
    pub(crate) dtx: bool,
}

/// How to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SendRed {
    pub(crate) payload_type: u8,
    /// Packets each payload is repeated in, 1 or 2.
    pub(crate) distance: usize,
}

/// One packet to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutgoingAudio<'a> {
    pub(crate) payload_type: u8,
    /// Counts packets, without a wrap; its low 16 bits are the RTP sequence number.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    /// First packet after a pause.
    pub(crate) marker: bool,
    pub(crate) level: AudioLevel,
    pub(crate) payload: &'a [u8],
}

/// Captured sound: interleaved samples of any whole number of frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CapturedAudio<'a> {
    pub(crate) pcm: &'a [i16],
    pub(crate) sample_rate: u32,
    pub(crate) channels: u32,
    /// Silence is sent in its place, so that a muted track keeps flowing.
    pub(crate) is_muted: bool,
    /// Sound begins: 20 ms at once.
    pub(crate) is_onset: bool,
}

/// The sending half of one audio stream.
#[derive(Debug)]
pub(crate) struct AudioSend {
    format: SendFormat,
    settings: EncoderSettings,
    encoder: Option<OpusEncoder>,
    converter: Option<Converter>,
    red: Option<RedPacker>,
    /// Sound that does not fill a packet yet.
    pending: Vec<i16>,
    packet: Vec<u8>,
    sequence: u64,
    timestamp: u32,
    marker: bool,
    /// Packets of digital silence since the last sound.
    silent_packets: u32,
    /// First byte of the last encoded packet: how it is coded (RFC 6716, 3.1).
    toc: u8,
    /// When the source's next sound is due.
    due: Option<Instant>,
    /// RTP ticks by which the last onset came before its time.
    lead: u32,
    /// Packets that libopus could not encode.
    encode_errors: u64,
}

impl AudioSend {
    /// `sequence` and `timestamp` are those of the first packet; RFC 3550 wants them random, and
    /// the first sequence number well below a wrap.
    pub(crate) fn new(format: SendFormat, sequence: u64, timestamp: u32) -> Self {
        Self {
            format,
            settings: EncoderSettings::default(),
            encoder: None,
            converter: None,
            red: red_packer(format),
            pending: Vec::new(),
            packet: Vec::new(),
            sequence,
            timestamp,
            marker: true,
            silent_packets: 0,
            toc: 0,
            due: None,
            lead: 0,
            encode_errors: 0,
        }
    }

    /// Follows a new negotiation; a change takes effect with the next packet.
    pub(crate) fn set_format(&mut self, format: SendFormat) {
        if self.format != format {
            self.format = format;
            self.red = red_packer(format);
        }
    }

    /// # Errors
    /// libopus refused a setting.
    pub(crate) fn set_encoder(&mut self, settings: EncoderSettings) -> Result<(), opus::Error> {
        if self.settings == settings {
            return Ok(());
        }
        self.settings = settings;
        self.encoder
            .as_mut()
            .map_or(Ok(()), |encoder| encoder.apply(&settings))
    }

    /// Packets lost to errors of libopus since the start.
    pub(crate) fn encode_errors(&self) -> u64 {
        self.encode_errors
    }

    /// Drops what is pending: the stream does not send now. Time goes on, see [`push`](Self::push).
    pub(crate) fn pause(&mut self) {
        self.pending.clear();
        self.marker = true;
        if let Some(red) = &mut self.red {
            red.reset();
        }
    }

    /// Leaves out `length`, in whole steps of 10 ms: the source gave nothing meanwhile, and time went on.
    /// Without this everything after it would look late to the other side, which would keep it longer.
    pub(crate) fn leave_out(&mut self, length: Duration) {
        let samples_10ms = self.encoder.as_ref().map(|e| e.format().samples_10ms());
        let n_pending = self.pending.len() / samples_10ms.unwrap_or(usize::MAX);
        self.pause();
        self.due = self.due.map(|due| due + length);
        // Whole steps, so that timestamps stay on the grid receivers expect.
        let steps = (length.as_millis() / 10) as u32 + n_pending as u32;
        let ticks = steps.wrapping_mul(TICKS_PER_FRAME);
        let lead = std::mem::take(&mut self.lead).min(ticks);
        self.timestamp = self.timestamp.wrapping_add(ticks - lead);
    }

    /// Takes sound captured at `now` and gives each packet it completes to `send`.
    ///
    /// # Errors
    /// libopus has no memory for an encoder; the sound is lost, the next call tries again.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        captured: CapturedAudio<'_>,
        mut send: impl FnMut(OutgoingAudio<'_>),
    ) -> Result<(), opus::Error> {
        if captured.sample_rate == 0 || captured.channels == 0 {
            return Ok(());
        }
        self.follow_clock(now, &captured);
        let format = PcmFormat::nearest(captured.sample_rate, captured.channels);
        self.prepare(format, &captured)?;
        match &mut self.converter {
            Some(converter) => converter.convert(captured.pcm, &mut self.pending),
            None => self.pending.extend_from_slice(captured.pcm),
        }
        let samples = format.samples_10ms() * (PACKET_MS / 10);
        if captured.is_onset {
            self.begin_packet(format.samples_10ms());
        }
        let mut used = 0;
        while self.pending.len() - used >= samples {
            self.encode(used..used + samples, captured.is_muted, &mut send);
            used += samples;
        }
        self.pending.drain(..used);
        Ok(())
    }

    /// Moves the timestamp over a pause of the source.
    fn follow_clock(&mut self, now: Instant, captured: &CapturedAudio<'_>) {
        let frames = captured.pcm.len() as u64 / u64::from(captured.channels);
        let length = Duration::from_micros(frames * 1_000_000 / u64::from(captured.sample_rate));
        let due = self.due.unwrap_or(now);
        let pause = now.saturating_duration_since(due);
        if pause > PAUSE {
            self.leave_out(pause);
        }
        self.due = Some((due.max(now) + length).min(now + AHEAD_MAX));
    }

    /// Sound begins, with 20 ms at once, after what is pending: it gets a packet of its own, which leaves
    /// now. Where the silence before was not sent, the packet takes the place of its last 10 ms, so that
    /// it is as late as every other; else it is early, until the next gap.
    fn begin_packet(&mut self, samples_10ms: usize) {
        let n_silent = self.pending.len().saturating_sub(2 * samples_10ms);
        let is_unsent = self.silent_packets > SILENCE_WHOLE_PACKETS && self.marker;
        match (is_unsent, n_silent) {
            (true, 0) => self.timestamp = self.timestamp.wrapping_sub(TICKS_PER_FRAME),
            (true, _) => drop(self.pending.drain(..n_silent)),
            (false, _) => self.lead += TICKS_PER_FRAME,
        }
        if is_unsent {
            self.due = self.due.map(|due| due - TICK);
        }
    }

    /// Makes encoder and converter fit the captured sound.
    fn prepare(
        &mut self,
        format: PcmFormat,
        captured: &CapturedAudio<'_>,
    ) -> Result<(), opus::Error> {
        if self.encoder.as_ref().map(OpusEncoder::format) != Some(format) {
            self.encoder = Some(OpusEncoder::new(format, &self.settings)?);
            self.pending.clear();
        }
        let (rate, channels) = (captured.sample_rate, captured.channels);
        if PcmFormat::exactly(rate, channels).is_some() {
            self.converter = None;
        } else if self
            .converter
            .as_ref()
            .is_none_or(|c| !c.takes(rate, channels, format))
        {
            self.converter = Some(Converter::new(rate, channels, format));
        }
        Ok(())
    }

    fn encode(
        &mut self,
        range: std::ops::Range<usize>,
        is_muted: bool,
        send: &mut impl FnMut(OutgoingAudio<'_>),
    ) {
        let timestamp = self.timestamp;
        self.timestamp = timestamp.wrapping_add(TICKS_PER_PACKET);
        let pcm = &mut self.pending[range];
        if is_muted {
            pcm.fill(0);
        }
        let level = AudioLevel::of(pcm);
        // Only digital silence, which an agent that listens is most of its time: libopus' own DTX
        // takes steady tones and the end of a word for silence.
        let is_silent = self.format.dtx && pcm.iter().all(|&sample| sample == 0);
        self.silent_packets = if is_silent {
            self.silent_packets.saturating_add(1)
        } else {
            0
        };
        let continues = self.silent_packets.saturating_sub(SILENCE_WHOLE_PACKETS);
        let says_so = continues % DTX_INTERVAL_PACKETS == 1;
        if continues > 0 && !says_so {
            self.marker = true;
            return;
        }
        // One frame without content: nothing sounded (RFC 6716, 3.1 and 3.2.2).
        let nothing = [self.toc & !0b11];
        let opus = if says_so {
            &nothing[..]
        } else {
            let encoder = self
                .encoder
                .as_mut()
                .expect("`prepare` runs before each encode");
            let Ok(opus) = encoder.encode(pcm) else {
                self.encode_errors += 1;
                return;
            };
            self.toc = opus.first().copied().unwrap_or_default();
            opus
        };
        let (payload_type, payload) = match (&mut self.red, self.format.red) {
            (Some(packer), Some(red)) => {
                packer.pack(timestamp, opus, &mut self.packet);
                (red.payload_type, &self.packet[..])
            }
            _ => (self.format.opus_payload_type, opus),
        };
        let (sequence, marker) = (self.sequence, std::mem::take(&mut self.marker));
        self.sequence += 1;
        send(OutgoingAudio {
            payload_type,
            sequence,
            timestamp,
            marker,
            level,
            payload,
        });
    }
}

fn red_packer(format: SendFormat) -> Option<RedPacker> {
    format
        .red
        .map(|red| RedPacker::new(format.opus_payload_type, red.distance))
}

#[cfg(test)]
mod tests;
