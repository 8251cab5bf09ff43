//! The streams that are open.

use std::time::Instant;

use crate::inflate::Inflater;
use crate::limits;

/// A stream whose header was handed on, and which was not ended since.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: String,
    /// See [`crate::packet::sender_of`].
    pub(crate) sender: String,
    /// The identity that the header has.
    pub(crate) identity: String,
    pub(crate) is_compressed: bool,
    pub(crate) is_text: bool,
    /// Made with the first chunk: a header alone costs little.
    pub(crate) inflater: Option<Inflater>,
    /// The index of the next chunk, as it comes and as it is handed on.
    pub(crate) next_in: u64,
    pub(crate) next_out: u64,
    pub(crate) bytes_left: usize,
    pub(crate) active_at: Instant,
}

/// All open streams of a connection: few, so they are looked through.
#[derive(Debug, Default)]
pub(crate) struct Streams(Vec<Stream>);

impl Streams {
    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.0.iter().position(|stream| stream.id == id)
    }

    pub(crate) fn at(&mut self, position: usize) -> &mut Stream {
        &mut self.0[position]
    }

    pub(crate) fn remove(&mut self, position: usize) -> Stream {
        self.0.swap_remove(position)
    }

    /// Adds a stream, and returns the one that had to make room for it.
    pub(crate) fn open(&mut self, stream: Stream) -> Option<Stream> {
        let n_own = self.n_of(&stream.sender);
        let gives_way = if n_own >= limits::STREAMS_PER_SENDER_MAX {
            self.most_silent_of(&stream.sender)
        } else if self.0.len() >= limits::STREAMS_MAX {
            // The participant with the most streams pays, so that none can lock others out.
            let greedy = self.0.iter().max_by_key(|other| self.n_of(&other.sender));
            greedy.and_then(|other| self.most_silent_of(&other.sender))
        } else {
            None
        };
        let gone = gives_way.map(|position| self.remove(position));
        self.0.push(stream);
        gone
    }

    fn n_of(&self, sender: &str) -> usize {
        let is_own = |stream: &&Stream| stream.sender == sender;
        self.0.iter().filter(is_own).count()
    }

    fn most_silent_of(&self, sender: &str) -> Option<usize> {
        let own = (self.0.iter().enumerate()).filter(|(_, stream)| stream.sender == sender);
        own.min_by_key(|(_, stream)| stream.active_at)
            .map(|(position, _)| position)
    }

    /// Takes out the streams that were silent for too long.
    pub(crate) fn take_idle(&mut self, now: Instant) -> Vec<Stream> {
        let is_idle = |stream: &mut Stream| now >= stream.active_at + limits::STREAM_IDLE_MAX;
        self.0.extract_if(.., is_idle).collect()
    }

    /// When the next stream will have been silent for too long.
    pub(crate) fn next_idle_at(&self) -> Option<Instant> {
        let oldest = self.0.iter().map(|stream| stream.active_at).min()?;
        Some(oldest + limits::STREAM_IDLE_MAX)
    }

    #[cfg(test)]
    pub(crate) fn ids(&self) -> Vec<&str> {
        self.0.iter().map(|stream| stream.id.as_str()).collect()
    }

    #[cfg(test)]
    pub(crate) fn senders(&self) -> Vec<&str> {
        self.0.iter().map(|stream| stream.sender.as_str()).collect()
    }
}
