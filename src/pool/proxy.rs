//! The way of a WebSocket's connection: straight, or through the proxy that `HTTPS_PROXY`, `HTTP_PROXY`
//! and `NO_PROXY` ask for, by the same rules as the HTTP client's.

use std::net::SocketAddr;

use http::Uri;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::ServiceExt;

use super::call::Lease;
use crate::error::{CallError, ErrorKind};

const SCHEME_ADVICE: &str = "WebSockets pass proxies whose address begins with http:// only: see \
     HTTPS_PROXY, HTTP_PROXY and NO_PROXY";

const TUNNEL_ADVICE: &str = "the proxy does not let the WebSocket through: see HTTPS_PROXY, \
     HTTP_PROXY and NO_PROXY";

impl Lease {
    /// A TCP connection that leads to the host of an address.
    pub(super) async fn connect(&self, url: &Url) -> Result<TcpStream, CallError> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        let uri = Uri::builder()
            .scheme(url.scheme())
            .authority(format!("{host}:{port}"))
            .path_and_query("/")
            .build();
        let uri = uri.map_err(|_| self.spec().error(ErrorKind::Rejected))?;
        match self.shared().proxies.intercept(&uri) {
            None => self.connect_to(host, port).await,
            Some(proxy) => self.tunnel(&proxy, uri).await,
        }
    }

    /// The same through a proxy, by HTTP's CONNECT.
    async fn tunnel(&self, proxy: &Intercept, to: Uri) -> Result<TcpStream, CallError> {
        let address = proxy.uri().clone();
        if address.scheme_str() != Some("http") {
            return Err(self
                .spec()
                .error(ErrorKind::Rejected)
                .because(SCHEME_ADVICE));
        }
        let lease = self.clone();
        let connect = tower::service_fn(move |address: Uri| {
            let lease = lease.clone();
            async move {
                let (host, port) = (address.host().unwrap_or_default(), address.port_u16());
                let stream = lease.connect_to(host, port.unwrap_or(80)).await;
                stream.map(TokioIo::new)
            }
        });
        let mut tunnel = Tunnel::new(address, connect);
        if let Some(password) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(password.clone());
        }
        let opening = timeout(self.shared().config.connect_timeout, tunnel.oneshot(to));
        match opening.await {
            Ok(Ok(stream)) => Ok(stream.into_inner()),
            Ok(Err(_)) => Err(self
                .spec()
                .error(ErrorKind::Unavailable)
                .because(TUNNEL_ADVICE)),
            Err(_) => Err(self.spec().error(ErrorKind::Timeout).because(TUNNEL_ADVICE)),
        }
    }

    /// The TCP connection, to any of a host's addresses.
    async fn connect_to(&self, host: &str, port: u16) -> Result<TcpStream, CallError> {
        let shared = self.shared();
        let unavailable =
            |error: std::io::Error| self.spec().error(ErrorKind::Unavailable).because(error);
        let host = host.trim_matches(['[', ']']);
        let found = shared.resolver.addresses(host.to_owned()).await;
        let addresses: Vec<_> = found
            .map_err(unavailable)?
            .into_iter()
            .map(|address| SocketAddr::new(address.ip(), port))
            .collect();
        let connecting = TcpStream::connect(addresses.as_slice());
        let connected = match timeout(shared.config.connect_timeout, connecting).await {
            Ok(connected) => connected,
            Err(_) => return Err(self.spec().error(ErrorKind::Timeout)),
        };
        let stream = connected.map_err(|error| {
            shared.resolver.expire(host);
            unavailable(error)
        })?;
        // Sound goes out in small pieces, none of which may wait for the next.
        stream.set_nodelay(true).map_err(unavailable)?;
        Ok(stream)
    }
}
