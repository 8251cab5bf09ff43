//! The packets that wait to be decoded, by sequence number.
//!
//! A ring of fixed size whose buffers are used again: in steady state nothing is allocated.

/// Packets that fit: 2.5 s of 20 ms each, or 320 ms of 2.5 ms each.
pub(super) const CAPACITY: u64 = 128;

/// One packet.
#[derive(Debug, Default)]
pub(super) struct Packet {
    pub(super) sequence: u64,
    /// RTP timestamp without wraps.
    pub(super) timestamp: i64,
    /// How long it sounds.
    pub(super) ticks: u32,
    /// When it would have come without relative delay, in milliseconds since the stream began.
    pub(super) on_time_ms: f64,
    /// It came within a later packet (RED).
    pub(super) is_redundant: bool,
    pub(super) payload: Vec<u8>,
}

impl Packet {
    /// Timestamp right after it.
    pub(super) fn end(&self) -> i64 {
        self.timestamp + i64::from(self.ticks)
    }
}

/// Packets from one sequence number on, up to [`CAPACITY`].
#[derive(Debug)]
pub(super) struct PacketRing {
    slots: Vec<(bool, Packet)>,
    count: usize,
}

impl PacketRing {
    pub(super) fn new() -> Self {
        let slots = (0..CAPACITY).map(|_| (false, Packet::default())).collect();
        Self { slots, count: 0 }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The slot to fill for a packet; what was there is overwritten.
    pub(super) fn insert(&mut self, sequence: u64) -> &mut Packet {
        let (is_filled, packet) = &mut self.slots[(sequence % CAPACITY) as usize];
        self.count += usize::from(!*is_filled);
        *is_filled = true;
        packet.sequence = sequence;
        packet
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&Packet> {
        let (is_filled, packet) = &self.slots[(sequence % CAPACITY) as usize];
        (*is_filled && packet.sequence == sequence).then_some(packet)
    }

    /// The packet with the lowest sequence number.
    pub(super) fn first(&self) -> Option<&Packet> {
        self.packets().min_by_key(|p| p.sequence)
    }

    /// The packet with the highest sequence number.
    pub(super) fn last(&self) -> Option<&Packet> {
        self.packets().max_by_key(|p| p.sequence)
    }

    pub(super) fn remove(&mut self, sequence: u64) {
        if self.get(sequence).is_some() {
            self.slots[(sequence % CAPACITY) as usize].0 = false;
            self.count -= 1;
        }
    }

    pub(super) fn clear(&mut self) {
        self.slots
            .iter_mut()
            .for_each(|(is_filled, _)| *is_filled = false);
        self.count = 0;
    }

    fn packets(&self) -> impl Iterator<Item = &Packet> {
        self.slots
            .iter()
            .filter(|(is_filled, _)| *is_filled)
            .map(|(_, packet)| packet)
    }
}

/// Which of the last sequence numbers have come, and how many in all.
#[derive(Debug, Default)]
pub(super) struct Received {
    highest: Option<u64>,
    lowest: u64,
    /// Bit n: `highest - n` has come.
    recent: u128,
    count: u64,
}

impl Received {
    /// Notes a sequence number. False if it had come before, or is too old to tell.
    pub(super) fn note(&mut self, sequence: u64) -> bool {
        let Some(highest) = self.highest else {
            *self = Self {
                highest: Some(sequence),
                lowest: sequence,
                recent: 1,
                count: 1,
            };
            return true;
        };
        if sequence > highest {
            let steps = sequence - highest;
            self.recent = if steps < 128 { self.recent << steps } else { 0 } | 1;
            self.highest = Some(sequence);
            self.count += 1;
            return true;
        }
        let age = highest - sequence;
        if age >= 128 || self.recent >> age & 1 == 1 {
            return false;
        }
        self.recent |= 1 << age;
        self.lowest = self.lowest.min(sequence);
        self.count += 1;
        true
    }

    /// Whether a sequence number has come, as far back as is remembered; older ones have.
    pub(super) fn has(&self, sequence: u64) -> bool {
        self.highest
            .is_some_and(|highest| match highest.checked_sub(sequence) {
                Some(age) if age < 128 => self.recent >> age & 1 == 1,
                Some(_) => true,
                None => false,
            })
    }

    pub(super) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Sequence numbers between the first and the last that have not come.
    pub(super) fn missing(&self) -> u64 {
        self.highest.map_or(0, |highest| {
            (highest - self.lowest + 1).saturating_sub(self.count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_by_number_and_in_order() {
        let mut ring = PacketRing::new();
        for sequence in [130, 127, 129] {
            ring.insert(sequence).ticks = sequence as u32;
        }
        assert_eq!(ring.first().unwrap().sequence, 127);
        assert_eq!(ring.last().unwrap().sequence, 130);
        assert_eq!(ring.get(129).unwrap().ticks, 129);
        assert!(ring.get(128).is_none() && ring.get(1).is_none());
        ring.remove(127);
        ring.remove(1);
        assert_eq!(ring.first().unwrap().sequence, 129);
        ring.clear();
        assert!(ring.is_empty() && ring.first().is_none());
    }

    #[test]
    fn missing_numbers_are_counted_until_they_come() {
        let mut received = Received::default();
        assert!([10, 11, 14].into_iter().all(|n| received.note(n)));
        assert_eq!(received.missing(), 2);
        assert!(received.note(12) && !received.note(12) && !received.note(14));
        assert_eq!(received.missing(), 1);
        assert!(
            received.note(9),
            "what came before the first counts from then on"
        );
        assert_eq!(received.missing(), 1);
        assert!(received.note(1000) && !received.note(13));
        assert_eq!(received.missing(), 986);
    }
}
