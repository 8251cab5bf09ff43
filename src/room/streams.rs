//! What participants send as data streams: typed text, requests of front ends, audio from before.
//!
//! A stream that is refused or ends too early is counted and logged once per call. What its sender
//! wrote about it never reaches the log: it may hold names, and lines of a log.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use livekit::prelude::ParticipantIdentity;
use livekit::{ByteStreamReader, StreamError, StreamReader, TextStreamReader};
use livekit_protocol::agent::SessionRequest;

use super::decoding::DECODING;
use super::preconnect::{self, Recorded};
use super::remote;
use crate::intake::{CallIntake, InputKind};
use crate::turn::TEXT_BYTES_MAX;

/// The longest request of a front end: a text, and what stands around it.
const REQUEST_BYTES_MAX: usize = TEXT_BYTES_MAX + 1024;

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

/// Something on its way; nothing when it does not arrive, which is counted.
pub(super) type Arriving = BoxFuture<'static, Option<Arrived>>;

pub(super) fn read_text(
    reader: TextStreamReader,
    from: ParticipantIdentity,
    intake: CallIntake,
) -> Arriving {
    Box::pin(async move {
        let text = async {
            let bytes = read(reader, TEXT_BYTES_MAX, TEXT_WITHIN).await?;
            String::from_utf8(bytes).map_err(|_| BROKEN)
        };
        let text = text.await.inspect_err(|why| {
            intake.refuse(InputKind::Text, why);
        });
        text.ok().map(|text| Arrived::Text(from, text))
    })
}

pub(super) fn read_request(
    reader: ByteStreamReader,
    from: ParticipantIdentity,
    intake: CallIntake,
) -> Arriving {
    Box::pin(async move {
        let request = async {
            let bytes = read(reader, REQUEST_BYTES_MAX, TEXT_WITHIN).await?;
            remote::decode(&bytes)
        };
        let request = request.await.inspect_err(|why| {
            intake.refuse(InputKind::Request, why);
        });
        let request = request.ok().flatten()?;
        Some(Arrived::Request(from, request))
    })
}

pub(super) fn read_recorded(
    reader: ByteStreamReader,
    from: ParticipantIdentity,
    intake: CallIntake,
) -> Arriving {
    Box::pin(async move {
        let info = reader.info();
        let format = preconnect::Format::read(&info.mime_type, &info.attributes());
        let sender = from.clone();
        let recorded = async {
            let format = format?;
            let bytes = read(reader, preconnect::BYTES_MAX, preconnect::WITHIN).await?;
            let decoded = DECODING.run(|| Recorded::new(sender, format, bytes));
            decoded.await?
        };
        let recorded: Result<Recorded, String> = recorded.await;
        Some(match recorded {
            Ok(recorded) => Arrived::Recorded(recorded),
            Err(why) => {
                intake.refuse(InputKind::Recording, &why);
                Arrived::Unheard(from)
            }
        })
    })
}

/// The stream ended with an error. The error's text is the sender's.
const BROKEN: &str = "it broke off";

/// All bytes of a stream.
///
/// # Errors
/// They are too many, come too late or break off.
async fn read<B: AsRef<[u8]>>(
    mut reader: impl Stream<Item = Result<B, StreamError>> + Unpin,
    bytes_max: usize,
    within: Duration,
) -> Result<Vec<u8>, &'static str> {
    let all = async {
        let mut bytes = Vec::new();
        while let Some(chunk) = reader.next().await {
            bytes.extend_from_slice(chunk.map_err(|_| BROKEN)?.as_ref());
            if bytes.len() > bytes_max {
                return Err("it is too long");
            }
        }
        Ok(bytes)
    };
    let all = tokio::time::timeout(within, all).await;
    all.unwrap_or(Err("it did not arrive in time"))
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    async fn read_all(
        chunks: Vec<Result<&'static str, StreamError>>,
    ) -> Result<Vec<u8>, &'static str> {
        read(stream::iter(chunks), 6, Duration::from_secs(1)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_read_whole_or_refused_in_our_words() {
        assert_eq!(
            read_all(vec![Ok("abc"), Ok("def")]).await.unwrap(),
            b"abcdef"
        );
        let refused = read_all(vec![Ok("abc"), Ok("defg")]).await.unwrap_err();
        assert_eq!(refused, "it is too long");
        let trailer = StreamError::AbnormalEnd("+49 170 1234567\nforged line".to_owned());
        let refused = read_all(vec![Ok("abc"), Err(trailer)]).await.unwrap_err();
        assert_eq!(refused, "it broke off");
        let never = stream::pending::<Result<&str, StreamError>>();
        let refused = read(never, 6, Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(refused, "it did not arrive in time");
    }
}
