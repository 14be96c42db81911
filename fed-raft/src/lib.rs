//! An embedded Raft cluster library: a replicated state machine on RocksDB, with reads, watch and sessions.
