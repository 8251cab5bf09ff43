//! The user of a call, and every change of it.

use crate::participant::Participant;
use crate::redact::Pii;

/// A change of the user. **The one way** in which anything that holds a user's state learns that the
/// user is gone, is back, or is another one; nothing compares identities for itself.
///
/// The room decides (`room/presence.rs`, by identity and `session.return_within_seconds`) and these
/// obey. State of a user that is added anywhere gets a line here.
///
/// | holder | [`Away`](Self::Away) | [`Returned`](Self::Returned) | [`Gone`](Self::Gone) |
/// |---|---|---|---|
/// | `room/input.rs`: microphone, keypad, audio from before the call, the front end's switches (ear, mouth, transcripts) | dropped; switches at their defaults, as the front end that comes back assumes them | | |
/// | `room/arrivals.rs`: texts and requests under way | carry their sender: a text of the awaited user waits, one of another participant is ignored | | ignored |
/// | `room/{text,transcripts}.rs`, `room/remote/`: captions, session events, history, runs | sent to no other | sent again | [`RoomOutput::forget_user`](super::RoomOutput::forget_user): what was queued is dropped, the rest forgotten |
/// | `turn/absence.rs`: open turn, voice, speeches, texts, learned delays | frozen: no turn ends, nothing begins | go on | forgotten |
/// | `session/user.rs`: reply, captions, transcriptions, detector, utterance, chat, briefing, greeting, failures | the reply is held | goes on | interrupted and recorded as the earlier user's, then forgotten |
/// | `session/realtime/{user,dialogue/user}.rs`: the same, microphone queue, tools, connection | the player is held | goes on | the same; a new connection knows nothing |
/// | `agent/conversation.rs`: whose memory the tools reach | stays | stays | none |
///
/// A turn belongs to the user who began it (`session/exchange.rs`, `session/realtime/turn.rs`), also if
/// another one is there when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserChange {
    /// The participant is the user from here on. Nothing of an earlier user is
    /// left by now: [`Self::Gone`] came before.
    Joined(Participant),
    /// The user is not there and may come back: nothing of theirs is lost, and nothing goes on.
    Away,
    /// The same identity is back in time.
    Returned(Pii<String>),
    /// The user did not come back, and another participant takes their place: [`Self::Joined`]
    /// follows at once. All that was theirs is forgotten first.
    Gone,
    /// The user is gone for good, and the call is over.
    Left,
}
