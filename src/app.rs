//! The parts put together, in one place: what each command runs.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use futures::FutureExt;
use futures::future::join;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::agent::{AgentJobs, Profile as AgentProfile, Services, alongside};
use crate::cache::Cache;
use crate::check;
use crate::cli::Command;
use crate::config::{Config, Profile};
use crate::console;
use crate::dispatch::DispatchService;
use crate::forget;
use crate::host::{self, DescriptorLimit};
use crate::intake::RefusedInput;
use crate::llm::StructuredLlm;
use crate::memory::{self, Batcher, Memories};
use crate::overview::Overview;
use crate::playground::Playground;
use crate::pool::ConnectionPool;
use crate::room;
use crate::session::{Agent, GreetingCache, MadeWith, Settings};
use crate::stages::{self, Stages};
use crate::telemetry::{
    ArrivalFigures, CacheCollector, DispatchFigures, ExcessCollector, HttpServer, IntakeCollector,
    MemoryCollector, Metrics, PoolCollector,
};
use crate::telemetry::{RuntimeCollector, TurnFigures, Views};
use crate::tools::{CleanupConnectionPool, GetConnectionPoolStats, McpServers, ToolSet};
use crate::worker::{Demand, DirectJob, JobOutcome, Snapshot, WorkerEnd, Workers, signals};

/// Exit code when the command line or the configuration is wrong (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// Runs a command to its end.
///
/// # Errors
/// When something that must be there at the start is not; says what.
pub async fn run(command: Command, config: Config) -> anyhow::Result<ExitCode> {
    let profile = command.profile();
    let descriptors = host::raise_descriptor_limit();
    match command {
        Command::Start { .. } | Command::Dev { .. } => {
            Box::pin(serve(config, profile, descriptors)).await
        }
        Command::Connect { room, identity } => connect(config, &room, identity.as_deref()).await,
        Command::Console { identity } => Box::pin(console(config, &identity)).await,
        Command::Forget { whose } => {
            install_crypto();
            forget::run(&config, &whose).await
        }
        Command::Check { .. } => check(config, descriptors).await,
    }
}

