//! Two connections on a network that only exists in this test: virtual time, delay and loss.
//!
//! Everything above the sockets is real: negotiation, str0m, Opus, redundancy, the jitter buffer,
//! data channels. Minutes of a call take seconds, and a run can be repeated exactly as far as
//! str0m's own random numbers allow.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use data_guard::limits;
use livekit_protocol::{
    DataPacket,
    data_packet::Value,
    data_stream::{ByteHeader, CompressionType, Header, header::ContentHeader},
};
use parking_lot::Mutex;
use prost::Message;
use str0m::{Candidate, net::Protocol};

use super::{
    audio_queue::AudioQueue,
    audio_track::{AudioSink, AudioTrack, Origin},
    clock::{TICK, Tick},
    connection::Connection,
};
use crate::{
    audio_source::AudioSourceOptions,
    audio_track::RtcAudioTrack,
    data_channel::{DataChannel, DataChannelInit, DataChannelState},
    media_stream_track::MediaStreamTrack,
    peer_connection::PeerConnectionState,
    peer_connection_factory::RtcConfiguration,
    rtp_transceiver::{RtpTransceiverDirection, RtpTransceiverInit},
    stats::RtcStats,
};

const STEP: Duration = Duration::from_millis(1);

struct Side {
    connection: Arc<Connection>,
    address: SocketAddr,
    deadline: Instant,
}

impl Side {
    fn new(address: &str, now: Instant) -> Self {
        let (connection, _incoming) = Connection::new(RtcConfiguration::default()).unwrap();
        let address: SocketAddr = address.parse().unwrap();
        let candidate = Candidate::host(address, "udp").unwrap();
        {
            let mut state = connection.state.lock();
            // Gathering is done: there are no sockets.
            state.set_gathering(crate::peer_connection::IceGatheringState::Complete);
            state.add_local_candidate(candidate);
        }
        Self {
            connection,
            address,
            deadline: now,
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    arrival: Instant,
    to: usize,
    from: SocketAddr,
    bytes: Vec<u8>,
}

struct Network {
    now: Instant,
    sides: [Side; 2],
    flying: BinaryHeap<Reverse<Flying>>,
    delay: Duration,
    /// Lost of 1,000 packets.
    loss: u64,
    random: u64,
    remotes: Vec<Arc<dyn Tick>>,
    clock_at: Instant,
}

impl Network {
    fn new(delay: Duration, loss: u64) -> Self {
        let now = Instant::now();
        let sides = [
            Side::new("10.0.0.1:5000", now),
            Side::new("10.0.0.2:5000", now),
        ];
        let (flying, random) = (BinaryHeap::new(), 0x9E37_79B9_7F4A_7C15);
        Self {
            now,
            sides,
            flying,
            delay,
            loss,
            random,
            remotes: vec![],
            clock_at: now,
        }
    }

    /// xorshift: the same losses in every run.
    fn is_lost(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 1000 < self.loss
    }

    fn negotiate(&self, from: usize) {
        let [offerer, answerer] = [
            &self.sides[from].connection,
            &self.sides[1 - from].connection,
        ];
        let offer = offerer.create_offer(false).unwrap();
        offerer.set_local_description(offer.clone()).unwrap();
        answerer.set_remote_description(offer).unwrap();
        let mut answer = answerer.create_answer().unwrap();
        // LiveKit's server answers so, which asks for redundancy.
        answer.sdp = answer.sdp.replace("SAVPF 111 63", "SAVPF 63 111");
        answerer.set_local_description(answer.clone()).unwrap();
        offerer.set_remote_description(answer).unwrap();
    }

    /// Time passes.
    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.now += STEP;
            if self.now >= self.clock_at {
                self.clock_at += TICK;
                for remote in &self.remotes {
                    remote.tick(self.now);
                }
            }
            while self
                .flying
                .peek()
                .is_some_and(|Reverse(packet)| packet.arrival <= self.now)
            {
                let Some(Reverse(packet)) = self.flying.pop() else {
                    break;
                };
                let side = &self.sides[packet.to];
                let at = (Protocol::Udp, side.address);
                side.connection
                    .receive(self.now, at, packet.from, &packet.bytes);
            }
            for index in 0..2 {
                if self.sides[index].deadline <= self.now {
                    self.sides[index].connection.timeout(self.now);
                }
                self.turn(index);
            }
        }
    }

    fn turn(&mut self, index: usize) {
        let mut outbox = vec![];
        let turn = self.sides[index].connection.turn(self.now, &mut outbox);
        self.sides[index].deadline = turn.deadline;
        for packet in outbox {
            let to = 1 - index;
            if packet.destination != self.sides[to].address || self.is_lost() {
                continue;
            }
            self.flying.push(Reverse(Flying {
                arrival: self.now + self.delay,
                to,
                from: packet.source,
                bytes: packet.contents.to_vec(),
            }));
        }
        self.sides[index].connection.callbacks.tell(turn.notices);
    }

    fn state(&self, index: usize) -> PeerConnectionState {
        self.sides[index].connection.connection_state()
    }

