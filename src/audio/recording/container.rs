//! Opens a recording with the reader that its first bytes name.
//!
//! symphonia's probe is not used: it looks for a beginning anywhere in the file and reads tags of any
//! format on the way.

use std::io::{Cursor, Read};

use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadBytes, ReadOnlySource};
use symphonia::default::formats::{AdtsReader, IsoMp4Reader, MkvReader, OggReader};

use super::{Unreadable, mp4, ogg, webm};

type Container = Box<dyn FormatReader>;

/// Opens the recording.
///
/// # Errors
/// It is none, or its reader would work on it for longer than its bytes allow.
pub(super) fn open(mut recording: Vec<u8>) -> Result<Container, Unreadable> {
    let options = FormatOptions::default();
    let opened: Result<Container, Error> = match *recording {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => {
            mp4::tame(&mut recording)?;
            let mut source = stream(Cursor::new(recording));
            // The reader expects to stand behind the size of the first box.
            let skipped = source.read_quad_bytes().map_err(Error::from);
            skipped
                .and_then(|_| IsoMp4Reader::try_new(source, options))
                .map(boxed)
        }
        [0x1a, 0x45, 0xdf, 0xa3, ..] => {
            let tamed = webm::tame(&recording);
            MkvReader::try_new(once(Cursor::new(tamed)), options).map(boxed)
        }
        [b'O', b'g', b'g', b'S', ..] => {
            let tamed = ogg::tame(&recording)?;
            OggReader::try_new(once(Cursor::new(tamed)), options).map(boxed)
        }
        [0xff, 0xf0 | 0xf1 | 0xf8 | 0xf9, ..] => {
            AdtsReader::try_new(once(Cursor::new(recording)), options).map(boxed)
        }
        _ => Err(Error::Unsupported("its beginning is unknown")),
    };
    opened.map_err(Unreadable::Container)
}

fn boxed<R: FormatReader + 'static>(reader: R) -> Container {
    Box::new(reader)
}

fn stream(source: impl MediaSource + 'static) -> MediaSourceStream<'static> {
    MediaSourceStream::new(Box::new(source), Default::default())
}

/// A source that is read once from its beginning to its end. A reader that can seek follows indices of
/// the file, and an index may name the same megabyte thousands of times.
fn once(source: impl Read + Send + Sync + 'static) -> MediaSourceStream<'static> {
    stream(ReadOnlySource::new(source))
}
