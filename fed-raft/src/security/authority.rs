//! The built-in authority: makes itself, and signs certificates for nodes.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SignatureAlgorithm,
};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use webpki::EndEntityCert;

use super::credentials::certificates;
use super::{CredentialsError, NodeName};
use crate::identity::ClusterId;

/// How long an authority lasts.
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Certificates are good from this long before they were made: clocks differ.
const EARLIER: Duration = Duration::from_secs(24 * 3600);

/// An authority with its key: whoever has it can be any node.
pub struct Authority {
    certificate: String,
    key: String,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// What a certificate shall say.
#[derive(Debug, Clone)]
pub struct Signing<'a> {
    /// The node.
    pub name: NodeName,
    /// Names and IP addresses of its host, for clients that compare those.
    pub hosts: &'a [String],
    /// How long it is good from now on.
    pub lifetime: Duration,
}

/// A new private key, and what is needed to have it certified; all PEM.
pub struct KeyRequest {
    /// The key; secret.
    pub key: String,
    /// What [`Authority::sign`] takes.
    pub public_key: String,
    /// What other authorities take (PKCS #10).
    pub request: String,
}

impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRequest").finish_non_exhaustive()
    }
}

fn failed(what: &'static str) -> impl Fn(rcgen::Error) -> CredentialsError {
    move |why| CredentialsError::Unreadable {
        what,
        why: why.to_string(),
    }
}

impl Authority {
    /// A new one for this cluster. Good for ten years.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn make(cluster: ClusterId) -> Result<Self, CredentialsError> {
        let key = KeyPair::generate().map_err(failed("key"))?;
        let mut params = authority_params(cluster);
        let now = SystemTime::now();
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_1970(now - EARLIER);
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_1970(now + LIFETIME);
        let certificate = params.self_signed(&key).map_err(failed("authority"))?;
        Ok(Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// That of this cluster, made before, from PEM texts.
    ///
    /// # Errors
    /// When they are no authority and its key.
    pub fn from_pem(cluster: ClusterId, certificate: &str, key: &str) -> Result<Self, CredentialsError> {
        let pair = KeyPair::from_pem(key).map_err(failed("key"))?;
        let ders = certificates(certificate, "authority")?;
        let parsed = EndEntityCert::try_from(&ders[0]).map_err(|why| CredentialsError::Unreadable {
            what: "authority",
            why: why.to_string(),
        })?;
        if parsed.subject_public_key_info().as_ref() != pair.subject_public_key_info() {
            return Err(CredentialsError::OtherKey);
        }
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            issuer: Issuer::new(authority_params(cluster), pair),
        })
    }

    /// What others believe it by.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// What must stay secret.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key
    }

    /// Certifies a public key (PEM, as [`request_key`] gives it); the authority's own certificate follows. That whoever asks has the
    /// private key is not checked: a certificate without it is of no use.
    ///
    /// # Errors
    /// When the key is of another kind, or a host no name.
    pub fn sign(&self, public_key: &str, signing: &Signing<'_>) -> Result<String, CredentialsError> {
        let public_key = NodeKey::from_pem(public_key)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = called(&format!("node {}", signing.name.node));
        params.subject_alt_names = names(signing.name, signing.hosts)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let now = SystemTime::now();
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_1970(now - EARLIER);
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_1970(now + signing.lifetime);
        let certificate = params.signed_by(&public_key, &self.issuer);
        let certificate = certificate.map_err(failed("certificate"))?;
        Ok(certificate.pem() + &self.certificate)
    }
}

/// Makes a key, and the request for a certificate that names the node and its hosts, where they are known already.
///
/// # Errors
/// When the machine gives no randomness, or a host is no name.
pub fn request_key(owner: Option<(NodeName, &[String])>) -> Result<KeyRequest, CredentialsError> {
    let key = KeyPair::generate().map_err(failed("key"))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = match owner {
        Some((name, _)) => called(&format!("node {}", name.node)),
        None => called("node"),
    };
    if let Some((name, hosts)) = owner {
        params.subject_alt_names = names(name, hosts)?;
    }
    let request = params.serialize_request(&key).map_err(failed("certificate request"))?;
    Ok(KeyRequest {
        key: key.serialize_pem(),
        public_key: key.public_key_pem(),
        request: request.pem().map_err(failed("certificate request"))?,
    })
}

fn names(name: NodeName, hosts: &[String]) -> Result<Vec<SanType>, CredentialsError> {
    let mut names = vec![SanType::URI(name.to_string().try_into().map_err(failed("name"))?)];
    for host in hosts {
        names.push(match host.parse() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(host.as_str().try_into().map_err(failed("host name"))?),
        });
    }
    Ok(names)
}

fn called(name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    called.push(DnType::CommonName, name);
    called
}

fn authority_params(cluster: ClusterId) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = called(&format!("cluster {cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A public key of the one kind that [`request_key`] makes: a point on the curve P-256.
struct NodeKey(Vec<u8>);

/// What stands before the point in the usual form of such a key.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

impl NodeKey {
    fn from_pem(text: &str) -> Result<Self, CredentialsError> {
        let unreadable = |why: String| CredentialsError::Unreadable {
            what: "public key",
            why,
        };
        let der =
            SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|why| unreadable(why.to_string()))?;
        let point = der.strip_prefix(&P256).filter(|point| point.len() == 65);
        let point = point.ok_or_else(|| unreadable("it is not of the kind P-256".to_owned()))?;
        Ok(Self(point.to_owned()))
    }
}

impl PublicKeyData for NodeKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}
