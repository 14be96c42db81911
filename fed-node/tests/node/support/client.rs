//! The client API, as a program asks it.

use fed_proto::client::federation_client::FederationClient;
use fed_proto::client::operations_client::OperationsClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::Node;

/// The calls of a node, made with a token.
pub(crate) type Client = FederationClient<InterceptedService<Channel, Show>>;

/// Shows a token with every call.
#[derive(Clone)]
pub(crate) struct Show(MetadataValue<Ascii>);

impl Interceptor for Show {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A connection to the node's client API, with its certificate looked at.
pub(crate) async fn channel(node: &Node) -> Channel {
    endpoint(node).connect().await.unwrap()
}

/// Where and how the node's client API is connected to.
pub(crate) fn endpoint(node: &Node) -> Endpoint {
    let address = format!("127.0.0.1:{}", node.client);
    if node.plaintext {
        Endpoint::from_shared(format!("http://{address}")).unwrap()
    } else {
        let authority = Certificate::from_pem(std::fs::read(node.authority()).unwrap());
        let tls = ClientTlsConfig::new().ca_certificate(authority);
        Endpoint::from_shared(format!("https://{address}"))
            .unwrap()
            .tls_config(tls)
            .unwrap()
    }
}

/// A client of the node, with a token.
pub(crate) async fn client(node: &Node, token: &str) -> Client {
    client_over(channel(node).await, token)
}

/// The same over a connection that is there.
pub(crate) fn client_over(channel: Channel, token: &str) -> Client {
    let show = Show(format!("Bearer {token}").parse().unwrap());
    FederationClient::with_interceptor(channel, show)
}

/// The calls about how the nodes are, made with a token.
pub(crate) async fn operations(node: &Node, token: &str) -> OperationsClient<InterceptedService<Channel, Show>> {
    let show = Show(format!("Bearer {token}").parse().unwrap());
    OperationsClient::with_interceptor(channel(node).await, show)
}
