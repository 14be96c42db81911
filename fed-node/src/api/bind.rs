//! `Bind` and `Unbind`: registrations told by a registrar other than Asterisk, at the node beside it and for no other.

use fed_core::command::{Command, Reply};
use fed_core::ids::{ContactUri, DeviceId, NodeId};
use fed_core::map::MapView;
use fed_proto::client as pb;
use tonic::Status;

use super::caller::Caller;
use super::events::as_it_was;
use super::failure::{damaged, refused};
use super::node::NodeView;
use super::service::ApiService;
use super::write::parse;

/// A device is registered here.
pub(super) async fn bind(
    service: &ApiService,
    caller: &Caller,
    asked: pb::BindRequest,
) -> Result<pb::BindReply, Status> {
    let node = &service.0;
    let here = own(node, asked.node)?;
    let device: DeviceId = parse("device", &asked.device)?;
    let contact: ContactUri = parse("contact", &asked.contact)?;
    let snapshot = node.cluster.local();
    let session = MapView::new(&snapshot)
        .session_of(here)
        .map_err(|error| damaged(&error))?;
    let session = session.ok_or_else(|| {
        Status::unavailable(
            "this node has no open session now: what is bound here would not count; try again in a moment",
        )
    })?;
    let filled = |text: String| Some(text).filter(|text| !text.is_empty());
    let command = Command::Bind {
        device,
        contact,
        node: here,
        session,
        basis: Some(snapshot.revision()),
        user_agent: filled(asked.user_agent),
        path: filled(asked.path),
    };
    let proposed = service.propose_one(caller, command).await?;
    match proposed.reply {
        Reply::Bound { revision, superseded } => {
            let gone = superseded
                .into_iter()
                .map(|binding| as_it_was(revision, binding, false));
            Ok(pb::BindReply {
                revision: revision.0,
                superseded: gone.collect(),
            })
        }
        Reply::Refused(why) => Err(refused(&why)),
        other => Err(Status::internal(format!("a binding was answered by {other:?}"))),
    }
}

/// A device is no longer registered here.
pub(super) async fn unbind(
    service: &ApiService,
    caller: &Caller,
    asked: pb::UnbindRequest,
) -> Result<pb::WriteReply, Status> {
    let node = &service.0;
    let here = own(node, asked.node)?;
    let command = Command::Unbind {
        device: parse("device", &asked.device)?,
        contact: parse("contact", &asked.contact)?,
        node: here,
    };
    let proposed = service.propose_one(caller, command).await?;
    super::write::reply(&proposed.reply, proposed.revision.0)
}

/// The node that may be named: the one asked, where no Asterisk tells its registrations itself.
fn own(node: &NodeView, asked: u64) -> Result<NodeId, Status> {
    let here = node.cluster.id();
    if asked != 0 && asked != here.0 {
        return Err(Status::permission_denied(format!(
            "a binding is told at its own node: this is node {here}, not {asked}"
        )));
    }
    if node.has_asterisk {
        return Err(Status::failed_precondition(
            "the Asterisk beside this node tells its registrations itself: a registrar of another kind belongs beside a node without one (asterisk.enabled = false)",
        ));
    }
    Ok(here)
}
