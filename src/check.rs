//! `voxpool check`: are all services there, do they know us, and do all slots fit into this machine?

use std::fmt;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use tokio::time::timeout;

use crate::cache::{self, Cache};
use crate::config::{AgentFile, Config};
use crate::error::ErrorKind;
use crate::host::{DescriptorLimit, DescriptorNeeds};
use crate::memory;
use crate::pool::{ConnectionPool, Endpoint};
use crate::stages::Stages;
use crate::tools::mcp;
use crate::worker;

/// Longest wait for a service.
const DEADLINE: Duration = Duration::from_secs(15);

/// What came of trying one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The service, with its address.
    pub service: String,
    /// What it said, or what is wrong and what to do.
    pub result: Result<String, String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(said) => write!(f, "ok      {}: {said}", self.service),
            Err(wrong) => write!(f, "FAILED  {}: {wrong}", self.service),
        }
    }
}

/// Tries all services side by side.
pub async fn try_services(config: &Config) -> Vec<Finding> {
    let mut probes: Vec<BoxFuture<'_, Finding>> = vec![livekit(config).boxed()];
    match ConnectionPool::new(config.pool.clone()) {
        Ok(pool) => {
            if config.llm.compatibility.ask_at_start && !config.needs_openai_key() {
                probes.push(chatting(config, pool.clone()).boxed());
            }
            for (stages, endpoint) in endpoints(config, &pool) {
                let service = format!("{} at {}", stages.join(", "), endpoint.host());
                probes.push(openai(pool.clone(), service, endpoint).boxed());
            }
            if !config.cache.redis_url.expose().is_empty() {
                probes.push(redis(pool.clone(), config).boxed());
            }
            for server in &config.mcp {
                probes.push(lending(server, pool.clone()).boxed());
            }
            probes.push(remembering(config, pool).boxed());
        }
        Err(error) => {
            let service = "openai".to_owned();
            let result = Err(error.to_string());
            probes.push(async move { Finding { service, result } }.boxed());
        }
    }
    let agents = config.agents().into_iter().map(|it| agent(config, it));
    let limits = std::iter::once(limits(config));
    let agents = agents.chain(limits);
    agents.chain(join_all(probes).await).collect()
}

/// How many file descriptors the process and its calls need with these settings.
pub fn descriptor_needs(config: &Config) -> DescriptorNeeds {
    DescriptorNeeds::new(config.http.connections_max, config.pool.connections_max)
}

/// Whether there are file descriptors for every slot.
pub fn descriptors(config: &Config, descriptors: DescriptorLimit) -> Finding {
    let slots_max = config.worker.slots_max;
    Finding {
        service: "file descriptors".to_owned(),
        result: descriptor_needs(config).fit(slots_max, descriptors.limit),
    }
}

/// An agent of the process: its mistakes were found with the settings.
fn agent(config: &Config, agent: &Config) -> Finding {
    let name = match agent.worker.agent_name.as_str() {
        "" => "without a name, for every new room".to_owned(),
        name => format!("{name}, for dispatches by this name"),
    };
    let is_it = |file: &&AgentFile| file.config.worker.agent_name == agent.worker.agent_name;
    let origin = match config.agent_files.iter().find(is_it) {
        Some(file) => file.path.display().to_string(),
        None => "[agent]".to_owned(),
    };
    let (stt, llm, tts) = (&agent.stt.model, &agent.llm.model, &agent.tts.model);
    Finding {
        service: format!("agent {name}"),
        result: Ok(format!("of {origin}, with {stt}, {llm} and {tts}")),
    }
}

/// Whether the pool's limits fit the calls that the worker takes. Whether services speak HTTP/2 is not
/// known here, so what does not fit is told, and no mistake.
fn limits(config: &Config) -> Finding {
    let (pool, slots_max) = (&config.pool, config.worker.slots_max);
    let misfits = pool.misfits(slots_max);
    let told = match misfits.is_empty() {
        true => format!(
            "{slots_max} calls fit into {} connections, {} of them to one host",
            pool.connections_max, pool.connections_per_host_max
        ),
        false => misfits.join("; "),
    };
    Finding {
        service: "pool".to_owned(),
        result: Ok(told),
    }
}

async fn lending(server: &mcp::ServerConfig, pool: ConnectionPool) -> Finding {
    let (service, result) = mcp::check(server, &pool).await;
    Finding { service, result }
}

