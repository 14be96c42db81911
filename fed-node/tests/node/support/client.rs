//! The client API, as a program asks it.

use fed_proto::client::federation_client::FederationClient;
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
    let address = format!("127.0.0.1:{}", node.client);
    let endpoint = if node.plaintext {
        Endpoint::from_shared(format!("http://{address}")).unwrap()
    } else {
        let authority = Certificate::from_pem(std::fs::read(node.authority()).unwrap());
        let tls = ClientTlsConfig::new().ca_certificate(authority);
        Endpoint::from_shared(format!("https://{address}"))
            .unwrap()
            .tls_config(tls)
            .unwrap()
    };
    endpoint.connect().await.unwrap()
}

/// A client of the node, with a token.
pub(crate) async fn client(node: &Node, token: &str) -> Client {
    let show = Show(format!("Bearer {token}").parse().unwrap());
    FederationClient::with_interceptor(channel(node).await, show)
}
