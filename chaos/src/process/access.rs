//! How the clients of a node reach it, and by what they know that it is one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Error};

/// What was read: an authority stays what it is, and the disk that it lies on may be broken on purpose later.
static READ: Mutex<BTreeMap<PathBuf, Certificate>> = Mutex::new(BTreeMap::new());

/// Where the clients of a node connect, and by what they know that it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The client API.
    pub address: SocketAddr,
    /// The authority's certificate; none: the node has none.
    pub authority: Option<PathBuf>,
}

impl Access {
    /// How to connect. As long as the authority's certificate is not there, nobody is believed.
    ///
    /// # Errors
    /// When the authority's certificate is there and is none.
    pub fn endpoint(&self) -> Result<Endpoint, Error> {
        let Some(path) = &self.authority else {
            return Endpoint::from_shared(format!("http://{}", self.address));
        };
        // Every node's certificate holds this name too: the authority signs for nodes only.
        let mut tls = ClientTlsConfig::new().domain_name("localhost");
        if let Some(certificate) = read(path) {
            tls = tls.ca_certificate(certificate);
        }
        Endpoint::from_shared(format!("https://{}", self.address))?.tls_config(tls)
    }
}

fn read(path: &Path) -> Option<Certificate> {
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(certificate) = read.get(path) {
        return Some(certificate.clone());
    }
    let certificate = Certificate::from_pem(std::fs::read(path).ok()?);
    read.insert(path.to_owned(), certificate.clone());
    Some(certificate)
}
