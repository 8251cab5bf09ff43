//! Calls one after the other: how long the agent takes to come and to be heard, with nothing else going on.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::call::{Arrival, Caller};
use crate::figures::{Spread, millis};
use crate::setting::Bench;

/// What a worker gets to let go of a call.
const BETWEEN_CALLS: Duration = Duration::from_millis(200);

/// How agents came, in milliseconds since the dispatch was asked for.
#[derive(Serialize, Deserialize)]
pub(crate) struct ArrivalFigures {
    /// Until the caller sees the agent in the room.
    pub(crate) joined_ms: Option<Spread>,
    /// Until the caller hears the agent.
    pub(crate) greeting_ms: Option<Spread>,
    pub(crate) calls: usize,
    pub(crate) greetings_missed: usize,
    /// Each greeting that was heard.
    pub(crate) greetings_ms: Vec<f64>,
}

impl ArrivalFigures {
    pub(crate) fn new(arrivals: &[Arrival]) -> Self {
        let joined = arrivals.iter().filter_map(|it| it.joined).map(millis);
        let greeting: Vec<f64> = (arrivals.iter())
            .filter_map(|it| it.greeting)
            .map(millis)
            .collect();
        Self {
            joined_ms: Spread::of(joined.collect()),
            calls: arrivals.len(),
            greetings_missed: arrivals.len() - greeting.len(),
            greeting_ms: Spread::of(greeting.clone()),
            greetings_ms: greeting,
        }
    }
}

impl Bench<'_> {
    /// So many calls, each hung up after its greeting.
    pub(crate) async fn arrivals(&self, calls: usize) -> Result<ArrivalFigures> {
        let name = self.side.kind.name();
        let mut arrivals = Vec::with_capacity(calls);
        for index in 0..calls {
            self.note(&format!("arrival {}/{calls}", index + 1));
            let room = format!("{name}-arrival-{index}");
            let (caller, arrival) = Caller::meet(self.livekit, room, name).await?;
            arrivals.push(arrival);
            caller.hang_up(self.livekit).await?;
            tokio::time::sleep(BETWEEN_CALLS).await;
        }
        Ok(ArrivalFigures::new(&arrivals))
    }
}
