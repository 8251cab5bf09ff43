//! Where an HTTP service is and how it knows us.
//!
//! Each stage (transcription, chat, speech) may have an endpoint of its own; what it does not set
//! comes from the shared section `[openai]`. Any other service is an [`Endpoint::of`] its address
//! and headers. Nothing here reads the environment.

mod addresses;
mod config;

use std::fmt;
use std::sync::Arc;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;

pub(crate) use self::addresses::{Addresses, fallback_key};
pub use self::config::{Config, OPENAI_BASE_URL};
use crate::error::{CallError, Service};
use crate::redact::Pii;

/// Why an endpoint cannot be used. The text starts with the key that has to be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL at all.
    #[error("base_url: not a URL; write it like http://127.0.0.1:8080/v1")]
    NotAUrl,
    /// Neither http nor https.
    #[error("base_url: must start with http:// or https://")]
    NotHttp,
    /// A user name or password inside the URL would end up in logs.
    #[error("base_url: must not hold a user name or password; put the key into api_key")]
    HasCredentials,
    /// A query or fragment cannot be kept when paths are appended.
    #[error("base_url: must not have a query or fragment")]
    HasQuery,
    /// The value cannot be sent as an HTTP header.
    #[error("{0}: holds a character that HTTP headers cannot carry, often a line break at its end")]
    NotAHeader(&'static str),
}

/// A service ready to be called: address and headers. Cheap to clone.
#[derive(Clone)]
pub struct Endpoint(Arc<Parts>);

#[derive(Clone)]
struct Parts {
    service: Service,
    base_url: String,
    host: Arc<str>,
    headers: HeaderMap,
    api_key: SecretString,
    health_path: &'static str,
    explain: Explain,
}

/// Reads more out of a refusal than HTTP says, such as a database's own code. What comes out decides
/// whether to try again, and whether the service is well.
pub type Explain = fn(&'static str, CallError) -> CallError;

impl Endpoint {
    /// The shared endpoint.
    ///
    /// # Errors
    /// When the address or a header value cannot be used.
    pub fn new(config: &Config) -> Result<Self, EndpointError> {
        let mut url = parse_base_url(&config.base_url)?;
        if url.path() == "/" {
            url.set_path("/v1");
        }
        let key = config.api_key.expose().trim();
        let mut headers = HeaderMap::new();
        if !key.is_empty() {
            let mut value = header("api_key", &format!("Bearer {key}"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        for (name, key, value) in [
            ("openai-organization", "organization", &config.organization),
            ("openai-project", "project", &config.project),
        ] {
            if !value.is_empty() {
                headers.insert(HeaderName::from_static(name), header(key, value)?);
            }
        }
        Ok(Self(Arc::new(Parts {
            service: Service::OpenAi,
            base_url: url.as_str().trim_end_matches('/').to_owned(),
            host: host(&url),
            headers,
            api_key: SecretString::from(key.to_owned()),
            health_path: "/models",
            explain: |_, error| error,
        })))
    }

    /// The endpoint of a service that is not OpenAI's: its address and the headers that every
    /// request carries, such as a key.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn of(
        service: Service,
        base_url: &str,
        mut headers: HeaderMap,
    ) -> Result<Self, EndpointError> {
        let url = parse_base_url(base_url)?;
        for value in headers.values_mut() {
            value.set_sensitive(true);
        }
        Ok(Self(Arc::new(Parts {
            service,
            base_url: url.as_str().trim_end_matches('/').to_owned(),
            host: host(&url),
            headers,
            api_key: SecretString::default(),
            health_path: "/",
            explain: |_, error| error,
        })))
    }

    /// The same endpoint with another path to ask when its health is checked: one whose answer is
    /// small and needs the key. The default is `/`.
    #[must_use]
    pub fn health_path(mut self, path: &'static str) -> Self {
        Arc::make_mut(&mut self.0).health_path = path;
        self
    }

    /// The same endpoint, whose refusals are explained.
    #[must_use]
    pub fn explained_by(mut self, explain: Explain) -> Self {
        Arc::make_mut(&mut self.0).explain = explain;
        self
    }

    /// What a refusal means.
    pub(super) fn explain(&self, operation: &'static str, error: CallError) -> CallError {
        (self.0.explain)(operation, error)
    }

    /// The endpoint of one stage: the shared one with the stage's own values, where they are not
    /// empty, over it.
    ///
    /// The shared key goes to the shared host only: a stage that moves to another host without a
    /// key of its own sends none.
    ///
    /// # Errors
    /// When the address or a header value cannot be used.
    pub fn for_stage(
        shared: &Config,
        base_url: &str,
        api_key: &Pii<String>,
    ) -> Result<Self, EndpointError> {
        Self::new(&shared.at(base_url, api_key)?)
    }

    /// Whose endpoint it is.
    pub fn service(&self) -> Service {
        self.0.service
    }

    /// What a health check asks for.
    pub(super) fn health_url(&self) -> String {
        self.url(self.0.health_path)
    }

    /// Host and port, as one name for limits and logs.
    pub fn host(&self) -> &Arc<str> {
        &self.0.host
    }

    /// Address of one operation; `path` starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.base_url)
    }

    /// Headers every request carries.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// Whether a key is sent.
    pub fn has_key(&self) -> bool {
        self.0.headers.contains_key(AUTHORIZATION)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.0.base_url).finish()
    }
}

/// What async-openai needs to know. Its own `OpenAIConfig` reads the environment by itself and
/// panics on a key with a line break.
impl async_openai::config::Config for Endpoint {
    fn headers(&self) -> HeaderMap {
        self.0.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        Self::url(self, path)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        &self.0.base_url
    }

    fn api_key(&self) -> &SecretString {
        &self.0.api_key
    }
}

/// Accepts what people write: surrounding space, a trailing slash.
fn parse_base_url(text: &str) -> Result<Url, EndpointError> {
    let mut url = Url::parse(text.trim()).map_err(|_| EndpointError::NotAUrl)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(EndpointError::NotHttp);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EndpointError::HasCredentials);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(EndpointError::HasQuery);
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Text as a value of a query.
pub(crate) fn encoded(value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let bytes = value.bytes().map(|byte| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    bytes.collect()
}

fn host(url: &Url) -> Arc<str> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{host}:{port}").into()
}

fn header(key: &'static str, value: &str) -> Result<HeaderValue, EndpointError> {
    HeaderValue::from_str(value).map_err(|_| EndpointError::NotAHeader(key))
}

#[cfg(test)]
mod tests;
