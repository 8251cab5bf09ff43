//! Whose requests are answered beyond probes: with a token those that bring it, without one those of
//! this machine.
//!
//! A proxy or sidecar on this machine connects from the loopback address as well. It is told by what it
//! adds or leaves out; one that adds nothing is not, so the token is what protects a worker behind one.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{AUTHORIZATION, FORWARDED, HOST, ORIGIN, VIA, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, Version};
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use crate::redact::Pii;

/// Headers with which proxies say for whom they ask.
const PROXY_HEADERS: [HeaderName; 8] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("x-cluster-client-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("fastly-client-ip"),
    HeaderName::from_static("fly-client-ip"),
];

/// Beginnings of such headers: common ones, Envoy and the meshes made of it, Linkerd, Cloudflare,
/// Amazon's and Microsoft's balancers, ngrok.
const PROXY_PREFIXES: [&str; 10] = [
    "x-forwarded",
    "x-original-",
    "x-envoy-",
    "x-b3-",
    "l5d-",
    "cf-",
    "x-amzn-",
    "x-azure-",
    "x-arr-",
    "ngrok-",
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

    /// Lets a request about what this machine's operators may do pass, or answers it.
    pub(super) fn check(&self, peer: SocketAddr, request: &Parts) -> Result<(), Refused> {
        match self.needs_token() {
            true => self.check_token(request),
            false if is_from_here(peer.ip(), request) => Ok(()),
            false => Err(Refused::NotFromHere),
        }
    }

    /// Lets a request pass that everyone may make unless there is a token.
    pub(super) fn check_token(&self, request: &Parts) -> Result<(), Refused> {
        match !self.needs_token() || self.has_token(&request.headers) {
            true => Ok(()),
            false => Err(Refused::NoToken),
        }
    }

    fn needs_token(&self) -> bool {
        !self.token.expose().is_empty()
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let token = self.token.expose().as_bytes();
        bearer(headers).is_some_and(|sent| bool::from(sent.ct_eq(token)))
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
pub(super) fn is_from_here(peer: IpAddr, request: &Parts) -> bool {
    // Programs of today speak 1.1; what speaks 1.0 is nginx with its settings of old.
    request.version == Version::HTTP_11
        && peer.to_canonical().is_loopback()
        && !is_passed_on(&request.headers)
        && is_asked_by_own_name(&request.headers)
        && is_own_page(&request.headers)
}

fn is_passed_on(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let begins = |prefix: &&str| name.as_str().starts_with(*prefix);
        PROXY_HEADERS.contains(name) || PROXY_PREFIXES.iter().any(begins)
    })
}

/// A foreign page can make its own name lead to this machine (DNS rebinding), and a sidecar hands on
/// the name or address that its client asked for: neither is a loopback address.
fn is_asked_by_own_name(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let host = host.to_str().ok().and_then(|host| host.parse().ok());
    host.is_some_and(|host: Authority| {
        let name = host.host();
        let is_all = match host.port() {
            Some(port) => host == format!("{name}:{port}").as_str(),
            None => host == name,
        };
        let address = name.trim_start_matches('[').trim_end_matches(']');
        let address = address.parse::<IpAddr>();
        let is_loopback = address.is_ok_and(|address| address.to_canonical().is_loopback());
        is_all && (name.eq_ignore_ascii_case("localhost") || is_loopback)
    })
}

/// Browsers of today say whose page asks with one header, those of old with the other.
fn is_own_page(headers: &HeaderMap) -> bool {
    let is_own_site = headers
        .get(FETCH_SITE)
        .is_none_or(|site| site == "same-origin" || site == "none");
    let is_own_origin = headers.get(ORIGIN).is_none_or(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.parse().ok());
        let authority = origin.and_then(|origin: Uri| origin.into_parts().authority);
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        authority.is_some_and(|authority| host == Some(authority.as_str()))
    });
    is_own_site && is_own_origin
}

