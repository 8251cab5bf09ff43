//! Where an HTTP service is and how it knows us.
//!
//! Each stage (transcription, chat, speech) may have an endpoint of its own; what it does not set
//! comes from the shared section `[openai]`. Any other service is an [`Endpoint::of`] its address
//! and headers. Nothing here reads the environment.

use std::fmt;
use std::sync::Arc;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::error::{CallError, Service};
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

    /// The settings of a fallback of `stage`, which are these for a stage that sets none of its own:
    /// what the fallback leaves empty is the stage's, and each key stays with its host.
    ///
    /// # Errors
    /// When one of the addresses is none.
    pub fn fallback_of(
        &self,
        stage: &Self,
        base_url: &str,
        api_key: &Pii<String>,
    ) -> Result<Self, EndpointError> {
        let is_elsewhere = !base_url.is_empty() && !is_same_host(base_url, &stage.base_url)?;
        let origin = if is_elsewhere { self } else { stage };
        origin.at(base_url, api_key)
    }
}

fn is_same_host(one: &str, other: &str) -> Result<bool, EndpointError> {
    Ok(parse_base_url(one)?.origin() == parse_base_url(other)?.origin())
}

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
mod tests {
    use super::*;

    fn config(base_url: &str, api_key: &str) -> Config {
        Config {
            base_url: base_url.to_owned(),
            api_key: Pii::new(api_key.to_owned()),
            ..Config::default()
        }
    }

    #[test]
    fn any_usual_spelling_of_the_address_works() {
        for (written, meant) in [
            ("http://localhost:8080", "http://localhost:8080/v1/models"),
            ("http://localhost:8080/", "http://localhost:8080/v1/models"),
            (
                "http://localhost:8080/v1",
                "http://localhost:8080/v1/models",
            ),
            (
                " http://localhost:8080/v1/ ",
                "http://localhost:8080/v1/models",
            ),
            (
                "https://gw.example/openai/v1/",
                "https://gw.example/openai/v1/models",
            ),
            (OPENAI_BASE_URL, "https://api.openai.com/v1/models"),
        ] {
            let endpoint = Endpoint::new(&config(written, "k")).unwrap();
            assert_eq!(endpoint.url("/models"), meant, "written as {written:?}");
        }
    }

    #[test]
    fn unusable_addresses_are_refused() {
        for (written, error) in [
            ("localhost", EndpointError::NotAUrl),
            ("localhost:8080", EndpointError::NotHttp),
            ("ftp://localhost", EndpointError::NotHttp),
            ("http://user:pw@localhost", EndpointError::HasCredentials),
            ("http://localhost/v1?key=1", EndpointError::HasQuery),
        ] {
            assert_eq!(
                Endpoint::new(&config(written, "k")).unwrap_err(),
                error,
                "written as {written:?}"
            );
        }
    }

    #[test]
    fn a_key_with_a_line_break_inside_is_an_error_and_one_at_its_end_is_not() {
        assert_eq!(
            Endpoint::new(&config(OPENAI_BASE_URL, "sk\n1")).unwrap_err(),
            EndpointError::NotAHeader("api_key")
        );
        let endpoint = Endpoint::new(&config(OPENAI_BASE_URL, "sk-1\n")).unwrap();
        assert_eq!(endpoint.headers()[AUTHORIZATION], "Bearer sk-1");
    }

    #[test]
    fn the_shared_key_never_goes_to_another_host() {
        let shared = config("https://api.openai.com", "sk-1");
        let stage = |base_url: &str, api_key: &str| {
            let api_key = Pii::new(api_key.to_owned());
            Endpoint::for_stage(&shared, base_url, &api_key).unwrap()
        };
        assert!(stage("", "").has_key());
        assert!(stage("https://api.openai.com/v2", "").has_key());
        assert!(!stage("http://localhost:9/v1", "").has_key());
        let own = stage("http://localhost:9", "sk-2");
        assert_eq!(own.headers()[AUTHORIZATION], "Bearer sk-2");
    }

    #[test]
    fn a_fallback_gets_the_key_of_its_own_host_and_no_other() {
        let shared = config("https://api.openai.com", "sk-shared");
        let none = Pii::default();
        let stage = shared
            .at("http://stage:1/v1", &Pii::new("sk-stage".to_owned()))
            .unwrap();
        for (base_url, key) in [
            ("", "sk-stage"),
            ("http://stage:1/v2", "sk-stage"),
            ("https://api.openai.com/v1", "sk-shared"),
            ("http://stage:2/v1", ""),
            ("http://third:1", ""),
        ] {
            let fallback = shared.fallback_of(&stage, base_url, &none).unwrap();
            assert_eq!(fallback.api_key.expose(), key, "at {base_url:?}");
        }
        let own = shared.fallback_of(&stage, "http://third:1", &Pii::new("sk-3".to_owned()));
        assert_eq!(own.unwrap().api_key.expose(), "sk-3");
    }

    #[test]
    fn no_key_means_no_authorization_header() {
        assert!(
            !Endpoint::new(&config(OPENAI_BASE_URL, " "))
                .unwrap()
                .has_key()
        );
    }

    #[test]
    fn another_service_has_its_own_address_headers_and_health_check() {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("apikey"),
            HeaderValue::from_static("sb-secret"),
        )]);
        let url = "https://project.example/";
        let endpoint = Endpoint::of(Service::Supabase, url, headers).unwrap();
        let endpoint = endpoint.health_path("/rest/v1/");
        assert_eq!(endpoint.service(), Service::Supabase);
        assert_eq!(&**endpoint.host(), "project.example:443");
        assert_eq!(
            endpoint.url("/rest/v1/rows"),
            "https://project.example/rest/v1/rows"
        );
        assert_eq!(endpoint.health_url(), "https://project.example/rest/v1/");
        assert_eq!(endpoint.headers()["apikey"], "sb-secret");
        assert!(!format!("{endpoint:?} {:?}", endpoint.headers()).contains("secret"));
    }

    #[test]
    fn debug_output_shows_no_key() {
        let endpoint = Endpoint::new(&config(OPENAI_BASE_URL, "sk-secret")).unwrap();
        assert!(!format!("{endpoint:?} {:?}", endpoint.headers()).contains("secret"));
    }
}
