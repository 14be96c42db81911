//! This node's record in the map: its name and addresses, and what its Asterisk is.

use std::time::Duration;

use fed_ari::port::{MapEvent, MapPort};
use fed_core::command::{Command, Expect, Refusal, Reply};
use fed_core::event::Change;
use fed_core::kv::StoreError;
use fed_core::records::{Node, NodeState};
use fed_raft::Member;
use tokio::sync::watch;

/// What only the Asterisk can tell; `None` before it has told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) version: Option<String>,
    pub(super) capabilities: Vec<String>,
}

/// Pause before another try.
const PAUSE: Duration = Duration::from_millis(300);

/// Pause before looking whether a name has become free.
const TAKEN: Duration = Duration::from_secs(5);

/// What became of an attempt to write the record.
#[derive(PartialEq, Eq)]
enum Written {
    Yes,
    NotYet,
    /// Another node has the name.
    NameTaken,
}

/// Keeps the record, except while the node is leaving; a node that was not let go has its record back at once.
pub(super) async fn keep_while_staying(
    port: &dyn MapPort,
    wanted: &Node,
    told: &watch::Receiver<Told>,
    mut leaving: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = keep(port, wanted.clone(), told.clone()) => return,
            left = leaving.wait_for(|leaving| *leaving) => if left.is_err() { return },
        }
        if leaving.wait_for(|leaving| !leaving).await.is_err() {
            return;
        }
    }
}

/// Keeps the record as it should be until dropped: after a start, a change of configuration, an upgrade of Asterisk.
async fn keep(port: &dyn MapPort, wanted: Node, mut told: watch::Receiver<Told>) {
    let mut watch = port.watch(port.applied());
    let mut complained = false;
    loop {
        let asterisk = told.borrow_and_update().clone();
        match put(port, &wanted, asterisk).await {
            Ok(Written::Yes) => complained = false,
            Ok(Written::NotYet) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Ok(Written::NameTaken) => {
                if !complained {
                    tracing::error!(
                        name = wanted.name,
                        "another node has this name, so this one is without a record and is sent no calls: give it its own with node.name and start it again, or take the other out with `fed-node leave`"
                    );
                }
                complained = true;
                tokio::time::sleep(TAKEN).await;
                continue;
            }
            Err(error) => return tracing::error!(%error, "the map cannot be read"),
        }
        loop {
            tokio::select! {
                changed = told.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    break;
                }
                event = watch.next() => match event {
                    MapEvent::Changes { changes, .. } => {
                        let mine = |change: &Change| {
                            matches!(change, Change::NodePut { id } | Change::NodeDeleted { id } if *id == wanted.id)
                        };
                        if changes.iter().any(mine) {
                            break;
                        }
                    }
                    MapEvent::Compacted => {
                        watch = port.watch(port.applied());
                        break;
                    }
                    MapEvent::Stopped => return,
                },
            }
        }
    }
}

/// Warns where the members know this node at another address than the configuration says. fed-raft tells them by itself.
pub(super) fn warn_of_another_address(members: &[Member], wanted: &Node) {
    let known = members.iter().find(|member| member.id == wanted.id);
    if let Some(known) = known.filter(|known| known.address != wanted.peer_address) {
        tracing::warn!(
            known = known.address,
            now = wanted.peer_address,
            "the other nodes know this one at another address: they are told as soon as there is a leader, and do not find it until then"
        );
    }
}

/// Writes the record unless it is right already.
async fn put(port: &dyn MapPort, wanted: &Node, told: Told) -> Result<Written, StoreError> {
    let snapshot = port.local();
    let there = snapshot.view().node(wanted.id)?;
    let mut node = wanted.clone();
    if told.version.is_some() {
        node.asterisk_version = told.version;
        node.capabilities = told.capabilities;
    } else if let Some(there) = &there {
        node.asterisk_version = there.value.asterisk_version.clone();
        node.capabilities = there.value.capabilities.clone();
    }
    // Draining is the administrator's decision, not this node's.
    node.state = there.as_ref().map_or(NodeState::Up, |there| there.value.state);
    if there.as_ref().is_some_and(|there| there.value == node) {
        return Ok(Written::Yes);
    }
    let expect = there.map_or(Expect::Absent, |there| Expect::Revision(there.modified));
    match port
        .propose(Command::PutNode { node, expect })
        .await
        .map(|proposed| proposed.reply)
    {
        Ok(Reply::Refused(Refusal::InUse { .. })) => Ok(Written::NameTaken),
        Ok(Reply::Refused(why)) => {
            tracing::debug!(%why, "this node's record was not written");
            Ok(Written::NotYet)
        }
        Ok(_) => Ok(Written::Yes),
        Err(error) => {
            tracing::debug!(%error, "this node's record was not written");
            Ok(Written::NotYet)
        }
    }
}
