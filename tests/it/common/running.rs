//! A worker that runs inside the test.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use voxpool::worker::{
    Config, Dispatcher, JobHandler, ServerConfig, Snapshot, Stop, Worker, WorkerEnd,
};

use super::within;

/// A worker on a task of its own.
pub(crate) struct RunningWorker {
    pub(crate) snapshots: watch::Receiver<Snapshot>,
    /// Where it is asked for jobs.
    pub(crate) dispatcher: Dispatcher,
    stops: mpsc::Sender<Stop>,
    task: JoinHandle<WorkerEnd>,
}

/// Settings that do not depend on how busy the machine is, and reconnect quickly.
pub(crate) fn quick(agent_name: &str) -> Config {
    Config {
        agent_name: agent_name.to_owned(),
        load_threshold: 1.0,
        reconnect_delay_min: Duration::from_millis(50),
        reconnect_delay_max: Duration::from_millis(500),
        ..Config::default()
    }
}

impl RunningWorker {
    /// Starts a worker; it may not be registered yet.
    pub(crate) fn start(
        server: ServerConfig,
        config: Config,
        handler: Arc<dyn JobHandler>,
    ) -> Self {
        let worker = Worker::new(server, config, handler).without_machine_load();
        let snapshots = worker.snapshots();
        let dispatcher = worker.dispatcher();
        let (stops, mut received) = mpsc::channel(4);
        let stream = futures::stream::poll_fn(move |context| received.poll_recv(context));
        let task = tokio::spawn(worker.run(stream));
        Self {
            snapshots,
            dispatcher,
            stops,
            task,
        }
    }

    /// Starts a worker and waits until it is registered.
    pub(crate) async fn registered(
        server: ServerConfig,
        config: Config,
        handler: Arc<dyn JobHandler>,
    ) -> Self {
        let mut worker = Self::start(server, config, handler);
        worker
            .until("the worker is registered", |s| s.worker_id.is_some())
            .await;
        worker
    }

    /// Waits until the worker is as described.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        is_so: impl FnMut(&Snapshot) -> bool,
    ) -> Snapshot {
        within(what, self.snapshots.wait_for(is_so))
            .await
            .expect("the worker runs")
            .clone()
    }

    /// Tells the worker to go.
    pub(crate) async fn stop(&self, stop: Stop) {
        self.stops.send(stop).await.expect("the worker listens");
    }

    /// Waits until the worker has gone.
    pub(crate) async fn ended(self) -> WorkerEnd {
        within("the worker ends", self.task)
            .await
            .expect("the worker does not panic")
    }
}
