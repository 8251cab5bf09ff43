//! 16-bit little-endian samples out of bytes that are cut anywhere.

/// Joins samples across cuts; averages channels to mono.
pub(super) struct PcmDecoder {
    channels: usize,
    /// The beginning of a sample (of all channels) whose end has not come yet.
    carry: Vec<u8>,
}

impl PcmDecoder {
    /// `channels` interleaved channels, at least one.
    pub(super) fn new(channels: usize) -> Self {
        Self {
            channels: channels.max(1),
            carry: Vec::new(),
        }
    }

    /// The samples that `bytes` complete. What is left over at the end of all is dropped.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Vec<i16> {
        let width = 2 * self.channels;
        let mut samples = Vec::with_capacity((self.carry.len() + bytes.len()) / width);
        if !self.carry.is_empty() {
            let missing = (width - self.carry.len()).min(bytes.len());
            self.carry.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.carry.len() < width {
                return samples;
            }
            samples.push(mono(&self.carry));
            self.carry.clear();
        }
        let whole = bytes.chunks_exact(width);
        self.carry.extend_from_slice(whole.remainder());
        samples.extend(whole.map(mono));
        samples
    }
}

fn mono(bytes: &[u8]) -> i16 {
    let channels = bytes.chunks_exact(2);
    let count = channels.len() as i32;
    let sum: i32 = channels
        .map(|pair| i32::from(i16::from_le_bytes([pair[0], pair[1]])))
        .sum();
    (sum / count) as i16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_channels_become_their_average() {
        let bytes: Vec<u8> = [100i16, 300, -5, 5]
            .iter()
            .flat_map(|s| s.to_le_bytes())
            .collect();
        assert_eq!(PcmDecoder::new(2).push(&bytes), [200, 0]);
    }

    #[test]
    fn the_loudest_samples_do_not_overflow() {
        let bytes: Vec<u8> = [i16::MIN; 2].iter().flat_map(|s| s.to_le_bytes()).collect();
        assert_eq!(PcmDecoder::new(2).push(&bytes), [i16::MIN]);
    }

    proptest! {
        #[test]
        fn samples_survive_any_cuts(
            samples in proptest::collection::vec(any::<i16>(), 0..50),
            cuts in proptest::collection::vec(1usize..7, 0..60),
        ) {
            let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
            let mut decoder = PcmDecoder::new(1);
            let mut found = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                found.extend(decoder.push(now));
                rest = later;
            }
            found.extend(decoder.push(rest));
            prop_assert_eq!(found, samples);
        }
    }
}
