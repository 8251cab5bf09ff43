//! Redundant audio (RED): each packet repeats the payloads before it, so that a lost one is made
//! good by the next without asking.
//!
//! Packing keeps its own short history; unpacking borrows from the packet and copies nothing. What
//! the payloads mean is not looked at.
//!
//! Source: RFC 2198, 3 (payload format).

use std::collections::VecDeque;

/// Most payloads before the primary one that are written or read.
pub(crate) const DISTANCE_MAX: usize = 2;
/// Blocks a packet may hold before it is taken for garbage; senders in the field use up to 3.
const BLOCKS_MAX: usize = 32;
/// The length field has 10 bits.
const BLOCK_BYTES_MAX: usize = (1 << 10) - 1;
/// The timestamp offset has 14 bits.
const OFFSET_MAX: u32 = (1 << 14) - 1;
/// Redundant blocks are left out rather than let a packet grow past this (and be fragmented).
const PACKET_BYTES_MAX: usize = 1150;

/// Why a payload cannot be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RedError {
    #[error("the RED payload ends within its headers")]
    TruncatedHeader,
    #[error("the RED payload is shorter than its headers say")]
    TruncatedBlock,
    #[error("the RED payload has more than {BLOCKS_MAX} blocks")]
    TooManyBlocks,
}

/// One payload within a RED packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RedBlock<'a> {
    pub(crate) payload_type: u8,
    /// RTP ticks before the packet's own timestamp; 0 for the primary block.
    pub(crate) timestamp_offset: u16,
    /// Packets before this one; 0 for the primary block. Assumes one payload per packet.
    pub(crate) distance: u8,
    pub(crate) payload: &'a [u8],
}

/// Blocks of one packet, oldest first, the primary one last.
#[derive(Debug, Clone)]
pub(crate) struct RedBlocks<'a> {
    headers: &'a [u8],
    payloads: &'a [u8],
}

/// Reads the headers of a RED payload and checks that every block is inside it.
///
/// # Errors
/// See [`RedError`]; nothing of such a packet can be trusted.
pub(crate) fn unpack(packet: &[u8]) -> Result<RedBlocks<'_>, RedError> {
    let mut at = 0;
    let mut redundant_bytes = 0;
    for _ in 0..BLOCKS_MAX {
        let first = *packet.get(at).ok_or(RedError::TruncatedHeader)?;
        if first & 0x80 == 0 {
            let (headers, payloads) = packet.split_at(at + 1);
            if payloads.len() < redundant_bytes {
                return Err(RedError::TruncatedBlock);
            }
            return Ok(RedBlocks { headers, payloads });
        }
        let header = packet.get(at..at + 4).ok_or(RedError::TruncatedHeader)?;
        redundant_bytes += block_bytes(header);
        at += 4;
    }
    Err(RedError::TooManyBlocks)
}

fn block_bytes(header: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([header[2], header[3]])) & BLOCK_BYTES_MAX
}

impl<'a> Iterator for RedBlocks<'a> {
    type Item = RedBlock<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let payload_type = *self.headers.first()? & 0x7f;
        if self.headers.len() < 4 {
            self.headers = &[];
            let payload = std::mem::take(&mut self.payloads);
            return Some(RedBlock {
                payload_type,
                timestamp_offset: 0,
                distance: 0,
                payload,
            });
        }
        let (header, headers) = self.headers.split_at(4);
        // `unpack` has checked that all blocks together fit.
        let (payload, payloads) = self.payloads.split_at(block_bytes(header));
        let timestamp_offset = u16::from_be_bytes([header[1], header[2]]) >> 2;
        (self.headers, self.payloads) = (headers, payloads);
        let distance = (self.headers.len() / 4 + 1) as u8;
        Some(RedBlock {
            payload_type,
            timestamp_offset,
            distance,
            payload,
        })
    }
}

/// Packs payloads of one stream, remembering the last few.
#[derive(Debug)]
pub(crate) struct RedPacker {
    payload_type: u8,
    distance: usize,
    /// Newest last. Buffers go round, so packing allocates only at the start.
    history: VecDeque<(u32, Vec<u8>)>,
}

impl RedPacker {
    /// Packs blocks of `payload_type`, each repeated `distance` (0 to 2) times.
    pub(crate) fn new(payload_type: u8, distance: usize) -> Self {
        let distance = distance.min(DISTANCE_MAX);
        Self {
            payload_type: payload_type & 0x7f,
            distance,
            history: VecDeque::new(),
        }
    }

    /// Writes the RED payload for `primary` into `packet`, replacing what was there.
    ///
    /// Older payloads that do not fit (too long, too old, too big a packet) are left out.
    pub(crate) fn pack(&mut self, timestamp: u32, primary: &[u8], packet: &mut Vec<u8>) {
        packet.clear();
        let first = self.first_block(timestamp, primary.len());
        for (sent, payload) in self.history.iter().skip(first) {
            let header = 1 << 31
                | u32::from(self.payload_type) << 24
                | timestamp.wrapping_sub(*sent) << 10
                | payload.len() as u32;
            packet.extend_from_slice(&header.to_be_bytes());
        }
        packet.push(self.payload_type);
        for (_, payload) in self.history.iter().skip(first) {
            packet.extend_from_slice(payload);
        }
        packet.extend_from_slice(primary);
        self.remember(timestamp, primary);
    }

