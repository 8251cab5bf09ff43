//! Leaves of an Ogg file the whole pages of its first stream, if that is Opus.
//!
//! symphonia 0.6 goes back to the beginning of a page whose checksum is wrong and looks for the next page
//! inside of it; pages that are written into each other make it read every byte thousands of times.
//!
//! Source: RFC 3533, section 6 (pages); RFC 7845, section 5 (Opus).

use symphonia::core::checksum::Crc32;
use symphonia::core::io::Monitor;

use super::{PACKETS_MAX, Unreadable};

/// Bytes of a page's header before its table of segments.
const HEADER_BYTES: usize = 27;

/// The flag of a stream's first page.
const IS_FIRST: u8 = 0x02;

/// A segment of this length goes on in the next one.
const SEGMENT_BYTES_MAX: u8 = 255;

/// The pages that decoding needs. The checksum of no byte is computed twice.
///
/// # Errors
/// The first stream is none of Opus.
pub(super) fn tame(file: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut tamed = Vec::with_capacity(file.len());
    let mut serial = None;
    let mut n_packets = 0;
    let mut at = 0;
    while at < file.len() {
        let Some(page) = Page::read(file, at) else {
            let Some(next) = find(file, at + 1) else {
                break;
            };
            at = next;
            continue;
        };
        at = page.end;
        if !page.is_intact(file) {
            continue;
        }
        match serial {
            None if !page.body(file).starts_with(b"OpusHead") => return Err(Unreadable::Codec),
            None => serial = Some(page.serial),
            Some(serial) if page.serial != serial => continue,
            // Another recording begins.
            Some(_) if page.is_first => break,
            Some(_) => {}
        }
        n_packets += page.n_packets;
        // Packets without data cost a byte each.
        if n_packets > PACKETS_MAX {
            break;
        }
        tamed.extend(&file[page.begin..page.end]);
    }
    Ok(tamed)
}

fn find(file: &[u8], from: usize) -> Option<usize> {
    let windows = file.get(from..)?.windows(4);
    let mut places = windows.enumerate();
    let (place, _) = places.find(|(_, window)| *window == b"OggS")?;
    Some(from + place)
}

struct Page {
    begin: usize,
    body: usize,
    end: usize,
    serial: u32,
    is_first: bool,
    /// Packets that end in it.
    n_packets: usize,
}

impl Page {
    /// The page that begins at `begin`, if it is there to its end. A page that is followed by something
    /// else than a page was none.
    fn read(file: &[u8], begin: usize) -> Option<Self> {
        let header = file.get(begin..begin + HEADER_BYTES)?;
        if !header.starts_with(b"OggS") {
            return None;
        }
        let n_segments = usize::from(header[26]);
        let body = begin + HEADER_BYTES + n_segments;
        let segments = file.get(begin + HEADER_BYTES..body)?;
        let n_bytes: usize = segments.iter().copied().map(usize::from).sum();
        let end = body + n_bytes;
        let rest = file.get(end..)?;
        (rest.is_empty() || rest.starts_with(b"OggS")).then(|| Self {
            begin,
            body,
            end,
            serial: u32::from_le_bytes([header[14], header[15], header[16], header[17]]),
            is_first: header[5] & IS_FIRST != 0,
            n_packets: (segments.iter())
                .filter(|segment| **segment < SEGMENT_BYTES_MAX)
                .count(),
        })
    }

    fn body<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        &file[self.body..self.end]
    }

    /// Whether its checksum is right: that of the page with zeros in place of the checksum.
    fn is_intact(&self, file: &[u8]) -> bool {
        let page = &file[self.begin..self.end];
        let mut checksum = Crc32::new(0);
        checksum.process_buf_bytes(&page[..22]);
        checksum.process_buf_bytes(&[0; 4]);
        checksum.process_buf_bytes(&page[26..]);
        page[22..26] == checksum.crc().to_le_bytes()
    }
}
