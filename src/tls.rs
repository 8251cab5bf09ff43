//! TLS of the connections to LiveKit's server.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;

/// TLS with the system's roots (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured). Reads files: what is
/// needed often is kept.
///
/// # Errors
/// When there are no roots.
pub(crate) fn client_config() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)?;
    Ok(Arc::new(config.with_no_client_auth()))
}
