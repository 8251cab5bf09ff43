//! The public API as a program uses it: two connections in one process, over real sockets.

#![expect(clippy::unwrap_used, reason = "a failing step fails the test")]

mod addresses;
mod turn;

use std::time::Duration;

use libwebrtc::{
    MediaType, RtcErrorType, audio_source::native::NativeAudioSource,
    audio_stream::native::NativeAudioStream, data_channel::DataChannelError,
    peer_connection_factory::native::PeerConnectionFactoryExt, prelude::*, stats::RtcStats,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::StreamExt;

const SOON: Duration = Duration::from_secs(20);

fn connection() -> PeerConnection {
    PeerConnectionFactory::default()
        .create_peer_connection(RtcConfiguration::default())
        .unwrap()
}

/// Carries candidates from one side to the other as they are found.
fn trickle(from: &PeerConnection, to: &PeerConnection) {
    let (found, mut candidates) = mpsc::channel(64);
    from.on_ice_candidate(Some(Box::new(move |candidate| {
        found.try_send(candidate).expect("64 candidates are enough");
    })));
    let to = to.clone();
    tokio::spawn(async move {
        while let Some(candidate) = candidates.recv().await {
            to.add_ice_candidate(candidate).await.ok();
        }
    });
}

async fn negotiate(a: &PeerConnection, b: &PeerConnection) {
    let offer = a.create_offer(OfferOptions::default()).await.unwrap();
    a.set_local_description(offer.clone()).await.unwrap();
    b.set_remote_description(offer).await.unwrap();
    let answer = b.create_answer(AnswerOptions::default()).await.unwrap();
    b.set_local_description(answer.clone()).await.unwrap();
    a.set_remote_description(answer).await.unwrap();
}

async fn until(pc: &PeerConnection, state: PeerConnectionState) {
    let (changed, mut states) = mpsc::channel(16);
    pc.on_connection_state_change(Some(Box::new(move |state| {
        changed.try_send(state).ok();
    })));
    while pc.connection_state() != state {
        timeout(SOON, states.recv())
            .await
            .expect("the state changes soon");
    }
}

#[tokio::test]
async fn messages_go_both_ways_and_the_end_is_heard() {
    let (a, b) = (connection(), connection());
    trickle(&a, &b);
    trickle(&b, &a);
    let (opened, mut channels) = mpsc::channel(1);
    b.on_data_channel(Some(Box::new(move |channel| {
        opened.try_send(channel).expect("one channel is opened");
    })));
    let ours = a
        .create_data_channel("chat", DataChannelInit::default())
        .unwrap();
    assert!(matches!(
        ours.send(b"too early", true),
        Err(DataChannelError::Send)
    ));
    negotiate(&a, &b).await;
    let theirs = timeout(SOON, channels.recv()).await.unwrap().unwrap();
    assert_eq!(
        (theirs.label().as_str(), theirs.state()),
        ("chat", DataChannelState::Open)
    );

    let (heard, mut messages) = mpsc::channel(4);
    for channel in [&ours, &theirs] {
        let heard = heard.clone();
        channel.on_message(Some(Box::new(move |message| {
            heard
                .try_send((message.data.to_vec(), message.binary))
                .expect("few messages");
        })));
    }
    theirs.send("grüße".as_bytes(), false).unwrap();
    let message = timeout(SOON, messages.recv()).await.unwrap().unwrap();
    assert_eq!(message, ("grüße".as_bytes().to_vec(), false));
    assert!(matches!(
        ours.send(&[0xff], false),
        Err(DataChannelError::Utf8(_))
    ));
    assert!(matches!(
        ours.send(&vec![0; 300_000], true),
        Err(DataChannelError::Send)
    ));
    ours.send(&[1, 2, 3], true).unwrap();
    let message = timeout(SOON, messages.recv()).await.unwrap().unwrap();
    assert_eq!(message, (vec![1, 2, 3], true));

    a.close();
    assert_eq!(a.connection_state(), PeerConnectionState::Closed);
    assert_eq!(ours.state(), DataChannelState::Closed);
    until(&b, PeerConnectionState::Failed).await;
}

#[tokio::test]
async fn sound_is_heard_on_the_other_side() {
    let (a, b) = (connection(), connection());
    trickle(&a, &b);
    trickle(&b, &a);
    let (begun, mut tracks) = mpsc::channel(1);
    b.on_track(Some(Box::new(move |event| {
        begun.try_send(event).expect("one track is sent");
    })));
    let source = NativeAudioSource::new(AudioSourceOptions::default(), 16_000, 1, 200);
    let track = PeerConnectionFactory::default().create_audio_track("voice", source.clone());
    let init = RtpTransceiverInit {
        direction: RtpTransceiverDirection::SendOnly,
        stream_ids: vec!["stream".into()],
        send_encodings: vec![],
    };
    let transceiver = a.add_transceiver(track.into(), init).unwrap();
    negotiate(&a, &b).await;
    assert_eq!(
        transceiver.current_direction(),
        Some(RtpTransceiverDirection::SendOnly)
    );
    let event = timeout(SOON, tracks.recv()).await.unwrap().unwrap();
    assert_eq!(event.streams[0].id(), "stream");
    let MediaStreamTrack::Audio(remote) = event.track else {
        panic!("not audio")
    };
    assert_eq!(remote.id(), "voice");

    let feeder = tokio::spawn(async move {
        // Loud and simple: a square wave of 500 Hz.
        let data: Vec<i16> = (0..160)
            .map(|i| if i % 32 < 16 { 8000 } else { -8000 })
            .collect();
        let frame = AudioFrame {
            data: data.into(),
            sample_rate: 16_000,
            num_channels: 1,
            samples_per_channel: 160,
        };
        while source.capture_frame(&frame).await.is_ok() {}
    });
    let mut stream = NativeAudioStream::new(remote, 48_000, 2);
    let loud = async {
        loop {
            let frame = stream.next().await.expect("the stream goes on");
            assert_eq!((frame.sample_rate, frame.num_channels), (48_000, 2));
            assert_eq!(frame.data.len(), 960);
            if frame.data.iter().any(|value| value.abs() > 4000) {
                break;
            }
        }
    };
    timeout(SOON, loud).await.expect("the tone is heard");
    feeder.abort();

    let sent = a.get_stats().await.unwrap();
    let packets = sent.iter().find_map(|report| match report {
        RtcStats::OutboundRtp(outbound) => Some(outbound.sent.packets_sent),
        _ => None,
    });
    assert!(packets.is_some_and(|packets| packets > 0), "{sent:?}");
    b.close();
    assert_eq!(
        event.receiver.track().map(|t| t.state()),
        Some(RtcTrackState::Ended)
    );
}

#[tokio::test]
async fn a_closed_connection_answers_with_errors() {
    let pc = connection();
    pc.close();
    pc.close();
    let offer = pc.create_offer(OfferOptions::default()).await;
    assert_eq!(offer.unwrap_err().error_type, RtcErrorType::InvalidState);
    assert!(
        pc.create_data_channel("x", DataChannelInit::default())
            .is_err()
    );
    assert!(pc.set_bitrate(BitrateSettings::default()).is_err());
    assert_eq!(pc.signaling_state(), SignalingState::Closed);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let pc = connection();
    let init = DataChannelInit {
        negotiated: true,
        id: 7,
        ..DataChannelInit::default()
    };
    let first = pc.create_data_channel("a", init.clone()).unwrap();
    assert!(
        pc.create_data_channel("b", init.clone()).is_err(),
        "the id is taken"
    );
    first.close();
    assert!(
        pc.create_data_channel("b", init.clone()).is_ok(),
        "the id is free again"
    );
    assert!(
        pc.create_data_channel("c", DataChannelInit { id: 70_000, ..init })
            .is_err()
    );
    let nothing = RtpTransceiverInit {
        direction: RtpTransceiverDirection::SendRecv,
        stream_ids: vec![],
        send_encodings: vec![],
    };
    assert!(
        pc.add_transceiver_for_media(MediaType::Data, nothing)
            .is_err()
    );
    assert!(SessionDescription::parse("no sdp", SdpType::Offer).is_err());
    let unusable = IceCandidate::parse("0", 0, "candidate:some.name.local").unwrap();
    pc.add_ice_candidate(unusable).await.unwrap();
    let out_of_order = BitrateSettings {
        min_bitrate_bps: Some(2),
        start_bitrate_bps: Some(1),
        max_bitrate_bps: None,
    };
    assert!(pc.set_bitrate(out_of_order).is_err());
}

#[tokio::test]
async fn closing_in_a_callback_does_not_hold_it_up() {
    let pc = connection();
    let (told, mut heard) = mpsc::channel(4);
    let inner = pc.clone();
    pc.on_ice_gathering_state_change(Some(Box::new(move |_| {
        inner.close();
        told.try_send(()).ok();
    })));
    let channel = pc.create_data_channel("x", DataChannelInit::default());
    assert!(channel.is_ok());
    let offer = pc.create_offer(OfferOptions::default()).await.unwrap();
    pc.set_local_description(offer).await.unwrap();
    assert_eq!(timeout(SOON, heard.recv()).await, Ok(Some(())));
    assert_eq!(pc.connection_state(), PeerConnectionState::Closed);
}