async fn livekit(config: &Config) -> Finding {
    let tried = timeout(
        DEADLINE,
        worker::register_once(&config.livekit, &config.worker),
    )
    .await;
    let result = match tried {
        Ok(Ok(version)) => Ok(format!("registers us, version {version}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time; check LIVEKIT_URL".to_owned()),
    };
    let service = format!("livekit at {}", config.livekit.url);
    Finding { service, result }
}

async fn remembering(config: &Config, pool: ConnectionPool) -> Finding {
    let trying = memory::check(&config.memory, &config.supabase, &pool);
    let (store, result) = match timeout(DEADLINE, trying).await {
        Ok(None) => (
            "nowhere",
            Ok("nobody is remembered, as memory.store says".to_owned()),
        ),
        Ok(Some((store, Ok(())))) => (store, Ok("can be used".to_owned())),
        Ok(Some((store, Err(wrong)))) => (store, Err(wrong)),
        Err(_) => (
            "its store",
            Err("no answer in time; check its address".to_owned()),
        ),
    };
    let service = format!("memory in {store}");
    Finding { service, result }
}

async fn redis(pool: ConnectionPool, config: &Config) -> Finding {
    let patient = cache::Config {
        redis_timeout: DEADLINE,
        ..config.cache.clone()
    };
    let probed = match Cache::new(patient, &pool) {
        Ok(cache) => cache.probe().await.unwrap_or(Ok(())),
        Err(error) => {
            let (service, result) = ("redis".to_owned(), Err(error.to_string()));
            return Finding { service, result };
        }
    };
    let result = match probed {
        Ok(()) => Ok("answers and accepts us".to_owned()),
        Err(error) => Err(match error.kind {
            ErrorKind::Unauthorized => "refuses user or password; check REDIS_URL".to_owned(),
            kind => format!("{kind}; check REDIS_URL and that it is up"),
        }),
    };
    let service = "redis".to_owned();
    Finding { service, result }
}

/// The endpoints of all stages and their fallbacks: one that serves several is tried once, unless
/// they have keys of their own. Addresses were checked with the settings.
fn endpoints(config: &Config, pool: &ConnectionPool) -> Vec<(Vec<String>, Endpoint)> {
    let mut endpoints: Vec<(Vec<String>, Endpoint)> = Vec::new();
    let agents = config.agents().into_iter();
    let stages = agents.filter_map(|agent| Stages::new(agent, pool).ok());
    for (name, endpoint) in stages.flat_map(|it| it.endpoints) {
        let is_same =
            |it: &Endpoint| it.host() == endpoint.host() && it.headers() == endpoint.headers();
        match endpoints.iter_mut().find(|(_, it)| is_same(it)) {
            Some((names, _)) if names.contains(&name) => {}
            Some((names, _)) => names.push(name),
            None => endpoints.push((vec![name], endpoint)),
        }
    }
    endpoints
}

/// Asks each model for a word, and says what it does not take.
async fn chatting(config: &Config, pool: ConnectionPool) -> Finding {
    let agents = config.agents().into_iter();
    let chats = agents.filter(|agent| !agent.realtime.enabled);
    let stages: Vec<_> = chats
        .filter_map(|agent| Stages::new(agent, &pool).ok())
        .collect();
    let asking = join_all(stages.iter().map(|it| it.llm.prewarm()));
    let asked = timeout(DEADLINE, asking).await;
    let stats = pool.stats().await;
    let learnt = stats.learnt.iter().map(|it| {
        let (host, model) = (&it.host, &it.model);
        format!(
            "{model} at {host} needs llm.compatibility.{} = \"{}\"",
            it.part, it.value
        )
    });
    let learnt: Vec<String> = learnt.collect();
    let result = match asked.map(|asked| asked.into_iter().find_map(Result::err)) {
        Ok(None) if learnt.is_empty() => Ok("answers our requests as they are".to_owned()),
        Ok(None) => Ok(format!(
            "answers; {}, which each start finds out by itself",
            learnt.join(", ")
        )),
        // The lines of the endpoints say what cannot be reached; here is what a service taught us.
        Ok(Some(error)) => Ok(format!(
            "not tried: {}; a call will meet that, too, so check llm.model and llm.base_url",
            error.kind
        )),
        Err(_) => Ok("not tried: no answer in time; check llm.model and llm.base_url".to_owned()),
    };
    let service = "chat".to_owned();
    Finding { service, result }
}

async fn openai(pool: ConnectionPool, service: String, endpoint: Endpoint) -> Finding {
    let result = match timeout(DEADLINE, pool.probe(&endpoint)).await {
        Ok(Ok(())) => Ok("answers and accepts the key".to_owned()),
        Ok(Err(error)) => Err(match error.kind {
            ErrorKind::Unauthorized => {
                "refuses the key; check OPENAI_API_KEY or the api_key of this stage".to_owned()
            }
            kind => format!(
                "{kind}; check OPENAI_BASE_URL or the base_url of this stage, and that it is up"
            ),
        }),
        Err(_) => {
            Err("no answer in time; check OPENAI_BASE_URL or the base_url of this stage".to_owned())
        }
    };
    Finding { service, result }
}
