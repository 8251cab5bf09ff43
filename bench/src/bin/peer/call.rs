//! One call as its caller lives through it.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use voxpool_bench::hearing::{Heard, Hearing};
use voxpool_bench::room::{Call, HeardAt};

use crate::livekit::{Desk, LiveKit};

/// Silence after an answer. Answers are one tone without a pause.
const SILENCE: Duration = Duration::from_millis(300);
/// How long the agent may take to come and to greet.
const GREETING_WITHIN: Duration = Duration::from_secs(30);
/// How long an answer may take before the turn counts as missed.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long a caller is in the room when the agent is sent for. LiveKit's server sends a caller a new track
/// 10 ms after it is published, but no sooner than 150 ms after the last, or the beginning.
///
/// Source: livekit-server 1.13.5, `pkg/rtc/transport.go`, `negotiationFrequency`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Since {
    /// The caller has joined at this moment.
    Now,
    /// The caller has been waiting.
    AWhile,
}

impl Since {
    const A_WHILE: Duration = Duration::from_millis(500);
}

/// How the agent came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrival {
    pub(crate) joined: Option<Duration>,
    pub(crate) greeting: Option<Duration>,
}

/// A caller in a room with the agent.
pub(crate) struct Caller {
    call: Call,
    room: String,
}

impl Caller {
    /// Joins, has the agent sent for at `desk` and hears its greeting to the end.
    pub(crate) async fn meet(
        livekit: &LiveKit,
        (desk, since): (&Desk, Since),
        room: String,
        agent_name: &str,
    ) -> Result<(Self, Arrival)> {
        let server = livekit.server();
        let token = server.token(&room, "caller")?;
        let mut call = Call::join_with(&server.url, &token, Hearing::new(SILENCE)).await?;
        if since == Since::AWhile {
            tokio::time::sleep(Since::A_WHILE).await;
        }
        let sent_for = Instant::now();
        desk.dispatch(&room, agent_name).await?;
        let joined = call.agent_joined(GREETING_WITHIN).await;
        let greeting = first_sound(&mut call, GREETING_WITHIN).await;
        let since = |at: Instant| at.saturating_duration_since(sent_for);
        let arrival = Arrival {
            joined: joined.map(since),
            greeting: greeting.map(since),
        };
        Ok((Self { call, room }, arrival))
    }

    /// Says each of the sayings and waits for its answer; how long those took from the end of
    /// speech, `None` where none came.
    pub(crate) async fn talk<'a>(
        &mut self,
        sayings: impl Iterator<Item = &'a Vec<i16>>,
        mut pause: impl FnMut(usize) -> Duration,
        mut each: impl FnMut(),
    ) -> Result<Vec<Option<Duration>>> {
        let mut answers = Vec::new();
        for (index, saying) in sayings.enumerate() {
            tokio::time::sleep(pause(index)).await;
            self.call.forget_heard();
            let said_at = self.call.say(saying.clone()).await?;
            let heard_at = first_sound(&mut self.call, ANSWER_WITHIN).await;
            // Who answers before the end was not listening.
            answers.push(heard_at.and_then(|at| at.checked_duration_since(said_at)));
            each();
        }
        Ok(answers)
    }

    /// How long the agent's sound lay in this caller's jitter buffer, on average.
    pub(crate) async fn buffered(&self) -> Option<Duration> {
        self.call.buffered().await
    }

    /// Hangs up and ends the room, which ends the agent's part as well.
    pub(crate) async fn hang_up(self, livekit: &LiveKit) -> Result<()> {
        self.call.hang_up().await?;
        livekit.delete_room(&self.room).await
    }
}

/// When the next answer began; returns when it is over.
async fn first_sound(call: &mut Call, patience: Duration) -> Option<Instant> {
    let mut began = None;
    while let Some(HeardAt { heard, at }) = call.hear(patience).await {
        match heard {
            Heard::Onset => began = began.or(Some(at)),
            Heard::Speech { .. } => break,
        }
    }
    began
}
