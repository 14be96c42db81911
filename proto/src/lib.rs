//! The federation's protocols: the .proto files and their Rust code.
