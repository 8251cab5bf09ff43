//! TLS of the shared HTTP client: with the system's certificates, loaded once; sessions are resumed
//! across generations of the client.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// The settings, and whether there are certificates to trust.
pub(super) struct Tls {
    config: ClientConfig,
    has_certificates: bool,
}

impl Tls {
    /// Loads the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured). Without any
    /// only services without TLS can be reached, which is said.
    pub(super) fn load() -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs has the suites of TLS 1.2 and 1.3");
        let verifier = rustls_platform_verifier::Verifier::new(provider);
        let has_certificates = verifier.is_ok();
        let mut config = match verifier {
            Ok(verifier) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth(),
            Err(error) => {
                tracing::error!(
                    %error,
                    "no CA certificates found, https services cannot be reached: \
                     install ca-certificates or set SSL_CERT_FILE"
                );
                builder
                    .with_root_certificates(RootCertStore::empty())
                    .with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self {
            config,
            has_certificates,
        }
    }

    /// The settings for the next client. Certificates that were missing are looked for again.
    pub(super) fn config(&mut self) -> ClientConfig {
        if !self.has_certificates {
            *self = Self::load();
        }
        self.config.clone()
    }

    pub(super) fn has_certificates(&self) -> bool {
        self.has_certificates
    }
}
