//! Descriptions in, actions out: no socket, no clock.

use super::{agreement::sources, *};

const FINGERPRINT: &str = "sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:\
                           00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF";

fn credentials(ufrag: &str) -> IceCredentials {
    IceCredentials {
        ufrag: ufrag.into(),
        pwd: format!("{ufrag}-password-of-22-chars"),
    }
}

fn negotiation(ufrag: &str) -> Negotiation {
    Negotiation::new(Own {
        session_id: 7,
        version: 1,
        credentials: credentials(ufrag),
        fingerprint: FINGERPRINT.into(),
        numbers: Numbers::default(),
        candidates: vec![],
    })
}

fn view(kind: MediaType, direction: RtpTransceiverDirection, ssrc: u32) -> MediaView {
    let sends = matches!(
        direction,
        RtpTransceiverDirection::SendOnly | RtpTransceiverDirection::SendRecv
    );
    let msid = sends.then(|| Msid {
        stream: "-".into(),
        track: format!("track-{ssrc}"),
    });
    MediaView {
        kind,
        direction,
        msid,
        ssrc,
        may_adopt: false,
    }
}

fn sends(ssrc: u32) -> MediaView {
    view(MediaType::Audio, RtpTransceiverDirection::SendOnly, ssrc)
}

fn receives() -> MediaView {
    view(MediaType::Audio, RtpTransceiverDirection::RecvOnly, 1)
}

fn description(sdp_type: SdpType, sdp: impl Into<String>) -> SessionDescription {
    SessionDescription {
        sdp: sdp.into(),
        sdp_type,
    }
}

fn never() -> IceCredentials {
    panic!("no new credentials are needed here")
}

fn as_sdp(description: &SessionDescription) -> Sdp {
    Sdp::parse(&description.sdp).unwrap()
}

fn plans(actions: &[Action]) -> Vec<(usize, Direction, Vec<u32>)> {
    let plan = |action: &Action| match action {
        Action::Media(plan) => {
            let sources = plan.sources.iter().map(|source| source.0).collect();
            Some((plan.transceiver, plan.direction, sources))
        }
        _ => None,
    };
    actions.iter().filter_map(plan).collect()
}

/// Two sides, and what each of them did in a whole negotiation that `a` began.
fn negotiate(
    a: &mut Negotiation,
    a_media: &[MediaView],
    b: &mut Negotiation,
    b_media: &[MediaView],
) -> (Vec<Action>, Vec<Action>) {
    let offer = a.create_offer(a_media, true, false, never);
    let mut by_a = a.set_local(offer.clone(), a_media).unwrap();
    let mut by_b = b.set_remote(offer, b_media, never).unwrap();
    let mut b_media = b_media.to_vec();
    b_media.extend(by_b.iter().filter_map(|action| match action {
        Action::Add { kind, .. } => Some(view(*kind, RtpTransceiverDirection::RecvOnly, 99)),
        _ => None,
    }));
    let answer = b.create_answer(&b_media).unwrap();
    by_b.extend(b.set_local(answer.clone(), &b_media).unwrap());
    by_a.extend(a.set_remote(answer, a_media, never).unwrap());
    (by_a, by_b)
}

