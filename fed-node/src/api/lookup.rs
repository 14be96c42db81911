//! Reading for the calls of the API: from which state, which page of it, and what is not there.

use std::time::Duration;

use fed_core::ids::InvalidId;
use fed_core::kv::StoreError;
use fed_core::map::MapView;
use fed_proto::client as pb;
use fed_raft::{Consistency, Snapshot};
use tonic::{Response, Status};

use super::caller::Caller;
use super::failure::{damaged, not_read};
use super::read::{PAGE, Reader};
use super::rules;
use super::service::ApiService;
use super::write;

/// Longest wait for a read to be confirmed by a majority.
const READ_WITHIN: Duration = Duration::from_secs(2);

impl ApiService {
    /// The state to answer from, and how fresh it is.
    pub(super) async fn snapshot(&self, consistency: i32) -> Result<(Snapshot, pb::Freshness), Status> {
        let local = consistency == pb::Consistency::Local as i32;
        let snapshot = if local {
            self.0.cluster.local()
        } else {
            let read = self.0.cluster.read(Consistency::Linearizable, READ_WITHIN).await;
            read.map_err(|error| not_read(&error))?
        };
        let freshness = freshness(&snapshot);
        Ok((snapshot, freshness))
    }

    /// Reads one snapshot.
    pub(super) async fn read<T>(
        &self,
        consistency: i32,
        with_credentials: bool,
        read: impl FnOnce(&Reader<'_>) -> Result<T, StoreError>,
    ) -> Result<T, Status> {
        let (snapshot, freshness) = self.snapshot(consistency).await?;
        let key = self.0.vault.key();
        let reader = Reader {
            view: MapView::new(&snapshot).with_key(key.as_deref()),
            freshness,
            with_credentials,
        };
        read(&reader).map_err(|error| damaged(&error))
    }

    /// Checks that the caller may see digests, where they were asked for; that they were is noted in the audit log.
    pub(super) fn may_see(&self, caller: &Caller, with_credentials: bool) -> Result<(), Status> {
        if with_credentials {
            caller.needs(rules::CREDENTIALS, "reading digests")?;
            self.0.door.read_digests(&caller.who);
        }
        Ok(())
    }

    /// Refuses a revision that the map has not reached. One that this node has not reached may have been seen at another.
    pub(super) async fn has_reached(&self, revision: u64) -> Result<(), Status> {
        let here = self.0.cluster.local().revision().0;
        if revision <= here {
            return Ok(());
        }
        let fresh = self.snapshot(pb::Consistency::Linearizable as i32).await.map_err(|_| {
            Status::unavailable(format!(
                "this node is at revision {here} and has no quorum to tell whether there is a revision {revision}: watch after {here}, or at another node"
            ))
        })?;
        let now = fresh.1.revision;
        if revision <= now {
            return Ok(());
        }
        Err(Status::out_of_range(format!(
            "revision {revision} lies ahead: the map is at revision {now}; watch after that one, or without a revision from now on"
        )))
    }
}

/// How fresh a snapshot is.
pub(super) fn freshness(snapshot: &Snapshot) -> pb::Freshness {
    pb::Freshness {
        revision: snapshot.revision().0,
        stale: snapshot.stale(),
        age_ms: u64::try_from(snapshot.age().as_millis()).unwrap_or(u64::MAX),
    }
}

/// There is no such object.
pub(super) fn missing(what: &str, id: &str) -> Status {
    Status::not_found(format!(
        "{what} {} does not exist: check the spelling, or list what there is",
        id.escape_debug()
    ))
}

/// What was found, or that there is no such object.
pub(super) fn found<T>(what: &str, id: &str, record: Option<T>) -> Result<Response<T>, Status> {
    record.map(Response::new).ok_or_else(|| missing(what, id))
}

/// How many records a page holds, when so many were asked for.
pub(super) fn page(limit: u32) -> usize {
    if limit == 0 { PAGE } else { (limit as usize).min(PAGE) }
}

/// The id after which a page begins; none: at the first.
pub(super) fn after<T: std::str::FromStr<Err = InvalidId>>(what: &str, after: &str) -> Result<Option<T>, Status> {
    if after.is_empty() {
        Ok(None)
    } else {
        Ok(Some(write::parse(what, after)?))
    }
}
