//! Decides which messages of a connection's data channels the client gets.

use std::time::Instant;

use livekit_protocol::DataPacket;
use livekit_protocol::data_packet::Value;
use livekit_protocol::data_stream::{Chunk, CompressionType, Header, Trailer};
use prost::Message;

use crate::counts::{Kind, Refused};
use crate::inflate::{InflateError, Inflater};
use crate::limits;
use crate::meter::Meters;
use crate::packet::{encode, ending, head_bytes, is_compressed, is_text, sender_of};
use crate::streams::{Stream, Streams};
use crate::topics::{self, Topics};

/// The topic on which LiveKit's client starts a task for each stream.
///
/// Source: `livekit-rpc` 0.2.0, `RPC_REQUEST_TOPIC`.
const RPC_TOPIC: &str = "lk.rpc_request";

/// The client turns a transcription's track into an identifier and panics if it is none.
///
/// Source: `livekit` 0.10.0, `handle_transcription`.
const TRACK_PREFIX: &str = "TR_";

/// The guard of one connection.
#[derive(Debug)]
pub struct Guard {
    topics: Option<Topics>,
    meters: Meters,
    pub(crate) streams: Streams,
    pub(crate) refused: Refused,
}

/// One packet on its way: the bytes as they came, and everything but the value decoded.
struct Arrival<'a> {
    now: Instant,
    sender: String,
    envelope: DataPacket,
    bytes: Vec<u8>,
    passed: &'a mut Vec<Vec<u8>>,
}

impl Guard {
    /// A guard without open streams, for a new connection.
    pub fn new(now: Instant) -> Self {
        Self::reading(now, topics::read())
    }

    pub(crate) fn reading(now: Instant, topics: Option<Topics>) -> Self {
        Self {
            topics,
            meters: Meters::new(now),
            streams: Streams::default(),
            refused: Refused::default(),
        }
    }

    /// Takes a message, and returns the messages that the client gets in its place, in order.
    pub fn receive(&mut self, now: Instant, bytes: Vec<u8>, is_binary: bool) -> Vec<Vec<u8>> {
        let mut passed = Vec::with_capacity(1);
        let packet = is_binary.then(|| DataPacket::decode(&*bytes).ok());
        let done = match packet.flatten() {
            Some(packet) => self.on_packet(now, packet, bytes, &mut passed),
            None => Err(Kind::Malformed),
        };
        if let Err(kind) = done {
            self.refused.add(kind);
        }
        passed
    }

    /// Ends the streams that were silent for too long, and returns the messages that tell the
    /// client so.
    pub fn end_idle_streams(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut passed = Vec::new();
        for stream in self.streams.take_idle(now) {
            self.refused.add(Kind::Stream);
            passed.push(ending(&stream.identity, &stream.id, Kind::Stream));
        }
        passed
    }

    /// When to call [`Guard::end_idle_streams`].
    pub fn deadline(&self) -> Option<Instant> {
        self.streams.next_idle_at()
    }

    #[cfg(test)]
    pub(crate) fn n_senders(&self) -> usize {
        self.meters.n_senders()
    }

    fn on_packet(
        &mut self,
        now: Instant,
        mut envelope: DataPacket,
        bytes: Vec<u8>,
        passed: &mut Vec<Vec<u8>>,
    ) -> Result<(), Kind> {
        let sender = sender_of(&envelope)?;
        let value = envelope.value.take();
        let arrival = Arrival {
            now,
            sender,
            envelope,
            bytes,
            passed,
        };
        match value {
            // Of a later protocol: the client would ignore it.
            None => Ok(()),
            Some(Value::StreamHeader(header)) => self.on_header(arrival, header),
            Some(Value::StreamChunk(chunk)) => self.on_chunk(arrival, chunk),
            Some(Value::StreamTrailer(trailer)) => self.on_trailer(arrival, &trailer),
            Some(Value::EncryptedPacket(_)) => Err(Kind::Encrypted),
            Some(Value::Transcription(words)) if !words.track_id.starts_with(TRACK_PREFIX) => {
                Err(Kind::Malformed)
            }
            Some(value) => {
                self.admit(&arrival, matches!(value, Value::RpcRequest(_)))?;
                arrival.passed.push(arrival.bytes);
                Ok(())
            }
        }
    }

