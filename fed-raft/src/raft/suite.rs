//! openraft's own suite for stores, on the real ones (with the feature `simulation`: on the simulated ones): prompt, and
//! with syncs that are late.

use std::time::Duration;

use fed_core::ids::{NodeId, Revision, SessionId};
use fed_core::kv::{ReadStore, StoreError, WriteStore};
use fed_core::machine::Machine;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use std::sync::Arc;
use tempfile::TempDir;

use super::TypeConfig;
use crate::identity::{ClusterId, Identity};
use crate::log::LogStore;
use crate::metrics::Metrics;
use crate::state::{self, State, StateMachine};

/// The suite has entries without commands only.
struct Idle;

impl Machine for Idle {
    type Command = ();
    type Reply = ();
    type Event = ();

    fn apply(&self, _: Revision, (): (), _: &mut dyn WriteStore, _: &mut Vec<()>) -> Result<(), StoreError> {
        Ok(())
    }

    fn forgotten(&self) {}

    fn open_sessions(&self, _: &dyn ReadStore) -> Result<Vec<SessionId>, StoreError> {
        Ok(Vec::new())
    }

    fn end_session(&self, _: SessionId) {}
}

struct Stores {
    delay: Duration,
}

impl StoreBuilder<TypeConfig, LogStore, StateMachine<Idle>, TempDir> for Stores {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine<Idle>), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().expect("a folder");
        let identity = Identity {
            cluster: ClusterId(1),
            node: NodeId(0),
            incarnation: 1,
            founder: true,
            seeds: Vec::new(),
        };
        let log = folder.path().join("log");
        LogStore::create(&log, &identity).expect("a new log");
        state::create(folder.path(), &identity).expect("a new state");
        let on_failure = Arc::new(|why: String| panic!("{why}"));
        let log = LogStore::open(&log, &identity, self.delay, on_failure, &Metrics::new()).expect("opens");
        let state = State::open(folder.path(), &identity, Idle, 16, Arc::new(Metrics::new())).expect("opens");
        Ok((folder, log, StateMachine::new(state)))
    }
}

#[cfg_attr(
    not(feature = "simulation"),
    tokio::test(flavor = "multi_thread", worker_threads = 2)
)]
#[cfg_attr(feature = "simulation", tokio::test)]
async fn the_stores_pass_the_suite_of_openraft() {
    let stores = Stores { delay: Duration::ZERO };
    Suite::test_all(stores).await.expect("passes");
}

#[cfg_attr(
    not(feature = "simulation"),
    tokio::test(flavor = "multi_thread", worker_threads = 2)
)]
#[cfg_attr(feature = "simulation", tokio::test)]
async fn the_stores_pass_the_suite_when_syncs_are_late() {
    const { assert!(cfg!(feature = "testing"), "the delay needs the feature") };
    let stores = Stores {
        delay: Duration::from_millis(15),
    };
    Suite::test_all(stores).await.expect("passes");
}
