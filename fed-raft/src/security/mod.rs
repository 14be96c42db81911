//! Who is who on the wire: certificates that name a cluster and a node, an authority that signs them, and listeners and
//! connections that check them.
//!
//! A node proves itself with a certificate that holds the URI `fed://<cluster>/node/<node>` ([`NodeName`]), signed by an authority
//! that all nodes trust: the built-in [`Authority`], or one of the embedding program's own. Certificates are looked up at each
//! handshake in a [`Keyring`], so a new one is used from the next connection on and no stream is dropped for it.
//!
//! The same [`Door`] that fed-raft listens with for the peers is there for the program's own services.

mod authority;
mod connection;
mod connector;
mod credentials;
mod door;
mod guests;
mod keyring;
mod name;
mod network;
mod trust;
mod validity;

pub use authority::{Authority, KeyRequest, Signing, request_key};
pub use connection::{Caller, Connection, Visit};
pub use connector::{Connector, Outgoing};
pub use credentials::{Credentials, CredentialsError, fingerprint, name_in, name_in_pem};
pub use door::{Door, Gone, Limits};
pub use keyring::Keyring;
pub use name::{BadName, NodeName};
pub use network::network_of;
pub use trust::{NotBelieved, Trust};

/// How the connections between the nodes are protected.
#[derive(Debug, Clone, Default)]
pub enum Security {
    /// Not at all: everybody who reaches the address can read and write everything. For loopback.
    #[default]
    Plaintext,
    /// TLS 1.3, both sides with a certificate; each call is checked against the certificate of the connection it comes over.
    Tls(Keyring),
}
