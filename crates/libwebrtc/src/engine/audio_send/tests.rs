use std::f64::consts::TAU;

use super::*;
use crate::engine::red::{self, RedBlock};

const OPUS: SendFormat = SendFormat {
    opus_payload_type: 111,
    red: None,
    dtx: false,
};
const RED: SendFormat = SendFormat {
    opus_payload_type: 111,
    red: Some(SendRed {
        payload_type: 63,
        distance: 1,
    }),
    dtx: false,
};

#[derive(Debug, Clone, PartialEq)]
struct Sent {
    at: Instant,
    payload_type: u8,
    sequence: u64,
    timestamp: u32,
    marker: bool,
    level: AudioLevel,
    payload: Vec<u8>,
}

/// Pushes 10 ms of a tone at a time, in virtual time.
struct Source {
    now: Instant,
    rate: u32,
    channels: u32,
    is_muted: bool,
    frame: usize,
}

impl Source {
    fn new(rate: u32, channels: u32) -> Self {
        Self {
            now: Instant::now(),
            rate,
            channels,
            is_muted: false,
            frame: 0,
        }
    }

    fn push(&mut self, send: &mut AudioSend, frames_10ms: usize) -> Vec<Sent> {
        (0..frames_10ms).flat_map(|_| self.give(send, 1)).collect()
    }

    /// Gives so many frames at once.
    fn give(&mut self, send: &mut AudioSend, frames_10ms: usize) -> Vec<Sent> {
        let mut sent = Vec::new();
        let n = self.rate as usize / 100;
        let sample = |k: usize| {
            let t = (self.frame * n + k) as f64 / f64::from(self.rate);
            (8000.0 * (TAU * 440.0 * t).sin()) as i16
        };
        let pcm: Vec<i16> = (0..n * frames_10ms)
            .flat_map(|k| vec![sample(k); self.channels as usize])
            .collect();
        let captured = CapturedAudio {
            pcm: &pcm,
            sample_rate: self.rate,
            channels: self.channels,
            is_muted: self.is_muted,
            is_onset: frames_10ms == 2,
        };
        let keep = |p: OutgoingAudio<'_>| {
            sent.push(Sent {
                at: self.now,
                payload_type: p.payload_type,
                sequence: p.sequence,
                timestamp: p.timestamp,
                marker: p.marker,
                level: p.level,
                payload: p.payload.to_vec(),
            });
        };
        send.push(self.now, captured, keep).unwrap();
        self.now += Duration::from_millis(10);
        self.frame += frames_10ms;
        sent
    }
}

#[test]
fn two_frames_make_a_packet_960_ticks_after_the_last() {
    let mut send = AudioSend::new(OPUS, 70_000, u32::MAX - 960);
    let sent = Source::new(16_000, 1).push(&mut send, 7);
    assert_eq!(sent.len(), 3);
    assert_eq!(
        sent.iter().map(|p| p.sequence).collect::<Vec<_>>(),
        [70_000, 70_001, 70_002]
    );
    let timestamps: Vec<_> = sent.iter().map(|p| p.timestamp).collect();
    assert_eq!(timestamps, [u32::MAX - 960, u32::MAX, 959]);
    assert_eq!(
        sent.iter().map(|p| p.marker).collect::<Vec<_>>(),
        [true, false, false]
    );
    assert!(
        sent.iter()
            .all(|p| p.payload_type == 111 && p.level.is_voice)
    );
    // A sine of amplitude 8000: 20 log10(8000 / 32768 / sqrt 2).
    assert_eq!(sent[1].level.minus_dbov, 15);
}

#[test]
fn every_rate_and_channel_count_gives_20_ms_packets() {
    for rate in [
        8_000, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000,
    ] {
        for channels in [1, 2, 6] {
            let mut send = AudioSend::new(OPUS, 0, 0);
            let sent = Source::new(rate, channels).push(&mut send, 41);
            assert_eq!(sent.len(), 20, "{rate} Hz, {channels} channels");
            for packet in sent {
                assert_eq!(
                    opus::packet::get_nb_samples(&packet.payload, 48_000).unwrap(),
                    960
                );
            }
        }
    }
}

