//! Changes on their way from the API into the log: digests are kept or sealed, and the change gets its caller's name.

use fed_core::command::{Command, Expect};
use fed_core::map::MapView;
use fed_core::records::setting;
use fed_proto::client as pb;
use tonic::Status;

use super::caller::Caller;
use super::failure::damaged;
use super::service::{ApiService, missing};
use crate::security;

/// What a node without the federation's key answers to a secret: in clear text it would lie on every disk.
const NO_KEY: &str = "this node does not have the key that the federation seals its secrets with (security/cluster.key in its data folder), \
     so it takes no password and no secret; nothing was changed: ask another node, and put that node's cluster.key here, readable by fed-node \
     alone, or let this node join anew";

impl ApiService {
    /// The commands with every secret sealed; one that keeps the digest it has gets it from the map. Each by itself: what is wrong with
    /// one does not concern the others.
    pub(super) async fn sealed(&self, commands: Vec<Command>) -> Result<Vec<Result<Command, Status>>, Status> {
        self.0.vault.settled().await;
        // Whoever keeps a digest must see the newest; else the map is only asked what is sealed already.
        let consistency = if commands.iter().any(keeps_digest) {
            pb::Consistency::Linearizable
        } else {
            pb::Consistency::Local
        };
        let (snapshot, _) = self.snapshot(consistency as i32).await?;
        let view = MapView::new(&snapshot);
        let agreed = view
            .setting(setting::SEAL_KEY)
            .map_err(|error| damaged(&error))?
            .is_some();
        let cannot_seal = agreed && self.0.vault.sealing_key().is_none();
        let sealed = commands.into_iter().map(|mut command| {
            keep_digest(&mut command, &view)?;
            if cannot_seal && security::carries_secret(&command) {
                return Err(Status::failed_precondition(NO_KEY));
            }
            Ok(self.0.vault.seal(command, &view))
        });
        Ok(sealed.collect())
    }

    /// The command in the caller's name, so that it comes into the audit log; without it while some members do not know such commands.
    pub(super) fn named(&self, caller: &Caller, command: Command) -> Command {
        if !self.0.vault.names_changes() {
            return command;
        }
        Command::By {
            origin: security::origin(caller.who.clone(), self.0.cluster.id()),
            command: Box::new(command),
        }
    }
}

fn keeps_digest(command: &Command) -> bool {
    matches!(command, Command::PutDevice { device, .. } if device.credentials.md5_ha1.is_empty())
}

/// Gives a device without a digest the one that it has. The change then holds for the device as it was read: another password
/// that came meanwhile is not undone.
fn keep_digest(command: &mut Command, view: &MapView<'_>) -> Result<(), Status> {
    if !keeps_digest(command) {
        return Ok(());
    }
    let Command::PutDevice { device, expect } = command else {
        return Ok(());
    };
    let there = view.device(&device.id).map_err(|error| damaged(&error))?;
    let there = match (there, &expect) {
        (Some(there), _) => there,
        (None, Expect::Any | Expect::Absent) => {
            return Err(Status::invalid_argument(format!(
                "md5_ha1 of device {}: a new device needs one, 32 lower-case hex digits: MD5(device:realm:password)",
                device.id
            )));
        }
        (None, Expect::Revision(_)) => return Err(missing("device", device.id.as_str())),
    };
    device.credentials = there.value.credentials;
    if *expect == Expect::Any {
        *expect = Expect::Revision(there.modified);
    }
    Ok(())
}
