//! Who may see and touch more than probes do: this machine, or whoever has the token.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, FORWARDED, HOST, WWW_AUTHENTICATE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use crate::redact::Pii;

/// Proxies on this machine say with these for whom they ask.
const PROXY_HEADERS: [HeaderName; 3] = [
    FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
];

/// Browsers say with this whose page asks.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The rule; `token` may be empty: then there is none.
#[derive(Clone)]
pub(super) struct Access {
    token: Pii<String>,
}

impl Access {
    pub(super) fn new(token: Pii<String>) -> Self {
        Self { token }
    }

    /// Lets a request pass, or answers it.
    pub(super) fn check(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<(), Refused> {
        if self.has_token(headers) || is_from_here(peer.ip(), headers) {
            Ok(())
        } else {
            Err(Refused)
        }
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let token = self.token.expose().as_bytes();
        let sent = bearer(headers);
        !token.is_empty() && sent.is_some_and(|sent| bool::from(sent.ct_eq(token)))
    }
}

/// The token that a request came with.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    headers
        .get(AUTHORIZATION)?
        .as_bytes()
        .strip_prefix(b"Bearer ")
}

/// From this machine, and neither passed on by a proxy nor asked for by a foreign web page.
pub(super) fn is_from_here(peer: IpAddr, headers: &HeaderMap) -> bool {
    let is_passed_on = PROXY_HEADERS.iter().any(|name| headers.contains_key(name));
    let is_own_page = headers
        .get(FETCH_SITE)
        .is_none_or(|site| site == "same-origin" || site == "none");
    peer.to_canonical().is_loopback()
        && !is_passed_on
        && is_own_page
        && is_asked_by_address(headers)
}

/// A foreign page can make its own name lead to this machine (DNS rebinding), but not an address.
fn is_asked_by_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        // Browsers always say it.
        return !headers.contains_key(HOST);
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

/// The answer to those who may not.
pub(super) struct Refused;

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (
            StatusCode::UNAUTHORIZED,
            [(WWW_AUTHENTICATE, "Bearer")],
            "ask from the worker's own machine by its address, like 127.0.0.1, or with the token that \
             http.token names\n",
        )
            .into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(token: &str, peer: &str, headers: &[(HeaderName, &str)]) -> bool {
        let access = Access::new(Pii::new(token.to_owned()));
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect();
        access.check(peer, &headers).is_ok()
    }

    #[test]
    fn this_machine_may_and_others_may_not() {
        for here in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(allowed("", here, &[]), "{here}");
        }
        for elsewhere in ["10.0.0.1", "192.0.2.1", "2001:db8::1", "::ffff:10.0.0.1"] {
            assert!(!allowed("", elsewhere, &[]), "{elsewhere}");
        }
    }

    #[test]
    fn the_token_opens_from_anywhere_and_nothing_like_it_does() {
        let with = |token, sent| allowed(token, "10.0.0.1", &[(AUTHORIZATION, sent)]);
        assert!(with("right", "Bearer right"));
        for wrong in [
            "Bearer wrong",
            "Bearer righ",
            "Bearer rightt",
            "right",
            "Basic right",
        ] {
            assert!(!with("right", wrong), "{wrong}");
        }
        assert!(!with("", "Bearer "), "no token is no way in");
    }

    #[test]
    fn a_proxy_or_a_foreign_page_on_this_machine_is_not_this_machine() {
        for (name, value) in [
            (FORWARDED, "for=10.0.0.1"),
            (PROXY_HEADERS[1].clone(), "10.0.0.1"),
            (FETCH_SITE, "cross-site"),
            (FETCH_SITE, "same-site"),
        ] {
            assert!(
                !allowed("", "127.0.0.1", &[(name.clone(), value)]),
                "{name}"
            );
        }
        assert!(allowed("", "127.0.0.1", &[(FETCH_SITE, "same-origin")]));
    }

    #[test]
    fn a_foreign_name_that_leads_here_is_not_this_machine() {
        for here in [
            "127.0.0.1:8081",
            "127.0.0.1",
            "[::1]:8081",
            "localhost",
            "LOCALHOST:80",
        ] {
            assert!(allowed("", "127.0.0.1", &[(HOST, here)]), "{here}");
        }
        for foreign in [
            "evil.example:8081",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "127.0.0.1:80.evil.example",
        ] {
            assert!(!allowed("", "127.0.0.1", &[(HOST, foreign)]), "{foreign}");
        }
    }
}
