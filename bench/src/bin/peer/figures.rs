//! What is made of the measurements, and written as JSON.

use std::time::Duration;

use offline_openai::{EndpointStats, EndpointsStats, StatsSnapshot};
use serde::{Deserialize, Serialize};

use crate::arrivals::{ArrivalFigures, DirectFigures};
use crate::call::Arrival;
use crate::interruptions::InterruptionFigures;
use crate::setting::Watched;
use crate::side::Kind;

/// Everything that was measured.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) sides: Vec<SideFigures>,
}

/// Of one worker.
#[derive(Serialize, Deserialize)]
pub(crate) struct SideFigures {
    pub(crate) side: Kind,
    pub(crate) idle_memory_mib: f64,
    pub(crate) idle_cpu_percent: f64,
    pub(crate) arrivals: Option<ArrivalFigures>,
    /// The same, with callers who have been in the room for a while.
    pub(crate) arrivals_waiting: Option<ArrivalFigures>,
    /// Where the dispatch is asked of the worker itself; empty if it takes none.
    #[serde(default)]
    pub(crate) direct: Vec<DirectFigures>,
    pub(crate) interruptions: Option<InterruptionFigures>,
    pub(crate) settings: Vec<SettingFigures>,
}

impl SideFigures {
    pub(crate) fn new(side: Kind, idle: &Watched) -> Self {
        Self {
            side,
            idle_memory_mib: idle.memory_mib,
            idle_cpu_percent: idle.cpu_percent,
            arrivals: None,
            arrivals_waiting: None,
            direct: Vec::new(),
            interruptions: None,
            settings: Vec::new(),
        }
    }
}

/// Of so many calls at once. Times in milliseconds; absent where there was nothing to measure.
#[derive(Serialize, Deserialize)]
pub(crate) struct SettingFigures {
    pub(crate) calls: usize,
    /// From the dispatch until the caller sees the agent in the room.
    pub(crate) joined_ms: Option<Spread>,
    /// From the dispatch until the caller hears the agent.
    pub(crate) greeting_ms: Option<Spread>,
    /// From the end of the caller's speech until it hears the answer.
    pub(crate) answer_ms: Option<Spread>,
    /// The part of that which is the caller's own jitter buffer, by call.
    pub(crate) buffered_ms: Option<Spread>,
    pub(crate) turns: usize,
    pub(crate) turns_missed: usize,
    pub(crate) greetings_missed: usize,
    pub(crate) memory_mib_per_call: f64,
    pub(crate) cpu_percent_per_call: f64,
    /// Connections that the services accepted in the first round, for each of its calls: so many calls
    /// at once are new to the worker.
    pub(crate) connections_per_call: f64,
    /// The same in later rounds.
    pub(crate) connections_per_call_warm: f64,
    pub(crate) transcriptions_per_turn: Requests,
    pub(crate) chats_per_turn: Requests,
    pub(crate) speeches_per_turn: Requests,
    /// Each greeting that was heard.
    pub(crate) greetings_ms: Vec<f64>,
    /// Each answer that was heard.
    pub(crate) answers_ms: Vec<f64>,
}

impl SettingFigures {
    pub(crate) fn new(
        calls: usize,
        arrivals: &[Arrival],
        (answers, buffered): (Vec<Option<Duration>>, Vec<Duration>),
        (listening, idle): (&Watched, &SideFigures),
        services: &[StatsSnapshot],
    ) -> Self {
        let turns = answers.len();
        let connections = between(services, |it| it.connections.accepted);
        let per_turn = |of: fn(&EndpointsStats) -> &EndpointStats| Requests {
            made: sum(services, |it| of(&it.endpoints).requests) / turns as f64,
            broken_off: sum(services, |it| of(&it.endpoints).cancelled) / turns as f64,
        };
        let answers_ms: Vec<f64> = answers.into_iter().flatten().map(millis).collect();
        let joined = arrivals.iter().filter_map(|it| it.joined).map(millis);
        let greeting = arrivals.iter().filter_map(|it| it.greeting).map(millis);
        let greeting: Vec<f64> = greeting.collect();
        let later = connections.iter().skip(1);
        let (warm, rounds_warm) = (later.clone().sum::<u64>(), later.count());
        let per_call = |figure: f64| figure / calls as f64;
        Self {
            calls,
            joined_ms: Spread::of(joined.collect()),
            greetings_missed: arrivals.len() - greeting.len(),
            greeting_ms: Spread::of(greeting.clone()),
            greetings_ms: greeting,
            answer_ms: Spread::of(answers_ms.clone()),
            buffered_ms: Spread::of(buffered.into_iter().map(millis).collect()),
            turns,
            turns_missed: turns - answers_ms.len(),
            memory_mib_per_call: per_call(listening.memory_mib - idle.idle_memory_mib),
            cpu_percent_per_call: per_call(listening.cpu_percent - idle.idle_cpu_percent),
            connections_per_call: per_call(connections.first().copied().unwrap_or_default() as f64),
            connections_per_call_warm: per_call(warm as f64) / rounds_warm.max(1) as f64,
            transcriptions_per_turn: per_turn(|it| &it.transcriptions),
            chats_per_turn: per_turn(|it| &it.chat),
            speeches_per_turn: per_turn(|it| &it.speech),
            answers_ms,
        }
    }
}

/// What the services were asked, as they count it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Requests {
    pub(crate) made: f64,
    /// Of those, given up before they were answered.
    pub(crate) broken_off: f64,
}

/// How much a count grew in each round.
fn between(services: &[StatsSnapshot], count: impl Fn(&StatsSnapshot) -> u64) -> Vec<u64> {
    let rounds = services.windows(2);
    rounds.map(|it| count(&it[1]) - count(&it[0])).collect()
}

/// How much it grew in all of them.
fn sum(services: &[StatsSnapshot], count: impl Fn(&StatsSnapshot) -> u64) -> f64 {
    between(services, count).iter().sum::<u64>() as f64
}

/// Where measurements lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// By nearest rank; `None` of nothing.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let rank = |share: f64| {
            let rank = (values.len() as f64 * share).ceil() as usize;
            values.get(rank.max(1) - 1).copied()
        };
        Some(Self {
            min: rank(0.0)?,
            p50: rank(0.5)?,
            p95: rank(0.95)?,
            max: rank(1.0)?,
        })
    }
}

pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_taken_by_nearest_rank() {
        let spread = Spread::of((1..=200).rev().map(f64::from).collect()).unwrap();
        assert_eq!(
            (spread.min, spread.p50, spread.p95, spread.max),
            (1.0, 100.0, 190.0, 200.0)
        );
        assert_eq!(Spread::of(vec![7.0]).unwrap().p95, 7.0);
        assert_eq!(Spread::of(vec![]), None);
    }
}