    /// Forgets what was sent, as after a pause.
    pub(crate) fn reset(&mut self) {
        self.history.clear();
    }

    /// Index of the oldest remembered payload that may go along, all newer ones with it.
    ///
    /// Blocks stand for consecutive packets, so one that does not fit hides those before it.
    fn first_block(&self, timestamp: u32, primary_bytes: usize) -> usize {
        let mut total = 1 + primary_bytes;
        let mut first = self.history.len();
        for (sent, payload) in self.history.iter().rev() {
            total += 4 + payload.len();
            let is_near = timestamp.wrapping_sub(*sent) <= OFFSET_MAX;
            if !is_near || payload.len() > BLOCK_BYTES_MAX || total > PACKET_BYTES_MAX {
                break;
            }
            first -= 1;
        }
        first
    }

    fn remember(&mut self, timestamp: u32, primary: &[u8]) {
        if self.distance == 0 {
            return;
        }
        let mut buffer = Vec::new();
        if self.history.len() >= self.distance
            && let Some((_, oldest)) = self.history.pop_front()
        {
            buffer = oldest;
        }
        buffer.clear();
        buffer.extend_from_slice(primary);
        self.history.push_back((timestamp, buffer));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blocks(packet: &[u8]) -> Vec<(u8, u16, u8, Vec<u8>)> {
        let blocks = unpack(packet).unwrap();
        blocks
            .map(|b| {
                (
                    b.payload_type,
                    b.timestamp_offset,
                    b.distance,
                    b.payload.to_vec(),
                )
            })
            .collect()
    }

    #[test]
    fn a_packet_repeats_the_one_before() {
        let mut packer = RedPacker::new(111, 1);
        let mut packet = Vec::new();
        packer.pack(u32::MAX - 100, b"one", &mut packet);
        assert_eq!(blocks(&packet), [(111, 0, 0, b"one".to_vec())]);
        packer.pack(859, b"two", &mut packet);
        assert_eq!(
            blocks(&packet),
            [(111, 960, 1, b"one".to_vec()), (111, 0, 0, b"two".to_vec())]
        );
        packer.pack(1819, b"", &mut packet);
        assert_eq!(
            blocks(&packet),
            [(111, 960, 1, b"two".to_vec()), (111, 0, 0, vec![])]
        );
    }

    #[test]
    fn distance_two_repeats_two_and_distance_none_none() {
        let mut packet = Vec::new();
        let mut packer = RedPacker::new(111, 2);
        (0..3).for_each(|n| packer.pack(n * 960, &[n as u8], &mut packet));
        assert_eq!(
            blocks(&packet),
            [
                (111, 1920, 2, vec![0]),
                (111, 960, 1, vec![1]),
                (111, 0, 0, vec![2])
            ]
        );
        let mut packer = RedPacker::new(111, 0);
        (0..3).for_each(|n| packer.pack(n * 960, &[n as u8], &mut packet));
        assert_eq!(blocks(&packet), [(111, 0, 0, vec![2])]);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut packet = Vec::new();
        let mut packer = RedPacker::new(111, 2);
        packer.pack(0, &[1; 1024], &mut packet);
        packer.pack(960, &[2; 10], &mut packet);
        assert_eq!(blocks(&packet).len(), 1, "a block has at most 1023 bytes");
        packer.pack(960 * 20, &[3; 10], &mut packet);
        assert_eq!(blocks(&packet).len(), 1, "an offset has 14 bits");
        packer.pack(960 * 21, &[4; 1145], &mut packet);
        assert_eq!(blocks(&packet).len(), 1, "the packet would be too big");
    }

    #[test]
    fn garbage_is_refused() {
        assert_eq!(unpack(&[]).unwrap_err(), RedError::TruncatedHeader);
        assert_eq!(
            unpack(&[0x80, 0, 0]).unwrap_err(),
            RedError::TruncatedHeader
        );
        assert_eq!(
            unpack(&[0x80, 0, 0, 2, 111, 1]).unwrap_err(),
            RedError::TruncatedBlock
        );
        assert_eq!(unpack(&[0x80; 300]).unwrap_err(), RedError::TooManyBlocks);
    }

    proptest! {
        #[test]
        fn any_bytes_unpack_to_slices_of_themselves_or_are_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            if let Ok(blocks) = unpack(&bytes) {
                let count = blocks.clone().count();
                prop_assert!((1..=BLOCKS_MAX).contains(&count));
                let total: usize = blocks.map(|b| b.payload.len()).sum();
                prop_assert_eq!(total + 4 * (count - 1) + 1, bytes.len());
            }
        }

        #[test]
        fn every_payload_comes_back(
            payloads in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..1100), 0..20_000u32), 1..20,
            ),
            distance in 0..4usize,
        ) {
            let mut packer = RedPacker::new(111, distance);
            let mut packet = Vec::new();
            let mut timestamp = u32::MAX - 5_000;
            for (n, (payload, step)) in payloads.iter().enumerate() {
                timestamp = timestamp.wrapping_add(*step);
                packer.pack(timestamp, payload, &mut packet);
                let blocks: Vec<_> = unpack(&packet).unwrap().collect();
                prop_assert!(blocks.len() <= distance.min(DISTANCE_MAX) + 1);
                for block in blocks {
                    prop_assert_eq!(block.payload, &payloads[n - usize::from(block.distance)].0[..]);
                }
            }
        }
    }
}
