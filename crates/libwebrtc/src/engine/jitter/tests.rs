//! Scripts in virtual time: a sender, a network that a test describes, a sink that pulls.

use std::{f64::consts::TAU, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::engine::{
    audio_receive::{AudioReceive, ReceiveFormat, RtpAudio},
    audio_send::{AudioSend, CapturedAudio, SendFormat, SendRed},
    tone::{Verdict, judge, sine},
};

const HZ: f64 = 440.0;
const RECEIVE: ReceiveFormat = ReceiveFormat {
    opus_payload_type: 111,
    red_payload_type: Some(63),
};

/// What becomes of the packet with that number: None = lost, else its delay.
type Network = Box<dyn FnMut(usize) -> Option<Duration>>;

#[derive(Debug, Clone, Copy)]
enum Sound {
    Tone,
    Voice,
}

/// Something libopus takes for a voice: harmonics that move, in syllables.
fn voice(from: usize, frames: usize) -> Vec<i16> {
    let sample = |n: usize| {
        let t = n as f64 / 48_000.0;
        let pitch = TAU * (140.0 * t + 3.0 * (TAU * 1.5 * t).sin());
        let harmonics = (1..25).map(|k| (pitch * f64::from(k)).sin() / f64::from(k));
        (4000.0 * harmonics.sum::<f64>() * (0.5 - 0.5 * (TAU * 3.0 * t).cos())) as i16
    };
    (from..from + frames).map(sample).collect()
}

/// One scripted call.
struct Call {
    seconds: usize,
    red: bool,
    /// Parts per million by which the sender's clock is fast.
    drift_ppm: i64,
    rate: u32,
    sound: Sound,
    first_sequence: u64,
    first_timestamp: u32,
    network: Network,
}

impl Call {
    fn new(seconds: usize, network: impl FnMut(usize) -> Option<Duration> + 'static) -> Self {
        Self {
            seconds,
            red: false,
            drift_ppm: 0,
            rate: 48_000,
            sound: Sound::Tone,
            first_sequence: 0,
            first_timestamp: 0,
            network: Box::new(network),
        }
    }

    /// Packets as they arrive, in order of arrival: (time, packet).
    fn packets(&mut self) -> Vec<(Duration, Sent)> {
        let red = self.red.then_some(SendRed {
            payload_type: 63,
            distance: 1,
        });
        let format = SendFormat {
            opus_payload_type: 111,
            red,
        };
        let mut send = AudioSend::new(format, self.first_sequence, self.first_timestamp);
        let mut arriving = Vec::new();
        let start = Instant::now();
        let mut count = 0;
        for n in 0..self.seconds * 100 {
            let at = Duration::from_micros(n as u64 * 10_000);
            let at = at - at * (self.drift_ppm + 1000) as u32 / 1_000_000 + at / 1000;
            let pcm = match self.sound {
                Sound::Tone => sine(n * 480, 480, 48_000, HZ, 1),
                Sound::Voice => voice(n * 480, 480),
            };
            let captured = CapturedAudio {
                pcm: &pcm,
                sample_rate: 48_000,
                channels: 1,
                is_muted: false,
            };
            send.push(start + at, captured, |p| {
                let sent = Sent {
                    ssrc: 1,
                    payload_type: p.payload_type,
                    sequence: p.sequence,
                    timestamp: p.timestamp,
                    payload: p.payload.to_vec(),
                };
                if let Some(delay) = (self.network)(count) {
                    arriving.push((at + delay, sent));
                }
                count += 1;
            })
            .unwrap();
        }
        arriving.sort_by_key(|(at, _)| *at);
        arriving
    }

    fn run(mut self) -> Heard {
        let packets = self.packets();
        play(packets, self.rate, self.seconds)
    }
}

#[derive(Debug, Clone)]
struct Sent {
    ssrc: u32,
    payload_type: u8,
    sequence: u64,
    timestamp: u32,
    payload: Vec<u8>,
}

/// What came out.
struct Heard {
    pcm: Vec<i16>,
    rate: u32,
    stats: JitterStats,
}

impl Heard {
    /// The recording without start-up and end.
    fn verdict(&self) -> Verdict {
        let second = self.rate as usize;
        judge(
            &self.pcm[second / 2..self.pcm.len() - second / 2],
            self.rate,
            HZ,
        )
    }

    fn assert_clean(&self) {
        let verdict = self.verdict();
        let bad = (verdict.quiet, verdict.glitched);
        assert_eq!(bad, (0, 0), "{verdict:?} {:?}", self.stats);
        assert!((verdict.hz - HZ).abs() < 0.2, "{verdict:?}");
    }
}

/// Plays packets at their times, pulling every 10 ms from 3 ms on.
fn play(packets: Vec<(Duration, Sent)>, rate: u32, seconds: usize) -> Heard {
    let output = PcmFormat::exactly(rate, 1).unwrap();
    let mut receive = AudioReceive::new(output).unwrap();
    let start = Instant::now();
    let mut packets = packets.into_iter().peekable();
    let mut pcm = Vec::new();
    let mut frame = vec![0; output.samples_10ms()];
    for n in 0..seconds * 100 {
        let now = Duration::from_millis(n as u64 * 10 + 3);
        while let Some((at, sent)) = packets.next_if(|(at, _)| *at <= now) {
            receive.receive(
                RECEIVE,
                RtpAudio {
                    ssrc: sent.ssrc,
                    payload_type: sent.payload_type,
                    sequence: sent.sequence,
                    timestamp: sent.timestamp,
                    arrival: start + at,
                    payload: &sent.payload,
                },
            );
        }
        if receive.pull(start + now, &mut frame) {
            pcm.extend_from_slice(&frame);
        }
    }
    Heard {
        pcm,
        rate,
        stats: receive.stats(),
    }
}

/// Numbers that look random and are the same in every run.
fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn ms(ms: f64) -> Option<Duration> {
    Some(Duration::from_secs_f64(ms / 1e3))
}

#[test]
fn without_loss_a_sine_comes_out_smooth_at_every_rate() {
    for rate in [8_000, 12_000, 16_000, 24_000, 48_000] {
        let mut call = Call::new(6, |_| ms(5.0));
        call.rate = rate;
        let heard = call.run();
        heard.assert_clean();
        let stats = heard.stats;
        assert_eq!(
            (stats.packets_lost, stats.samples_concealed),
            (0, 0),
            "{stats:?}"
        );
        assert_eq!(
            (stats.samples_inserted, stats.samples_removed),
            (0, 0),
            "{stats:?}"
        );
        assert!((30.0..=50.0).contains(&stats.delay_ms), "{stats:?}");
    }
}

#[test]
fn uneven_arrival_raises_the_delay_and_is_not_heard() {
    for seed in 0..5 {
        let mut random = noise(seed + 1);
        let heard = Call::new(30, move |_| ms(random() * 60.0)).run();
        let verdict = heard.verdict();
        assert!(
            verdict.quiet == 0 && verdict.glitched <= 2,
            "{verdict:?} {:?}",
            heard.stats
        );
        let settled = judge(&heard.pcm[48_000 * 5..48_000 * 29], 48_000, HZ);
        assert_eq!(
            (settled.quiet, settled.glitched),
            (0, 0),
            "{settled:?} {:?}",
            heard.stats
        );
        assert!(
            (70.0..=130.0).contains(&heard.stats.delay_ms),
            "{:?}",
            heard.stats
        );
        assert!(
            heard.stats.packets_lost <= 2,
            "in flight at the end: {:?}",
            heard.stats
        );
    }
}

#[test]
fn five_percent_loss_is_not_heard_with_red() {
    for seed in 0..5 {
        let mut random = noise(seed + 10);
        let mut call = Call::new(20, move |_| if random() < 0.05 { None } else { ms(10.0) });
        call.red = true;
        let heard = call.run();
        let stats = heard.stats;
        // Two in a row are lost now and then; nothing repeats those.
        assert!(stats.packets_recovered_by_red > 25, "{stats:?}");
        assert!(
            stats.packets_lost > 30 && stats.packets_lost < 75,
            "{stats:?}"
        );
        let verdict = heard.verdict();
        assert!(
            verdict.quiet == 0 && verdict.glitched <= 6,
            "{verdict:?} {stats:?}"
        );
    }
}

#[test]
fn single_losses_are_not_heard_at_all_with_red() {
    let mut call = Call::new(20, |n| if n % 20 == 13 { None } else { ms(10.0) });
    call.red = true;
    let heard = call.run();
    heard.assert_clean();
    assert!(
        heard.stats.packets_recovered_by_red >= 48,
        "{:?}",
        heard.stats
    );
    assert_eq!(heard.stats.packets_recovered_by_fec, 0);
}

#[test]
fn loss_without_red_is_made_good_by_fec() {
    let mut call = Call::new(20, |n| if n % 20 == 13 { None } else { ms(10.0) });
    call.sound = Sound::Voice;
    let stats = call.run().stats;
    assert_eq!(stats.packets_lost, 50, "{stats:?}");
    assert!(stats.packets_recovered_by_fec >= 35, "{stats:?}");
    let concealed_packets = stats.samples_concealed / 960;
    assert!(
        concealed_packets + stats.packets_recovered_by_fec <= 52,
        "{stats:?}"
    );
}

#[test]
fn a_single_loss_that_nothing_repeats_is_bridged() {
    let heard = Call::new(20, |n| if n % 20 == 13 { None } else { ms(10.0) }).run();
    let verdict = heard.verdict();
    // libopus sends no FEC with a steady tone, and its first frame after a loss is damaged.
    assert!(
        verdict.quiet == 0 && verdict.glitched <= 60,
        "{verdict:?} {:?}",
        heard.stats
    );
}

#[test]
fn retransmitted_packets_are_waited_for() {
    // Every tenth packet comes 70 ms late, as after a NACK.
    let heard = Call::new(20, |n| if n % 10 == 7 { ms(80.0) } else { ms(10.0) }).run();
    let settled = judge(&heard.pcm[48_000 * 4..48_000 * 19], 48_000, HZ);
    assert_eq!(
        (settled.quiet, settled.glitched),
        (0, 0),
        "{settled:?} {:?}",
        heard.stats
    );
    assert!(
        heard.stats.packets_lost <= 2,
        "all but what is under way: {:?}",
        heard.stats
    );
}

#[test]
fn a_burst_of_loss_fades_out_and_recovers() {
    let heard = Call::new(6, |n| {
        if (150..165).contains(&n) {
            None
        } else {
            ms(10.0)
        }
    })
    .run();
    let stats = heard.stats;
    assert_eq!(
        (stats.packets_lost, stats.concealment_events),
        (15, 1),
        "{stats:?}"
    );
    // 15 packets, one of them from FEC.
    assert!(
        (12_000..=15_000).contains(&stats.samples_concealed),
        "{stats:?}"
    );
    let verdict = heard.verdict();
    assert!((10..=32).contains(&verdict.quiet), "{verdict:?}");
    assert!(stats.delay_ms < 80.0, "{stats:?}");
    let after = judge(&heard.pcm[48_000 * 4..48_000 * 5], 48_000, HZ);
    assert_eq!((after.quiet, after.glitched), (0, 0));
}

#[test]
fn a_stall_loses_no_sound_and_its_delay_is_caught_up() {
    // For half a second nothing comes, then all of it at once.
    let stall = |n: usize| match n {
        100..125 => ms(10.0 + (125 - n) as f64 * 20.0),
        _ => ms(10.0),
    };
    let heard = Call::new(40, stall).run();
    let stats = heard.stats;
    assert_eq!(
        (stats.packets_lost, stats.packets_discarded),
        (0, 0),
        "{stats:?}"
    );
    let caught_up_ms = stats.samples_removed as f64 / 48.0 - stats.samples_inserted as f64 / 48.0;
    assert!(
        (350.0..=520.0).contains(&caught_up_ms),
        "{caught_up_ms} {stats:?}"
    );
    let after = judge(&heard.pcm[48_000 * 3..48_000 * 39], 48_000, HZ);
    assert_eq!((after.quiet, after.glitched), (0, 0), "{after:?}");
    assert!(stats.delay_ms < 70.0, "{stats:?}");
}

#[test]
fn clocks_that_differ_cause_stretches_and_no_clicks() {
    for drift_ppm in [-200, 200] {
        let mut call = Call::new(240, |_| ms(10.0));
        call.drift_ppm = drift_ppm;
        let heard = call.run();
        heard.assert_clean();
        let stats = heard.stats;
        assert_eq!(stats.samples_concealed, 0, "{stats:?}");
        // 200 ppm of 240 s are 48 ms.
        let (inserted_ms, removed_ms) = (
            stats.samples_inserted as f64 / 48.0,
            stats.samples_removed as f64 / 48.0,
        );
        let stretched_ms = removed_ms - inserted_ms;
        let wanted_ms = drift_ppm as f64 * 0.24;
        assert!(
            (stretched_ms - wanted_ms).abs() < 25.0,
            "{stretched_ms} {stats:?}"
        );
        assert!((25.0..=60.0).contains(&stats.delay_ms), "{stats:?}");
    }
}

#[test]
fn wraps_of_sequence_and_timestamp_are_not_heard() {
    let mut call = Call::new(6, |_| ms(10.0));
    call.first_sequence = 65_535 - 100;
    call.first_timestamp = u32::MAX - 960 * 100;
    let heard = call.run();
    heard.assert_clean();
    assert_eq!(heard.stats.packets_lost, 0);
}

#[test]
fn a_sender_that_starts_anew_is_followed() {
    let mut first = Call::new(3, |_| ms(10.0));
    let mut packets = first.packets();
    let mut second = Call::new(3, |_| ms(10.0));
    (second.first_sequence, second.first_timestamp) = (5, 77);
    packets.extend(
        second
            .packets()
            .into_iter()
            .map(|(at, sent)| (at + Duration::from_secs(3), Sent { ssrc: 2, ..sent })),
    );
    let heard = play(packets, 48_000, 6);
    assert_eq!(heard.stats.packets_lost, 0);
    assert!(heard.stats.packets_received >= 298, "{:?}", heard.stats);
    for part in [48_000..48_000 * 2, 48_000 * 4..48_000 * 5] {
        let verdict = judge(&heard.pcm[part], 48_000, HZ);
        assert_eq!((verdict.quiet, verdict.glitched), (0, 0));
    }
    let verdict = heard.verdict();
    assert!(verdict.quiet <= 6, "{verdict:?}");
}

#[test]
fn a_pause_in_the_timestamps_is_silence_and_no_loss() {
    let mut call = Call::new(4, |_| ms(10.0));
    let mut packets = call.packets();
    // From packet 100 on all is two seconds later, in time and in timestamps.
    for (at, sent) in packets.iter_mut().skip(100) {
        *at += Duration::from_secs(2);
        sent.timestamp += 96_000;
    }
    let heard = play(packets, 48_000, 6);
    let stats = heard.stats;
    assert_eq!(stats.packets_lost, 0, "{stats:?}");
    let verdict = heard.verdict();
    assert!((180..=205).contains(&verdict.quiet), "{verdict:?}");
    assert!(
        stats.delay_ms < 60.0,
        "the pause changed the delay: {stats:?}"
    );
    let after = judge(&heard.pcm[48_000 * 9 / 2..48_000 * 11 / 2], 48_000, HZ);
    assert_eq!((after.quiet, after.glitched), (0, 0));
}

#[test]
fn comfort_noise_in_dtx_is_not_concealment() {
    let format = SendFormat {
        opus_payload_type: 111,
        red: None,
    };
    let mut send = AudioSend::new(format, 0, 0);
    let settings = crate::engine::opus_encode::EncoderSettings {
        dtx: true,
        ..Default::default()
    };
    send.set_encoder(settings).unwrap();
    let start = Instant::now();
    let mut random = noise(3);
    let mut packets = Vec::new();
    for n in 0..800 {
        let at = Duration::from_millis(n * 10);
        // Two seconds of voice, then a quiet room.
        let pcm = match n {
            0..200 => voice(n as usize * 480, 480),
            _ => (0..480).map(|_| (random() * 6.0 - 3.0) as i16).collect(),
        };
        let captured = CapturedAudio {
            pcm: &pcm,
            sample_rate: 48_000,
            channels: 1,
            is_muted: false,
        };
        send.push(start + at, captured, |p| {
            let sent = Sent {
                ssrc: 1,
                payload_type: p.payload_type,
                sequence: p.sequence,
                timestamp: p.timestamp,
                payload: p.payload.to_vec(),
            };
            packets.push((at, sent));
        })
        .unwrap();
    }
    assert!(packets.len() < 300, "{} packets: no DTX", packets.len());
    let heard = play(packets, 48_000, 8);
    assert_eq!(heard.stats.packets_lost, 0);
    // Where DTX begins the buffer cannot know that nothing will come.
    assert!(heard.stats.samples_concealed <= 48_000, "{:?}", heard.stats);
}

#[test]
fn packets_of_any_length_are_played() {
    for packet_ms in [2.5, 5.0, 10.0, 40.0, 60.0] {
        let samples = (packet_ms * 48.0) as usize;
        let application = opus::Application::Audio;
        let mut encoder = opus::Encoder::new(48_000, opus::Channels::Mono, application).unwrap();
        let packets = (0..(4000.0 / packet_ms) as usize).map(|n| {
            let pcm = sine(n * samples, samples, 48_000, HZ, 1);
            let sent = Sent {
                ssrc: 1,
                payload_type: 111,
                sequence: n as u64,
                timestamp: (n * samples) as u32,
                payload: encoder.encode_vec(&pcm, 1500).unwrap(),
            };
            (
                Duration::from_secs_f64((n + 1) as f64 * packet_ms / 1e3),
                sent,
            )
        });
        let heard = play(packets.collect(), 48_000, 4);
        heard.assert_clean();
        assert_eq!(
            heard.stats.samples_concealed, 0,
            "{packet_ms} ms: {:?}",
            heard.stats
        );
    }
}

#[test]
fn nothing_is_given_before_the_first_packet_and_no_opus_is_dropped() {
    let output = PcmFormat::exactly(16_000, 2).unwrap();
    let mut receive = AudioReceive::new(output).unwrap();
    let mut pcm = vec![1; 320];
    let now = Instant::now();
    for (payload_type, payload) in [
        (111, &[][..]),
        (111, &[0xff; 3]),
        (63, &[0x80]),
        (0, b"pcm"),
    ] {
        receive.receive(
            RECEIVE,
            RtpAudio {
                ssrc: 1,
                payload_type,
                sequence: 1,
                timestamp: 0,
                arrival: now,
                payload,
            },
        );
    }
    assert!(!receive.pull(now, &mut pcm));
    assert!(pcm.iter().all(|s| *s == 0));
    assert_eq!(receive.stats().packets_discarded, 4);
}

/// Any packet: near the last one mostly, sometimes far off.
fn any_packet() -> impl Strategy<Value = (u64, u32, bool, u8, u64, Vec<u8>)> {
    let sequence = prop_oneof![8 => 0..400u64, 1 => Just(u64::MAX / 2), 1 => any::<u64>()];
    let timestamp = prop_oneof![
        8 => (0..400u32).prop_map(|n| n * 960), 1 => any::<u32>(), 1 => 0..5_000u32
    ];
    let payload = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..80),
        1 => Just(vec![0x78]),
        // Silence as libopus sends it.
        4 => Just(vec![0xf8, 0xff, 0xfe]),
    ];
    (
        sequence,
        timestamp,
        any::<bool>(),
        0..3u8,
        0..60u64,
        payload,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_packets_at_any_time_are_survived(
        packets in proptest::collection::vec(any_packet(), 0..200),
        rate in prop_oneof![Just(8_000u32), Just(48_000)],
        channels in 1..3u32,
    ) {
        let format = PcmFormat::exactly(rate, channels).unwrap();
        let mut buffer = JitterBuffer::new(format).unwrap();
        let start = Instant::now();
        let mut now = start;
        let mut pcm = vec![0; format.samples_10ms()];
        let mut pulled = 0;
        for (sequence, timestamp, is_redundant, ssrc, wait_ms, payload) in packets {
            buffer.insert(IncomingAudio {
                ssrc: u32::from(ssrc == 2),
                sequence,
                timestamp,
                arrival: now,
                is_redundant,
                payload: &payload,
            });
            for _ in 0..wait_ms / 10 {
                now += Duration::from_millis(10);
                pulled += u64::from(buffer.pull(now, &mut pcm));
            }
        }
        let stats = buffer.stats();
        prop_assert_eq!(stats.samples_emitted, pulled * u64::from(rate) / 100);
        prop_assert!(stats.samples_concealed_silent <= stats.samples_concealed);
        prop_assert!(stats.target_delay_ms >= 40.0 && stats.target_delay_ms <= 200.0);
        prop_assert!(stats.delay_ms.is_finite() && stats.jitter_ms.is_finite());
    }

    #[test]
    fn any_rtp_payload_is_survived(
        packets in proptest::collection::vec(
            (prop_oneof![Just(111u8), Just(63)], proptest::collection::vec(any::<u8>(), 0..300)),
            0..60,
        ),
    ) {
        let format = PcmFormat::exactly(16_000, 1).unwrap();
        let mut receive = AudioReceive::new(format).unwrap();
        let start = Instant::now();
        let mut pcm = vec![0; 160];
        for (n, (payload_type, payload)) in (0u32..).zip(&packets) {
            let arrival = start + Duration::from_millis(u64::from(n) * 20);
            let (timestamp, sequence) = (n * 960, u64::from(n));
            let payload_type = *payload_type;
            receive.receive(RECEIVE, RtpAudio {
                ssrc: 1, payload_type, sequence, timestamp, arrival, payload,
            });
            receive.pull(arrival, &mut pcm);
            receive.pull(arrival + Duration::from_millis(10), &mut pcm);
        }
    }
}