#[test]
fn red_packets_hold_the_packet_before() {
    let mut send = AudioSend::new(RED, 0, 0);
    let mut source = Source::new(48_000, 1);
    let sent = source.push(&mut send, 6);
    assert!(sent.iter().all(|p| p.payload_type == 63));
    let blocks = |p: &Sent| -> Vec<(u16, Vec<u8>)> {
        let owned = |b: RedBlock<'_>| (b.timestamp_offset, b.payload.to_vec());
        red::unpack(&p.payload).unwrap().map(owned).collect()
    };
    assert_eq!(blocks(&sent[0]).len(), 1);
    assert_eq!(blocks(&sent[2])[0].0, 960);
    assert_eq!(blocks(&sent[2])[0].1, blocks(&sent[1])[1].1);

    send.set_format(OPUS);
    assert!(
        source
            .push(&mut send, 2)
            .iter()
            .all(|p| p.payload_type == 111)
    );
}

#[test]
fn a_muted_track_sends_silence() {
    let mut send = AudioSend::new(OPUS, 0, 0);
    let mut source = Source::new(48_000, 1);
    source.is_muted = true;
    let sent = source.push(&mut send, 20);
    assert_eq!(sent.len(), 10);
    assert!(
        sent.iter()
            .all(|p| p.level.minus_dbov == 127 && !p.level.is_voice)
    );
}

#[test]
fn timestamps_jump_over_a_pause_but_not_over_uneven_delivery() {
    let mut send = AudioSend::new(RED, 0, 0);
    let mut source = Source::new(48_000, 1);
    source.push(&mut send, 10);
    source.now += Duration::from_millis(100);
    let late = source.push(&mut send, 2);
    assert_eq!((late[0].timestamp, late[0].marker), (4800, false));

    source.now += Duration::from_millis(3005);
    let resumed = source.push(&mut send, 2);
    assert_eq!(
        (resumed[0].timestamp, resumed[0].marker),
        (4800 + 960 + 144_000, true)
    );
    assert_eq!(resumed[0].sequence, late[0].sequence + 1);
    assert_eq!(
        red::unpack(&resumed[0].payload).unwrap().count(),
        1,
        "nothing old is repeated"
    );
}

/// How late packets leave, in ms beside the first one: when they are sent against what they say.
fn lateness_ms(sent: &[Sent]) -> Vec<i64> {
    let late = |p: &Sent| {
        let ticks = p.timestamp.wrapping_sub(sent[0].timestamp);
        (p.at - sent[0].at).as_millis() as i64 - i64::from(ticks / 48)
    };
    sent.iter().map(late).collect()
}

#[test]
fn what_was_left_out_makes_nothing_late() {
    let mut send = AudioSend::new(RED, 0, 0);
    let mut source = Source::new(24_000, 1);
    let mut sent = Vec::new();
    for frames in [30, 31, 40] {
        sent.extend(source.push(&mut send, frames));
        source.now += Duration::from_millis(90);
        send.leave_out(Duration::from_millis(90));
    }
    sent.extend(source.push(&mut send, 4));
    let late = lateness_ms(&sent);
    assert!(late.iter().all(|ms| *ms == 0), "{late:?}");
}

#[test]
fn the_first_packet_after_silence_leaves_with_its_first_frame_and_is_in_time() {
    let format = SendFormat { dtx: true, ..RED };
    let mut send = AudioSend::new(format, 0, 0);
    let mut source = Source::new(24_000, 1);
    let mut sent = source.push(&mut send, 40);
    for silent_frames in [100, 101, 105] {
        source.is_muted = true;
        sent.extend(source.push(&mut send, silent_frames));
        source.is_muted = false;
        let first = source.give(&mut send, 2);
        assert_eq!((first.len(), first[0].marker), (1, true));
        assert!(first[0].level.minus_dbov < 30, "all of it is sound");
        sent.extend(first);
        let rest = source.push(&mut send, 20);
        assert_eq!(rest.len(), 10);
        sent.extend(rest);
    }
    let late = lateness_ms(&sent);
    assert!(late.iter().all(|ms| *ms == 0), "{late:?}");
}

