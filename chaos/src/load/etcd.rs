//! Their side: etcd's key-value API.

use bytes::Bytes;
use tonic::Status;
use tonic::transport::Channel;

use super::{Freshness, Store, VALUE_BYTES, endpoint, value};

/// The part of etcd's API that is spoken here (`proto/etcd.proto`).
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used, clippy::pedantic)]
pub mod api {
    tonic::include_proto!("etcdserverpb");
}

use api::kv_client::KvClient;

/// A client of one member, by unary calls.
#[derive(Debug, Clone)]
pub struct EtcdStore {
    client: KvClient<Channel>,
}

impl EtcdStore {
    /// A client on a new connection.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(address: std::net::SocketAddr) -> Result<Self, tonic::transport::Error> {
        let channel = endpoint(address).connect().await?;
        Ok(Self {
            client: KvClient::new(channel),
        })
    }
}

fn name(key: u64) -> Bytes {
    Bytes::from(format!("u{key:07}"))
}

fn put_request(key: u64, seed: u64) -> api::PutRequest {
    api::PutRequest {
        key: name(key),
        value: Bytes::from(value(seed, VALUE_BYTES)),
    }
}

impl Store for EtcdStore {
    async fn put(&self, key: u64, seed: u64) -> Result<(), Status> {
        let mut client = self.client.clone();
        client.put(put_request(key, seed)).await.map(drop)
    }

    async fn put_many(&self, first: u64, count: u64, seed: u64) -> Result<(), Status> {
        use api::request_op::Request;
        let mut client = self.client.clone();
        let success = (0..count).map(|n| api::RequestOp {
            request: Some(Request::RequestPut(put_request(first + n, seed + n))),
        });
        let request = api::TxnRequest {
            success: success.collect(),
        };
        client.txn(request).await.map(drop)
    }

    async fn get(&self, key: u64, freshness: Freshness) -> Result<(), Status> {
        let mut client = self.client.clone();
        let request = api::RangeRequest {
            key: name(key),
            serializable: freshness == Freshness::Local,
        };
        let found = client.range(request).await?.into_inner();
        let whole = found.kvs.first().is_some_and(|kv| kv.value.len() == VALUE_BYTES);
        whole
            .then_some(())
            .ok_or_else(|| Status::data_loss("a key came back without what was written"))
    }
}
