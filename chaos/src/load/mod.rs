//! Load for key-value clusters, ours and etcd, by the same kind of client on both sides.
//!
//! [`Store`] is what a client can do; [`fed::FedStore`] and [`etcd::EtcdStore`] do it over tonic with the same settings, the same
//! number of connections and the same sizes, [`fed_stream::FedStream`] by our stream of calls. [`drive`](fn@drive) keeps a number of clients busy, each with one call at a time, and says what came of it.

#[cfg(feature = "embedded")]
pub mod embedded;
pub mod etcd;
pub mod fed;
pub mod fed_stream;

mod drive;
mod record;
mod report;

use std::future::Future;

pub use drive::{Effort, Sample, drive};
pub use record::{KEYS, VALUE_BYTES, value};
pub use report::{Figure, Report};

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It sees every write that was acknowledged before it began.
    Linearizable,
    /// Whatever the server asked has. etcd calls it serializable.
    Local,
}

/// A client of a cluster; clones share its connection.
pub trait Store: Clone + Send + Sync + 'static {
    /// Puts a new value of [`VALUE_BYTES`] under the key; returns when it is acknowledged.
    fn put(&self, key: u64, seed: u64) -> impl Future<Output = Result<(), tonic::Status>> + Send;

    /// Puts new values under `count` keys from `first` on, in one call.
    fn put_many(&self, first: u64, count: u64, seed: u64) -> impl Future<Output = Result<(), tonic::Status>> + Send;

    /// Reads a key that must be there; its value's size is checked.
    fn get(&self, key: u64, freshness: Freshness) -> impl Future<Output = Result<(), tonic::Status>> + Send;
}

/// The settings of every connection, on both sides.
pub(crate) fn settings(endpoint: tonic::transport::Endpoint) -> tonic::transport::Endpoint {
    endpoint
        .tcp_nodelay(true)
        .connect_timeout(std::time::Duration::from_secs(1))
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(1 << 20)
}

/// How to connect to an address without TLS.
pub(crate) fn endpoint(address: std::net::SocketAddr) -> tonic::transport::Endpoint {
    let uri = format!("http://{address}");
    settings(tonic::transport::Endpoint::from_shared(uri).expect("an IP address and a port make an address"))
}
