//! One process under several agent names. A registration has one name, so there is one per name; they
//! share slots, load and the handler of their jobs.
//!
//! Source: livekit-server 1.13.5, `pkg/service/agentservice.go`: workers are chosen by the exact name.

use std::sync::Arc;

use futures::future::{join_all, select_all};
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Config, Demand, Dispatcher, JobHandler, ServerConfig, Snapshot, Stop, Worker, WorkerEnd,
};
use crate::host::DescriptorNeeds;

/// Signals that a worker has not looked at yet: there are three that mean anything.
const STOPS_MAX: usize = 8;

/// The registrations of a process.
pub struct Workers {
    workers: Vec<Worker>,
    snapshot: watch::Sender<Snapshot>,
}

impl Workers {
    /// A worker named as `config` says, and one more for each of the other `names`. Connects when it
    /// is run.
    pub fn new(
        server: ServerConfig,
        config: Config,
        names: &[String],
        handler: Arc<dyn JobHandler>,
    ) -> Self {
        let first = Worker::new(server, config.clone(), handler);
        let others = names.iter().filter(|name| **name != config.agent_name);
        let mut workers: Vec<Worker> = others
            .map(|name| {
                first.for_another(Config {
                    agent_name: name.clone(),
                    ..config.clone()
                })
            })
            .collect();
        workers.insert(0, first);
        let each: Vec<Snapshot> = workers
            .iter()
            .map(|it| it.snapshots().borrow().clone())
            .collect();
        let (snapshot, _) = watch::channel(all(&each));
        Self { workers, snapshot }
    }

    /// Counts file descriptors into the admission of jobs, by what the process and its calls need.
    #[must_use]
    pub fn with_descriptor_needs(mut self, needs: DescriptorNeeds) -> Self {
        // All take their jobs from the same slots.
        let workers = self.workers.into_iter();
        self.workers = workers.map(|it| it.with_descriptor_needs(needs)).collect();
        self
    }

    /// Takes no more jobs than fit below a limit that all of them share.
    #[must_use]
    pub fn with_demand(mut self, demand: &Arc<dyn Demand>) -> Self {
        let workers = self.workers.into_iter();
        self.workers = workers
            .map(|worker| worker.with_demand(Arc::clone(demand)))
            .collect();
        self
    }

    /// Follows what all of them are doing, as if they were one: registered when all are.
    pub fn snapshots(&self) -> watch::Receiver<Snapshot> {
        self.snapshot.subscribe()
    }

    /// The way to ask any of them for a job.
    pub fn dispatcher(&self) -> Dispatcher {
        Dispatcher::new(self.workers.iter().map(Worker::desk))
    }

    /// Runs all of them until `stops` says so; see [`Worker::run`].
    ///
    /// Cancel safety: dropping the future cuts the running jobs off without a word to the server.
    pub async fn run(self, stops: impl Stream<Item = Stop> + Send) -> WorkerEnd {
        let Self { workers, snapshot } = self;
        let views: Vec<_> = workers.iter().map(Worker::snapshots).collect();
        let (told, running): (Vec<_>, Vec<_>) = workers
            .into_iter()
            .map(|worker| {
                let (tell, stops) = mpsc::channel(STOPS_MAX);
                (tell, worker.run(ReceiverStream::new(stops)).boxed())
            })
            .unzip();
        let telling = async {
            let mut stops = std::pin::pin!(stops);
            while let Some(stop) = stops.next().await {
                // One that has ended needs not be told.
                join_all(told.iter().map(|worker| worker.send(stop))).await;
            }
            std::future::pending().await
        };
        let showing = async {
            follow(views, &snapshot).await;
            std::future::pending().await
        };
        let ends = tokio::select! {
            ends = join_all(running) => ends,
            never = telling => never,
            never = showing => never,
        };
        match ends.contains(&WorkerEnd::Stopped) {
            true => WorkerEnd::Stopped,
            false => WorkerEnd::Drained,
        }
    }
}

/// Publishes all registrations as one whenever one of them has changed, until the last one has ended.
async fn follow(views: Vec<watch::Receiver<Snapshot>>, snapshot: &watch::Sender<Snapshot>) {
    let mut each: Vec<Snapshot> = views.iter().map(|view| view.borrow().clone()).collect();
    let mut running: Vec<_> = views.into_iter().enumerate().collect();
    while !running.is_empty() {
        let changes = running.iter_mut().map(|(_, view)| view.changed().boxed());
        let (change, nth, _) = select_all(changes).await;
        let (index, view) = &mut running[nth];
        each[*index] = view.borrow_and_update().clone();
        if change.is_err() {
            // It has ended. Its counts stay; load and slots, which all share, the others know better.
            let ended = &mut each[*index];
            (ended.load, ended.slots_taken, ended.active_jobs) = (0.0, 0, 0);
            (ended.memory, ended.descriptors) = (None, None);
            running.swap_remove(nth);
        }
        snapshot.send_replace(all(&each));
    }
}

/// The registrations as one: what they share once, what each has its own summed.
fn all(each: &[Snapshot]) -> Snapshot {
    let ids: Option<Vec<String>> = each.iter().map(|it| it.worker_id.clone()).collect();
    let names: Vec<&str> = each.iter().map(|it| it.agent_name.as_str()).collect();
    let sum = |of: fn(&Snapshot) -> u64| each.iter().map(of).sum();
    Snapshot {
        worker_id: ids.map(|ids| ids.join(",")),
        agent_name: names.join(","),
        trouble: each.iter().find_map(|it| it.trouble.clone()),
        load: each.iter().map(|it| it.load).fold(0.0, f32::max),
        active_jobs: each.iter().map(|it| it.active_jobs).sum(),
        slots_taken: each.iter().map(|it| it.slots_taken).max().unwrap_or(0),
        slots_max: each.iter().map(|it| it.slots_max).max().unwrap_or(0),
        memory: each.iter().find_map(|it| it.memory),
        descriptors: each.iter().find_map(|it| it.descriptors),
        is_draining: each.iter().any(|it| it.is_draining),
        jobs_succeeded: sum(|it| it.jobs_succeeded),
        jobs_failed: sum(|it| it.jobs_failed),
        job_panics: sum(|it| it.job_panics),
        reconnects: sum(|it| it.reconnects),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(name: &str) -> Snapshot {
        Snapshot {
            worker_id: Some(format!("AW_{name}")),
            agent_name: name.to_owned(),
            slots_taken: 2,
            jobs_succeeded: 5,
            ..Snapshot::default()
        }
    }

    #[tokio::test]
    async fn the_others_are_followed_after_one_registration_has_ended() {
        let (first, view) = watch::channel(registration("a"));
        let (second, other_view) = watch::channel(registration("b"));
        let (snapshot, mut shown) = watch::channel(Snapshot::default());
        let following = follow(vec![view, other_view], &snapshot);
        let events = async {
            drop(first);
            shown.changed().await.unwrap();
            second.send_modify(|it| (it.jobs_succeeded, it.slots_taken) = (6, 1));
            shown.changed().await.unwrap();
            let now = shown.borrow_and_update().clone();
            assert_eq!(now.jobs_succeeded, 11, "5 of the one that has ended");
            assert_eq!(now.slots_taken, 1, "of the one that runs");
            assert_eq!(now.agent_name, "a,b");
            drop(second);
        };
        let end = std::time::Duration::from_secs(5);
        let both = futures::future::join(following, events);
        tokio::time::timeout(end, both).await.unwrap();
    }
}
