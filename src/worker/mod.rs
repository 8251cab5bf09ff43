//! Registration with a LiveKit server, admission of jobs, their lives and the drain.
//!
//! Begin with [`Worker::run`], the loop: everything that happens is an [`Event`], `state.rs` decides
//! what to do about it, and this file does it. [`Workers`] is several of them in one process, one per
//! agent name. `link.rs` keeps the connection, `jobs.rs` the tasks, `dispatcher.rs` takes jobs that are
//! asked of us and not of the server; `measuring.rs` measures the machine; `running.rs`, `admission.rs`, `budget.rs`, `reports.rs`, `load.rs` and
//! `backoff.rs` are plain rules.
//!
//! **Invariant:** knows no session: a job is a [`JobHandler`]'s business.
//! **Invariant:** nothing here outlives [`Worker::run`]: the jobs' tasks end with it.

mod address;
mod admission;
mod backoff;
mod budget;
mod config;
mod connection;
mod demand;
mod direct;
mod dispatcher;
mod job;
mod jobs;
mod link;
mod load;
mod measuring;
mod proto;
mod reports;
mod running;
mod several;
mod slots;
mod snapshot;
mod state;
mod stop;
mod token;

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

pub use self::address::AddressError;
pub use self::config::{Config, ServerConfig};
pub use self::connection::ConnectError;
pub use self::demand::Demand;
pub use self::direct::{DirectJob, register_once};
pub use self::dispatcher::{DIRECT_PREFIX, Declined, DirectDispatch, DispatchRequest, Dispatcher};
pub use self::job::{JobContext, JobHandler, JobOutcome};
pub use self::several::Workers;
pub use self::snapshot::Snapshot;
pub use self::stop::{Stop, signals};
pub use self::token::{Administrator, TokenError, Unauthenticated, guest_token};

use self::dispatcher::{ORDERS_MAX, Order};
use self::jobs::{JobEnd, Jobs};
use self::link::{Link, LinkEvent};
use self::load::LoadMeter;
use self::measuring::{Measurement, Measuring};
use self::proto::Dispatch;
use self::state::{Action, State};
use crate::host::{DescriptorNeeds, Host};
use crate::redact::Pii;

/// How long a worker that is done waits until the server has read the last statuses.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerEnd {
    /// Every job ended by itself.
    Drained,
    /// It was told to stop while jobs were running.
    Stopped,
}

/// A worker that takes jobs and runs them.
pub struct Worker {
    server: Arc<ServerConfig>,
    config: Arc<Config>,
    link: Link,
    orders: (mpsc::Sender<Order>, mpsc::Receiver<Order>),
    state: State,
    jobs: Jobs,
    handler: Arc<dyn JobHandler>,
    host: Option<Host>,
    demand: Option<Arc<dyn Demand>>,
    started: Instant,
    snapshot: watch::Sender<Snapshot>,
}

/// All that can happen to a worker.
enum Event {
    Link(LinkEvent),
    JobEnded(String, JobEnd),
    Ordered(Order),
    Stop(Stop),
    Deadline,
    Measured(Measurement),
    StatusDue,
}

impl Worker {
    /// A worker that runs its jobs with `handler`. Connects when it is run.
    pub fn new(server: ServerConfig, config: Config, handler: Arc<dyn JobHandler>) -> Self {
        let state = State::new(config.clone());
        Self::with(state, Arc::new(server), config, handler)
    }

    /// The same worker under another agent name: it takes its jobs from the same slots.
    fn for_another(&self, config: Config) -> Self {
        let state = self.state.for_another(config.clone());
        let (server, handler) = (Arc::clone(&self.server), Arc::clone(&self.handler));
        Self::with(state, server, config, handler)
    }

    fn with(
        state: State,
        server: Arc<ServerConfig>,
        config: Config,
        handler: Arc<dyn JobHandler>,
    ) -> Self {
        let (snapshot, _) = watch::channel(state.snapshot());
        let config = Arc::new(config);
        Self {
            link: Link::new(Arc::clone(&server), Arc::clone(&config)),
            orders: mpsc::channel(ORDERS_MAX),
            server,
            state,
            jobs: Jobs::default(),
            handler,
            host: Some(Host::default()),
            demand: None,
            config,
            started: Instant::now(),
            snapshot,
        }
    }

    /// Reports the load of the slots only, as if the machine had nothing else to do.
    #[must_use]
    pub fn without_machine_load(mut self) -> Self {
        self.host = None;
        self
    }

    /// Counts file descriptors into the admission of jobs, by what the process and its calls need.
    #[must_use]
    pub fn with_descriptor_needs(mut self, needs: DescriptorNeeds) -> Self {
        self.state.set_descriptor_needs(needs);
        self
    }

    /// Takes no more jobs than fit below a limit that they share.
    #[must_use]
    pub fn with_demand(mut self, demand: Arc<dyn Demand>) -> Self {
        self.demand = Some(demand);
        self
    }

    /// Follows what the worker is doing.
    pub fn snapshots(&self) -> watch::Receiver<Snapshot> {
        self.snapshot.subscribe()
    }

