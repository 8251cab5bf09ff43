//! The guard beside a model of the client's table of streams.

mod any_input;
mod rates;
mod streams;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use livekit_protocol::data_packet::Value;
use livekit_protocol::data_stream::{
    ByteHeader, Chunk, CompressionType, Header, TextHeader, Trailer, header::ContentHeader,
};
use livekit_protocol::{DataPacket, UserPacket};
use miniz_oxide::deflate::compress_to_vec;
use prost::Message;

use crate::counts::Kind;
use crate::guard::Guard;
use crate::{limits, topics::Topics};

/// A guard, a clock, and what the client has of it.
struct Scene {
    guard: Guard,
    now: Instant,
    /// The client's open streams, with the index of the next chunk.
    client: HashMap<String, u64>,
    /// Streams that ended with an error.
    failed: HashSet<String>,
    /// What was read of each stream.
    content: HashMap<String, Vec<u8>>,
    n_passed: usize,
    bytes_passed: usize,
}

impl Scene {
    fn new() -> Self {
        Self::reading(None)
    }

    fn reading(topics: Option<Topics>) -> Self {
        let now = Instant::now();
        Self {
            guard: Guard::reading(now, topics),
            now,
            client: HashMap::new(),
            failed: HashSet::new(),
            content: HashMap::new(),
            n_passed: 0,
            bytes_passed: 0,
        }
    }

    /// The participant sends this; returns how many messages the client gets.
    fn send(&mut self, sender: &str, value: Value) -> usize {
        self.send_bytes(packet(sender, value))
    }

    fn send_bytes(&mut self, bytes: Vec<u8>) -> usize {
        let passed = self.guard.receive(self.now, bytes, true);
        let n = passed.len();
        passed.iter().for_each(|bytes| self.take(bytes));
        n
    }

    fn advance(&mut self, time: Duration) {
        self.now += time;
        let due = self.guard.deadline().is_some_and(|at| at <= self.now);
        let ended = self.guard.end_idle_streams(self.now);
        assert_eq!(due, !ended.is_empty(), "the deadline is true");
        ended.iter().for_each(|bytes| self.take(bytes));
    }

    /// Does what the client does with a packet, and checks that it is never asked for more.
    fn take(&mut self, bytes: &[u8]) {
        self.n_passed += 1;
        self.bytes_passed += bytes.len();
        let packet = DataPacket::decode(bytes).expect("only whole packets pass");
        match packet.value {
            Some(Value::StreamHeader(header)) => {
                assert_eq!(header.compression, 0, "the client never inflates");
                if let Some(content) = header.inline_content {
                    self.content.insert(header.stream_id, content);
                } else {
                    let old = self.client.insert(header.stream_id, 0);
                    assert!(old.is_none(), "no identifier is open twice");
                }
            }
            Some(Value::StreamChunk(chunk)) => {
                let next = self.client.get_mut(&chunk.stream_id).expect("it is open");
                assert_eq!(chunk.chunk_index, *next, "no gap");
                *next += 1;
                let content = self.content.entry(chunk.stream_id).or_default();
                content.extend(chunk.content);
            }
            Some(Value::StreamTrailer(trailer)) => {
                self.client.remove(&trailer.stream_id).expect("it is open");
                if !trailer.reason.is_empty() {
                    self.failed.insert(trailer.stream_id);
                }
            }
            _ => {}
        }
    }

    fn check(&self) {
        let open: HashSet<&str> = self.guard.streams.ids().into_iter().collect();
        let client: HashSet<&str> = self.client.keys().map(String::as_str).collect();
        assert_eq!(open, client, "the guard knows what is open in the client");
        assert!(open.len() <= limits::STREAMS_MAX);
        let mut n_of: HashMap<&str, usize> = HashMap::new();
        for sender in self.guard.streams.senders() {
            *n_of.entry(sender).or_default() += 1;
        }
        assert!(n_of.values().all(|n| *n <= limits::STREAMS_PER_SENDER_MAX));
    }

    fn refused(&self, kind: Kind) -> u64 {
        self.guard.refused.count(kind)
    }
}

fn packet(sender: &str, value: Value) -> Vec<u8> {
    let packet = DataPacket {
        participant_sid: format!("PA_{sender}"),
        participant_identity: sender.to_owned(),
        value: Some(value),
        ..DataPacket::default()
    };
    packet.encode_to_vec()
}

fn header(id: &str, is_compressed: bool) -> Header {
    Header {
        stream_id: id.to_owned(),
        topic: "lk.chat".to_owned(),
        compression: if is_compressed {
            CompressionType::DeflateRaw.into()
        } else {
            CompressionType::None.into()
        },
        content_header: Some(ContentHeader::ByteHeader(ByteHeader::default())),
        ..Header::default()
    }
}

fn text_header(id: &str, is_compressed: bool) -> Header {
    Header {
        content_header: Some(ContentHeader::TextHeader(TextHeader::default())),
        ..header(id, is_compressed)
    }
}

fn chunk(id: &str, chunk_index: u64, content: &[u8]) -> Value {
    Value::StreamChunk(Chunk {
        stream_id: id.to_owned(),
        chunk_index,
        content: content.to_vec(),
        ..Chunk::default()
    })
}

fn trailer(id: &str) -> Value {
    Value::StreamTrailer(Trailer {
        stream_id: id.to_owned(),
        ..Trailer::default()
    })
}

fn user(n_bytes: usize) -> Value {
    Value::User(UserPacket {
        payload: vec![7; n_bytes],
        ..UserPacket::default()
    })
}

fn deflated(content: &[u8]) -> Vec<u8> {
    compress_to_vec(content, 9)
}