    fn run_until_connected(&mut self) {
        for _ in 0..200 {
            self.run(Duration::from_millis(50));
            if (0..2).all(|i| self.state(i) == PeerConnectionState::Connected) {
                return;
            }
        }
        panic!("not connected in 10 s");
    }
}

#[derive(Default)]
struct Recording(Mutex<Vec<i16>>);

impl AudioSink for Recording {
    fn on_frame(&self, _now: Instant, pcm: &[i16], _sample_rate: u32, _channels: u32) {
        self.0.lock().extend(pcm);
    }

    fn preferred_format(&self) -> Option<(u32, u32)> {
        Some((16_000, 1))
    }
}

/// Sends what `queue` is given from side 0, and records it on side 1.
fn call(network: &mut Network) -> (Arc<AudioQueue>, Arc<Recording>) {
    // Without a queue of its own: this test is the clock.
    let queue = AudioQueue::new(AudioSourceOptions::default(), 16_000, 1, 0);
    let track = AudioTrack::new("voice".into(), Origin::Local(queue.clone()));
    let track = MediaStreamTrack::from(RtcAudioTrack { inner: track });
    let init = RtpTransceiverInit {
        direction: RtpTransceiverDirection::SendOnly,
        stream_ids: vec!["stream".into()],
        send_encodings: vec![],
    };
    network.sides[0]
        .connection
        .add_transceiver(track, init)
        .unwrap();
    network.negotiate(0);
    let recording = Arc::new(Recording::default());
    let transceivers = network.sides[1].connection.transceivers();
    let remote = transceivers[0].receiver.remote_audio().unwrap().clone();
    remote.add_sink_off_clock(recording.clone());
    network.remotes.push(remote);
    (queue, recording)
}

/// 440 Hz for a while, and what was heard of it, without the first half second.
fn tone(network: &mut Network, seconds: usize) -> Vec<i16> {
    let (queue, recording) = call(network);
    network.run_until_connected();
    let mut phase = 0.0_f64;
    for _ in 0..seconds * 100 {
        let pcm: Vec<i16> = (0..160)
            .map(|_| {
                phase += std::f64::consts::TAU * 440.0 / 16_000.0;
                (phase.sin() * 8000.0) as i16
            })
            .collect();
        queue.sinks.deliver(network.now, &pcm, 16_000, 1);
        network.run(TICK);
    }
    let heard = recording.0.lock();
    heard[heard.len().min(8000)..].to_vec()
}

/// Windows of 10 ms that are quiet, and the frequency by zero crossings.
fn judge(pcm: &[i16]) -> (usize, f64) {
    let loudness = |window: &[i16]| {
        let sum: f64 = window.iter().map(|v| f64::from(*v).powi(2)).sum();
        (sum / window.len() as f64).sqrt()
    };
    let quiet = pcm
        .chunks_exact(160)
        .filter(|w| loudness(w) < 2000.0)
        .count();
    let crossings = pcm.windows(2).filter(|w| (w[0] < 0) != (w[1] < 0)).count();
    (
        quiet,
        crossings as f64 / 2.0 / (pcm.len() as f64 / 16_000.0),
    )
}

#[test]
fn a_tone_is_heard_as_it_was_sent() {
    let mut network = Network::new(Duration::from_millis(20), 0);
    let heard = tone(&mut network, 10);
    assert!(heard.len() > 16_000 * 9, "{} samples", heard.len());
    let (quiet, hz) = judge(&heard);
    assert_eq!(quiet, 0);
    assert!((hz - 440.0).abs() < 1.0, "{hz} Hz");
}

#[test]
fn redundancy_hides_a_loss_of_5_percent() {
    let mut network = Network::new(Duration::from_millis(20), 50);
    let heard = tone(&mut network, 20);
    let (quiet, hz) = judge(&heard);
    assert!(quiet <= 2, "{quiet} quiet windows");
    assert!((hz - 440.0).abs() < 2.0, "{hz} Hz");

    let stats = network.sides[1].connection.stats();
    let inbound = stats.iter().find_map(|report| match report {
        RtcStats::InboundRtp(report) => Some(&report.inbound),
        _ => None,
    });
    let inbound = inbound.expect("there is a report of what was received");
    assert!(inbound.fec_packets_received > 20, "{inbound:?}");
    // Two packets of 20 ms at 16 kHz, of the thousand that were sent.
    assert!(inbound.concealed_samples <= 2 * 320, "{inbound:?}");
}

fn channel(network: &Network, side: usize, label: &str) -> DataChannel {
    let init = DataChannelInit::default();
    let inner = network.sides[side]
        .connection
        .create_data_channel(label, init)
        .unwrap();
    DataChannel { inner }
}

