//! The address and key that all stages share.

use serde::{Deserialize, Serialize};

use super::{Endpoint, EndpointError, parse_base_url};
use crate::redact::Pii;

/// Base address of the official service.
pub const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";

/// The shared endpoint of all stages (`[openai]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address of the service, with or without `/v1` and a trailing slash.
    pub base_url: String,
    /// Key of the service; empty for a server that wants none.
    pub api_key: Pii<String>,
    /// Organization the requests are billed to; empty for the key's default.
    pub organization: String,
    /// Project the requests are billed to; empty for the key's default.
    pub project: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_url: OPENAI_BASE_URL.to_owned(),
            api_key: Pii::default(),
            organization: String::new(),
            project: String::new(),
        }
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        match Endpoint::new(self) {
            Ok(_) => Vec::new(),
            Err(error) => vec![format!("openai.{error}")],
        }
    }

    /// The settings with another address or key, where those are not empty.
    ///
    /// The key, organization and project stay with their host: at another one there are none unless
    /// they are given.
    ///
    /// # Errors
    /// When one of the addresses is none.
    pub fn at(&self, base_url: &str, api_key: &Pii<String>) -> Result<Self, EndpointError> {
        let mut config = self.clone();
        if !base_url.is_empty() {
            if !is_same_host(base_url, &self.base_url)? {
                config.api_key = Pii::default();
                config.organization.clear();
                config.project.clear();
            }
            config.base_url = base_url.to_owned();
        }
        if !api_key.expose().is_empty() {
            config.api_key = api_key.clone();
        }
        Ok(config)
    }
}

pub(super) fn is_same_host(one: &str, other: &str) -> Result<bool, EndpointError> {
    Ok(parse_base_url(one)?.origin() == parse_base_url(other)?.origin())
}
