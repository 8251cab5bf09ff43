//! Stand-in until the real one is merged.
use std::{collections::VecDeque, time::Instant};

use super::pcm::PcmFormat;

pub(crate) struct IncomingAudio<'a> {
    pub(crate) opus_payload_type: u8,
    pub(crate) red_payload_type: u8,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) payload: &'a [u8],
    pub(crate) arrival: Instant,
}

#[derive(Default, Clone)]
pub(crate) struct ReceiveStats;

pub(crate) struct AudioReceive {
    format: PcmFormat,
    decoder: opus::Decoder,
    fifo: VecDeque<i16>,
    started: bool,
    next: u64,
    buf: Vec<i16>,
}

impl AudioReceive {
    pub(crate) fn new(format: PcmFormat) -> Result<Self, opus::Error> {
        let decoder = opus::Decoder::new(format.sample_rate(), format.opus_channels())?;
        Ok(Self {
            format,
            decoder,
            fifo: VecDeque::new(),
            started: false,
            next: 0,
            buf: vec![0; 12000],
        })
    }

    pub(crate) fn insert(&mut self, p: IncomingAudio<'_>) {
        let _ = (p.timestamp, p.arrival);
        let payload = if p.payload_type == p.red_payload_type {
            super::red::unpack(p.payload)
                .ok()
                .and_then(|b| b.last().map(|b| b.payload))
        } else if p.payload_type == p.opus_payload_type {
            Some(p.payload)
        } else {
            None
        };
        if p.sequence < self.next {
            return;
        }
        self.next = p.sequence + 1;
        let Some(payload) = payload else { return };
        if let Ok(n) = self.decoder.decode(payload, &mut self.buf, false) {
            self.fifo.extend(&self.buf[..n * self.format.channels()]);
        }
    }

    pub(crate) fn pull(&mut self, _now: Instant, out: &mut Vec<i16>) -> bool {
        let n = self.format.samples_10ms();
        if !self.started {
            if self.fifo.len() < n * 6 {
                return false;
            }
            self.started = true;
        }
        out.clear();
        let k = n.min(self.fifo.len());
        out.extend(self.fifo.drain(..k));
        out.resize(n, 0);
        true
    }

    pub(crate) fn stats(&self) -> ReceiveStats {
        ReceiveStats
    }
}
