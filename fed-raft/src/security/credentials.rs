//! What a node proves itself with, and whom it believes: certificate, key, authorities, read from PEM.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;

use super::NodeName;
use super::validity::validity;

/// Why certificates or keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The text holds nothing of that kind, or something broken.
    #[error("there is no usable {what} in it: {why}")]
    Unreadable {
        /// "certificate", "authority" or "key".
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// None of the keys is the certificate's.
    #[error("the key does not belong to the certificate: use the pair that was made together")]
    OtherKey,
    /// The certificate names no node.
    #[error(
        "the certificate does not name a node: it needs the URI fed://<cluster>/node/<node> among its subject alternative names"
    )]
    Nameless,
    /// No authority signed it, or it cannot be used here.
    #[error("the authority does not stand for the certificate: {0}")]
    NotSigned(String),
}

/// Certificate, key and authorities of one node, checked to belong together.
pub struct Credentials {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) authorities: Arc<RootCertStore>,
    pub(super) guests: Arc<dyn ClientCertVerifier>,
    name: NodeName,
    valid: (SystemTime, SystemTime),
    fingerprint: [u8; 32],
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("name", &self.name)
            .field("expires", &self.expires())
            .finish_non_exhaustive()
    }
}

/// The one set of algorithms used.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl Credentials {
    /// From PEM texts: the authorities that are believed; the node's certificate, perhaps followed by those between it and its
    /// authority; its private key. Of several keys the one that belongs to the certificate is taken.
    ///
    /// An expired certificate is taken too: whether it is any good is for the other side to say.
    ///
    /// # Errors
    /// [`CredentialsError`] saying what does not fit.
    pub fn from_pem(authorities: &str, certificate: &str, key: &str) -> Result<Self, CredentialsError> {
        let roots = certificates(authorities, "authority")?;
        let mut chain = certificates(certificate, "certificate")?;
        let unreadable = |what, why: &dyn fmt::Display| CredentialsError::Unreadable {
            what,
            why: why.to_string(),
        };
        let store = root_store(&roots)?;
        let provider = provider();
        let keys = PrivateKeyDer::pem_slice_iter(key.as_bytes()).collect::<Result<Vec<_>, _>>();
        let keys = keys.map_err(|why| unreadable("key", &why))?;
        if keys.is_empty() {
            return Err(unreadable("key", &"no PEM block of a private key"));
        }
        let name = name_in(&chain[0]).ok_or(CredentialsError::Nameless)?;
        let valid = validity(&chain[0]).ok_or_else(|| unreadable("certificate", &"it has no time of validity"))?;
        let guests = WebPkiClientVerifier::builder_with_provider(store.clone(), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|why| unreadable("authority", &why))?;
        signed(&guests, &chain, valid)?;
        // Whoever knows an authority by its hash alone has to be shown it.
        if let [root] = &roots[..]
            && !chain.contains(root)
        {
            chain.push(root.clone());
        }
        let fingerprint = Sha256::digest(&roots[0]).into();
        for key in keys {
            let key = provider.key_provider.load_private_key(key);
            let certified = CertifiedKey::new(chain.clone(), key.map_err(|why| unreadable("key", &why))?);
            if certified.keys_match().is_ok() {
                return Ok(Self {
                    certified: Arc::new(certified),
                    authorities: store,
                    guests,
                    name,
                    valid,
                    fingerprint,
                });
            }
        }
        Err(CredentialsError::OtherKey)
    }

    /// Whose they are.
    #[must_use]
    pub fn name(&self) -> NodeName {
        self.name
    }

    /// From when on the certificate is good.
    #[must_use]
    pub fn begins(&self) -> SystemTime {
        self.valid.0
    }

    /// Until when the certificate is good.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        self.valid.1
    }

    /// Whether the certificate holds this host: a name, or an IP address without brackets.
    #[must_use]
    pub fn holds(&self, host: &str) -> bool {
        let certificate = self.certified.cert.first();
        let certificate = certificate.and_then(|der| EndEntityCert::try_from(der).ok());
        let host = ServerName::try_from(host).ok();
        certificate
            .zip(host)
            .is_some_and(|(certificate, host)| certificate.verify_is_valid_for_subject_name(&host).is_ok())
    }

    /// SHA-256 of the first authority, as in [`fingerprint`].
    #[must_use]
    pub fn authority_fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}

/// SHA-256 of the first certificate of a PEM text.
///
/// # Errors
/// When there is none.
pub fn fingerprint(authority: &str) -> Result<[u8; 32], CredentialsError> {
    let found = certificates(authority, "authority")?;
    Ok(Sha256::digest(&found[0]).into())
}

/// The node that a certificate (DER) names; `None` when it names none, or several.
#[must_use]
pub fn name_in(certificate: &[u8]) -> Option<NodeName> {
    let certificate = CertificateDer::from(certificate);
    let certificate = EndEntityCert::try_from(&certificate).ok()?;
    let mut nodes = certificate
        .valid_uri_names()
        .filter_map(|uri| uri.parse::<NodeName>().ok());
    let first = nodes.next()?;
    nodes.next().is_none().then_some(first)
}

/// The node that the first certificate of a PEM text names.
#[must_use]
pub fn name_in_pem(text: &str) -> Option<NodeName> {
    name_in(certificates(text, "certificate").ok()?.first()?)
}

/// The certificates of a PEM text; at least one.
pub(super) fn certificates(text: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let found = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|why| CredentialsError::Unreadable {
        what,
        why: why.to_string(),
    })?;
    if found.is_empty() {
        let why = "no PEM block of a certificate".to_owned();
        return Err(CredentialsError::Unreadable { what, why });
    }
    Ok(found)
}

pub(super) fn root_store(roots: &[CertificateDer<'static>]) -> Result<Arc<RootCertStore>, CredentialsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        let added = store.add(root.clone());
        added.map_err(|why| CredentialsError::Unreadable {
            what: "authority",
            why: why.to_string(),
        })?;
    }
    Ok(Arc::new(store))
}

/// Whether one of the authorities signed it, at a time when it was good.
fn signed(
    guests: &Arc<dyn ClientCertVerifier>,
    chain: &[CertificateDer<'static>],
    valid: (SystemTime, SystemTime),
) -> Result<(), CredentialsError> {
    let now = SystemTime::now().clamp(valid.0, valid.1.max(valid.0));
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = rustls::pki_types::UnixTime::since_unix_epoch(now);
    let verified = guests.verify_client_cert(&chain[0], &chain[1..], now);
    verified
        .map(drop)
        .map_err(|why| CredentialsError::NotSigned(why.to_string()))
}