/// The answer to a request that is not allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is a token, and the request did not bring it.
    NoToken,
    /// There is none, and the request is not this machine's.
    NotFromHere,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let advice = match self {
            Self::NoToken => "send the token of http.token as \"Authorization: Bearer TOKEN\"\n",
            Self::NotFromHere => {
                "ask from the worker's own machine by its address, like 127.0.0.1, and through no \
                 proxy, or set http.token and send it\n"
            }
        };
        let scheme = [(WWW_AUTHENTICATE, "Bearer")];
        (StatusCode::UNAUTHORIZED, scheme, advice).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    const LOCAL: &str = "127.0.0.1";

    /// A request with these headers, which has a usual Host unless they bring one.
    fn request(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder();
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header(HOST, "127.0.0.1:8081");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn allowed(token: &str, peer: &str, request: &Parts) -> bool {
        let access = Access::new(Pii::new(token.to_owned()));
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        access.check(peer, request).is_ok()
    }

    #[test]
    fn this_machine_may_and_others_may_not() {
        for here in [LOCAL, "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(allowed("", here, &request(&[])), "{here}");
        }
        for elsewhere in ["10.0.0.1", "192.0.2.1", "2001:db8::1", "::ffff:10.0.0.1"] {
            assert!(!allowed("", elsewhere, &request(&[])), "{elsewhere}");
        }
    }

    #[test]
    fn the_token_opens_from_anywhere_and_nothing_like_it_does() {
        for peer in [LOCAL, "10.0.0.1"] {
            let with = |token, sent| allowed(token, peer, &request(&[("authorization", sent)]));
            assert!(with("right", "Bearer right"));
            for wrong in [
                "Bearer wrong",
                "Bearer righ",
                "Bearer rightt",
                "right",
                "Basic right",
                "Bearer ",
            ] {
                assert!(!with("right", wrong), "{wrong} from {peer}");
            }
            assert!(!allowed("right", peer, &request(&[])), "{peer}");
        }
        let empty = request(&[("authorization", "Bearer ")]);
        assert!(!allowed("", "10.0.0.1", &empty), "no token is no way in");
    }

    #[test]
    fn what_everyone_may_ask_needs_the_token_if_there_is_one() {
        let check =
            |token: &str, request| Access::new(Pii::new(token.to_owned())).check_token(&request);
        assert_eq!(check("", request(&[])), Ok(()));
        assert_eq!(check("right", request(&[])), Err(Refused::NoToken));
        let with = request(&[("authorization", "Bearer right")]);
        assert_eq!(check("right", with), Ok(()));
    }

    #[test]
    fn a_proxy_on_this_machine_is_not_this_machine() {
        for (name, value) in [
            ("forwarded", "for=10.0.0.1"),
            ("via", "1.1 proxy"),
            ("x-real-ip", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-client-cert", "By=spiffe://a"),
            ("x-envoy-external-address", "10.0.0.1"),
            ("x-b3-traceid", "80f198ee56343ba8"),
            ("l5d-client-id", "a.b"),
            ("cf-connecting-ip", "10.0.0.1"),
            ("x-amzn-trace-id", "Root=1"),
        ] {
            assert!(!allowed("", LOCAL, &request(&[(name, value)])), "{name}");
        }
        let mut of_nginx = request(&[]);
        of_nginx.version = Version::HTTP_10;
        assert!(!allowed("", LOCAL, &of_nginx));
    }

    #[test]
    fn a_foreign_page_on_this_machine_is_not_this_machine() {
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "http://127.0.0.1:3000"),
            ("origin", "null"),
            ("origin", ""),
        ] {
            assert!(
                !allowed("", LOCAL, &request(&[(name, value)])),
                "{name}: {value}"
            );
        }
        for (name, value) in [
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
            ("origin", "http://127.0.0.1:8081"),
        ] {
            assert!(
                allowed("", LOCAL, &request(&[(name, value)])),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn a_foreign_name_or_address_that_leads_here_is_not_this_machine() {
        for here in [
            "127.0.0.1:8081",
            LOCAL,
            "[::1]:8081",
            "localhost",
            "LOCALHOST:80",
        ] {
            assert!(allowed("", LOCAL, &request(&[("host", here)])), "{here}");
        }
        for foreign in [
            "evil.example:8081",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "127.0.0.1:80.evil.example",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1:80",
            "10.0.0.1:8081",
            "0.0.0.0:8081",
            "",
        ] {
            assert!(
                !allowed("", LOCAL, &request(&[("host", foreign)])),
                "{foreign}"
            );
        }
        let twice = request(&[("host", LOCAL), ("host", "evil.example")]);
        assert!(!allowed("", LOCAL, &twice));
    }
}
