//! From the server's URL to the address of its worker endpoint. Plain code.

use http::Uri;

use super::config::ServerConfig;

/// Why a server URL cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It does not parse, or has no host.
    #[error("not a URL; write it like wss://host or ws://127.0.0.1:7880")]
    NotAUrl,
    /// Another scheme than the four that make sense.
    #[error("must start with ws://, wss://, http:// or https://")]
    Scheme,
    /// A user name or password inside the URL would end up in logs.
    #[error("must not hold a user name or password; use livekit.api_key and livekit.api_secret")]
    HasCredentials,
    /// Nothing can be appended to it.
    #[error("must not have a query or fragment")]
    HasQuery,
}

/// Where workers register: `ws(s)://host[/prefix]/agent`.
///
/// Source: livekit-agents 1.7 `worker.py` `_connection_task`; query `protocol` from livekit-server
/// `pkg/service/agentservice.go`.
#[derive(Clone)]
pub(crate) struct AgentUrl(String);

impl AgentUrl {
    /// Builds the address; a hosted worker's token goes into the query, where LiveKit expects it.
    pub(crate) fn new(server: &ServerConfig) -> Result<Self, AddressError> {
        let text = server.url.trim();
        if text.contains(['?', '#']) {
            return Err(AddressError::HasQuery);
        }
        let uri: Uri = text.parse().map_err(|_| AddressError::NotAUrl)?;
        let scheme = match uri.scheme_str() {
            Some("ws" | "http") => "ws",
            Some("wss" | "https") => "wss",
            Some(_) => return Err(AddressError::Scheme),
            None => return Err(AddressError::NotAUrl),
        };
        let authority = uri.authority().ok_or(AddressError::NotAUrl)?;
        if authority.as_str().contains('@') {
            return Err(AddressError::HasCredentials);
        }
        let prefix = uri.path().trim_end_matches('/');
        let mut address = format!("{scheme}://{authority}{prefix}/agent?protocol=1");
        let token = server.worker_token.expose();
        if !token.is_empty() {
            address.push_str("&worker_token=");
            address.extend(token.bytes().map(percent_encoded));
        }
        Ok(Self(address))
    }

    /// The whole address; may hold a secret, so it never goes into a log.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// One byte of a query value.
fn percent_encoded(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::Pii;

    fn address(url: &str) -> Result<String, AddressError> {
        let server = ServerConfig {
            url: url.to_owned(),
            ..ServerConfig::default()
        };
        AgentUrl::new(&server).map(|url| url.expose().to_owned())
    }

    #[test]
    fn every_way_to_write_a_server_leads_to_its_worker_endpoint() {
        for (url, expected) in [
            (
                "ws://127.0.0.1:7880",
                "ws://127.0.0.1:7880/agent?protocol=1",
            ),
            ("http://host/", "ws://host/agent?protocol=1"),
            ("https://host/prefix/", "wss://host/prefix/agent?protocol=1"),
            (
                " wss://[::1]:443/a/b ",
                "wss://[::1]:443/a/b/agent?protocol=1",
            ),
        ] {
            assert_eq!(address(url).as_deref(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_a_server_is_refused_with_a_reason() {
        for (url, expected) in [
            ("127.0.0.1:7880", AddressError::NotAUrl),
            ("not a url", AddressError::NotAUrl),
            ("ftp://host", AddressError::Scheme),
            ("wss://key:secret@host", AddressError::HasCredentials),
            ("wss://host/?a=b", AddressError::HasQuery),
        ] {
            assert_eq!(address(url), Err(expected), "{url}");
        }
    }

    #[test]
    fn a_hosted_token_is_passed_in_the_query() {
        let server = ServerConfig {
            url: "wss://host".to_owned(),
            worker_token: Pii::new("a b&c".to_owned()),
            ..ServerConfig::default()
        };
        let url = AgentUrl::new(&server).unwrap();
        assert_eq!(
            url.expose(),
            "wss://host/agent?protocol=1&worker_token=a%20b%26c"
        );
    }
}
