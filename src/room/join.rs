//! Joining a room as the agent, and leaving it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future;
use futures::stream::BoxStream;
use livekit::{Room, RoomDataStreamOptions, RoomError, RoomOptions};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::front_end::FrontEnd;
use super::input::Input;
use super::link::Link;
use super::output::Voice;
use super::presence::Presence;
use super::rpc::{self, Callers, RpcMethod};
use super::text::{RoomText, publish, show_state};
use super::{AgentCard, RoomEvent, RoomOutput, signal};
use crate::arrival::Step;
use crate::intake::CallIntake;
use crate::redact::Pii;

/// What a participant may send at once: ten seconds of sound at 48 kHz and twice that.
const STREAM_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How long leaving may take: the server notices in any case.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// The room could not be joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The server cannot be reached or refuses us.
    #[error("cannot join the room: {0}")]
    Connect(#[source] RoomError),
    /// The agent's voice is not taken.
    #[error("cannot publish the agent's voice: {0}")]
    Publish(#[source] RoomError),
}

/// A room that was joined.
pub struct Joined {
    /// What happens in it; taken by the session.
    pub events: BoxStream<'static, RoomEvent>,
    /// Where the session shows what goes on.
    pub output: Arc<dyn RoomOutput>,
    attendance: Attendance,
    text: AbortOnDropHandle<()>,
}

/// Being in the room: the SDK's room does not leave when it is dropped, this does.
struct Attendance(Option<Arc<Room>>);

impl Attendance {
    async fn leave(mut self) {
        if let Some(room) = self.0.take() {
            close(&room).await;
        }
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        if let (Some(room), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move { close(&room).await });
        }
    }
}

/// Rules for the participants of a room. By default the call waits for no user to return, and only the
/// user may call methods.
#[derive(Default)]
pub struct Participation {
    /// How long the call waits for a user who may come back.
    pub return_within: Duration,
    /// Identities beside the user that may call the agent's methods; `*` stands for any characters.
    pub rpc_callers: Vec<String>,
    /// Counts input beyond a bound.
    pub intake: CallIntake,
}

/// Joins with the job's token, publishes the voice, answers the methods, connects `front_end` and tells
/// front ends of the agent what `card` says.
///
/// Only the microphone of the user is subscribed to: see [`Link`].
///
/// # Errors
/// The server does not let us in. Cancel safety: a dropped call leaves the room again.
pub async fn join(
    url: &str,
    token: &Pii<String>,
    voice: Arc<Voice>,
    methods: Vec<RpcMethod>,
    front_end: &FrontEnd,
    card: AgentCard,
    participation: Participation,
) -> Result<Joined, JoinError> {
    let mut options = RoomOptions::default();
    options.auto_subscribe = false;
    options.data_stream =
        RoomDataStreamOptions::default().with_max_payload_byte_length(STREAM_BYTES_MAX);
    signal::install();
    let (room, events) = Room::connect(url, token.expose(), options)
        .await
        .map_err(JoinError::Connect)?;
    voice.arrival().reach(Step::Joined, Instant::now());
    let room = Arc::new(room);
    let attendance = Attendance(Some(Arc::clone(&room)));
    let link = Arc::new(Link::default());
    front_end.connect(room.local_participant(), Arc::clone(&link));
    let (output, commands) = RoomText::new(Arc::clone(&link));
    let notes = output.notes();
    let states = show_state(room.local_participant(), output.states());
    let states = AbortOnDropHandle::new(tokio::spawn(states));
    let voice_sid = match voice.publish(&room).await {
        Ok(sid) => sid,
        Err(error) => {
            attendance.leave().await;
            return Err(error);
        }
    };
    // Each of them makes the SDK negotiate anew, which the track would have to wait for.
    let Participation {
        return_within,
        rpc_callers,
        intake,
    } = participation;
    let (now, linked) = (Instant::now(), Arc::clone(&link));
    let callers = Callers::new(now, linked, rpc_callers, intake.clone());
    rpc::register(&room.local_participant(), methods, &Arc::new(callers));
    let text = publish(
        Arc::clone(&room),
        Arc::clone(&link),
        voice_sid,
        card,
        commands,
    );
    let presence = Presence::new(return_within);
    let input = Input::new(room, events, link, voice, notes, intake, presence);
    Ok(Joined {
        events: input.into_stream(),
        output: Arc::new(output),
        attendance,
        text: AbortOnDropHandle::new(tokio::spawn(future::join(text, states).map(drop))),
    })
}

impl Joined {
    /// Sends what is still to be sent, once the session is over, and leaves the room.
    pub async fn leave(self) {
        let Self {
            events,
            output,
            attendance,
            text,
        } = self;
        drop(events);
        // The publisher ends when nobody can give it more.
        drop(output);
        if tokio::time::timeout(CLOSE_WITHIN, text).await.is_err() {
            tracing::debug!("some text was not sent before leaving the room");
        }
        attendance.leave().await;
    }
}

async fn close(room: &Room) {
    match tokio::time::timeout(CLOSE_WITHIN, room.close()).await {
        Ok(Ok(()) | Err(RoomError::AlreadyClosed)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the room was not left in order"),
        Err(_) => tracing::debug!("leaving the room took too long"),
    }
}
