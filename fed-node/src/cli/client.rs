//! The connection to a node.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fed_proto::client as pb;
use fed_proto::client::federation_client::FederationClient;
use fed_proto::client::operations_client::OperationsClient;
use fed_raft::security::{Connector, NotBelieved};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use super::bearer::Bearer;
use super::exit::{Exit, Failure, Outcome};
use crate::address::Address;
use crate::explain;
use crate::talk;

/// The calls of a node.
pub type Api = FederationClient<InterceptedService<Channel, Bearer>>;

/// A client of one node.
#[derive(Clone)]
pub struct Client {
    /// The calls.
    pub api: Api,
    /// The calls about how the nodes are.
    pub operations: OperationsClient<InterceptedService<Channel, Bearer>>,
    /// The node asked.
    pub address: Address,
    /// Whether it has been said that answers are old.
    said_stale: Arc<AtomicBool>,
}

/// Longest wait for a connection.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// While an answer is waited for: silence after which the node is asked whether it is there, and how long it may take to answer. A
/// host that is gone says nothing of it.
const SILENCE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(10));
/// Largest answer: a page of 1,000 records with room to spare.
const LARGEST_ANSWER: usize = 16 << 20;

/// What to say of somebody who is not whom the command line meant.
fn not_believed(address: &Address, NotBelieved { why, another }: &NotBelieved) -> String {
    let remedy = if *another {
        "; if it is the right one, reached by another name or through a tunnel: --server-name with a host that its certificate holds"
    } else {
        ""
    };
    format!("what answers at {address} is not believed to be the node that is meant: {why}{remedy}")
}

impl Client {
    /// Connects, and shows what `bearer` has with every call.
    ///
    /// # Errors
    /// When nobody answers there, or it cannot prove that it is a node; the text says what to do.
    pub async fn connect(address: &Address, connector: Connector, bearer: Bearer) -> Outcome<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Failure::usage(format!("{address}: {error}")))?
            .connect_timeout(CONNECT_WITHIN)
            .http2_keep_alive_interval(SILENCE.0)
            .keep_alive_timeout(SILENCE.1);
        let channel = endpoint.connect_with_connector(connector).await.map_err(|error| {
            let why = std::iter::successors(std::error::Error::source(&error), |error| error.source())
                .last()
                .map_or_else(|| error.to_string(), ToString::to_string);
            match NotBelieved::behind(&error) {
                Some(why) => {
                    Failure::new(Exit::Unavailable, not_believed(address, why)).coded(explain::Code::NodeNotBelieved)
                }
                None => Failure::unreachable(address, why),
            }
        })?;
        let operations = OperationsClient::with_interceptor(channel.clone(), bearer.clone());
        let operations = operations.max_decoding_message_size(LARGEST_ANSWER);
        let api = FederationClient::with_interceptor(channel, bearer).max_decoding_message_size(LARGEST_ANSWER);
        Ok(Self {
            api,
            operations,
            address: address.clone(),
            said_stale: Arc::default(),
        })
    }

    /// A fresh answer to make a change from, or none: a change made from an old one could undo somebody else's.
    ///
    /// # Errors
    /// As the call; without a quorum the words are those of the change, which is what was asked for.
    pub async fn read_to_change<T, F>(&self, call: impl FnOnce(Api) -> F) -> Outcome<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        match call(self.api.clone()).await {
            Ok(answer) => Ok(answer.into_inner()),
            // A broken connection has its own words.
            Err(status) if status.code() == Code::Unavailable && std::error::Error::source(&status).is_none() => {
                let text = format!(
                    "no quorum at {}, nothing was changed; is a majority of the nodes up and reachable?",
                    self.address
                );
                Err(Failure::new(Exit::Unavailable, text).coded(explain::Code::NoLeader))
            }
            Err(status) => Err(Failure::of_read(status)),
        }
    }

    /// A fresh answer, or where there is no quorum what this node has, with a word on stderr.
    ///
    /// # Errors
    /// As the call.
    pub async fn read<T, F>(&self, call: impl Fn(Api, i32) -> F) -> Outcome<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        match call(self.api.clone(), pb::Consistency::Linearizable as i32).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) if status.code() == Code::Unavailable => {
                let answer = call(self.api.clone(), pb::Consistency::Local as i32).await;
                let answer = answer.map_err(Failure::of_read)?;
                // A command that asks several times says it once.
                if !self.said_stale.swap(true, Ordering::Relaxed) {
                    talk!("stale: no quorum at {}; this is what that node knew last", self.address);
                }
                Ok(answer.into_inner())
            }
            Err(status) => Err(Failure::of_read(status)),
        }
    }
}
