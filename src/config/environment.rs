//! Environment variables: the table of names, and the one place that reads them.

use std::collections::BTreeMap;

/// Variables and their values. A value of its own, so that tests never touch the process's.
pub type Environment = BTreeMap<String, String>;

/// Prefix of the variables that reach every setting: `VOXPOOL__WORKER__SLOTS_MAX` is
/// `worker.slots_max`.
pub(super) const PREFIX: &str = "VOXPOOL__";

/// The variables with names of their own and the settings they set. Where two set the same, the
/// earlier wins. `.env.example` and the README list the same names.
pub const VARIABLES: &[(&str, &str)] = &[
    ("LIVEKIT_URL", "livekit.url"),
    ("LIVEKIT_API_KEY", "livekit.api_key"),
    ("LIVEKIT_API_SECRET", "livekit.api_secret"),
    ("LIVEKIT_WORKER_TOKEN", "livekit.worker_token"),
    ("LIVEKIT_AGENT_NAME_OVERRIDE", "worker.agent_name"),
    ("LIVEKIT_AGENT_NAME", "worker.agent_name"),
    ("LIVEKIT_AGENT_DEPLOYMENT", "worker.deployment"),
    ("VOXPOOL_HTTP_TOKEN", "http.token"),
    ("VOXPOOL_LOG", "log.filter"),
    ("RUST_LOG", "log.filter"),
    ("LIVEKIT_LOG_LEVEL", "log.filter"),
    ("OPENAI_API_KEY", "openai.api_key"),
    ("OPENAI_BASE_URL", "openai.base_url"),
    ("OPENAI_ORG_ID", "openai.organization"),
    ("OPENAI_PROJECT_ID", "openai.project"),
    ("DATABASE_URL", "memory.postgres.url"),
    ("REDIS_URL", "cache.redis_url"),
    ("SUPABASE_URL", "supabase.url"),
    ("SUPABASE_SERVICE_ROLE_KEY", "supabase.key"),
    ("SUPABASE_ANON_KEY", "supabase.key"),
];

/// The variables of this process. Those that are not text are none of ours.
pub fn process_environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// What the environment sets: variable, setting, value; the ones that win come last. A variable
/// that is empty counts as not set, as container tools pass on what is missing.
pub(super) fn settings(environment: &Environment) -> Vec<(String, String, String)> {
    let named = VARIABLES.iter().rev().filter_map(|(name, key)| {
        let value = environment.get(*name)?;
        Some(((*name).to_owned(), (*key).to_owned(), value.clone()))
    });
    let generic = environment.iter().filter_map(|(name, value)| {
        let key = name.strip_prefix(PREFIX)?.to_lowercase().replace("__", ".");
        Some((name.clone(), key, value.clone()))
    });
    named
        .chain(generic)
        .filter(|(_, _, value)| !value.is_empty())
        .collect()
}