/// The worker and its HTTP endpoint, until a signal.
async fn serve(
    config: Config,
    profile: Profile,
    descriptors: DescriptorLimit,
) -> anyhow::Result<ExitCode> {
    install_crypto();
    warn_without_key(&config);
    room::read_only_own_topics();
    let is_drained = !config.worker.drain_timeout.is_zero();
    let stops = signals(is_drained).context("signals cannot be listened to")?;
    let (jobs, overview) = agent(&config)?;
    let turns = TurnFigures::default();
    let arrivals = ArrivalFigures::default();
    let jobs = jobs
        .observed_by(Arc::new(turns.clone()))
        .arrivals_observed_by(Arc::new(arrivals.clone()));
    let jobs = Arc::new(jobs);
    let refused_input = jobs.refused_input();
    let names: Vec<String> = (config.agents().iter())
        .map(|agent| agent.worker.agent_name.clone())
        .collect();
    let worker = Workers::new(
        config.livekit.clone(),
        config.worker.clone(),
        &names,
        Arc::clone(&jobs) as _,
    )
    .with_descriptor_needs(check::descriptor_needs(&config));
    let demand: Arc<dyn Demand> = Arc::new(PoolDemand(overview.pool.clone()));
    let worker = worker.with_demand(&demand);
    let dispatches = DispatchFigures::default();
    let service = config.http.dispatch.then(|| {
        let (livekit, counts) = (config.livekit.clone(), dispatches.clone());
        DispatchService::new(livekit, worker.dispatcher(), &overview.pool, counts)
    });
    let service = service.transpose().context("livekit.url cannot be used")?;
    let figures = (turns, arrivals, dispatches, refused_input);
    let http = endpoint(&config, profile, worker.snapshots(), overview, figures).await?;
    let http = match service {
        Some(service) => http.with_routes(service.routes()),
        None => http,
    };
    let address = http.address().context("the HTTP endpoint has no address")?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        livekit = config.livekit.url,
        agents = names.join(","),
        http = %address,
        "voxpool"
    );
    descriptors.report(check::descriptor_needs(&config), config.worker.slots_max);
    if profile == Profile::Development {
        let page = format!("http://127.0.0.1:{}/playground", address.port());
        tracing::info!(page, "talk to the agent in a browser");
    }
    let upkeep = join(jobs.prewarm(), jobs.monitor()).map(drop);
    let port_stop = CancellationToken::new();
    let running = async {
        let end = alongside(worker.run(stops), upkeep).await;
        port_stop.cancel();
        // Also then: what is queued of the memory is saved.
        jobs.close().await;
        end
    };
    let (end, ()) = join(running, http.serve(port_stop.clone())).await;
    // A developer's Ctrl-C is how a session ends; in production it is calls that were cut off.
    Ok(match (end, profile) {
        (WorkerEnd::Stopped, Profile::Production) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

/// The HTTP endpoint with everything it shows; the playground is for development only.
async fn endpoint(
    config: &Config,
    profile: Profile,
    worker: watch::Receiver<Snapshot>,
    overview: Overview,
    (turns, arrivals, dispatches, refused_input): (
        TurnFigures,
        ArrivalFigures,
        DispatchFigures,
        RefusedInput,
    ),
) -> anyhow::Result<HttpServer> {
    let mut metrics = Metrics::new(worker.clone());
    metrics.register(Box::new(PoolCollector(overview.pool.clone())));
    metrics.register(Box::new(CacheCollector(overview.cache.clone())));
    if let Some(memories) = &overview.memories {
        metrics.register(Box::new(MemoryCollector(memories.clone())));
    }
    metrics.register(Box::new(turns.clone()));
    metrics.register(Box::new(arrivals));
    metrics.register(Box::new(dispatches));
    metrics.register(Box::new(IntakeCollector(refused_input)));
    metrics.register(Box::new(ExcessCollector));
    metrics.register(Box::new(RuntimeCollector(Handle::current())));
    let views = Views {
        worker,
        metrics,
        overview,
    };
    let (host, port) = (config.http.host, config.http.port);
    let http = HttpServer::bind(&config.http, views)
        .await
        .with_context(|| {
            format!("cannot listen on {host}:{port}; set http.port or --port to a free one")
        })?;
    if profile == Profile::Production {
        return Ok(http);
    }
    let playground = Playground {
        config: config.playground.clone(),
        livekit: config.livekit.clone(),
        agent_name: config.worker.agent_name.clone(),
        endpointing_delay: config.turn.endpointing.delay_min,
        turns,
    };
    Ok(http.with_routes(playground.routes()))
}

/// One job without a dispatch.
async fn connect(config: Config, room: &str, identity: Option<&str>) -> anyhow::Result<ExitCode> {
    install_crypto();
    warn_without_key(&config);
    let stops = signals(false).context("signals cannot be listened to")?;
    let job = DirectJob::new(&config.livekit, &config.worker, room, identity)?;
    tracing::info!(
        livekit = config.livekit.url,
        room,
        "joining without a dispatch"
    );
    let (jobs, _) = agent(&config)?;
    let jobs = Arc::new(jobs);
    let upkeep = join(jobs.open_memory(), jobs.monitor()).map(drop);
    let outcome = alongside(job.run(Arc::clone(&jobs) as _, stops), upkeep).await;
    jobs.close().await;
    match outcome {
        JobOutcome::Success => Ok(ExitCode::SUCCESS),
        JobOutcome::Failed(why) => anyhow::bail!("the job failed: {why}"),
    }
}

/// A conversation by text, until the input ends.
async fn console(config: Config, identity: &str) -> anyhow::Result<ExitCode> {
    install_crypto();
    if config.needs_openai_key() {
        anyhow::bail!("the agent cannot think without a key; set OPENAI_API_KEY");
    }
    let stops = signals(false).context("signals cannot be listened to")?;
    let (jobs, _) = agent(&config)?;
    let talk = Box::pin(console::run(&jobs, identity, stops));
    let upkeep = join(jobs.open_memory(), jobs.monitor()).map(drop);
    let code = alongside(talk, upkeep).await;
    jobs.close().await;
    code.context("the terminal cannot be written to")
}

/// Prints the settings and tries every service.
async fn check(config: Config, descriptors: DescriptorLimit) -> anyhow::Result<ExitCode> {
    install_crypto();
    let mut findings = check::try_services(&config).await;
    findings.push(check::descriptors(&config, descriptors));
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", config.to_toml())?;
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    let is_fine = findings.iter().all(|finding| finding.result.is_ok());
    Ok(if is_fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The TLS code of the process: two crates of ours bring one each, so rustls cannot choose.
fn install_crypto() {
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("the process has its TLS code already");
    }
}

fn warn_without_key(config: &Config) {
    if config.needs_openai_key() {
        tracing::warn!("no OPENAI_API_KEY: calls will be answered, but the agent cannot talk");
    }
}

/// The memory of the process. One that cannot be opened is said, and calls go on without.
fn memories(
    config: &Config,
    pool: &ConnectionPool,
    llm: Arc<dyn StructuredLlm>,
) -> anyhow::Result<Option<Memories>> {
    let (settings, recorder) = (&config.memory, &config.memory.recorder);
    let store = match memory::open(settings, &config.supabase, pool) {
        Ok(Some(store)) => store,
        Ok(None) => return Ok(None),
        Err(error) => {
            tracing::error!(%error, "callers are not remembered");
            let service = memory::service(settings, &config.supabase);
            pool.go_without(service, error.to_string());
            return Ok(None);
        }
    };
    let service = memory::service(settings, &config.supabase);
    let batcher = Batcher::new(store, service, settings.batch.clone());
    let memories = Memories::new(batcher, llm, recorder.clone()).with_rules(settings);
    Ok(Some(memories))
}

/// What the running calls want of the pool's permits.
struct PoolDemand(ConnectionPool);

impl Demand for PoolDemand {
    fn wanted(&self) -> f32 {
        self.0.demand()
    }
}

/// The shared clients, and on them the agent that runs every job.
fn agent(config: &Config) -> anyhow::Result<(AgentJobs, Overview)> {
    for misfit in config.pool.misfits(config.worker.slots_max) {
        tracing::warn!(
            misfit,
            "the limits of the pool do not fit the calls of the worker"
        );
    }
    let pool = ConnectionPool::new(config.pool.clone()).context("no HTTP client could be made")?;
    let extraction = stages::extraction(config, &pool)?;
    let memories = memories(config, &pool, extraction)?;
    let overview = Overview {
        pool: pool.clone(),
        cache: Cache::new(config.cache.clone(), &pool)?,
        memories: memories.clone(),
    };
    let mcp = McpServers::start(&config.mcp, &pool);
    let mut endpoints = Vec::new();
    let mut profiles = Vec::new();
    for config in config.agents() {
        let stages = Stages::new(config, &pool)?;
        endpoints.extend(
            stages
                .endpoints
                .iter()
                .map(|(_, endpoint)| endpoint.clone()),
        );
        profiles.push(profile(config, stages, &overview, &mcp)?);
    }
    let default = profiles.remove(0);
    let services = Services {
        pool,
        endpoints,
        cache: overview.cache.clone(),
    };
    let mut jobs = AgentJobs::new(default, services)
        .with_agents(profiles)
        .with_mcp(mcp);
    if let Some(memories) = memories {
        jobs = jobs.with_memories(memories);
    }
    Ok((jobs, overview))
}

/// One agent.
fn profile(
    config: &Config,
    stages: Stages,
    overview: &Overview,
    mcp: &McpServers,
) -> anyhow::Result<AgentProfile> {
    let tools = ToolSet::new(vec![
        Arc::new(GetConnectionPoolStats(overview.clone())),
        Arc::new(CleanupConnectionPool(overview.clone())),
    ]);
    let sources = mcp.sources(&config.agent.mcp).into_iter();
    let agent = Agent {
        instructions: config.agent.instructions.clone(),
        greeting: config.agent.greeting.clone(),
        greetings: Some(GreetingCache::new(
            overview.cache.clone(),
            made_with(config)?,
        )),
        stt: stages.stt,
        llm: stages.llm,
        tts: stages.tts,
        tools: sources.fold(tools, ToolSet::and_from),
    };
    Ok(AgentProfile {
        name: config.worker.agent_name.clone(),
        agent,
        settings: Settings {
            session: config.session.clone(),
            vad: config.vad.clone(),
            turn: config.turn.clone(),
        },
        rpc_tools: config.agent.rpc_tools.clone(),
        rpc_callers: config.agent.rpc_callers.clone(),
        tools: config.agent.tools.clone(),
        client_tools: config.agent.client_tool.clone(),
        send_dtmf: config.agent.send_dtmf,
        session_methods: config.agent.session_methods.clone(),
        show_instructions: config.agent.show_instructions,
        realtime: stages.realtime,
    })
}

/// Everything in the settings that changes what a greeting says or how it sounds. (Keys are not
/// written; settings that change neither only make it be made once more.)
fn made_with(config: &Config) -> anyhow::Result<MadeWith> {
    Ok(MadeWith {
        llm: serde_json::to_string(&(&config.openai.base_url, &config.llm))?,
        tts: serde_json::to_string(&(&config.openai.base_url, &config.tts))?,
        language: config.stt.language.clone(),
    })
}
