//! The credentials in use, replaceable while connections are open.

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::DistinguishedName;
use rustls::client::ResolvesClientCert;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, Error, ServerConfig, SignatureScheme};

use super::credentials::provider;
use super::{Credentials, NodeName};

/// A node's [`Credentials`], looked up at every handshake. Clones are the same keyring.
#[derive(Debug, Clone)]
pub struct Keyring {
    current: Arc<RwLock<Arc<Credentials>>>,
}

impl Keyring {
    /// A keyring with these credentials in it.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self {
            current: Arc::new(RwLock::new(Arc::new(credentials))),
        }
    }

    /// Uses others from the next handshake on; open connections stay as they are.
    pub fn replace(&self, credentials: Credentials) {
        *self.current.write() = Arc::new(credentials);
    }

    /// Those in use.
    #[must_use]
    pub fn current(&self) -> Arc<Credentials> {
        self.current.read().clone()
    }

    /// Whose they are.
    #[must_use]
    pub fn name(&self) -> NodeName {
        self.current().name()
    }

    /// The serving side of TLS: its own certificate, and whoever shows one must have it from one of the authorities.
    pub(super) fn serving(&self, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(Guests::new(self)))
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        // Who comes again is checked again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Keyring {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current().certified.clone())
    }
}

impl ResolvesClientCert for Keyring {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current().certified.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Checks the certificates that guests show, by the authorities of the moment.
#[derive(Debug)]
struct Guests {
    keyring: Keyring,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Guests {
    fn new(keyring: &Keyring) -> Self {
        Self {
            keyring: keyring.clone(),
            algorithms: provider().signature_verification_algorithms,
        }
    }
}

impl ClientCertVerifier for Guests {
    /// Whether somebody without a certificate may ask anything is for each call to say.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let current = self.keyring.current();
        current.guests.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
