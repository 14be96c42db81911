//! The node binary of Federated Asterisk.
fn main() {}
