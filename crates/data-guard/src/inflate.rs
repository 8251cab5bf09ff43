//! Inflates a compressed stream in small steps, with a bound on what comes out.

use std::fmt;

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

/// Bytes that come out of one step.
const STEP_BYTES: usize = 16 * 1024;

/// Why a stream cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InflateError {
    /// More would come out than may.
    TooLong,
    /// The bytes are no DEFLATE stream, go on after its end, or are no UTF-8 where text is due.
    Broken,
}

/// The state of one compressed stream: about 43 KB.
pub(crate) struct Inflater {
    state: Box<InflateState>,
    /// The client reads each chunk of a text stream as UTF-8, while a compressed one may be cut
    /// inside a character.
    is_text: bool,
    /// The begun character at the end of a text so far: at most three bytes.
    tail: Vec<u8>,
    is_done: bool,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

impl Inflater {
    pub(crate) fn new(is_text: bool) -> Self {
        Self {
            state: InflateState::new_boxed(DataFormat::Raw),
            is_text,
            tail: Vec::new(),
            is_done: false,
        }
    }

    /// Takes the next compressed bytes, and returns what they become: at most `bytes_max`.
    pub(crate) fn push(
        &mut self,
        mut input: &[u8],
        bytes_max: usize,
    ) -> Result<Vec<u8>, InflateError> {
        let mut out = std::mem::take(&mut self.tail);
        let mut step = vec![0; STEP_BYTES];
        while !input.is_empty() {
            if self.is_done {
                return Err(InflateError::Broken);
            }
            loop {
                let result = inflate(&mut self.state, input, &mut step, MZFlush::None);
                input = &input[result.bytes_consumed..];
                out.extend_from_slice(&step[..result.bytes_written]);
                if out.len() > bytes_max {
                    return Err(InflateError::TooLong);
                }
                let has_moved = result.bytes_consumed + result.bytes_written > 0;
                match result.status {
                    Ok(MZStatus::StreamEnd) => {
                        self.is_done = true;
                        break;
                    }
                    // Also without input: its last bytes may become more than one step.
                    Ok(_) if has_moved => {}
                    Ok(_) | Err(MZError::Buf) if input.is_empty() => break,
                    Ok(_) | Err(_) => return Err(InflateError::Broken),
                }
            }
        }
        if self.is_text {
            self.keep_begun_character(&mut out)?;
        }
        Ok(out)
    }

    fn keep_begun_character(&mut self, out: &mut Vec<u8>) -> Result<(), InflateError> {
        if let Err(error) = std::str::from_utf8(out) {
            if error.error_len().is_some() {
                return Err(InflateError::Broken);
            }
            self.tail = out.split_off(error.valid_up_to());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec;

    use super::*;

    #[test]
    fn pieces_of_any_size_become_the_whole() {
        let text = "grüße, 世界! ".repeat(5_000);
        let compressed = compress_to_vec(text.as_bytes(), 6);
        for size in [1, 7, compressed.len()] {
            let mut inflater = Inflater::new(true);
            let mut all = String::new();
            for piece in compressed.chunks(size) {
                let out = inflater.push(piece, 1 << 20).unwrap();
                all.push_str(std::str::from_utf8(&out).expect("whole characters"));
            }
            assert_eq!(all, text, "pieces of {size} bytes");
        }
    }

    #[test]
    fn a_bomb_is_cut_off_at_the_bound() {
        let compressed = compress_to_vec(&vec![0; 64 << 20], 9);
        assert!(compressed.len() < 66_000, "{}", compressed.len());
        let mut inflater = Inflater::new(false);
        let refused = inflater.push(&compressed, 2 << 20);
        assert_eq!(refused, Err(InflateError::TooLong));
    }

    #[test]
    fn what_is_no_stream_or_no_text_is_broken() {
        let broken = Err(InflateError::Broken);
        assert_eq!(Inflater::new(false).push(&[0xff; 40], 1 << 20), broken);
        let mut ended = compress_to_vec(b"all", 6);
        let mut inflater = Inflater::new(false);
        assert_eq!(inflater.push(&ended, 100).unwrap(), b"all");
        assert_eq!(inflater.push(b"more", 100), broken);
        ended.extend(b"more");
        assert_eq!(Inflater::new(false).push(&ended, 100), broken);
        let no_text = compress_to_vec(&[b'a', 0xff, b'b'], 6);
        assert_eq!(Inflater::new(true).push(&no_text, 100), broken);
    }
}
