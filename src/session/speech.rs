//! Complete speech as a value that can be kept: words and sound in one piece of bytes.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::cache::CacheValue;

/// Mono sound, 16 bits a sample.
pub(super) const BYTES_PER_SAMPLE: usize = 2;

/// Complete speech: what is said, with its sound, sentence by sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Speech {
    pub(super) sample_rate_hz: u32,
    pub(super) sentences: Vec<(String, Bytes)>,
}

/// What comes before the sound, as JSON after its length in four bytes.
#[derive(Serialize, Deserialize)]
struct Header {
    sample_rate_hz: u32,
    /// Text and bytes of sound.
    sentences: Vec<(String, usize)>,
}

impl CacheValue for Speech {
    fn to_bytes(&self) -> Bytes {
        let sentences = self.sentences.iter();
        let header = Header {
            sample_rate_hz: self.sample_rate_hz,
            sentences: sentences
                .map(|(text, sound)| (text.clone(), sound.len()))
                .collect(),
        };
        let header = serde_json::to_vec(&header).expect("numbers and texts can be written");
        let mut bytes = BytesMut::new();
        bytes.put_u32_le(u32::try_from(header.len()).unwrap_or(u32::MAX));
        bytes.put_slice(&header);
        for (_, sound) in &self.sentences {
            bytes.put_slice(sound);
        }
        bytes.freeze()
    }

    /// The sound is shared with `bytes`, not copied.
    fn from_bytes(bytes: Bytes) -> Option<Self> {
        let length = bytes.first_chunk().map(|size| u32::from_le_bytes(*size))?;
        let sound_begins = 4_usize.checked_add(usize::try_from(length).ok()?)?;
        let header: Header = serde_json::from_slice(bytes.get(4..sound_begins)?).ok()?;
        let mut sound = bytes.slice(sound_begins..);
        let mut sentences = Vec::new();
        for (text, size) in header.sentences {
            let is_whole = size <= sound.len() && size % BYTES_PER_SAMPLE == 0;
            sentences.push((text, is_whole.then(|| sound.split_to(size))?));
        }
        let is_sane = sound.is_empty() && header.sample_rate_hz > 0;
        is_sane.then_some(Self {
            sample_rate_hz: header.sample_rate_hz,
            sentences,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn speech(sentences: &[(&str, Vec<u8>)]) -> Speech {
        let sentences = sentences.iter();
        Speech {
            sample_rate_hz: 24_000,
            sentences: sentences
                .map(|(text, sound)| ((*text).to_owned(), Bytes::from(sound.clone())))
                .collect(),
        }
    }

    #[test]
    fn speech_that_is_cut_or_too_long_is_none() {
        let whole = speech(&[("One.", vec![1, 2]), ("Two.", vec![3, 4, 5, 6])]).to_bytes();
        for end in 0..whole.len() {
            assert_eq!(Speech::from_bytes(whole.slice(..end)), None, "{end}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(Speech::from_bytes(longer.into()), None);
    }

    proptest! {
        #[test]
        fn speech_reads_as_it_was_written(
            sentences in prop::collection::vec((".{0,20}", prop::collection::vec(any::<[u8; 2]>(), 0..99)), 0..5)
        ) {
            let sentences: Vec<_> = sentences
                .iter()
                .map(|(text, sound)| (text.as_str(), sound.concat()))
                .collect();
            let speech = speech(&sentences);
            prop_assert_eq!(Speech::from_bytes(speech.to_bytes()), Some(speech));
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(Speech::from_bytes(bytes.into()));
        }
    }
}
