//! Carries what was agreed on into str0m, and packets between str0m and tracks.

use std::{sync::Arc, time::Instant};

use str0m::{
    Rtc,
    media::{MediaKind, Mid},
    rtp::{ExtensionValues, RtpPacket, RtpWrite, SeqNo, Ssrc},
};

use super::{
    describe::Numbers, negotiation::MediaPlan, receiver::RemoteAudio, sender::Agreed,
    transceiver::Transceiver,
};
use crate::MediaType;

/// An encoded packet on its way out.
pub(crate) struct OutgoingPacket {
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    /// Loudness in -dBov, from 0 (loudest) to 127 (silence).
    pub(crate) level: u8,
    pub(crate) voice: bool,
    pub(crate) payload: Vec<u8>,
}

/// Which source feeds which track.
#[derive(Default)]
pub(crate) struct Routes(Vec<(u32, Arc<RemoteAudio>)>);

impl Routes {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn find(&self, ssrc: u32) -> Option<&Arc<RemoteAudio>> {
        self.0
            .iter()
            .find(|route| route.0 == ssrc)
            .map(|route| &route.1)
    }

    fn add(&mut self, ssrc: u32, remote: Arc<RemoteAudio>) {
        self.0.retain(|route| route.0 != ssrc);
        self.0.push((ssrc, remote));
    }

    fn remove(&mut self, ssrc: u32) {
        self.0.retain(|route| route.0 != ssrc);
    }
}

/// Makes str0m and the transceiver what was agreed on.
pub(crate) fn apply(
    rtc: &mut Rtc,
    routes: &mut Routes,
    transceiver: &Transceiver,
    numbers: Numbers,
    plan: MediaPlan,
) {
    let MediaPlan {
        mid,
        direction,
        redundant,
        dtx,
        sources,
        ..
    } = plan;
    let mid = Mid::from(&*mid);
    let is_audio = transceiver.kind == MediaType::Audio;
    transceiver.set_current(direction);
    let in_use = direction.sends() || direction.receives();
    if in_use && rtc.media(mid).is_none() {
        let kind = if is_audio {
            MediaKind::Audio
        } else {
            MediaKind::Video
        };
        rtc.direct_api().declare_media(mid, kind);
    }
    let sender = &transceiver.sender;
    if direction.sends() {
        let ssrc = Ssrc::from(sender.ssrc());
        let mut api = rtc.direct_api();
        if api.stream_tx(&ssrc).is_none() {
            api.declare_stream_tx(ssrc, None, mid, None);
        }
    }
    let agreed = Agreed {
        redundant,
        dtx,
        numbers,
    };
    sender.set_agreed(direction.sends(), agreed);

    let old = transceiver.receiver.replace_sources(sources.clone());
    for (ssrc, _) in &old {
        if !sources.iter().any(|source| source.0 == *ssrc) {
            rtc.direct_api().remove_stream_rx(Ssrc::from(*ssrc));
            routes.remove(*ssrc);
        }
    }
    for source in &sources {
        let (ssrc, repair) = *source;
        if old.contains(source) {
            continue;
        }
        rtc.direct_api()
            .expect_stream_rx(Ssrc::from(ssrc), repair.map(Ssrc::from), mid, None)
            .suppress_nack(!is_audio);
        if let Some(remote) = transceiver.receiver.remote_audio() {
            routes.add(ssrc, remote.clone());
        }
    }
}

/// Hands a received packet to its track.
pub(crate) fn receive(
    rtc: &mut Rtc,
    routes: &mut Routes,
    transceivers: &[Arc<Transceiver>],
    numbers: Numbers,
    packet: &RtpPacket,
) {
    let ssrc = packet.header.ssrc;
    if routes.find(*ssrc).is_none() {
        // The peer did not announce the source; str0m knew the section from the packet.
        let Some(mid) = rtc.direct_api().stream_rx(&ssrc).map(|stream| stream.mid()) else {
            return;
        };
        let in_section = |t: &&Arc<Transceiver>| t.mid().as_deref() == Some(&*mid);
        let transceiver = transceivers.iter().find(in_section);
        let Some(remote) = transceiver.and_then(|t| t.receiver.remote_audio()) else {
            return;
        };
        log::debug!("source {ssrc} belongs to section {mid}");
        routes.add(*ssrc, remote.clone());
    }
    if let Some(remote) = routes.find(*ssrc) {
        remote.insert(numbers, packet);
    }
}

/// Gives str0m a packet to send; false if the section does not send (any more).
pub(crate) fn send(rtc: &mut Rtc, packet: OutgoingPacket, now: Instant) -> bool {
    let OutgoingPacket {
        ssrc,
        payload_type,
        sequence,
        timestamp,
        marker,
        level,
        voice,
        payload,
    } = packet;
    let mut api = rtc.direct_api();
    let Some(stream) = api.stream_tx(&Ssrc::from(ssrc)) else {
        return false;
    };
    let extensions = ExtensionValues {
        audio_level: Some(-(level.min(127).cast_signed())),
        voice_activity: Some(voice),
        ..ExtensionValues::default()
    };
    let write = RtpWrite::new(
        payload_type.into(),
        SeqNo::from(sequence),
        timestamp,
        now,
        payload,
    )
    .marker(marker)
    .ext_vals(extensions)
    .nackable(true);
    stream.write_rtp(write);
    true
}
