//! Which of the user's audio tracks is heard: the latest that is published.
//!
//! [`Microphones`] is plain bookkeeping; `P` is the publication, by which a track is subscribed to.

use livekit::prelude::{
    RemoteAudioTrack, RemoteTrackPublication, TrackKind, TrackSid, TrackSource,
};

use super::input::Input;
use crate::intake::InputKind;

/// Audio tracks of the user that are known; one of them is heard. Front ends publish one, and another
/// while they change the device.
const TRACKS_MAX: usize = 8;

/// The user's audio tracks, in the order in which they were published.
pub(super) struct Microphones<P>(Vec<Known<P>>);

struct Known<P> {
    sid: TrackSid,
    publication: P,
    was_heard: bool,
}

impl<P> Default for Microphones<P> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<P> Microphones<P> {
    /// A track is published. Returns whether it is taken: there may be too many.
    pub(super) fn add(&mut self, sid: TrackSid, publication: P) -> bool {
        if self.0.iter().any(|known| known.sid == sid) {
            return true;
        }
        let has_room = self.0.len() < TRACKS_MAX;
        if has_room {
            self.0.push(Known {
                sid,
                publication,
                was_heard: false,
            });
        }
        has_room
    }

    /// A track is there no more.
    pub(super) fn remove(&mut self, sid: &TrackSid) {
        self.0.retain(|known| known.sid != *sid);
    }

    /// The track that is to be heard.
    pub(super) fn latest(&self) -> Option<&P> {
        Some(&self.0.last()?.publication)
    }

    /// A track can be heard from here on. `Some` when it is the latest: whether for the first time.
    pub(super) fn on_subscribed(&mut self, sid: &TrackSid) -> Option<bool> {
        let latest = self.0.last_mut().filter(|known| known.sid == *sid)?;
        Some(!std::mem::replace(&mut latest.was_heard, true))
    }

    /// The tracks that are not to be heard.
    pub(super) fn others(&self) -> impl Iterator<Item = &P> {
        self.0.iter().rev().skip(1).map(|known| &known.publication)
    }

    /// Another user is there.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Input {
    pub(super) fn on_published(&mut self, publication: &RemoteTrackPublication) {
        if !is_microphone(publication) {
            return;
        }
        if !self.microphones.add(publication.sid(), publication.clone()) {
            self.intake
                .refuse(InputKind::Track, "too many audio tracks");
            return;
        }
        self.subscribe_to_latest();
    }

    /// The microphone before it is heard again.
    pub(super) fn on_unpublished(&mut self, publication: &RemoteTrackPublication) {
        self.microphones.remove(&publication.sid());
        self.subscribe_to_latest();
    }

    /// The track before it is heard until this one is subscribed: no word is lost in between.
    fn subscribe_to_latest(&self) {
        let latest = self.microphones.latest();
        if let Some(latest) = latest.filter(|latest| !latest.is_desired()) {
            latest.set_subscribed(true);
        }
    }

    pub(super) fn on_subscribed(
        &mut self,
        track: &RemoteAudioTrack,
        publication: &RemoteTrackPublication,
    ) {
        let Some(is_first) = self.microphones.on_subscribed(&publication.sid()) else {
            publication.set_subscribed(false);
            return;
        };
        self.set_microphone(Some(track));
        if is_first {
            self.hear_what_was_said_before(publication);
        }
        // Each would be received and decoded for nothing.
        let unused = self.microphones.others().filter(|other| other.is_desired());
        unused.for_each(|other| other.set_subscribed(false));
    }
}

/// Whether the track may be a microphone: cameras and screens are not listened to.
fn is_microphone(publication: &RemoteTrackPublication) -> bool {
    publication.kind() == TrackKind::Audio
        && matches!(
            publication.source(),
            TrackSource::Microphone | TrackSource::Unknown
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sid(n: usize) -> TrackSid {
        TrackSid::try_from(format!("TR_{n}")).unwrap()
    }

    #[test]
    fn the_latest_track_is_heard_and_the_one_before_it_when_it_is_gone() {
        let mut microphones = Microphones::default();
        assert!(microphones.add(sid(1), 1));
        assert_eq!(microphones.on_subscribed(&sid(1)), Some(true));
        assert!(microphones.add(sid(2), 2));
        assert_eq!(microphones.latest(), Some(&2));
        assert_eq!(microphones.on_subscribed(&sid(1)), None, "it came too late");
        assert_eq!(microphones.on_subscribed(&sid(2)), Some(true));
        assert_eq!(microphones.others().collect::<Vec<_>>(), [&1]);
        microphones.remove(&sid(2));
        assert_eq!(microphones.latest(), Some(&1));
        assert_eq!(microphones.on_subscribed(&sid(1)), Some(false), "again");
        microphones.remove(&sid(1));
        assert_eq!(microphones.latest(), None);
    }

    #[test]
    fn a_track_is_known_once_and_too_many_are_refused() {
        let mut microphones = Microphones::default();
        assert!((0..8).all(|n| microphones.add(sid(n), n)));
        assert!(microphones.add(sid(3), 3), "known already");
        assert!(!microphones.add(sid(8), 8));
        assert_eq!(microphones.latest(), Some(&7));
        microphones.clear();
        assert!(microphones.add(sid(8), 8));
    }
}