#[test]
fn an_offer_changes_nothing_until_it_is_applied() {
    let mut a = negotiation("aaaa");
    let first = a.create_offer(&[sends(5)], true, false, never);
    let second = a.create_offer(&[sends(5)], true, false, never);
    assert_eq!(a.signaling(), SignalingState::Stable);
    let mids = |d: &SessionDescription| {
        as_sdp(d)
            .sections
            .iter()
            .map(|s| s.mid().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(mids(&first), mids(&second));
    assert_eq!(mids(&first), [Some("0".to_owned()), Some("1".to_owned())]);
}

#[test]
fn transceivers_come_first_and_later_ones_after_the_data_channels() {
    let mut a = negotiation("aaaa");
    a.create_offer(&[sends(5)], true, false, never);
    let offer = a.create_offer(&[sends(5), receives()], true, false, never);
    let kinds: Vec<_> = as_sdp(&offer)
        .sections
        .into_iter()
        .map(|s| s.kind)
        .collect();
    assert_eq!(
        kinds,
        [MediaKind::Audio, MediaKind::Application, MediaKind::Audio]
    );
}

#[test]
fn every_audio_section_lists_opus_and_then_red() {
    let mut a = negotiation("aaaa");
    let offer = a.create_offer(&[sends(5), receives()], false, false, never);
    for section in as_sdp(&offer).sections {
        assert_eq!(section.payload_types().collect::<Vec<_>>(), [111, 63]);
        assert_eq!(section.fmtp(63), Some("111/111"));
    }
}

#[test]
fn both_sides_agree_on_roles_directions_and_sources() {
    let (mut a, mut b) = (negotiation("aaaa"), negotiation("bbbb"));
    let (by_a, by_b) = negotiate(&mut a, &[sends(5)], &mut b, &[]);

    let start = |actions: &[Action]| {
        let start = actions.iter().find_map(|action| match action {
            Action::Start(start) => Some((start.dtls_active, start.controlling)),
            _ => None,
        });
        start.expect("the transport starts")
    };
    assert_eq!(start(&by_a), (false, true));
    assert_eq!(start(&by_b), (true, false));
    assert_eq!(plans(&by_a), [(0, Direction::SendOnly, vec![])]);
    assert_eq!(plans(&by_b), [(0, Direction::RecvOnly, vec![5])]);
    assert!(by_b.contains(&Action::Add {
        kind: MediaType::Audio,
        track_id: Some("track-5".into())
    }));
    let data = |actions: &[Action]| {
        actions
            .iter()
            .filter(|a| matches!(a, Action::StartData { .. }))
            .count()
    };
    assert_eq!((data(&by_a), data(&by_b)), (1, 1));
    assert_eq!(a.signaling(), SignalingState::Stable);
}

#[test]
fn the_transport_and_the_data_channels_start_only_once() {
    let (mut a, mut b) = (negotiation("aaaa"), negotiation("bbbb"));
    negotiate(&mut a, &[sends(5)], &mut b, &[]);
    let (again, _) = negotiate(&mut a, &[sends(5)], &mut b, &[receives()]);
    let restarts = |a: &Action| {
        matches!(
            a,
            Action::Start(_) | Action::StartData { .. } | Action::RestartIce { .. }
        )
    };
    assert!(!again.iter().any(restarts));
}

#[test]
fn a_direction_edited_into_the_text_counts() {
    let mut a = negotiation("aaaa");
    let inactive = view(MediaType::Audio, RtpTransceiverDirection::Inactive, 1);
    let media = [inactive];
    let offer = a.create_offer(&media, false, false, never);
    let edited = offer.sdp.replace("a=inactive", "a=recvonly");
    a.set_local(description(SdpType::Offer, edited), &media)
        .unwrap();
    let answer = answer_of_a_server(
        "cccc",
        "a=sendonly\r\na=ssrc:77 cname:x\r\na=msid:PA_1 TR_1",
    );
    let actions = a.set_remote(answer, &media, never).unwrap();
    assert_eq!(plans(&actions), [(0, Direction::RecvOnly, vec![77])]);
    let shown = Action::Show {
        transceiver: 0,
        receiving: true,
        stream: Some("PA_1".into()),
    };
    assert!(actions.contains(&shown), "{actions:?}");
}

/// What LiveKit's server answers to one audio section, as far as it matters here.
fn answer_of_a_server(ufrag: &str, lines: &str) -> SessionDescription {
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-lite\r\n\
         a=fingerprint:{FINGERPRINT}\r\na=group:BUNDLE 0\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\nc=IN IP4 0.0.0.0\r\na=setup:active\r\na=mid:0\r\n\
         a=ice-ufrag:{ufrag}\r\na=ice-pwd:{ufrag}-password-of-22-chars\r\n\
         a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:111 opus/48000/2\r\n{lines}\r\n"
    );
    description(SdpType::Answer, sdp)
}

#[test]
fn silence_is_not_sent_if_the_answer_wants_that() {
    for (parameters, expected) in [
        ("minptime=10;useinbandfec=1;usedtx=1", true),
        ("usedtx=1; minptime=10", true),
        ("minptime=10;usedtx=0", false),
        ("minptime=10;nousedtx=1", false),
    ] {
        let mut a = negotiation("aaaa");
        let offer = a.create_offer(&[sends(5)], false, false, never);
        a.set_local(offer, &[sends(5)]).unwrap();
        let lines = format!("a=fmtp:111 {parameters}\r\na=recvonly");
        let answer = answer_of_a_server("cccc", &lines);
        let actions = a.set_remote(answer, &[sends(5)], never).unwrap();
        let dtx = actions.iter().find_map(|action| match action {
            Action::Media(plan) => Some(plan.dtx),
            _ => None,
        });
        assert_eq!(dtx, Some(expected), "{parameters}");
    }
}

#[test]
fn redundancy_is_used_if_the_answer_prefers_it() {
    for (order, expected) in [("63 111", true), ("111 63", false), ("111", false)] {
        let mut a = negotiation("aaaa");
        let offer = a.create_offer(&[sends(5)], false, false, never);
        a.set_local(offer, &[sends(5)]).unwrap();
        let mut answer = answer_of_a_server("cccc", "a=recvonly");
        answer.sdp = answer
            .sdp
            .replace("SAVPF 63 111", &format!("SAVPF {order}"));
        let actions = a.set_remote(answer, &[sends(5)], never).unwrap();
        let redundant = actions.iter().find_map(|action| match action {
            Action::Media(plan) => Some(plan.redundant),
            _ => None,
        });
        assert_eq!(redundant, Some(expected), "{order}");
    }
}

#[test]
fn an_offer_is_taken_back_by_applying_the_current_answer_again() {
    let mut a = negotiation("aaaa");
    let media = [sends(5)];
    let offer = a.create_offer(&media, false, false, never);
    a.set_local(offer, &media).unwrap();
    let answer = answer_of_a_server("cccc", "a=recvonly");
    a.set_remote(answer, &media, never).unwrap();
    // A second transceiver is offered, and the offer is given up.
    let media = [sends(5), sends(6)];
    let offer = a.create_offer(&media, false, false, never);
    a.set_local(offer, &media).unwrap();
    let current = a.current_remote().cloned().unwrap();
    let actions = a.set_remote(current, &media, never).unwrap();
    assert_eq!(plans(&actions), [(0, Direction::SendOnly, vec![])]);
    assert_eq!(a.signaling(), SignalingState::Stable);
}

#[test]
fn an_ice_restart_takes_effect_when_the_answer_has_new_credentials() {
    let mut a = negotiation("aaaa");
    let media = [sends(5)];
    let offer = a.create_offer(&media, false, false, never);
    a.set_local(offer, &media).unwrap();
    a.set_remote(answer_of_a_server("cccc", "a=recvonly"), &media, never)
        .unwrap();

    let restart = a.create_offer(&media, false, true, || credentials("new1"));
    assert!(restart.sdp.contains("a=ice-ufrag:new1"));
    let repeated = a.create_offer(&media, false, true, never);
    assert!(
        repeated.sdp.contains("a=ice-ufrag:new1"),
        "a dropped offer costs nothing"
    );
    a.set_local(repeated, &media).unwrap();
    let actions = a
        .set_remote(answer_of_a_server("dddd", "a=recvonly"), &media, never)
        .unwrap();
    let expected = Action::RestartIce {
        local: credentials("new1"),
        remote: credentials("dddd"),
    };
    assert!(actions.contains(&expected), "{actions:?}");
    let later = a.create_offer(&media, false, false, never);
    assert!(later.sdp.contains("a=ice-ufrag:new1"));
}

#[test]
fn a_peer_that_restarts_ice_gets_new_credentials_in_the_answer() {
    let (mut a, mut b) = (negotiation("aaaa"), negotiation("bbbb"));
    negotiate(&mut a, &[sends(5)], &mut b, &[]);
    let offer = a.create_offer(&[sends(5)], true, true, || credentials("new1"));
    b.set_remote(offer, &[receives()], || credentials("new2"))
        .unwrap();
    let answer = b.create_answer(&[receives()]).unwrap();
    assert!(answer.sdp.contains("a=ice-ufrag:new2"));
    let actions = b.set_local(answer, &[receives()]).unwrap();
    let expected = Action::RestartIce {
        local: credentials("new2"),
        remote: credentials("new1"),
    };
    assert!(actions.contains(&expected), "{actions:?}");
}

#[test]
fn what_cannot_be_applied_is_refused_and_nothing_changes() {
    let good = answer_of_a_server("cccc", "a=recvonly");
    for (broken, part) in [
        (good.sdp.replace("a=ice-ufrag:cccc\r\n", ""), "ice-ufrag"),
        (
            good.sdp
                .replace(&format!("a=fingerprint:{FINGERPRINT}\r\n"), ""),
            "fingerprint",
        ),
        (good.sdp.replace("m=audio 9", "m=audio nine"), "m= line"),
        (String::new(), "empty"),
    ] {
        let mut a = negotiation("aaaa");
        let offer = a.create_offer(&[sends(5)], false, false, never);
        a.set_local(offer, &[sends(5)]).unwrap();
        let error = a.set_remote(description(SdpType::Answer, broken), &[sends(5)], never);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert_eq!(a.signaling(), SignalingState::HaveLocalOffer);
        assert!(
            a.set_remote(good.clone(), &[sends(5)], never).is_ok(),
            "after {part}"
        );
    }
}

#[test]
fn a_description_out_of_turn_is_refused() {
    let mut a = negotiation("aaaa");
    let answer = answer_of_a_server("cccc", "a=recvonly");
    assert!(a.set_remote(answer.clone(), &[], never).is_err());
    assert!(a.set_local(answer, &[]).is_err());
    assert!(a.create_answer(&[]).is_err());
}

#[test]
fn an_answer_keeps_the_offers_sections_and_refuses_what_is_unknown() {
    let (mut a, mut b) = (negotiation("aaaa"), negotiation("bbbb"));
    let offer = a.create_offer(&[sends(5)], true, false, never);
    let foreign = "m=text 9 RTP/AVP 98\r\nc=IN IP4 0.0.0.0\r\na=mid:t\r\n\
                   m=audio 9 UDP/TLS/RTP/SAVPF 8\r\na=mid:g711\r\na=rtpmap:8 PCMA/8000\r\n";
    let offer = description(SdpType::Offer, offer.sdp + foreign);
    let actions = b.set_remote(offer, &[], never).unwrap();
    let added = actions
        .iter()
        .filter(|a| matches!(a, Action::Add { .. }))
        .count();
    assert_eq!(added, 2);
    let answer = as_sdp(&b.create_answer(&[receives(), receives()]).unwrap());
    let ports: Vec<_> = answer
        .sections
        .iter()
        .map(|s| (s.kind.as_str(), s.port))
        .collect();
    assert_eq!(
        ports,
        [("audio", 9), ("application", 9), ("text", 0), ("audio", 0)]
    );
    assert_eq!(answer.bundle(), ["0", "1"]);
}

#[test]
fn the_peers_numbers_for_codecs_are_taken_over() {
    let (mut a, mut b) = (negotiation("aaaa"), negotiation("bbbb"));
    a.own.numbers = Numbers {
        opus: 109,
        red: 121,
        audio_level: 3,
        mid: 9,
    };
    negotiate(&mut a, &[sends(5)], &mut b, &[]);
    assert_eq!(b.own.numbers, a.own.numbers);
}

#[test]
fn retransmissions_are_no_source_of_their_own() {
    let section = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=ssrc-group:FID 1 2\r\n\
                   a=ssrc:1 cname:x\r\na=ssrc:2 cname:x\r\na=ssrc:3 cname:x\r\n";
    let sdp = Sdp::parse(section).unwrap();
    assert_eq!(sources(&sdp.sections[0]), [(1, Some(2)), (3, None)]);
}
