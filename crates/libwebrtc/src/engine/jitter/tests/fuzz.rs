//! Whatever comes, nothing panics and the counters add up.

use proptest::prelude::*;

use super::*;

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
        prop_assert!(stats.target_delay_ms >= 35.0 && stats.target_delay_ms <= 200.0);
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
