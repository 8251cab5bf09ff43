//! Bounds the tables of an MP4 file before its reader sees them.
//!
//! A table may claim 2³² samples in 16 bytes, and symphonia 0.6 walks through what is claimed while it
//! looks for one packet, where no deadline reaches it. A recording of half a minute has one track, a few
//! hundred fragments and some thousand samples.
//!
//! Source: ISO/IEC 14496-12, 4.2 (boxes), 8.6 and 8.7 (tables), 8.8 (fragments).

use super::{PACKETS_MAX, Unreadable};

/// Tracks of a recording: audio, and room for video and text beside it.
const TRACKS_MAX: usize = 4;

/// Boxes at the top of the file: a fragment and its data for each packet of 30 s are 3,000.
const TOP_BOXES_MAX: usize = 4_096;

/// Runs of samples in all fragments: one for each packet of 30 s is 1,500.
const RUNS_MAX: usize = 4_096;

/// How deep boxes are nested: a table of samples is in `moov/trak/mdia/minf/stbl`.
const DEPTH_MAX: usize = 8;

/// The name of a box that readers skip.
const FREE: [u8; 4] = *b"free";

/// Renames every box that decoding does not need to `free`, and adds up what the others claim.
///
/// # Errors
/// The claims are beyond a recording's, or the boxes contradict each other.
pub(super) fn tame(file: &mut [u8]) -> Result<(), Unreadable> {
    let mut claims = Claims::default();
    let end = file.len();
    claims.walk(file, 0, end, 0)
}

/// What a file claims to hold.
#[derive(Default)]
struct Claims {
    n_tracks: usize,
    n_extended: usize,
    n_top_boxes: usize,
    n_runs: usize,
    n_samples: u64,
}

impl Claims {
    /// Walks the boxes between `begin` and `end` as readers do: a box that reaches beyond its parent
    /// ends the walk there.
    fn walk(
        &mut self,
        file: &mut [u8],
        begin: usize,
        end: usize,
        depth: usize,
    ) -> Result<(), Unreadable> {
        if depth > DEPTH_MAX {
            return Err(Unreadable::Damaged);
        }
        let mut at = begin;
        while let Some(found) = Found::read(file, at, end) {
            let Some(found) = found.fits(file, end, depth)? else {
                return Ok(());
            };
            if depth == 0 {
                count(&mut self.n_top_boxes, TOP_BOXES_MAX, "fragments")?;
            }
            self.on_box(file, &found, depth)?;
            at = found.end;
        }
        Ok(())
    }

    fn on_box(&mut self, file: &mut [u8], found: &Found, depth: usize) -> Result<(), Unreadable> {
        let table = &file[found.begin..found.end];
        match &found.name {
            b"ftyp" | b"mdat" | b"mvhd" | b"tkhd" | b"mdhd" | b"hdlr" | b"smhd" | b"stsd"
            | b"stsc" | b"stco" | b"co64" | b"mehd" | b"mfhd" | b"tfhd" => {}
            b"moov" | b"mdia" | b"minf" | b"stbl" | b"mvex" | b"moof" | b"traf" => {
                self.walk(file, found.begin, found.end, depth + 1)?;
            }
            b"trak" => {
                count(&mut self.n_tracks, TRACKS_MAX, "tracks")?;
                self.walk(file, found.begin, found.end, depth + 1)?;
            }
            b"trex" => count(&mut self.n_extended, TRACKS_MAX, "tracks")?,
            b"trun" => {
                count(&mut self.n_runs, RUNS_MAX, "fragments")?;
                self.claim(number(table, 4))?;
            }
            b"stsz" => self.claim(number(table, 8))?,
            b"stts" => {
                // Each entry costs time of its own, whatever it claims.
                self.claim(number(table, 4))?;
                for entry in table.get(8..).unwrap_or_default().chunks_exact(8) {
                    self.claim(number(entry, 0))?;
                }
            }
            _ => file[found.name_at..found.name_at + 4].copy_from_slice(&FREE),
        }
        Ok(())
    }

    fn claim(&mut self, n_samples: Option<u32>) -> Result<(), Unreadable> {
        self.n_samples += u64::from(n_samples.unwrap_or(0));
        // One sample is named by up to three tables.
        match self.n_samples <= 3 * PACKETS_MAX as u64 {
            true => Ok(()),
            false => Err(Unreadable::Excessive("packets")),
        }
    }
}

fn count(n: &mut usize, max: usize, name: &'static str) -> Result<(), Unreadable> {
    *n += 1;
    match *n <= max {
        true => Ok(()),
        false => Err(Unreadable::Excessive(name)),
    }
}

/// A box: its name, and its content from `begin` to `end`.
struct Found {
    name: [u8; 4],
    name_at: usize,
    begin: usize,
    end: usize,
    /// Whether its size is left open: it reaches to the end of the file.
    is_open: bool,
}

impl Found {
    /// The box whose header begins at `at`.
    fn read(file: &[u8], at: usize, end: usize) -> Option<Self> {
        let header = file.get(at..end)?;
        let size = number(header, 0)?;
        let name: [u8; 4] = header.get(4..8)?.try_into().ok()?;
        let (begin, size) = match size {
            0 => (8, header.len() as u64),
            1 => (16, u64::from_be_bytes(header.get(8..16)?.try_into().ok()?)),
            size => (8, u64::from(size)),
        };
        Some(Self {
            name,
            name_at: at + 4,
            begin: at + begin,
            end: at.saturating_add(usize::try_from(size).unwrap_or(usize::MAX)),
            is_open: number(header, 0) == Some(0),
        })
    }

    /// The box if it lies within its parent, which ends at `end`. A box that was cut off is none.
    fn fits(self, file: &[u8], end: usize, depth: usize) -> Result<Option<Self>, Unreadable> {
        // Readers take the children of a box without an end for as long as they claim to be.
        let may_be_open = depth == 0 && end == file.len() && self.name == *b"mdat";
        if self.end < self.begin || self.is_open && !may_be_open {
            return Err(Unreadable::Damaged);
        }
        Ok((self.end <= end).then_some(self))
    }
}

/// The 32-bit number at this place.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}
