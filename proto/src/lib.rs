//! The federation's protocols: the .proto files and their Rust code.
//!
//! Each module is one file of `proto/`, compiled by `build.rs`; what the messages mean is said there.

/// The .proto files as a `google.protobuf.FileDescriptorSet`: tests walk every call there is.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// What the nodes of one cluster say to each other (`proto/peer.proto`); spoken by fed-raft only.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used, clippy::pedantic)]
pub mod peer {
    tonic::include_proto!("federated.peer.v1");
}

/// How a node joins (`proto/security.proto`).
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used, clippy::pedantic)]
pub mod security {
    tonic::include_proto!("federated.security.v1");
}

/// What clients ask any node (`proto/federation.proto`); the command line is one of them.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used, clippy::pedantic)]
pub mod client {
    tonic::include_proto!("federated.client.v1");
}
