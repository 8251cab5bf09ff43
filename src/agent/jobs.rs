//! What all jobs share: the agents there are, the services they use, and their beginning and end.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::Mutex;

use super::profile::Profile;
use crate::arrival::ArrivalObserver;
use crate::cache::Cache;
use crate::intake::RefusedInput;
use crate::memory::Memories;
use crate::pool::{ConnectionPool, Endpoint};
use crate::session::{GreetingMode, TurnObserver};
use crate::tools::McpServers;

/// What the end of the process waits for memories to be saved.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// The clients that all jobs share, and where they lead.
pub struct Services {
    /// The one way out of the process.
    pub pool: ConnectionPool,
    /// The hosts whose connections a job will want.
    pub endpoints: Vec<Endpoint>,
    /// Results worth keeping.
    pub cache: Cache,
}

/// Runs every job with the agent it asks for, on the process's shared services.
pub struct AgentJobs {
    pub(super) default: Profile,
    others: Vec<Profile>,
    services: Services,
    pub(super) memories: Option<Memories>,
    pub(super) mcp: Mutex<McpServers>,
    pub(super) observer: Option<Arc<dyn TurnObserver>>,
    pub(super) arrivals: Option<Arc<dyn ArrivalObserver>>,
    pub(super) refused_input: RefusedInput,
}

impl AgentJobs {
    /// The agent of every job that does not ask for another one.
    pub fn new(default: Profile, services: Services) -> Self {
        Self {
            default,
            others: Vec::new(),
            services,
            memories: None,
            mcp: Mutex::default(),
            observer: None,
            arrivals: None,
            refused_input: RefusedInput::default(),
        }
    }

    /// More agents, for the jobs that ask for them by name.
    #[must_use]
    pub fn with_agents(mut self, others: Vec<Profile>) -> Self {
        self.others = others;
        self
    }

    /// The servers whose tools the agents have, to be closed with everything else.
    #[must_use]
    pub fn with_mcp(mut self, servers: McpServers) -> Self {
        self.mcp = Mutex::new(servers);
        self
    }

    fn profiles(&self) -> impl Iterator<Item = &Profile> {
        std::iter::once(&self.default).chain(&self.others)
    }

    /// The agent of this name, else the default one.
    pub(super) fn profile(&self, name: &str) -> &Profile {
        let named = self.profiles().find(|profile| profile.name == name);
        named.unwrap_or(&self.default)
    }

    /// The same agent, and `observer` is told the figures of every turn of every job.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn TurnObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The same agent, and `observer` is told how long each job took to be heard.
    #[must_use]
    pub fn arrivals_observed_by(mut self, observer: Arc<dyn ArrivalObserver>) -> Self {
        self.arrivals = Some(observer);
        self
    }

    /// Input of participants that all jobs refused, by kind.
    pub fn refused_input(&self) -> RefusedInput {
        self.refused_input.clone()
    }

    /// The same agent with a memory: it knows its callers again.
    #[must_use]
    pub fn with_memories(mut self, memories: Memories) -> Self {
        self.memories = Some(memories);
        self
    }

    /// Makes everything that the first job would have to wait for, side by side: connections to all
    /// services, the memory and the greeting.
    pub async fn prewarm(&self) {
        let greeting = async {
            self.services.cache.prewarm().await;
            let greetings = self
                .profiles()
                .map(async |profile| match &profile.realtime {
                    Some(model) => model.prewarm_greeting(&profile.agent).await,
                    None => profile.agent.prewarm(&profile.settings.session).await,
                });
            join_all(greetings).await;
        };
        let connections = async {
            self.open_connections().await;
            self.learn_services().await;
        };
        tokio::join!(greeting, self.open_memory(), connections);
    }

    /// Finds out what the models take, so that no caller waits for it.
    async fn learn_services(&self) {
        let chats = self.profiles().filter(|profile| profile.realtime.is_none());
        let asked = join_all(chats.map(|profile| profile.agent.llm.prewarm())).await;
        if let Some(error) = asked.into_iter().find_map(Result::err) {
            let cause = error.cause.as_ref().map(ToString::to_string);
            tracing::warn!(%error, cause, "a model could not be asked ahead of calls");
        }
    }

    /// Connects to the memory, and says once how it is.
    pub async fn open_memory(&self) {
        if let Some(memories) = &self.memories {
            memories.prewarm().await;
        }
    }

    pub(super) async fn open_connections(&self) {
        let http = self.services.pool.prewarm(&self.services.endpoints);
        let sockets = self
            .profiles()
            .map(async |profile| match &profile.realtime {
                Some(model) => model.prewarm().await,
                None => profile.agent.stt.prewarm().await,
            });
        tokio::join!(http, join_all(sockets));
    }

    /// The one way out of the process.
    pub fn pool(&self) -> &ConnectionPool {
        &self.services.pool
    }

    /// Watches the health of what the jobs share and holds the memory's limits, for ever.
    pub async fn monitor(&self) {
        self.services.pool.watch(&self.services.endpoints);
        let limits = async {
            if let Some(memories) = &self.memories {
                memories.hold_limits().await;
            }
        };
        tokio::join!(self.services.pool.monitor(), limits);
    }

    /// Saves what the calls have left to be saved and closes what they shared, after the last of them.
    pub async fn close(&self) {
        if let Some(memories) = &self.memories {
            memories.close(CLOSE_WITHIN).await;
        }
        self.mcp.lock().await.close().await;
        self.services.pool.close().await;
    }

    /// Whether the agent speaks first.
    pub fn agent_greets(&self) -> bool {
        self.default.agent.greeting.mode != GreetingMode::None
    }
}
