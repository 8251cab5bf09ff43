//! Calls of which nothing but the agent's arrival is measured: one after the other with nothing else
//! going on, and for a worker that takes dispatches itself also some at once.

use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::call::{Arrival, Caller, Since};
use crate::figures::{Spread, millis};
use crate::livekit::Desk;
use crate::setting::{Bench, Setting};

/// Asked of the worker itself: calls at once and how often.
const DIRECT: [Setting; 2] = [Setting::new(5, 4, 0), Setting::new(20, 1, 0)];

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

/// How agents came whose dispatch was asked of the worker itself.
#[derive(Serialize, Deserialize)]
pub(crate) struct DirectFigures {
    /// Calls at once.
    pub(crate) calls: usize,
    /// How long their callers have been in the room.
    pub(crate) since: Since,
    pub(crate) arrivals: ArrivalFigures,
}

impl Bench<'_> {
    /// One call after the other, so many of them, and then some at once.
    pub(crate) async fn direct_arrivals(
        &self,
        desk: &Desk,
        calls: usize,
    ) -> Result<Vec<DirectFigures>> {
        let mut figures = Vec::new();
        for (since, what) in [(Since::Now, "direct-now"), (Since::AWhile, "direct")] {
            figures.push(DirectFigures {
                calls: 1,
                since,
                arrivals: self.arrivals((desk, since), what, calls).await?,
            });
        }
        for setting in &DIRECT {
            let mut arrivals = Vec::new();
            for round in 0..setting.rounds {
                let desk = (desk, Since::AWhile);
                let (callers, arrived) = self.meet_all(desk, "direct", setting, round).await?;
                arrivals.extend(arrived);
                self.hang_up_all(callers).await?;
            }
            figures.push(DirectFigures {
                calls: setting.calls,
                since: Since::AWhile,
                arrivals: ArrivalFigures::new(&arrivals),
            });
        }
        Ok(figures)
    }

    /// So many calls, each hung up after its greeting; `what` tells their rooms from others.
    pub(crate) async fn arrivals(
        &self,
        desk: (&Desk, Since),
        what: &str,
        calls: usize,
    ) -> Result<ArrivalFigures> {
        let name = self.side.kind.name();
        let mut arrivals = Vec::with_capacity(calls);
        for index in 0..calls {
            self.note(&format!("{what} arrival {}/{calls}", index + 1));
            let room = format!("{name}-{what}-arrival-{index}");
            let (caller, arrival) = Caller::meet(self.livekit, desk, room, name).await?;
            arrivals.push(arrival);
            caller.hang_up(self.livekit).await?;
            tokio::time::sleep(BETWEEN_CALLS).await;
        }
        Ok(ArrivalFigures::new(&arrivals))
    }
}
