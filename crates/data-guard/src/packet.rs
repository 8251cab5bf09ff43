//! The parts of LiveKit's data packets that the guard decides by, and the packets that it makes.

use livekit_protocol::data_packet::Value;
use livekit_protocol::data_stream::{Header, Trailer, header::ContentHeader};
use livekit_protocol::{DataPacket, data_stream::CompressionType};
use prost::Message;

use crate::counts::Kind;
use crate::limits;

/// The sender of a packet, by fields that only the server writes.
///
/// `participant_sid` is the server's word in every packet. `participant_identity` is too, but for a
/// text header of an agent, which may name the participant that it transcribes; the chunks of that
/// stream then have the agent's own identity. So streams are held together by the sid, and by the
/// identity where a server sends no sid.
///
/// Source: livekit-server 1.13.5, `pkg/rtc/participant.go`, `onReceivedDataMessage` and
/// `handleReceivedDataMessage`.
pub(crate) fn sender_of(packet: &DataPacket) -> Result<String, Kind> {
    let (sid, identity) = (&packet.participant_sid, &packet.participant_identity);
    if sid.len().max(identity.len()) > limits::ID_BYTES_MAX {
        return Err(Kind::Malformed);
    }
    Ok(if sid.is_empty() { identity } else { sid }.clone())
}

/// Whether the content is compressed; a compression of the future cannot be read.
pub(crate) fn is_compressed(header: &Header) -> Result<bool, Kind> {
    match CompressionType::try_from(header.compression) {
        Ok(CompressionType::None) => Ok(false),
        Ok(CompressionType::DeflateRaw) => Ok(true),
        Err(_) => Err(Kind::Malformed),
    }
}

pub(crate) fn is_text(header: &Header) -> bool {
    matches!(header.content_header, Some(ContentHeader::TextHeader(_)))
}

/// Bytes of a header without its inline content.
pub(crate) fn head_bytes(header: &Header) -> usize {
    header.encoded_len() - header.inline_content.as_ref().map_or(0, Vec::len)
}

/// The packet with this value in place of its own.
pub(crate) fn encode(envelope: DataPacket, value: Value) -> Vec<u8> {
    let packet = DataPacket {
        value: Some(value),
        ..envelope
    };
    packet.encode_to_vec()
}

/// A packet that ends a stream in the client with an error. It has no sequence number, so the
/// client takes it at any time.
pub(crate) fn ending(identity: &str, stream_id: &str, kind: Kind) -> Vec<u8> {
    let trailer = Trailer {
        stream_id: stream_id.to_owned(),
        reason: format!("ended by the receiver: {}", kind.why()),
        ..Trailer::default()
    };
    let envelope = DataPacket {
        participant_identity: identity.to_owned(),
        ..DataPacket::default()
    };
    encode(envelope, Value::StreamTrailer(trailer))
}
