//! Callers who speak while the agent does: how soon it is silent, as they hear it.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use voxpool_bench::hearing::{Heard, Hearing, speech_start};
use voxpool_bench::room::Call;

use crate::figures::{Spread, millis};
use crate::livekit::LiveKit;
use crate::setting::{Bench, SETTLE};

/// How long an answer is that is spoken over.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);

/// Calls at once, and how often each caller speaks over the agent.
const CALLS: usize = 2;
const INTERRUPTIONS: usize = 10;
/// How long the agent is listened to first; longer the first time, for both take what comes in its
/// first 3 s for its own echo.
const LISTENING: Duration = Duration::from_millis(1_500);
const LISTENING_FIRST: Duration = Duration::from_millis(3_500);
/// Quiet that counts as silence. Answers are one tone without a pause.
const SILENCE: Duration = Duration::from_millis(300);
/// How long the agent may take to come, or to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long it may go on speaking before the caller gives up.
const SILENT_WITHIN: Duration = Duration::from_secs(4);

/// From the first sound of the caller's voice until nothing is heard of the agent.
#[derive(Serialize, Deserialize)]
pub(crate) struct InterruptionFigures {
    pub(crate) silent_ms: Option<Spread>,
    pub(crate) calls: usize,
    pub(crate) interruptions: usize,
    /// The agent went on speaking.
    pub(crate) missed: usize,
    /// Each that was not missed.
    pub(crate) each_ms: Vec<f64>,
}

impl InterruptionFigures {
    fn new(silences: &[Option<Duration>]) -> Self {
        let each_ms: Vec<f64> = silences.iter().flatten().copied().map(millis).collect();
        Self {
            silent_ms: Spread::of(each_ms.clone()),
            calls: CALLS,
            interruptions: silences.len(),
            missed: silences.len() - each_ms.len(),
            each_ms,
        }
    }
}

impl Bench<'_> {
    /// All calls of it. The services' answers must be as long as [`ANSWER`].
    pub(crate) async fn interruptions(&self) -> Result<InterruptionFigures> {
        self.note("interruptions");
        tokio::time::sleep(SETTLE).await;
        let name = self.side.kind.name();
        let calls = (0..CALLS).map(|index| async move {
            let room = format!("{name}-interruptions-{index}");
            let sayings = self.sayings.iter().cycle().skip(index).take(INTERRUPTIONS);
            call(self.livekit, &room, name, sayings).await
        });
        let silences = try_join_all(calls).await?;
        Ok(InterruptionFigures::new(&silences.concat()))
    }
}

async fn call(
    livekit: &LiveKit,
    room: &str,
    agent_name: &str,
    sayings: impl Iterator<Item = &Vec<i16>>,
) -> Result<Vec<Option<Duration>>> {
    let server = livekit.server();
    let token = server.token(room, "caller")?;
    let mut call = Call::join_with(&server.url, &token, Hearing::new(SILENCE)).await?;
    livekit.desk().dispatch(room, agent_name).await?;
    let mut silences = Vec::new();
    for saying in sayings {
        if !until_speaking(&mut call).await {
            ensure!(
                !silences.is_empty(),
                "the agent does not speak: see its log"
            );
            break;
        }
        let is_first = silences.is_empty();
        tokio::time::sleep(if is_first { LISTENING_FIRST } else { LISTENING }).await;
        let said = call.speak(saying[speech_start(saying)..].to_vec()).await?;
        // What was heard meanwhile has waited.
        let silent = call.hear(SILENT_WITHIN).await;
        silences.push(silent.and_then(|it| {
            let at = it.at.checked_sub(SILENCE)?;
            at.checked_duration_since(said.began)
        }));
    }
    call.hang_up().await?;
    livekit.delete_room(room).await?;
    Ok(silences)
}

/// Whether the agent has begun to speak.
async fn until_speaking(call: &mut Call) -> bool {
    while let Some(heard) = call.hear(ANSWER_WITHIN).await {
        if heard.heard == Heard::Onset {
            return true;
        }
    }
    false
}
