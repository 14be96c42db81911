//! Whom one who connects believes, and whom it expects to find.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
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

/// Whom one who connects believes, and whom it expects: a node by the name in its certificate, or, where only the address is known,
/// whoever's certificate holds the host that was dialled. A certificate alone proves too little: that of a node which was taken out is
/// good until it expires.
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

#[derive(Debug, Clone)]
enum Expected {
    /// A node at the host that is dialled.
    Dialled,
    /// A node at this host, whatever is dialled.
    Host(ServerName<'static>),
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

    /// A client's: a node with a certificate from one of these authorities (PEM) that holds the host which is dialled. Shows nothing.
    ///
    /// # Errors
    /// When there is no authority in the text.
    pub fn authorities(pem: &str) -> Result<Self, CredentialsError> {
        Ok(Self {
            believed: Believed::Authorities(root_store(&certificates(pem, "authority")?)?),
            expected: Expected::Dialled,
            shown: None,
            protocol: HTTP2,
        })
    }

    /// The same, the certificate holding this host instead of the one that is dialled: through a tunnel.
    ///
    /// # Errors
    /// When it is neither an IP address nor a possible name; the text says so.
    pub fn at(mut self, host: &str) -> Result<Self, String> {
        let name =
            ServerName::try_from(host).map_err(|_| format!("{host:?} is no name that a certificate can hold"))?;
        self.expected = Expected::Host(name.to_owned());
        Ok(self)
    }

    /// The same, the other side being that very node, wherever it is.
    #[must_use]
    pub fn of(mut self, node: NodeName) -> Self {
        self.expected = Expected::Node(node);
        self
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
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the other side is not believed: {why}")]
pub struct NotBelieved {
    /// In words.
    pub why: String,
    /// It is a node, and not the one that was meant.
    pub another: bool,
}

impl NotBelieved {
    /// What is behind the error of a connection, if this is.
    #[must_use]
    pub fn behind<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Self> {
        std::iter::successors(Some(error), |error| error.source()).find_map(|error| {
            // An error of the system hides the one inside it from those who ask for its source.
            let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            let tls = match inside {
                Some(inside) => inside.downcast_ref::<Error>(),
                None => error.downcast_ref::<Error>(),
            };
            match tls? {
                Error::InvalidCertificate(CertificateError::Other(OtherError(why))) => why.downcast_ref::<Self>(),
                _ => None,
            }
        })
    }
}

impl From<String> for NotBelieved {
    fn from(why: String) -> Self {
        Self { why, another: false }
    }
}

impl From<&str> for NotBelieved {
    fn from(why: &str) -> Self {
        why.to_owned().into()
    }
}

/// Checks the certificates of those connected to.
#[derive(Debug)]
struct Hosts {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Hosts {
    fn check(&self, chain: &[&CertificateDer<'_>], dialled: &ServerName<'_>, now: UnixTime) -> Result<(), NotBelieved> {
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
        match &self.trust.expected {
            Expected::Dialled => holds(&parsed, dialled, name),
            Expected::Host(host) => holds(&parsed, host, name),
            Expected::NodeOf(cluster) if name.cluster == *cluster => Ok(()),
            Expected::Node(expected) if name == *expected => Ok(()),
            Expected::NodeOf(cluster) => Err(another(format!("it is {name}, not of cluster {cluster}"))),
            Expected::Node(expected) => Err(another(format!("it is {name}, not {expected}"))),
        }
    }
}

fn another(why: String) -> NotBelieved {
    NotBelieved { why, another: true }
}

/// Whether the certificate of `node` holds that host.
fn holds(certificate: &ParsedCertificate<'_>, host: &ServerName<'_>, node: NodeName) -> Result<(), NotBelieved> {
    verify_server_name(certificate, host).map_err(|why| {
        let others = match why {
            Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => hosts(&presented),
            why => why.to_string(),
        };
        let host = host.to_str();
        another(format!(
            "its certificate is not for {host}: it is {node}, whose certificate holds {others}; another node, or one that was taken out, answers there"
        ))
    })
}

/// The names of a certificate, such as `DnsName("localhost")`, as people write them, without those of nodes.
fn hosts(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inside = name
            .split_once('(')
            .map_or(name.as_str(), |(_, rest)| rest.trim_end_matches(')'));
        let inside = inside.trim_matches('"');
        let address = inside.parse::<std::net::IpAddr>();
        address.map_or_else(|_| inside.to_owned(), |address| address.to_string())
    };
    let hosts: Vec<String> = presented
        .iter()
        .map(bare)
        .filter(|host| !host.contains("://"))
        .collect();
    if hosts.is_empty() {
        "none".to_owned()
    } else {
        hosts.join(", ")
    }
}

impl ServerCertVerifier for Hosts {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        dialled: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<&CertificateDer<'_>> = std::iter::once(end_entity).chain(intermediates).collect();
        let checked = self.check(&chain, dialled, now);
        checked.map_err(|why| CertificateError::Other(OtherError(Arc::new(why))))?;
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
