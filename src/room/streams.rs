//! What participants send as data streams: typed text, requests of front ends, sound from before.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use livekit::prelude::ParticipantIdentity;
use livekit::{ByteStreamReader, StreamError, StreamReader, TextStreamReader};
use livekit_protocol::agent::SessionRequest;

use super::preconnect::{self, Recorded};
use super::remote;

/// The longest text or request. A page of writing; more is no turn of a conversation.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// How long one text may take to arrive.
const TEXT_WITHIN: Duration = Duration::from_secs(10);

/// Something that has arrived whole.
pub(super) enum Arrived {
    /// Typed to the agent by this participant.
    Text(ParticipantIdentity, String),
    /// A front end's request.
    Request(ParticipantIdentity, SessionRequest),
    /// What the user said before the agent heard them.
    Recorded(Recorded),
    /// That will not be heard.
    Unheard(ParticipantIdentity),
}

/// Something on its way; nothing when it does not arrive, which is logged.
pub(super) type Arriving = BoxFuture<'static, Option<Arrived>>;

pub(super) fn read_text(reader: TextStreamReader, from: ParticipantIdentity) -> Arriving {
    Box::pin(async move {
        let bytes = read("a typed text", reader, TEXT_BYTES_MAX, TEXT_WITHIN).await?;
        Some(Arrived::Text(from, String::from_utf8(bytes).ok()?))
    })
}

pub(super) fn read_request(reader: ByteStreamReader, from: ParticipantIdentity) -> Arriving {
    Box::pin(async move {
        let what = "a front end's request";
        let bytes = read(what, reader, TEXT_BYTES_MAX, TEXT_WITHIN).await?;
        remote::decode(&bytes).map(|request| Arrived::Request(from, request))
    })
}

pub(super) fn read_recorded(reader: ByteStreamReader, from: ParticipantIdentity) -> Arriving {
    Box::pin(async move {
        let info = reader.info();
        let format = preconnect::Format::read(&info.mime_type, &info.attributes());
        let sender = from.clone();
        let recorded = async {
            let format = format?;
            let what = "what the user said before the agent came";
            let bytes = read(what, reader, preconnect::BYTES_MAX, preconnect::WITHIN).await;
            let Some(bytes) = bytes else { return Ok(None) };
            let recorded = tokio::task::spawn_blocking(|| Recorded::new(sender, format, bytes));
            let recorded = recorded.await.map_err(|error| error.to_string())?;
            recorded.map(Some)
        };
        let recorded = match recorded.await {
            Ok(recorded) => recorded,
            Err(why) => {
                tracing::warn!(
                    why,
                    "what the user said before the agent came cannot be heard"
                );
                None
            }
        };
        Some(recorded.map_or(Arrived::Unheard(from), Arrived::Recorded))
    })
}

/// All bytes of a stream, unless they are too many or come too late.
async fn read<B: AsRef<[u8]>>(
    what: &str,
    mut reader: impl Stream<Item = Result<B, StreamError>> + Unpin,
    bytes_max: usize,
    time: Duration,
) -> Option<Vec<u8>> {
    let all = async {
        let mut bytes = Vec::new();
        while let Some(chunk) = reader.next().await {
            match chunk {
                Ok(chunk) => bytes.extend_from_slice(chunk.as_ref()),
                Err(error) => {
                    tracing::warn!(%error, "{what} could not be read");
                    return None;
                }
            }
            if bytes.len() > bytes_max {
                tracing::warn!(bytes_max, "{what} was too long and is not read");
                return None;
            }
        }
        Some(bytes)
    };
    match tokio::time::timeout(time, all).await {
        Ok(bytes) => bytes,
        Err(_) => {
            tracing::warn!("{what} did not arrive in time");
            None
        }
    }
}
