//! Leaves of a WebM file what decoding needs: what the tracks are, and their audio.
//!
//! Tags, chapters and attachments name each other; symphonia 0.6 copies every tag to everything that it
//! may belong to, so a megabyte becomes gigabytes before the first packet.
//!
//! Source: RFC 8794 (EBML), RFC 9559 (Matroska), the ids of its elements.

/// The header of the file.
const EBML: u32 = 0x1a45_dfa3;
/// All but that header.
const SEGMENT: u32 = 0x1853_8067;
/// A stretch of audio.
const CLUSTER: u32 = 0x1f43_b675;

/// Info, Tracks, Cluster, and of a cluster Timestamp, SimpleBlock and BlockGroup.
const NEEDED: [u32; 6] = [0x1549_a966, 0x1654_ae6b, CLUSTER, 0xe7, 0xa3, 0xa0];

/// The elements of the file that decoding needs. The walk ends where the file cannot be understood.
pub(super) fn tame(file: &[u8]) -> Vec<u8> {
    let mut tamed = Vec::with_capacity(file.len());
    let mut at = 0;
    while let Some(element) = Element::read(file, at) {
        let is_opened = match element.id {
            SEGMENT => true,
            // Its blocks follow as if they were beside it.
            CLUSTER => element.size.is_none(),
            _ => false,
        };
        let size = element.size.unwrap_or(file.len());
        let end = match is_opened {
            true => element.begin,
            false => element.begin.saturating_add(size).min(file.len()),
        };
        match element.id {
            // Without its end: what is removed would be missing from its size.
            SEGMENT => tamed.extend([0x18, 0x53, 0x80, 0x67, 0xff]),
            EBML => tamed.extend(&file[at..end]),
            id if NEEDED.contains(&id) => tamed.extend(&file[at..end]),
            _ => {}
        }
        at = end;
    }
    tamed
}

/// The header of an element.
struct Element {
    id: u32,
    /// Where its content begins.
    begin: usize,
    /// Bytes of its content; `None` when it has no end of its own.
    size: Option<usize>,
}

impl Element {
    /// The element whose header begins at `at`.
    fn read(file: &[u8], at: usize) -> Option<Self> {
        let id_length = file.get(at)?.leading_zeros() as usize + 1;
        if id_length > 4 {
            return None;
        }
        let id = big_endian(file.get(at..at + id_length)?);
        let size_at = at + id_length;
        let size_length = file.get(size_at)?.leading_zeros() as usize + 1;
        if size_length > 8 {
            return None;
        }
        let size = big_endian(file.get(size_at..size_at + size_length)?);
        // Seven bits of each byte are the number; all ones mean that the end is not known.
        let mask = (1_u64 << (7 * size_length)) - 1;
        let size = size & mask;
        Some(Self {
            id: u32::try_from(id).ok()?,
            begin: size_at + size_length,
            size: (size != mask).then(|| usize::try_from(size).unwrap_or(usize::MAX)),
        })
    }
}

fn big_endian(bytes: &[u8]) -> u64 {
    let add = |number, byte: &u8| number << 8 | u64::from(*byte);
    bytes.iter().fold(0, add)
}