    /// Registers and runs jobs until `stops` says so; a lost server is waited for, for ever.
    ///
    /// Cancel safety: dropping the future cuts the running jobs off without a word to the server.
    pub async fn run(mut self, stops: impl Stream<Item = Stop> + Send) -> WorkerEnd {
        let mut stops = std::pin::pin!(stops.fuse());
        let mut measuring = Measuring::new(self.host.take());
        let mut status = interval(self.config.status_interval);
        status.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut meter = LoadMeter::default();
        let mut end = WorkerEnd::Drained;
        while !self.state.is_done() {
            let deadline = self.state.next_deadline().map(|at| self.started + at);
            let event = tokio::select! {
                event = self.link.next() => Event::Link(event),
                (job_id, end) = self.jobs.next_ended() => Event::JobEnded(job_id, end),
                Some(order) = self.orders.1.recv() => Event::Ordered(order),
                Some(stop) = stops.next() => Event::Stop(stop),
                () = at(deadline) => Event::Deadline,
                measurement = measuring.next() => Event::Measured(measurement),
                _ = status.tick() => Event::StatusDue,
            };
            if matches!(event, Event::Stop(Stop::Now)) && self.snapshot.borrow().active_jobs > 0 {
                end = WorkerEnd::Stopped;
            }
            let actions = self.decide(event, &mut meter);
            self.perform(actions).await;
            self.publish();
        }
        self.say_goodbye().await;
        end
    }

    fn decide(&mut self, event: Event, meter: &mut LoadMeter) -> Vec<Action> {
        let now = self.started.elapsed();
        match event {
            Event::Link(LinkEvent::Up(registration)) => {
                let (id, version) = (&registration.worker_id, &registration.server_version);
                tracing::info!(worker_id = id, server_version = version, "registered");
                self.state.registered(registration.worker_id)
            }
            Event::Link(LinkEvent::Message(message)) => self.state.message(now, message),
            Event::Link(LinkEvent::Down(why)) => {
                self.state.disconnected(why);
                Vec::new()
            }
            Event::JobEnded(job_id, end) => self.state.ended(job_id, end),
            Event::Ordered(order) => self.obey(order),
            Event::Stop(Stop::Drain) => {
                let jobs = self.snapshot.borrow().active_jobs;
                tracing::info!(jobs, "draining: no new jobs; a second signal ends them");
                self.state.drain(now)
            }
            Event::Stop(Stop::Now) => self.state.stop(now),
            Event::Deadline => self.state.deadline(now),
            Event::Measured(Measurement { sample, lag }) => {
                meter.sample(sample.cpu, lag);
                if let Some(demand) = &self.demand {
                    self.state.demanded(demand.wanted());
                }
                self.state.measured(meter.load(), sample)
            }
            Event::StatusDue => {
                self.link.settle();
                vec![self.state.report()]
            }
        }
    }

    async fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(message) => self.link.send(&message).await,
                Action::Start {
                    dispatch,
                    url,
                    token,
                    asked_at,
                } => self.start(dispatch, url, token, self.started + asked_at),
                Action::Cancel(job_id) => self.jobs.cancel(&job_id),
                Action::Abort(job_id) => self.jobs.abort(&job_id),
                Action::Reconnect => self.link.reconnect(),
            }
        }
    }

    fn start(&mut self, dispatch: Dispatch, url: String, token: String, asked_at: Instant) {
        tracing::info!(
            job_id = dispatch.job_id,
            room = dispatch.room,
            "job started"
        );
        let url = if url.is_empty() {
            self.server.url.clone()
        } else {
            url
        };
        let context = JobContext {
            id: dispatch.job_id,
            room: dispatch.room,
            url,
            token: Pii::new(token),
            agent_name: dispatch.agent_name,
            metadata: Pii::new(dispatch.metadata),
            attributes: Pii::new(dispatch.attributes),
            asked_at,
            assigned_at: Instant::now(),
            shutdown: CancellationToken::new(),
        };
        self.jobs.start(Arc::clone(&self.handler), context);
    }

    fn publish(&self) {
        let now = self.state.snapshot();
        self.snapshot.send_if_modified(|last| {
            let is_new = *last != now;
            *last = now;
            is_new
        });
    }

    /// Gives the server a moment to read how the last jobs ended, then leaves.
    async fn say_goodbye(mut self) {
        // Who asked for something hears that somebody else has to do it.
        self.orders.1.close();
        while self.orders.1.try_recv().is_ok() {}
        let all_read = async {
            while self.state.has_unread_ends() {
                match self.link.next().await {
                    LinkEvent::Up(registration) => {
                        let actions = self.state.registered(registration.worker_id);
                        self.perform(actions).await;
                    }
                    LinkEvent::Message(message) => {
                        let actions = self.state.message(self.started.elapsed(), message);
                        self.perform(actions).await;
                    }
                    LinkEvent::Down(why) => self.state.disconnected(why),
                }
            }
        };
        if timeout(FAREWELL, all_read).await.is_err() {
            tracing::warn!("the server may not know how the last jobs ended");
        }
        self.link.close().await;
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
