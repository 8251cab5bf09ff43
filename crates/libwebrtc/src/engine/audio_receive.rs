//! From RTP payloads to sound: RED unpacked, each packet handed to the jitter buffer.
//!
//! Pure: who reads packets off the socket and who asks for sound every 10 ms is decided elsewhere.

use std::time::Instant;

use super::{
    jitter::{IncomingAudio, JitterBuffer, JitterStats},
    pcm::PcmFormat,
    red,
};

/// Payload types that were negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReceiveFormat {
    pub(crate) opus_payload_type: u8,
    pub(crate) red_payload_type: Option<u8>,
}

/// One RTP packet of the stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RtpAudio<'a> {
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    /// Sequence number with its wraps counted in.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) arrival: Instant,
    pub(crate) payload: &'a [u8],
}

/// The receiving half of one audio stream.
#[derive(Debug)]
pub(crate) struct AudioReceive {
    buffer: JitterBuffer,
    /// Packets of other payload types, and RED that could not be read.
    unreadable: u64,
}

impl AudioReceive {
    /// # Errors
    /// libopus could not get memory.
    pub(crate) fn new(output: PcmFormat) -> Result<Self, opus::Error> {
        Ok(Self {
            buffer: JitterBuffer::new(output)?,
            unreadable: 0,
        })
    }

    /// Takes a packet; what cannot be read is counted and dropped.
    pub(crate) fn receive(&mut self, format: ReceiveFormat, packet: RtpAudio<'_>) {
        let RtpAudio {
            ssrc,
            sequence,
            timestamp,
            arrival,
            payload,
            ..
        } = packet;
        if packet.payload_type == format.opus_payload_type {
            let is_redundant = false;
            self.buffer.insert(IncomingAudio {
                ssrc,
                sequence,
                timestamp,
                arrival,
                is_redundant,
                payload,
            });
            return;
        }
        if Some(packet.payload_type) != format.red_payload_type {
            self.unreadable += 1;
            return;
        }
        let Ok(blocks) = red::unpack(payload) else {
            self.unreadable += 1;
            return;
        };
        for block in blocks.filter(|b| b.payload_type == format.opus_payload_type) {
            let Some(sequence) = sequence.checked_sub(u64::from(block.distance)) else {
                continue;
            };
            self.buffer.insert(IncomingAudio {
                ssrc,
                sequence,
                timestamp: timestamp.wrapping_sub(u32::from(block.timestamp_offset)),
                arrival,
                is_redundant: block.distance > 0,
                payload: block.payload,
            });
        }
    }

    /// Fills `output` with the next 10 ms; false, and silence, until the first packet has come.
    pub(crate) fn pull(&mut self, now: Instant, output: &mut [i16]) -> bool {
        self.buffer.pull(now, output)
    }

    pub(crate) fn stats(&self) -> JitterStats {
        let stats = self.buffer.stats();
        let packets_discarded = stats.packets_discarded + self.unreadable;
        JitterStats {
            packets_discarded,
            ..stats
        }
    }
}
