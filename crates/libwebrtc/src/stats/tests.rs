//! Reading reports from JSON of the shape that browsers give.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::data_channel::DataChannelState;

fn read(value: serde_json::Value) -> RtcStats {
    serde_json::from_value(value).expect("the report should be readable")
}

#[test]
fn the_type_member_chooses_the_report() {
    let stats = read(json!({
        "type": "inbound-rtp", "id": "IT01A1", "timestamp": 1_700_000_000_000_000_i64,
        "ssrc": 77, "kind": "audio", "packetsReceived": 500, "packetsLost": -1, "jitter": 0.002,
        "concealedSamples": 480, "mid": "0"
    }));
    let RtcStats::InboundRtp(stats) = stats else {
        panic!("read as {stats:?}")
    };
    assert_eq!(
        (stats.rtc.id.as_str(), stats.rtc.timestamp),
        ("IT01A1", 1_700_000_000_000_000)
    );
    assert_eq!(
        (stats.stream.ssrc, stats.stream.kind.as_str()),
        (77, "audio")
    );
    assert_eq!(
        (stats.received.packets_received, stats.received.packets_lost),
        (500, -1)
    );
    assert_eq!(
        (stats.inbound.concealed_samples, stats.inbound.mid.as_str()),
        (480, "0")
    );
}

#[test]
fn enum_values_are_read_in_the_spelling_of_the_specification() {
    let stats = read(json!({ "type": "candidate-pair", "state": "in-progress" }));
    let RtcStats::CandidatePair(pair) = stats else {
        panic!("read as {stats:?}")
    };
    assert_eq!(
        pair.candidate_pair.state,
        Some(IceCandidatePairState::InProgress)
    );

    let stats = read(json!({ "type": "transport", "iceRole": "controlled", "dtlsState": "new" }));
    let RtcStats::Transport(transport) = stats else {
        panic!("read as {stats:?}")
    };
    assert_eq!(transport.transport.ice_role, IceRole::Controlled);
    assert_eq!(
        transport.transport.dtls_state,
        Some(DtlsTransportState::New)
    );

    let stats = read(json!({ "type": "data-channel", "state": "open" }));
    let RtcStats::DataChannel(channel) = stats else {
        panic!("read as {stats:?}")
    };
    assert_eq!(channel.dc.state, Some(DataChannelState::Open));
}

#[test]
fn missing_members_read_as_defaults() {
    let stats = read(json!({ "type": "outbound-rtp" }));
    let RtcStats::OutboundRtp(stats) = stats else {
        panic!("read as {stats:?}")
    };
    assert_eq!(
        stats.outbound.quality_limitation_reason,
        QualityLimitationReason::None
    );
    assert_eq!((stats.sent.bytes_sent, stats.rtc.id.as_str()), (0, ""));
}

#[test]
fn every_type_of_the_specification_has_a_report() {
    for kind in [
        "codec",
        "inbound-rtp",
        "outbound-rtp",
        "remote-inbound-rtp",
        "remote-outbound-rtp",
        "media-source",
        "media-playout",
        "peer-connection",
        "data-channel",
        "transport",
        "candidate-pair",
        "local-candidate",
        "remote-candidate",
        "certificate",
        "stream",
        "track",
    ] {
        read(json!({ "type": kind }));
    }
}

#[test]
fn an_unknown_type_is_an_error() {
    assert!(serde_json::from_value::<RtcStats>(json!({ "type": "moon-phase" })).is_err());
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in r#"\{"type":"(codec|transport|track)"(,"[a-zA-Z]{1,12}":(-?[0-9]{1,20}|"[a-z]{0,8}"|null|\[\]|\{\})){0,4}\}?"#) {
        drop(serde_json::from_str::<RtcStats>(&text));
    }
}
