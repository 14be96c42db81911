//! The state as openraft sees it. The work is done on blocking threads, so that a slow disk does not hold up
//! heartbeats.

use std::io;
use std::sync::Arc;

use fed_core::machine::Machine;
use futures::{FutureExt, Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};

use super::State;
use super::apply::Item;
use super::snapshot::SnapshotDir;
use crate::metrics::timed;
use crate::platform::tasks;
use crate::raft::{LogId, Membership, Payload, SnapshotMeta, StoredMembership, TypeConfig};

/// At most this much is applied in one write.
const CHUNK_ENTRIES: usize = 256;
const CHUNK_BYTES: usize = 1 << 20;

/// A handle that openraft owns.
pub(crate) struct StateMachine<M: Machine> {
    state: Arc<State<M>>,
}

type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, Arc<SnapshotDir>>;

impl<M: Machine> StateMachine<M> {
    pub(crate) fn new(state: Arc<State<M>>) -> Self {
        Self { state }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&State<M>) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let state = self.state.clone();
        tasks::blocking(move || work(&state)).await
    }
}

impl<M: Machine> RaftStateMachine<TypeConfig> for StateMachine<M> {
    type SnapshotData = Arc<SnapshotDir>;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let meta = self.state.meta.lock().clone();
        let members = match meta.members {
            Some(members) => members.membership().map_err(io::Error::other)?,
            None => Membership::default(),
        };
        let members = StoredMembership::new(meta.members_at.map(LogId::from), members);
        Ok((meta.applied.map(LogId::from), members))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        while let Some(first) = entries.next().await {
            let mut chunk: Vec<Item> = vec![first?];
            let mut bytes = size(&chunk[0]);
            while chunk.len() < CHUNK_ENTRIES && bytes < CHUNK_BYTES {
                let Some(Some(next)) = entries.next().now_or_never() else {
                    break;
                };
                let next = next?;
                bytes += size(&next);
                chunk.push(next);
            }
            self.blocking(move |state| timed(&state.metrics.apply, || state.apply(chunk)))
                .await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        Self::new(self.state.clone())
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Arc<SnapshotDir>) -> io::Result<()> {
        let index = meta.last_log_id.map_or(0, |id| id.index);
        self.blocking(move |state| timed(&state.metrics.snapshot_install, || state.install(&snapshot, index)))
            .await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        self.state.last_snapshot().map(with_meta).transpose()
    }
}

impl<M: Machine> RaftSnapshotBuilder<TypeConfig> for StateMachine<M> {
    type SnapshotData = Arc<SnapshotDir>;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let built = self
            .blocking(|state| timed(&state.metrics.snapshot_build, || state.build_snapshot()))
            .await?;
        with_meta(built)
    }
}

fn with_meta(snapshot: Arc<SnapshotDir>) -> io::Result<Snapshot> {
    Ok(Snapshot {
        meta: snapshot.manifest.meta()?,
        snapshot,
    })
}

fn size((entry, _): &Item) -> usize {
    match &entry.payload {
        Payload::Normal(batch) => batch.0.len(),
        Payload::Blank | Payload::Membership(_) => 64,
    }
}
