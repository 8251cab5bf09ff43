//! A streamed body, decoded as it arrives.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use reqwest::Response;

use super::call::Lease;
use super::stream::Items;
use crate::error::{CallError, Cause, ErrorKind};
use crate::excess::Excess;

/// Most of one streamed answer that is read: five minutes of speech, encoded wastefully.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long an answer that is complete may take to say so.
const LINGER_MAX: Duration = Duration::from_millis(200);

/// Turns the bytes of one answer into items. Plain code, no I/O.
pub(crate) trait Decode: Send + 'static {
    /// What comes out.
    type Item: Send + 'static;

    /// Takes the next bytes; items found before a fault count.
    fn push(&mut self, bytes: &[u8], items: &mut VecDeque<Self::Item>) -> Result<(), Fault>;

    /// Takes the end of the answer.
    fn finish(&mut self, items: &mut VecDeque<Self::Item>) -> Result<(), Fault>;

    /// Whether all that matters has been read, so that the rest may be missing.
    fn is_complete(&self) -> bool;

    /// How long a complete answer is read on for more, and for its end: its connection is used again only
    /// if it was read to its end, and some servers never end it.
    fn linger(&self) -> Duration {
        LINGER_MAX
    }
}

/// Why an answer cannot be decoded.
#[derive(Debug)]
pub(crate) struct Fault {
    /// What it means for the call.
    pub(crate) kind: ErrorKind,
    /// For debugging.
    pub(crate) cause: Cause,
}

impl Fault {
    pub(crate) fn malformed(cause: impl Into<Cause>) -> Self {
        Self {
            kind: ErrorKind::Malformed,
            cause: cause.into(),
        }
    }
}

/// The items of an answer; ends after the first error.
///
/// Cancel safety: dropping the stream closes the request.
pub(crate) fn decode<D: Decode>(lease: Lease, response: Response, decoder: D) -> Items<D::Item> {
    let decoding = Decoding {
        bytes: response.bytes_stream().boxed(),
        bytes_read: 0,
        lease,
        decoder,
        items: VecDeque::new(),
        end: None,
    };
    stream::unfold(decoding, |mut decoding| async move {
        let item = decoding.next().await?;
        Some((item, decoding))
    })
    .boxed()
}

struct Decoding<D: Decode> {
    bytes: BoxStream<'static, reqwest::Result<Bytes>>,
    bytes_read: usize,
    lease: Lease,
    decoder: D,
    items: VecDeque<D::Item>,
    /// Set once nothing more is read; an error is still to be handed out.
    end: Option<Result<(), CallError>>,
}

impl<D: Decode> Decoding<D> {
    async fn next(&mut self) -> Option<Result<D::Item, CallError>> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Some(Ok(item));
            }
            if let Some(end) = &mut self.end {
                return std::mem::replace(end, Ok(())).err().map(Err);
            }
            self.read().await;
        }
    }

    async fn chunk(&mut self) -> Option<reqwest::Result<Bytes>> {
        let chunk = self.bytes.next().await;
        if chunk.is_none() {
            self.lease.note_read();
        }
        chunk
    }

    async fn read(&mut self) {
        let chunk = if self.decoder.is_complete() {
            match tokio::time::timeout(self.decoder.linger(), self.chunk()).await {
                Ok(Some(Ok(chunk))) => Some(Ok(chunk)),
                // However it ends now, what matters has been read.
                _ => None,
            }
        } else {
            self.chunk().await
        };
        let result = match chunk {
            Some(Ok(chunk)) => {
                self.bytes_read += chunk.len();
                if self.bytes_read > BODY_BYTES_MAX {
                    Excess::Body.count("a streamed HTTP answer");
                    Err(Fault::malformed("the answer is longer than allowed"))
                } else {
                    self.decoder.push(&chunk, &mut self.items)
                }
            }
            None => {
                self.end = Some(Ok(()));
                self.decoder.finish(&mut self.items)
            }
            Some(Err(error)) => {
                self.end = Some(Err(self.lease.broken(error)));
                return;
            }
        };
        if let Err(fault) = result {
            let error = self.lease.spec().error(fault.kind).because(fault.cause);
            self.end = Some(Err(error));
        }
    }
}
