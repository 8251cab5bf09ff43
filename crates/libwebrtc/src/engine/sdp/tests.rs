use proptest::prelude::*;

use super::*;

/// The shape of what a LiveKit server offers a subscriber.
const OFFER: &str = "v=0\r\n\
    o=- 12 2 IN IP4 0.0.0.0\r\n\
    s=-\r\n\
    t=0 0\r\n\
    a=fingerprint:sha-256 0A:FF:10\r\n\
    a=group:BUNDLE 0 1\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
    c=IN IP4 0.0.0.0\r\n\
    a=setup:actpass\r\n\
    a=mid:0\r\n\
    a=ice-ufrag:uf\r\n\
    a=ice-pwd:pw\r\n\
    a=sctp-port:5000\r\n\
    a=max-message-size:65535\r\n\
    a=candidate:1 1 udp 1 192.0.2.1 7882 typ host\r\n\
    a=end-of-candidates\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n\
    c=IN IP4 0.0.0.0\r\n\
    a=mid:1\r\n\
    a=rtpmap:111 opus/48000/2\r\n\
    a=fmtp:111 minptime=10;useinbandfec=1\r\n\
    a=rtpmap:63 red/48000/2\r\n\
    a=fmtp:63 111/111\r\n\
    a=extmap:1/recvonly urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
    a=ssrc:7 cname:x\r\n\
    a=ssrc:7 msid:PA_a|TR_a TR_a\r\n\
    a=ssrc:8 cname:x\r\n\
    a=ssrc-group:FID 7 8\r\n\
    a=sendonly\r\n";

#[test]
fn a_servers_offer_is_read_whole_and_written_alike() {
    let sdp = Sdp::parse(OFFER).unwrap();
    assert_eq!(sdp.to_string(), OFFER);
    assert_eq!(sdp.bundle(), ["0", "1"]);

    let data = sdp.section("0").unwrap();
    assert_eq!(data.kind, MediaKind::Application);
    assert_eq!(data.max_message_size(), Some(65535));
    assert_eq!(data.lines.setup(), Some(Setup::ActPass));
    assert_eq!(
        data.candidates().collect::<Vec<_>>(),
        ["1 1 udp 1 192.0.2.1 7882 typ host"]
    );

    let audio = sdp.section("1").unwrap();
    assert_eq!(audio.direction(), Direction::SendOnly);
    assert_eq!(audio.payload_types().collect::<Vec<_>>(), [111, 63]);
    assert_eq!(audio.payload_type_of("RED"), Some(63));
    assert_eq!(audio.fmtp(63), Some("111/111"));
    assert_eq!(audio.ssrcs(), [7, 8]);
    assert_eq!(audio.ssrc_groups().next().unwrap().ssrcs, [7, 8]);
    let msid = audio.msid().unwrap();
    assert_eq!(
        (msid.stream.as_str(), msid.track.as_str()),
        ("PA_a|TR_a", "TR_a")
    );
    assert_eq!(audio.ext_maps().next().unwrap().id, 1);
    assert_eq!(
        audio.rtp_maps().next().unwrap().to_string(),
        "111 opus/48000/2"
    );
}

#[test]
fn transport_attributes_come_from_a_live_section_or_the_session() {
    let sdp = Sdp::parse(OFFER).unwrap();
    assert_eq!(sdp.transport(Lines::ice).unwrap().ufrag, "uf");
    assert_eq!(
        sdp.transport(Lines::fingerprint).unwrap().bytes,
        [0x0a, 0xff, 0x10]
    );
}

#[test]
fn a_rejected_section_is_inactive_and_bundle_only_is_not_rejected() {
    let text = "v=0\nm=audio 0 X 1\na=sendrecv\nm=audio 0 X 1\na=bundle-only\na=recvonly\n";
    let sdp = Sdp::parse(text).unwrap();
    assert_eq!(sdp.sections[0].direction(), Direction::Inactive);
    assert_eq!(sdp.sections[1].direction(), Direction::RecvOnly);
}

#[test]
fn sloppy_text_is_read() {
    let sdp = Sdp::parse("\n v=0 \n\nwhat\nfoo=bar\na = x\nm=audio 9/2 P\na=mid: 5 \n").unwrap();
    assert_eq!(sdp.sections[0].mid(), Some("5"));
    assert_eq!(sdp.sections[0].direction(), Direction::SendRecv);
    assert_eq!(sdp.to_string(), "v=0\r\nm=audio 9 P\r\na=mid:5\r\n");
}

