//! What the program wants to hear of, and the order in which it hears it.
//!
//! Whatever happens under the connection's lock is noted as a [`Notice`]; the driver takes the
//! notes and calls the program without any lock. A callback may therefore call back into the
//! connection, and replace or remove itself. A panic in a callback is logged and goes no further.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, ThreadId},
};

use parking_lot::Mutex;

use crate::{
    data_channel::{DataChannel, DataChannelState},
    engine::data::Channel,
    ice_candidate::IceCandidate,
    peer_connection::{
        IceCandidateError, IceConnectionState, IceGatheringState, OnConnectionChange,
        OnDataChannel, OnIceCandidate, OnIceCandidateError, OnIceConnectionChange,
        OnIceGatheringChange, OnNegotiationNeeded, OnSignalingChange, OnTrack, PeerConnectionState,
        SignalingState, TrackEvent,
    },
};

/// Something that happened.
pub(crate) enum Notice {
    Connection(PeerConnectionState),
    IceConnection(IceConnectionState),
    IceGathering(IceGatheringState),
    Signaling(SignalingState),
    NegotiationNeeded,
    Candidate(IceCandidate),
    CandidateError(IceCandidateError),
    Track(Box<TrackEvent>),
    RemoteChannel(Arc<Channel>),
    ChannelState(Arc<Channel>, DataChannelState),
    Message {
        channel: Arc<Channel>,
        data: Vec<u8>,
        binary: bool,
    },
    EarlyMessages(Arc<Channel>),
    Sent {
        channel: Arc<Channel>,
        bytes: u64,
    },
}

/// A callback that can be replaced while it runs.
pub(crate) struct Slot<F>(Mutex<(u64, Option<F>)>);

impl<F> Default for Slot<F> {
    fn default() -> Self {
        Self(Mutex::new((0, None)))
    }
}

impl<F> Slot<F> {
    pub(crate) fn set(&self, callback: Option<F>) {
        let old = {
            let mut slot = self.0.lock();
            slot.0 += 1;
            std::mem::replace(&mut slot.1, callback)
        };
        drop(old); // may own the connection: not under the lock
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.lock().1.is_some()
    }

    /// Runs the callback, if there is one, without holding the lock.
    pub(crate) fn call(&self, run: impl FnOnce(&mut F)) {
        let (generation, taken) = {
            let mut slot = self.0.lock();
            (slot.0, slot.1.take())
        };
        let Some(mut callback) = taken else { return };
        if catch_unwind(AssertUnwindSafe(|| run(&mut callback))).is_err() {
            log::error!("a WebRTC callback panicked; the connection goes on");
        }
        let mut slot = self.0.lock();
        if slot.0 == generation {
            slot.1 = Some(callback);
        }
    }
}

/// The callbacks of one connection.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) connection_change: Slot<OnConnectionChange>,
    pub(crate) data_channel: Slot<OnDataChannel>,
    pub(crate) ice_candidate: Slot<OnIceCandidate>,
    pub(crate) ice_candidate_error: Slot<OnIceCandidateError>,
    pub(crate) ice_connection_change: Slot<OnIceConnectionChange>,
    pub(crate) ice_gathering_change: Slot<OnIceGatheringChange>,
    pub(crate) negotiation_needed: Slot<OnNegotiationNeeded>,
    pub(crate) signaling_change: Slot<OnSignalingChange>,
    pub(crate) track: Slot<OnTrack>,
    /// The thread that runs callbacks now.
    running_on: Mutex<Option<ThreadId>>,
}

impl Callbacks {
    /// Whether the calling thread is in a callback of this connection.
    pub(crate) fn are_running(&self) -> bool {
        *self.running_on.lock() == Some(thread::current().id())
    }

    /// Tells the program, in order.
    pub(crate) fn tell(&self, notices: Vec<Notice>) {
        if notices.is_empty() {
            return;
        }
        *self.running_on.lock() = Some(thread::current().id());
        self.tell_all(notices);
        *self.running_on.lock() = None;
    }

    fn tell_all(&self, notices: Vec<Notice>) {
        for notice in notices {
            match notice {
                Notice::Connection(state) => self.connection_change.call(|f| f(state)),
                Notice::IceConnection(state) => self.ice_connection_change.call(|f| f(state)),
                Notice::IceGathering(state) => self.ice_gathering_change.call(|f| f(state)),
                Notice::Signaling(state) => self.signaling_change.call(|f| f(state)),
                Notice::NegotiationNeeded => self.negotiation_needed.call(|f| f(0)),
                Notice::Candidate(candidate) => self.ice_candidate.call(|f| f(candidate)),
                Notice::CandidateError(error) => self.ice_candidate_error.call(|f| f(error)),
                Notice::Track(event) => self.track.call(|f| f(*event)),
                Notice::RemoteChannel(inner) => {
                    let channel = DataChannel {
                        inner: inner.clone(),
                    };
                    self.data_channel.call(|f| f(channel));
                    inner.tell_state(DataChannelState::Open);
                }
                Notice::ChannelState(channel, state) => channel.tell_state(state),
                Notice::Message {
                    channel,
                    data,
                    binary,
                } => channel.tell_message(data, binary),
                Notice::EarlyMessages(channel) => channel.tell_early(),
                Notice::Sent { channel, bytes } => channel.tell_sent(bytes),
            }
        }
    }

    /// Forgets everything, so that what the callbacks own can be freed.
    pub(crate) fn clear(&self) {
        self.connection_change.set(None);
        self.data_channel.set(None);
        self.ice_candidate.set(None);
        self.ice_candidate_error.set(None);
        self.ice_connection_change.set(None);
        self.ice_gathering_change.set(None);
        self.negotiation_needed.set(None);
        self.signaling_change.set(None);
        self.track.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_may_remove_itself() {
        type F = Box<dyn FnMut() + Send>;
        let slot: Arc<Slot<F>> = Arc::default();
        let own = slot.clone();
        slot.set(Some(Box::new(move || own.set(None))));
        slot.call(|f| f());
        assert!(!slot.is_set());
    }

    #[test]
    fn a_panic_in_a_callback_goes_no_further() {
        type F = Box<dyn FnMut() + Send>;
        let slot: Slot<F> = Slot::default();
        slot.set(Some(Box::new(|| panic!("in the program"))));
        slot.call(|f| f());
        assert!(slot.is_set());
    }
}
