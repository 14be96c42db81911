//! Traces (feature `otel`): `cargo test --workspace --features fed-node/otel --test node -- traces::`.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use crate::support::{Federation, until};
use fed_ari::sim::{SimAsterisk, SimConfig, SimVersion};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic_prost::ProstCodec;

/// As much of OTLP as is looked at; the field numbers are those of `opentelemetry/proto/trace/v1/trace.proto`.
mod otlp {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Export {
        #[prost(message, repeated, tag = "1")]
        pub(super) resources: Vec<Resource>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Resource {
        #[prost(message, repeated, tag = "2")]
        pub(super) scopes: Vec<Scope>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Scope {
        #[prost(message, repeated, tag = "2")]
        pub(super) spans: Vec<Span>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        pub(super) parent: Vec<u8>,
        #[prost(string, tag = "5")]
        pub(super) name: String,
        #[prost(fixed64, tag = "7")]
        pub(super) from: u64,
        #[prost(fixed64, tag = "8")]
        pub(super) to: u64,
        #[prost(message, repeated, tag = "9")]
        pub(super) attributes: Vec<Attribute>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Attribute {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<Value>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Value {
        #[prost(string, tag = "1")]
        pub(super) text: String,
        #[prost(int64, tag = "3")]
        pub(super) number: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Taken {}
}

use otlp::Span;

impl Span {
    fn attribute(&self, key: &str) -> otlp::Value {
        let found = self.attributes.iter().find(|attribute| attribute.key == key);
        found.and_then(|found| found.value.clone()).unwrap_or_default()
    }

    fn node(&self) -> i64 {
        self.attribute("fed.node").number
    }
}

/// A collector that keeps what it is sent.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
}

impl NamedService for Collector {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl Service<http::Request<tonic::body::Body>> for Collector {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let taker = Taker(self.clone());
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(taker, request).await) })
    }
}

struct Taker(Collector);

impl UnaryService<otlp::Export> for Taker {
    type Response = otlp::Taken;
    type Future = BoxFuture<tonic::Response<otlp::Taken>, tonic::Status>;

    fn call(&mut self, request: tonic::Request<otlp::Export>) -> Self::Future {
        let scopes = request
            .into_inner()
            .resources
            .into_iter()
            .flat_map(|resource| resource.scopes);
        self.0
            .spans
            .lock()
            .unwrap()
            .extend(scopes.flat_map(|scope| scope.spans));
        Box::pin(async { Ok(tonic::Response::new(otlp::Taken {})) })
    }
}

impl Collector {
    /// Where it listens, until the runtime ends.
    fn serve(&self, runtime: &Runtime) -> String {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(self.clone());
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        format!("http://{address}")
    }

    /// The spans of a registration of the device at that node, once so many nodes have applied it.
    fn trace_of(&self, device: &str, node: i64, nodes: usize) -> Vec<Span> {
        until("the trace is whole", || {
            let spans = self.spans.lock().unwrap();
            let mut roots = spans.iter().filter(|span| {
                span.name == "registration" && span.node() == node && span.attribute("fed.device").text == device
            });
            let trace = &roots.next()?.trace;
            let whole: Vec<Span> = spans.iter().filter(|span| span.trace == *trace).cloned().collect();
            let applied = whole.iter().filter(|span| span.name == "apply").count();
            (applied == nodes && whole.iter().any(|span| span.name == "commit")).then_some(whole)
        })
    }
}

fn named<'s>(spans: &'s [Span], name: &'static str) -> Vec<&'s Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[test]
fn one_trace_leads_from_asterisks_event_through_the_commit_to_every_node_that_applies_it() {
    let runtime = Runtime::new().unwrap();
    let collector = Collector::default();
    let endpoint = collector.serve(&runtime);
    let asterisks: Vec<SimAsterisk> = [SimVersion::V22, SimVersion::V16]
        .map(|version| runtime.block_on(SimAsterisk::start(SimConfig::new(version))).unwrap())
        .into();
    // Of three nodes the last one sends no traces: the others' are whole without it.
    let federation = Federation::start_with(3, |index, node| {
        if let Some(asterisk) = asterisks.get(index) {
            node.flags = vec![
                format!("--asterisk-url={}", asterisk.url()),
                "--asterisk-password=secret".to_owned(),
                "--redirect-transport=udp".to_owned(),
                format!("--sip-advertise={}", asterisk.sip_address()),
            ];
            node.environment = vec![
                ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint.clone()),
                // Milliseconds between two batches; five seconds where nobody says it.
                ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "100".to_owned()),
            ];
        }
    });
    federation.nodes[2].add_user("alice", "1001").ok();
    for asterisk in &asterisks {
        until("alice can register everywhere", || asterisk.object("endpoint", "alice"));
    }

    let ids: Vec<i64> = federation.nodes[..2]
        .iter()
        .map(|node| node.json(&["status"])["node"].as_i64().unwrap())
        .collect();

    // One of the two, at least, passes what it proposes on to the leader.
    for (index, asterisk) in asterisks.iter().enumerate() {
        asterisk.register("alice", &format!("sip:alice@127.0.0.1:{}", 20_001 + index));
        let trace = collector.trace_of("alice", ids[index], 2);
        let (roots, commits, applies) = (
            named(&trace, "registration"),
            named(&trace, "commit"),
            named(&trace, "apply"),
        );
        assert_eq!((roots.len(), commits.len()), (1, 1), "{trace:#?}");
        let (root, commit) = (roots[0], commits[0]);
        assert_eq!(
            (root.node(), commit.node()),
            (ids[index], ids[index]),
            "told where she registered"
        );
        assert!(root.parent.is_empty(), "{root:?}");
        assert!(
            root.from <= commit.from && commit.from < commit.to && commit.to <= root.to,
            "{root:?} {commit:?}"
        );
        let applied: BTreeSet<i64> = applies.iter().map(|span| span.node()).collect();
        assert_eq!(applied, ids.iter().copied().collect(), "{applies:?}");
        for span in commits.iter().chain(&applies) {
            assert_eq!(span.parent, root.id, "{span:?}");
            let revision = root.attribute("fed.revision").number;
            assert_eq!(span.attribute("fed.revision").number, revision);
        }
        let own: BTreeSet<&Vec<u8>> = trace.iter().map(|span| &span.id).collect();
        assert_eq!(own.len(), trace.len(), "each span has an id of its own");
    }
    federation.hashes_agree();

    // A collector that is gone takes nothing with it.
    drop(runtime);
    let added = federation.nodes[0].add_user("bob", "1002");
    assert_eq!(added.code, 0, "{added:?}");
}