#[test]
fn what_is_no_description_is_an_error_with_its_line() {
    let check = |text: &str, line, reason: &str| {
        let error = Sdp::parse(text).unwrap_err();
        assert_eq!(error.line, line);
        assert!(error.reason.contains(reason), "{error}");
    };
    check("", 1, "empty");
    check("hello", 1, "v=0");
    check("v=0\nm=audio\n", 2, "port");
    check("v=0\ns=-\nm=audio 70000 X 1\n", 3, "port");
    check(
        &format!("v=0\n{}", "m=audio 9 X\n".repeat(SECTIONS_MAX + 1)),
        1026,
        "sections",
    );
    check(
        &format!("v=0\n{}", "a=x\n".repeat(LINES_PER_SECTION_MAX + 1)),
        1026,
        "lines",
    );
    check(
        &format!("v=0\nm=audio 9 X{}", " 1".repeat(FORMATS_MAX + 1)),
        2,
        "formats",
    );
    check(&format!("v=0\na={}", "x".repeat(TEXT_BYTES_MAX)), 1, "long");
}

#[test]
fn a_value_cannot_smuggle_in_a_line() {
    let mut sdp = Sdp::new(1, 2);
    sdp.session.push("msid", "a\r\na=evil:1");
    assert!(!sdp.to_string().contains("evil"));
    assert_eq!(Sdp::parse(&sdp.to_string()).unwrap(), sdp);
}

#[test]
fn a_password_is_not_in_debug_output() {
    let credentials = IceCredentials {
        ufrag: "u".into(),
        pwd: "geheim".into(),
    };
    assert!(!format!("{credentials:?}").contains("geheim"));
}

/// Asks everything of a description: nothing may panic.
fn read_all(sdp: &Sdp) {
    sdp.bundle();
    sdp.transport(Lines::ice);
    sdp.transport(Lines::fingerprint);
    sdp.transport(Lines::setup);
    for section in &sdp.sections {
        section.direction();
        section.msid();
        section.ssrcs();
        let _ = section.ssrc_groups().count() + section.ext_maps().count();
        for map in section.rtp_maps() {
            section.fmtp(map.payload_type);
        }
        section.max_message_size();
    }
}

fn round_trip(text: &str) -> Result<(), TestCaseError> {
    if let Ok(sdp) = Sdp::parse(text) {
        read_all(&sdp);
        let written = sdp.to_string();
        let again = Sdp::parse(&written);
        prop_assert_eq!(again.as_ref(), Ok(&sdp));
        prop_assert_eq!(again.unwrap().to_string(), written);
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_and_stable(text in "(?s)v=0\n.{0,600}") {
        round_trip(&text)?;
    }

    #[test]
    fn any_lines_are_stable(
        lines in proptest::collection::vec(
            prop_oneof![
                "m=(audio|video|application|x) [0-9]{1,6}(/2)? [A-Z/]{1,9}( [0-9]{1,4}){0,5}",
                "a=(mid|msid|ssrc|ssrc-group|rtpmap|fmtp|extmap|fingerprint|setup|ice-ufrag|ice-pwd|candidate|sctp-port):[ -~]{0,40}",
                "a=[a-z]{1,8}", "[a-z]=[ -~]{0,20}", "\\PC{0,20}",
            ],
            0..60,
        ),
    ) {
        round_trip(&format!("v=0\r\n{}", lines.join("\r\n")))?;
    }

    #[test]
    fn a_damaged_offer_is_read_or_refused(at in 0..OFFER.len(), junk in "\\PC{0,6}", cut in 0..9usize) {
        let end = (at + cut).min(OFFER.len());
        round_trip(&format!("{}{junk}{}", &OFFER[..at], &OFFER[end..]))?;
    }

    #[test]
    fn typed_attributes_survive_a_round_trip(
        pt in 0..128u8, rate: u32, channels: Option<u8>, codec in "[a-zA-Z0-9-]{1,12}",
        id: u8, uri in "[!-~]{1,30}", ssrcs in proptest::collection::vec(any::<u32>(), 0..16),
        bytes in proptest::collection::vec(any::<u8>(), 1..64),
    ) {
        let map = RtpMap { payload_type: pt, codec, clock_rate: rate, channels };
        prop_assert_eq!(RtpMap::parse(&map.to_string()), Some(map));
        let ext = ExtMap { id, uri };
        prop_assert_eq!(ExtMap::parse(&ext.to_string()), Some(ext));
        let group = SsrcGroup { semantics: "FID".into(), ssrcs };
        prop_assert_eq!(SsrcGroup::parse(&group.to_string()), Some(group));
        let fingerprint = Fingerprint { hash: "sha-256".into(), bytes };
        prop_assert_eq!(Fingerprint::parse(&fingerprint.to_string()), Some(fingerprint));
    }
}
