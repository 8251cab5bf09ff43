//! Some calls at once: what their callers hear and what the worker uses meanwhile.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::{join_all, try_join_all};
use offline_openai::ServerHandle;
use voxpool_bench::process::Usage;
use voxpool_bench::progress::Progress;

use crate::call::{Arrival, Caller, Since};
use crate::figures::{SettingFigures, SideFigures};
use crate::livekit::{Desk, LiveKit};
use crate::side::Side;

/// How long a worker is left alone before it counts as idle, and how long it is then watched.
pub(crate) const SETTLE: Duration = Duration::from_secs(8);
const IDLE: Duration = Duration::from_secs(10);
/// How long the callers of the first round are silent while the worker is watched.
const LISTENING: Duration = Duration::from_secs(10);
/// Calls do not come all at once: a new one so often.
const BETWEEN_CALLS: Duration = Duration::from_millis(500);
/// What a worker needs to let go of a round's calls.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(3);

/// So many calls at once, so many times, with so many turns each.
pub(crate) struct Setting {
    pub(crate) calls: usize,
    pub(crate) rounds: usize,
    turns: usize,
}

impl Setting {
    pub(crate) const fn new(calls: usize, rounds: usize, turns: usize) -> Self {
        Self {
            calls,
            rounds,
            turns,
        }
    }
}

/// Memory at the end of some time and CPU over it, of all processes together.
pub(crate) struct Watched {
    pub(crate) memory_mib: f64,
    pub(crate) cpu_percent: f64,
}

/// One side with all that is needed to measure it.
pub(crate) struct Bench<'a> {
    pub(crate) side: &'a Side,
    pub(crate) livekit: &'a LiveKit,
    pub(crate) services: &'a ServerHandle,
    pub(crate) sayings: &'a [Vec<i16>],
    pub(crate) progress: &'a Progress,
}

impl Bench<'_> {
    /// What the worker uses before its first call.
    pub(crate) async fn idle(&self) -> Result<SideFigures> {
        self.note("idle");
        tokio::time::sleep(SETTLE).await;
        let idle = self.watch(IDLE).await?;
        Ok(SideFigures::new(self.side.kind, &idle))
    }

    /// A call that is not measured.
    pub(crate) async fn warm_up(&self) -> Result<()> {
        self.note("warming up");
        let room = format!("{}-warm-up", self.side.kind.name());
        let name = self.side.kind.name();
        let desk = self.livekit.desk();
        let met = Caller::meet(self.livekit, (&desk, Since::Now), room, name);
        let (mut caller, arrival) = met.await?;
        arrival
            .greeting
            .context("the agent did not greet: see its log")?;
        caller
            .talk(self.sayings.iter().take(1), |_| Duration::ZERO, || {})
            .await?;
        caller.hang_up(self.livekit).await?;
        tokio::time::sleep(BETWEEN_ROUNDS).await;
        Ok(())
    }

    /// All rounds of a setting. What the idle worker used is taken from what the calls use.
    pub(crate) async fn run(
        &self,
        setting: &Setting,
        idle: &SideFigures,
    ) -> Result<SettingFigures> {
        let mut services = vec![self.services.stats()];
        let mut arrivals = Vec::new();
        let mut answers = Vec::new();
        let mut listening = None;
        let mut buffered = Vec::new();
        for round in 0..setting.rounds {
            let desk = self.livekit.desk();
            let met = self.meet_all((&desk, Since::Now), "call", setting, round);
            let (mut callers, arrived) = met.await?;
            arrivals.extend(arrived);
            if listening.is_none() {
                listening = Some(self.watch(LISTENING).await?);
            }
            answers.extend(self.talk_all(setting, round, &mut callers).await?);
            for caller in &callers {
                buffered.extend(caller.buffered().await);
            }
            self.hang_up_all(callers).await?;
            services.push(self.services.stats());
        }
        let listening = listening.context("a setting has at least one round")?;
        Ok(SettingFigures::new(
            setting.calls,
            &arrivals,
            (answers, buffered),
            (&listening, idle),
            &services,
        ))
    }

    /// All callers of a round, one joining after the other, and how their agents came; `what` tells
    /// their rooms from others.
    pub(crate) async fn meet_all(
        &self,
        desk: (&Desk, Since),
        what: &str,
        setting: &Setting,
        round: usize,
    ) -> Result<(Vec<Caller>, Vec<Arrival>)> {
        self.note(&format!(
            "{} calls, round {}: greeting",
            setting.calls,
            round + 1
        ));
        let name = self.side.kind.name();
        let meetings = (0..setting.calls).map(|index| async move {
            tokio::time::sleep(BETWEEN_CALLS * index as u32).await;
            let room = format!("{name}-{what}-{}-{round}-{index}", setting.calls);
            Caller::meet(self.livekit, desk, room, name).await
        });
        Ok(try_join_all(meetings).await?.into_iter().unzip())
    }

    /// Ends a round, and lets the worker let go of it.
    pub(crate) async fn hang_up_all(&self, callers: Vec<Caller>) -> Result<()> {
        let leaving = callers.into_iter();
        try_join_all(leaving.map(|caller| caller.hang_up(self.livekit))).await?;
        tokio::time::sleep(BETWEEN_ROUNDS).await;
        Ok(())
    }

    /// Each caller at a pace of its own, so that they do not speak in chorus.
    async fn talk_all(
        &self,
        setting: &Setting,
        round: usize,
        callers: &mut [Caller],
    ) -> Result<Vec<Option<Duration>>> {
        let done = AtomicUsize::new(0);
        let total = setting.calls * setting.turns;
        let talks = callers.iter_mut().enumerate().map(|(index, caller)| {
            let done = &done;
            let sayings = self.sayings.iter().cycle().skip(index).take(setting.turns);
            let pause =
                move |turn| Duration::from_millis(200 + (turn * 137 + index * 61) as u64 % 400);
            let each = move || {
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                let calls = setting.calls;
                self.note(&format!(
                    "{calls} calls, round {}: turn {done}/{total}",
                    round + 1
                ));
            };
            caller.talk(sayings, pause, each)
        });
        let answers = join_all(talks).await;
        let answers: Result<Vec<Vec<_>>> = answers.into_iter().collect();
        Ok(answers?.concat())
    }

    async fn watch(&self, time: Duration) -> Result<Watched> {
        let before = self.side.usage()?;
        tokio::time::sleep(time).await;
        let after = self.side.usage()?;
        let memory: u64 = after.values().map(|usage| usage.pss_bytes).sum();
        Ok(Watched {
            memory_mib: memory as f64 / f64::from(1 << 20),
            cpu_percent: busy(&before, &after).as_secs_f64() / time.as_secs_f64() * 100.0,
        })
    }

    pub(crate) fn note(&self, what: &str) {
        let name = self.side.kind.name();
        self.progress.note(&format!("{name}: {what}"));
    }
}

/// The CPU time of the processes there are; one that is new began at zero.
fn busy(before: &HashMap<u32, Usage>, after: &HashMap<u32, Usage>) -> Duration {
    after
        .iter()
        .map(|(pid, usage)| {
            let earlier = before.get(pid).copied().unwrap_or_default();
            usage.cpu.saturating_sub(earlier.cpu)
        })
        .sum()
}
