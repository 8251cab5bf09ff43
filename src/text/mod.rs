//! Text on its way to speech: sentences out of streamed deltas, what a voice can say of them, and
//! how much of a sentence was heard. Plain code: no I/O, no clock.

mod abbreviations;
mod cut;
mod filters;
mod heard;
mod html;
mod sentences;
mod symbols;
mod words;

pub use cut::cut_to_chars;
pub use filters::{SpeechFilter, TextFilter};
pub use heard::heard_prefix;
pub use sentences::SentenceSplitter;
pub use words::{count_words, words};
