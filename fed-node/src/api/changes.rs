//! Changes on their way from the API into the log: digests are kept or sealed, and the change gets its caller's name.

use data_encoding::HEXLOWER;
use fed_core::command::{Command, Expect, Reply};
use fed_core::map::MapView;
use fed_core::records::setting;
use fed_proto::client as pb;
use fed_raft::Proposed;
use tonic::{Response, Status};

use super::caller::Caller;
use super::failure::{damaged, not_proposed, refused_together};
use super::lookup::missing;
use super::service::ApiService;
use super::{reserved, rules, would, write};
use crate::security::{self, SameDigest};

/// So many changes in one call count as a further call against what a client may make.
const CHANGES_PER_CALL: usize = 16;

/// What a node without the federation's key answers to a secret: in clear text it would lie on every disk.
const NO_KEY: &str = "this node does not have the key that the federation seals its secrets with (security/cluster.key in its data folder), \
     so it takes no password and no secret; nothing was changed: ask another node, and put that node's cluster.key here, readable by fed-node \
     alone, or let this node join anew";

impl ApiService {
    /// Changes the map in the caller's name.
    pub(super) async fn propose(&self, caller: &Caller, command: Command) -> Result<Response<pb::WriteReply>, Status> {
        let sealed = self.sealed(caller, vec![command]).await?;
        let command = sealed
            .into_iter()
            .next()
            .ok_or_else(|| Status::internal("a change was lost"))??;
        let proposed = self.propose_one(caller, command).await?;
        write::reply(&proposed.reply, proposed.revision.0).map(Response::new)
    }

    /// Changes the map several times in the caller's name: each by itself, or all or nothing, or only as if.
    pub(super) async fn write_many(
        &self,
        caller: &Caller,
        asked: pb::WriteManyRequest,
    ) -> Result<pb::WriteManyReply, Status> {
        if asked.changes.len() > write::MOST_CHANGES {
            let text = format!(
                "{} changes in one call, at most {} are allowed",
                asked.changes.len(),
                write::MOST_CHANGES
            );
            return Err(Status::invalid_argument(text));
        }
        caller.spends(u32::try_from(asked.changes.len() / CHANGES_PER_CALL).unwrap_or(u32::MAX))?;
        for change in &asked.changes {
            caller.needs(rules::of_change(change), "one of these changes")?;
        }
        let mut commands = asked
            .changes
            .into_iter()
            .map(write::command)
            .collect::<Result<Vec<_>, _>>()?;
        if commands.is_empty() {
            return Ok(pb::WriteManyReply::default());
        }
        if asked.dry_run && !caller.role.holds(rules::CREDENTIALS) {
            commands.iter_mut().for_each(with_another_digest);
        }
        let sealed = self.sealed(caller, commands).await?.into_iter();
        if asked.dry_run {
            let (snapshot, _) = self.snapshot(pb::Consistency::Linearizable as i32).await?;
            let commands = sealed.collect::<Result<Vec<_>, _>>()?;
            let would = would::would(&snapshot, write::together(commands))?;
            return Ok(pb::WriteManyReply {
                would: Some(would),
                ..pb::WriteManyReply::default()
            });
        }
        if asked.all_or_nothing {
            let commands = sealed.collect::<Result<Vec<_>, _>>()?;
            let count = commands.len();
            let proposed = self.propose_one(caller, write::together(commands)).await?;
            if let Reply::Refused(refusal) = &proposed.reply {
                return Err(refused_together(refusal));
            }
            let result = pb::WriteResult {
                revision: proposed.revision.0,
                refusal: String::new(),
            };
            return Ok(pb::WriteManyReply {
                results: vec![result; count],
                would: None,
            });
        }
        // What cannot be proposed has its answer already; the others keep their order.
        let mut results = Vec::new();
        let mut commands = Vec::new();
        for command in sealed {
            match command {
                Ok(command) => {
                    results.push(None);
                    commands.push(command);
                }
                Err(status) => results.push(Some(pb::WriteResult {
                    revision: 0,
                    refusal: status.message().to_owned(),
                })),
            }
        }
        let proposed = self.propose_named(caller, commands).await;
        let mut proposed = proposed.map_err(|error| not_proposed(&error))?.into_iter();
        let results = results.into_iter().filter_map(|known| {
            known.or_else(|| proposed.next().map(|done| write::result(&done.reply, done.revision.0)))
        });
        Ok(pb::WriteManyReply {
            results: results.collect(),
            would: None,
        })
    }

    /// The commands with every secret sealed; one that keeps the digest it has gets it from the map, one that would give somebody a name
    /// of the dialplan's is refused. Each by itself: what is wrong with one does not concern the others. To a caller who may not read digests a right one is as good a change as a wrong one.
    pub(super) async fn sealed(
        &self,
        caller: &Caller,
        commands: Vec<Command>,
    ) -> Result<Vec<Result<Command, Status>>, Status> {
        self.0.vault.settled().await;
        // Whoever keeps a digest, or a name, must see the newest; else the map is only asked what is sealed already.
        let keeps = |command: &Command| keeps_digest(command) || reserved::concerns(command);
        let consistency = if commands.iter().any(keeps) {
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
        let same = if caller.role.holds(rules::CREDENTIALS) {
            SameDigest::Stays
        } else {
            SameDigest::IsSealedAnew
        };
        let cannot_seal = agreed && self.0.vault.sealing_key().is_none();
        let sealed = commands.into_iter().map(|mut command| {
            reserved::check(&command, &view)?;
            keep_digest(&mut command, &view)?;
            if cannot_seal && security::carries_secret(&command) {
                return Err(Status::failed_precondition(NO_KEY));
            }
            Ok(self.0.vault.seal(command, &view, same))
        });
        Ok(sealed.collect())
    }

    /// Has one command done in the caller's name, whatever the map says to it.
    pub(super) async fn propose_one(&self, caller: &Caller, command: Command) -> Result<Proposed<Reply>, Status> {
        let done = self.propose_named(caller, vec![command]).await;
        let done = done.map_err(|error| not_proposed(&error))?.pop();
        done.ok_or_else(|| Status::internal("a change was lost"))
    }

    /// The command in the caller's name, so that it comes into the audit log; without it while some members do not know such commands.
    pub(super) fn named(&self, caller: &Caller, command: Command) -> Command {
        security::in_the_name_of(caller.who.clone(), &self.0.cluster, &self.0.vault, command)
    }
}

fn keeps_digest(command: &Command) -> bool {
    matches!(command, Command::PutDevice { device, .. } if device.credentials.md5_ha1.is_empty())
}

/// Puts another digest in the place of the one given. What is only tried tells nothing of the one that is there then: whether it was
/// guessed would be worth as many tries as somebody likes, without a trace.
fn with_another_digest(command: &mut Command) {
    if let Command::PutDevice { device, .. } = command
        && !device.credentials.md5_ha1.is_empty()
    {
        device.credentials.md5_ha1 = HEXLOWER.encode(&rand::random::<[u8; 16]>());
    }
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