    fn admit(&mut self, arrival: &Arrival<'_>, is_rpc: bool) -> Result<(), Kind> {
        let (now, n_bytes) = (arrival.now, arrival.bytes.len());
        self.meters.admit(now, &arrival.sender, n_bytes, is_rpc)
    }

    fn on_header(&mut self, arrival: Arrival<'_>, mut header: Header) -> Result<(), Kind> {
        let is_read = |topics: Topics| topics.contains(&header.topic.as_str());
        if !self.topics.is_none_or(is_read) {
            return Ok(());
        }
        let is_compressed = is_compressed(&header)?;
        let id_bytes = header.stream_id.len();
        if header.content_header.is_none() || id_bytes == 0 || id_bytes > limits::ID_BYTES_MAX {
            return Err(Kind::Malformed);
        }
        let is_taken = self.streams.position(&header.stream_id).is_some();
        if is_taken || head_bytes(&header) > limits::HEADER_BYTES_MAX {
            return Err(Kind::Stream);
        }
        self.admit(&arrival, header.topic == RPC_TOPIC)?;
        let total = header.total_length.map(usize::try_from);
        let bytes_left = match total {
            None => limits::STREAM_BYTES_MAX,
            Some(Ok(total)) if total <= limits::STREAM_BYTES_MAX => total,
            Some(_) => return refuse_open(arrival, header, Kind::Stream),
        };
        if let Some(content) = header.inline_content.take() {
            if !is_compressed {
                arrival.passed.push(arrival.bytes);
                return Ok(());
            }
            return self.on_inline(arrival, header, &content);
        }
        let stream = Stream {
            id: header.stream_id.clone(),
            sender: arrival.sender,
            identity: arrival.envelope.participant_identity.clone(),
            is_compressed,
            is_text: is_text(&header),
            inflater: None,
            next_in: 0,
            next_out: 0,
            bytes_left,
            active_at: arrival.now,
        };
        if let Some(gone) = self.streams.open(stream) {
            self.refused.add(Kind::Stream);
            let ended = ending(&gone.identity, &gone.id, Kind::Stream);
            arrival.passed.push(ended);
        }
        arrival.passed.push(if is_compressed {
            header.compression = CompressionType::None.into();
            encode(arrival.envelope, Value::StreamHeader(header))
        } else {
            arrival.bytes
        });
        Ok(())
    }

    /// A stream that is one packet, compressed.
    fn on_inline(
        &mut self,
        arrival: Arrival<'_>,
        mut header: Header,
        content: &[u8],
    ) -> Result<(), Kind> {
        let budget = self.meters.bytes_left(arrival.now, &arrival.sender);
        let bytes_max = budget.min(limits::STREAM_BYTES_MAX);
        let mut inflater = Inflater::new(is_text(&header));
        match inflater.push(content, bytes_max) {
            Ok(content) => {
                self.meters.charge(&arrival.sender, content.len());
                header.inline_content = Some(content);
                header.compression = CompressionType::None.into();
                let whole = encode(arrival.envelope, Value::StreamHeader(header));
                arrival.passed.push(whole);
                Ok(())
            }
            Err(error) => {
                self.meters.charge(&arrival.sender, bytes_max);
                let is_rate = bytes_max < limits::STREAM_BYTES_MAX;
                refuse_open(arrival, header, kind_of(error, is_rate))
            }
        }
    }

