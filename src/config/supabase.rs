//! Settings of Supabase (`[supabase]`): read and checked here, used by the memory.

use serde::{Deserialize, Serialize};

use crate::redact::Pii;

/// Where the memory is, when it is in Supabase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of the project; empty: no Supabase.
    pub url: String,
    /// Service role key, or the anonymous key where the tables' policies allow it.
    pub key: Pii<String>,
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.url.is_empty()
            && !self.url.starts_with("https://")
            && !self.url.starts_with("http://")
        {
            problems.push("supabase.url: must start with https:// or http://".to_owned());
        }
        if !self.url.is_empty() && self.key.expose().is_empty() {
            problems.push(
                "supabase.key: missing; set SUPABASE_SERVICE_ROLE_KEY (or SUPABASE_ANON_KEY)"
                    .to_owned(),
            );
        }
        problems
    }
}