#[test]
fn messages_arrive_whole_and_in_order_over_a_lossy_network() {
    let mut network = Network::new(Duration::from_millis(10), 20);
    let ours = channel(&network, 0, "chat");
    let heard: Arc<Mutex<Vec<usize>>> = Arc::default();
    let log = heard.clone();
    network.sides[1]
        .connection
        .callbacks
        .data_channel
        .set(Some(Box::new(move |theirs| {
            assert_eq!(theirs.label(), "chat");
            let log = log.clone();
            theirs.on_message(Some(Box::new(move |message| {
                assert!(
                    message
                        .data
                        .iter()
                        .all(|byte| usize::from(*byte) == message.data.len() % 251)
                );
                log.lock().push(message.data.len());
            })));
        })));
    network.negotiate(0);
    network.run_until_connected();
    network.run(Duration::from_secs(2));
    assert_eq!(ours.state(), DataChannelState::Open);

    let told: Arc<Mutex<u64>> = Arc::default();
    let sum = told.clone();
    ours.on_buffered_amount_change(Some(Box::new(move |bytes| *sum.lock() += bytes)));
    let sizes: Vec<usize> = (0..50).map(|i| 1 + i * 997).collect();
    for size in &sizes {
        ours.send(&vec![(size % 251) as u8; *size], true).unwrap();
    }
    network.run(Duration::from_secs(60));
    assert_eq!(*heard.lock(), sizes);
    assert_eq!(*told.lock(), sizes.iter().sum::<usize>() as u64);
    assert_eq!(ours.buffered_amount(), 0);
}

#[test]
fn a_flood_of_streams_leaves_few_and_those_end_when_they_stay_silent() {
    let mut network = Network::new(Duration::from_millis(10), 0);
    let ours = channel(&network, 0, "_reliable");
    let heard: Arc<Mutex<Vec<DataPacket>>> = Arc::default();
    let log = heard.clone();
    network.sides[1]
        .connection
        .callbacks
        .data_channel
        .set(Some(Box::new(move |theirs| {
            let log = log.clone();
            theirs.on_message(Some(Box::new(move |message| {
                log.lock().push(DataPacket::decode(message.data).unwrap());
            })));
        })));
    network.negotiate(0);
    network.run_until_connected();
    network.run(Duration::from_secs(2));
    for n in 0..6_000 {
        let header = Header {
            stream_id: n.to_string(),
            compression: CompressionType::DeflateRaw.into(),
            content_header: Some(ContentHeader::ByteHeader(ByteHeader::default())),
            ..Header::default()
        };
        let packet = DataPacket {
            participant_sid: "PA_mallory".to_owned(),
            value: Some(Value::StreamHeader(header)),
            ..DataPacket::default()
        };
        ours.send(&packet.encode_to_vec(), true).unwrap();
    }
    network.run(Duration::from_secs(5));
    let (mut opened, mut ended) = (0, 0);
    for packet in std::mem::take(&mut *heard.lock()) {
        match packet.value {
            Some(Value::StreamHeader(header)) => {
                assert_eq!(header.compression, 0, "the client would make an inflater");
                opened += 1;
            }
            Some(Value::StreamTrailer(_)) => ended += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!((1_000..3_000).contains(&opened), "{opened}");
    assert_eq!(opened - ended, limits::STREAMS_PER_SENDER_MAX);

    network.run(limits::STREAM_IDLE_MAX);
    let heard = heard.lock();
    assert_eq!(heard.len(), limits::STREAMS_PER_SENDER_MAX);
    assert!(
        heard
            .iter()
            .all(|packet| matches!(packet.value, Some(Value::StreamTrailer(_))))
    );
}

#[test]
fn an_ice_restart_keeps_the_connection() {
    let mut network = Network::new(Duration::from_millis(10), 0);
    let ours = channel(&network, 0, "chat");
    network.negotiate(0);
    network.run_until_connected();
    network.run(Duration::from_secs(1));
    network.sides[0].connection.restart_ice();
    network.negotiate(0);
    network.run(Duration::from_secs(5));
    assert_eq!(network.state(0), PeerConnectionState::Connected);
    assert_eq!(network.state(1), PeerConnectionState::Connected);
    ours.send(b"still here", false).unwrap();
    network.run(Duration::from_secs(1));
    assert_eq!(ours.buffered_amount(), 0);
}

#[test]
fn a_path_that_is_lost_for_long_has_failed() {
    let mut network = Network::new(Duration::from_millis(10), 0);
    channel(&network, 0, "chat");
    network.negotiate(0);
    network.run_until_connected();
    network.loss = 1000;
    network.run(Duration::from_secs(60));
    assert_eq!(network.state(0), PeerConnectionState::Failed);
}

#[test]
fn the_peer_of_a_closed_connection_learns_of_it() {
    let mut network = Network::new(Duration::from_millis(10), 0);
    channel(&network, 0, "chat");
    network.negotiate(0);
    network.run_until_connected();
    network.run(Duration::from_secs(1));
    {
        let mut state = network.sides[0].connection.state.lock();
        state.close(network.now);
    }
    // Signalling has a moment to say why.
    network.run(Duration::from_millis(300));
    assert_eq!(network.state(0), PeerConnectionState::Closed);
    assert_eq!(network.state(1), PeerConnectionState::Connected);
    network.run(Duration::from_millis(500));
    assert_eq!(network.state(1), PeerConnectionState::Failed);
}