    fn on_chunk(&mut self, mut arrival: Arrival<'_>, chunk: Chunk) -> Result<(), Kind> {
        // A chunk without a stream goes nowhere, so it costs nothing: a file that participants
        // send to each other does not use up what they may say to the agent.
        let Some(position) = self.streams.position(&chunk.stream_id) else {
            return Ok(());
        };
        let stream = self.streams.at(position);
        if stream.sender != arrival.sender {
            return Err(Kind::Stream);
        }
        if chunk.chunk_index < stream.next_in {
            return Ok(()); // Sent again after a lost connection.
        }
        let done = self.pass_chunk(&mut arrival, chunk, position);
        // A stream with a gap is of no use, and the client would keep it until its trailer.
        done.inspect_err(|kind| self.end(position, arrival.passed, *kind))
    }

    fn pass_chunk(
        &mut self,
        arrival: &mut Arrival<'_>,
        mut chunk: Chunk,
        position: usize,
    ) -> Result<(), Kind> {
        self.admit(arrival, false)?;
        let budget = self.meters.bytes_left(arrival.now, &arrival.sender);
        let stream = self.streams.at(position);
        if chunk.chunk_index != stream.next_in {
            return Err(Kind::Malformed);
        }
        stream.next_in += 1;
        stream.active_at = arrival.now;
        if !stream.is_compressed {
            let left = stream.bytes_left.checked_sub(chunk.content.len());
            stream.bytes_left = left.ok_or(Kind::Stream)?;
            arrival.passed.push(std::mem::take(&mut arrival.bytes));
            return Ok(());
        }
        let bytes_max = stream.bytes_left.min(budget);
        let is_text = stream.is_text;
        let inflater = (stream.inflater).get_or_insert_with(|| Inflater::new(is_text));
        let content = inflater.push(&chunk.content, bytes_max);
        let n_bytes = content.as_ref().map_or(bytes_max, Vec::len);
        let is_rate = budget < stream.bytes_left;
        self.meters.charge(&arrival.sender, n_bytes);
        chunk.content = content.map_err(|error| kind_of(error, is_rate))?;
        if chunk.content.is_empty() {
            return Ok(());
        }
        let stream = self.streams.at(position);
        stream.bytes_left -= n_bytes;
        chunk.chunk_index = stream.next_out;
        stream.next_out += 1;
        let envelope = std::mem::take(&mut arrival.envelope);
        let inflated = encode(envelope, Value::StreamChunk(chunk));
        arrival.passed.push(inflated);
        Ok(())
    }

    /// A trailer passes at any rate: it frees what its header took, and without it the stream
    /// would stay.
    fn on_trailer(&mut self, arrival: Arrival<'_>, trailer: &Trailer) -> Result<(), Kind> {
        let Some(position) = self.streams.position(&trailer.stream_id) else {
            return Ok(());
        };
        if self.streams.at(position).sender != arrival.sender {
            return Err(Kind::Stream);
        }
        if trailer.encoded_len() > limits::HEADER_BYTES_MAX {
            self.end(position, arrival.passed, Kind::Stream);
            return Err(Kind::Stream);
        }
        self.streams.remove(position);
        self.meters.charge(&arrival.sender, arrival.bytes.len());
        arrival.passed.push(arrival.bytes);
        Ok(())
    }

    /// Gives a stream up, here and in the client.
    fn end(&mut self, position: usize, passed: &mut Vec<Vec<u8>>, kind: Kind) {
        let stream = self.streams.remove(position);
        passed.push(ending(&stream.identity, &stream.id, kind));
    }
}

/// Lets the client open a stream and end it at once, so that a reader who waits for it learns that
/// it does not come.
fn refuse_open(arrival: Arrival<'_>, mut header: Header, kind: Kind) -> Result<(), Kind> {
    let ended = ending(
        &arrival.envelope.participant_identity,
        &header.stream_id,
        kind,
    );
    header.inline_content = None;
    header.compression = CompressionType::None.into();
    let opened = encode(arrival.envelope, Value::StreamHeader(header));
    arrival.passed.extend([opened, ended]);
    Err(kind)
}

fn kind_of(error: InflateError, is_rate: bool) -> Kind {
    match error {
        InflateError::Broken => Kind::Malformed,
        InflateError::TooLong if is_rate => Kind::Bytes,
        InflateError::TooLong => Kind::Stream,
    }
}