#[test]
fn a_gap_takes_back_what_an_onset_was_early() {
    let mut send = AudioSend::new(RED, 0, 0);
    let mut source = Source::new(24_000, 1);
    let mut sent = source.push(&mut send, 40);
    for _ in 0..3 {
        sent.extend(source.give(&mut send, 2));
        sent.extend(source.push(&mut send, 18));
        source.now += Duration::from_millis(90);
        send.leave_out(Duration::from_millis(90));
        sent.extend(source.push(&mut send, 40));
    }
    let late = lateness_ms(&sent);
    assert!(late.iter().all(|ms| (-10..=0).contains(ms)), "{late:?}");
    assert_eq!(late.last(), Some(&0));
}

#[test]
fn bursts_at_the_right_pace_are_no_pause() {
    let mut send = AudioSend::new(OPUS, 0, 0);
    let mut source = Source::new(48_000, 1);
    let mut sent = Vec::new();
    for _ in 0..10 {
        let start = source.now;
        for _ in 0..40 {
            sent.extend(source.push(&mut send, 1));
            source.now = start;
        }
        source.now = start + Duration::from_millis(400);
    }
    assert_eq!(sent.len(), 200);
    assert!(sent.iter().zip(0u32..).all(|(p, n)| p.timestamp == n * 960));
}

#[test]
fn settings_change_without_a_break() {
    let mut send = AudioSend::new(OPUS, 0, 0);
    let mut source = Source::new(48_000, 1);
    let bytes = |sent: &[Sent]| sent.iter().map(|p| p.payload.len()).sum::<usize>();
    let default = bytes(&source.push(&mut send, 200));
    let settings = EncoderSettings {
        bitrate_bps: Some(96_000),
        ..Default::default()
    };
    send.set_encoder(settings).unwrap();
    let rich = source.push(&mut send, 200);
    assert!(
        bytes(&rich) > 2 * default,
        "{} bytes against {default}",
        bytes(&rich)
    );
    assert!(rich.iter().all(|p| !p.marker));
}

#[test]
fn nothing_is_sent_for_sound_without_a_format() {
    let mut send = AudioSend::new(OPUS, 0, 0);
    for (sample_rate, channels) in [(0, 1), (48_000, 0)] {
        let captured = CapturedAudio {
            pcm: &[0; 960],
            sample_rate,
            channels,
            is_muted: false,
            is_onset: false,
        };
        send.push(Instant::now(), captured, |_| panic!("sent"))
            .unwrap();
    }
}

#[test]
fn silence_costs_a_packet_every_400_ms_and_sound_is_sent_whole() {
    for format in [OPUS, RED] {
        let format = SendFormat {
            dtx: true,
            ..format
        };
        let mut send = AudioSend::new(format, 0, 0);
        let mut source = Source::new(24_000, 1);
        assert_eq!(source.push(&mut send, 100).len(), 50);
        source.is_muted = true;
        let fades = source.push(&mut send, 20);
        assert_eq!(fades.len(), 10);
        let silent = source.push(&mut send, 400);
        assert_eq!(silent.len(), 10, "4 s");
        assert_eq!(silent[0].timestamp, fades[9].timestamp + TICKS_PER_PACKET);
        for two in silent.windows(2) {
            assert_eq!(two[1].sequence, two[0].sequence + 1);
            assert_eq!(two[1].timestamp - two[0].timestamp, 20 * TICKS_PER_PACKET);
        }
        if format.red.is_none() {
            assert!(silent.iter().all(|packet| packet.payload.len() == 1));
        }
        source.is_muted = false;
        let resumed = source.push(&mut send, 20);
        assert_eq!(resumed.len(), 10);
        assert!(resumed[0].marker && !resumed[1].marker);
        assert_eq!(resumed[0].sequence, silent[9].sequence + 1);
    }
}

#[test]
fn a_decoder_hears_silence_in_a_packet_that_says_so() {
    let mut send = AudioSend::new(SendFormat { dtx: true, ..OPUS }, 0, 0);
    let mut source = Source::new(24_000, 1);
    let mut decoder = opus::Decoder::new(48_000, opus::Channels::Mono).unwrap();
    let mut pcm = [0_i16; 960];
    for _ in 0..2 {
        source.is_muted = false;
        let mut sent = source.push(&mut send, 40);
        source.is_muted = true;
        sent.extend(source.push(&mut send, 60));
        for packet in &sent {
            assert_eq!(
                decoder.decode(&packet.payload, &mut pcm, false).unwrap(),
                960
            );
        }
        assert!(pcm.iter().all(|sample| sample.abs() < 50));
    }
}
