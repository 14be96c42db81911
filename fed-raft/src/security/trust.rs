//! Whom one who connects believes, and whom it expects to find.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};

use super::credentials::{certificates, provider, root_store};
use super::{CredentialsError, Keyring, NodeName, name_in};
use crate::identity::ClusterId;

/// Whom one who connects believes. The address it connects to proves nothing and is not compared: the name in the certificate is.
#[derive(Debug, Clone)]
pub struct Trust {
    believed: Believed,
    expected: Expected,
    shown: Option<Keyring>,
    protocol: &'static [u8],
}

/// What is spoken inside TLS unless something else is wanted.
const HTTP2: &[u8] = b"h2";

#[derive(Debug, Clone)]
enum Believed {
    /// The authorities of the moment.
    Keyring(Keyring),
    Authorities(Arc<RootCertStore>),
    /// The authority with this SHA-256, which the other side has to show.
    Fingerprint([u8; 32]),
}

#[derive(Debug, Clone, Copy)]
enum Expected {
    AnyNode,
    NodeOf(ClusterId),
    Node(NodeName),
}

impl Trust {
    /// A member's: its own certificate is shown, and the other side must be that node.
    #[must_use]
    pub fn node(keyring: &Keyring, expected: NodeName) -> Self {
        Self {
            believed: Believed::Keyring(keyring.clone()),
            expected: Expected::Node(expected),
            shown: Some(keyring.clone()),
            protocol: HTTP2,
        }
    }

    /// A member's: its own certificate is shown, and the other side must be some node of its cluster.
    #[must_use]
    pub fn cluster(keyring: &Keyring) -> Self {
        Self {
            believed: Believed::Keyring(keyring.clone()),
            expected: Expected::NodeOf(keyring.name().cluster),
            shown: Some(keyring.clone()),
            protocol: HTTP2,
        }
    }

    /// A client's: whoever has a node's certificate from one of these authorities (PEM). Shows nothing.
    ///
    /// # Errors
    /// When there is no authority in the text.
    pub fn authorities(pem: &str) -> Result<Self, CredentialsError> {
        Ok(Self {
            believed: Believed::Authorities(root_store(&certificates(pem, "authority")?)?),
            expected: Expected::AnyNode,
            shown: None,
            protocol: HTTP2,
        })
    }

    /// A newcomer's: that node, whose authority is known by its SHA-256 ([`fingerprint`](super::fingerprint)) alone. Shows nothing.
    #[must_use]
    pub fn pinned(authority: [u8; 32], expected: NodeName) -> Self {
        Self {
            believed: Believed::Fingerprint(authority),
            expected: Expected::Node(expected),
            shown: None,
            protocol: HTTP2,
        }
    }

    /// The same for another protocol inside TLS (ALPN) than `h2`, such as `http/1.1`.
    #[must_use]
    pub fn over(mut self, protocol: &'static [u8]) -> Self {
        self.protocol = protocol;
        self
    }

    pub(super) fn connecting(self) -> Result<Arc<ClientConfig>, Error> {
        let (shown, protocol) = (self.shown.clone(), self.protocol);
        let verifier = Hosts {
            trust: self,
            algorithms: provider().signature_verification_algorithms,
        };
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match shown {
            Some(keyring) => config.with_client_cert_resolver(Arc::new(keyring)),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        // Who comes again is checked again.
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(Arc::new(config))
    }
}

/// Why the other side is not believed.
#[derive(Debug, thiserror::Error)]
#[error("the other side is not believed: {0}")]
struct NotBelieved(String);

/// Checks the certificates of those connected to.
#[derive(Debug)]
struct Hosts {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Hosts {
    fn check(&self, chain: &[&CertificateDer<'_>], now: UnixTime) -> Result<(), String> {
        let store = match &self.trust.believed {
            Believed::Keyring(keyring) => keyring.current().authorities.clone(),
            Believed::Authorities(store) => store.clone(),
            Believed::Fingerprint(wanted) => {
                let found = chain.iter().find(|der| Sha256::digest(der)[..] == wanted[..]);
                let found = found.ok_or("its authority is not the one in the token: somebody in between answers, or the token is of another federation")?;
                root_store(&[(**found).clone().into_owned()]).map_err(|why| why.to_string())?
            }
        };
        let leaf = chain[0];
        let parsed = ParsedCertificate::try_from(leaf).map_err(|why| why.to_string())?;
        let between: Vec<CertificateDer<'_>> = chain[1..].iter().map(|der| (*der).clone()).collect();
        verify_server_cert_signed_by_trust_anchor(&parsed, &store, &between, now, self.algorithms.all).map_err(
            |why| match why {
                Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                    format!("its certificate has expired ({why}); or is a clock wrong?")
                }
                Error::InvalidCertificate(
                    CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
                ) => {
                    format!("its certificate is not valid yet ({why}): is a clock wrong?")
                }
                Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                    "its certificate is from another authority: another federation, or somebody in between".to_owned()
                }
                why => format!("its certificate is not good: {why}"),
            },
        )?;
        let name = name_in(leaf).ok_or("its certificate names no node")?;
        match self.trust.expected {
            Expected::AnyNode => Ok(()),
            Expected::NodeOf(cluster) if name.cluster == cluster => Ok(()),
            Expected::Node(expected) if name == expected => Ok(()),
            Expected::NodeOf(cluster) => Err(format!("it is {name}, not of cluster {cluster}")),
            Expected::Node(expected) => Err(format!("it is {name}, not {expected}")),
        }
    }
}

impl ServerCertVerifier for Hosts {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<&CertificateDer<'_>> = std::iter::once(end_entity).chain(intermediates).collect();
        let checked = self.check(&chain, now);
        checked.map_err(|why| CertificateError::Other(OtherError(Arc::new(NotBelieved(why)))))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
