//! Packets that all come: when they come, and what their timestamps say.

use super::*;
use crate::engine::{opus_decode::is_dtx, opus_encode::EncoderSettings};

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
fn clocks_that_differ_cause_stretches_and_no_clicks() {
    for drift_ppm in [-200, 200] {
        let mut call = Call::new(240, |_| ms(10.0));
        call.drift_ppm = drift_ppm;
        // A sender whose clock is fast is done earlier.
        let heard = play(call.packets(), 48_000, 239);
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
fn comfort_noise_in_dtx_is_not_concealment() {
    let format = SendFormat {
        opus_payload_type: 111,
        red: None,
        dtx: false,
    };
    let mut send = AudioSend::new(format, 0, 0);
    let settings = EncoderSettings {
        dtx: true,
        ..Default::default()
    };
    send.set_encoder(settings).unwrap();
    let start = Instant::now();
    let mut random = noise(3);
    let mut packets = Vec::new();
    let mut is_silent = false;
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
            is_onset: false,
        };
        send.push(start + at, captured, |p| {
            // What other senders do, and ours does not: see `audio_send`.
            let was_silent = std::mem::replace(&mut is_silent, is_dtx(p.payload));
            if was_silent && is_silent {
                return;
            }
            let sent = Sent {
                ssrc: 1,
                payload_type: p.payload_type,
                sequence: packets.len() as u64,
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

/// A voice that speaks for 600 ms every 4 s, as `AudioQueue` hands it on: nothing for 90 ms, then
/// silence. The first packet of each is so late.
fn speaks_now_and_then(leaves_out_gaps: bool, first_late_ms: u64) -> JitterStats {
    let format = SendFormat {
        opus_payload_type: 111,
        red: None,
        dtx: true,
    };
    let mut send = AudioSend::new(format, 0, 0);
    let start = Instant::now();
    let mut packets = Vec::new();
    for n in 0..2_000_u64 {
        let place = n % 400;
        match place {
            60..69 => continue,
            69 if leaves_out_gaps => send.leave_out(Duration::from_millis(90)),
            _ => {}
        }
        let pcm = match place {
            0..60 => sine(n as usize * 480, 480, 48_000, HZ, 1),
            _ => vec![0; 480],
        };
        let captured = CapturedAudio {
            pcm: &pcm,
            sample_rate: 48_000,
            channels: 1,
            is_muted: false,
            is_onset: false,
        };
        let at = Duration::from_millis(n * 10);
        send.push(start + at, captured, |p| {
            let late_ms = if place == 0 { first_late_ms } else { 0 };
            let at = at + Duration::from_millis(late_ms);
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
    play(packets, 48_000, 20).stats
}

#[test]
fn pauses_between_answers_do_not_look_like_a_slow_path() {
    let target_ms = |leaves_out_gaps| speaks_now_and_then(leaves_out_gaps, 0).target_delay_ms;
    assert_eq!(target_ms(true), 35.0);
    assert!(target_ms(false) > 100.0, "what it is for");
}

/// Neither what is left of made-up sound nor a first packet that is late delays an answer.
#[test]
fn an_answer_begins_when_it_should() {
    for first_late_ms in [0, 5, 10] {
        let stats = speaks_now_and_then(true, first_late_ms);
        let average_ms = |sum_s: f64| 1e3 * sum_s / stats.samples_delayed as f64;
        let above_ms = average_ms(stats.delay_sum_s) - average_ms(stats.target_delay_sum_s);
        assert!(
            above_ms < 3.0,
            "{above_ms} ms, the first {first_late_ms} late"
        );
    }
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
