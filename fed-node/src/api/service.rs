//! The calls of the client API.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fed_core::audit::Actor;
use fed_core::command::{Command, Reply};
use fed_core::ids::{DeviceId, NodeId, TokenId, UserId};
use fed_core::kv::StoreError;
use fed_core::map::{FederationMap, MapView};
use fed_core::route::{self, route};
use fed_proto::client as pb;
use fed_proto::client::federation_server::Federation;
use fed_raft::{Cluster, Consistency, Snapshot};
use tonic::{Request, Response, Status, Streaming};

use super::caller::Caller;
use super::door::Door;
use super::failure::{damaged, not_changed, not_proposed, not_read, refused_together};
use super::read::{PAGE, Reader};
use super::{
    audit, backup, bind, drift, invitation, members, pipeline, plan, rules, status, tokens, watch, would, write,
};
use crate::backup::Source;
use crate::config::RaftConfig;
use crate::diary::Diary;
use crate::security::Vault;

/// Longest wait for a read to be confirmed by a majority.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// So many changes in one call count as a further call against what a client may make.
const CHANGES_PER_CALL: usize = 16;

type Answer<T> = Result<Response<T>, Status>;

/// What the API shows of the Asterisk beside this node.
#[async_trait]
pub trait AsteriskSide: Send + Sync + 'static {
    /// How it is.
    fn status(&self) -> pb::AsteriskStatus;

    /// Compares the map with it; see `Drift` in the protocol.
    ///
    /// # Errors
    /// In words, with the remedy, when it cannot be asked.
    async fn drift(&self) -> Result<Drift, String>;
}

/// What a comparison found.
#[derive(Debug, Clone, Default)]
pub struct Drift {
    /// How much was compared.
    pub compared: u64,
    /// What differs.
    pub differences: Vec<pb::Difference>,
}

/// How a node is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removal {
    /// Although the rest has no majority up.
    pub lose_quorum: bool,
    /// Although the node runs: it is cut off.
    pub cut_off: bool,
    /// Only when the members are still those that this log entry named.
    pub if_members_at: Option<u64>,
}

/// Takes nodes out of the federation.
#[async_trait]
pub trait Leave: Send + Sync + 'static {
    /// Removes a node from the map and the cluster for whoever asked; this one stops serving
    /// afterwards. The revision of the map without it.
    ///
    /// # Errors
    /// The status to answer.
    async fn remove(&self, who: Actor, node: NodeId, how: Removal) -> Result<u64, Status>;
}

/// What the API needs of its node.
pub struct NodeView {
    /// The cluster.
    pub cluster: Cluster<FederationMap>,
    /// This node's name.
    pub name: String,
    /// Its Asterisk.
    pub asterisk: Arc<dyn AsteriskSide>,
    /// Whether there is one, which tells its registrations itself.
    pub has_asterisk: bool,
    /// Where its certificate comes from; none where nothing is encrypted.
    pub(crate) certificates: Option<crate::security::Source>,
    /// How nodes leave.
    pub leave: Arc<dyn Leave>,
    /// Who comes in.
    pub door: Arc<Door>,
    /// The key of the secrets in the map.
    pub vault: Arc<Vault>,
    /// What it saw happen.
    pub diary: Arc<Diary>,
    /// Its data folder, whose disk can be measured.
    pub data_dir: PathBuf,
    /// The times that a disk has to keep up with.
    pub raft: RaftConfig,
    /// What backups are made of.
    pub backups: Source,
    /// When it started.
    pub started: Instant,
    /// Ends watches when the node stops.
    pub stop: tokio_util::sync::CancellationToken,
}

/// The service; one for all connections.
#[derive(Clone)]
pub struct ApiService(pub(super) Arc<NodeView>);

impl ApiService {
    /// A service for this node.
    #[must_use]
    pub fn new(node: NodeView) -> Self {
        Self(Arc::new(node))
    }

    /// Has what the programs of other members ask answered from now on.
    pub fn answer_members(&self) {
        drift::answer_members(&self.0);
    }

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
    async fn read<T>(
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

    /// Refuses a revision that the map has not reached. One that this node has not reached may have been seen at another.
    async fn has_reached(&self, revision: u64) -> Result<(), Status> {
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

    /// Changes the map in the caller's name.
    async fn propose(&self, caller: &Caller, command: Command) -> Answer<pb::WriteReply> {
        let sealed = self.sealed(vec![command]).await?;
        let command = sealed
            .into_iter()
            .next()
            .ok_or_else(|| Status::internal("a change was lost"))??;
        let proposed = self.0.cluster.propose(self.named(caller, command)).await;
        let proposed = proposed.map_err(|error| not_proposed(&error))?;
        write::reply(&proposed.reply, proposed.revision.0).map(Response::new)
    }
}

/// Checks that the caller may see digests, where they were asked for.
pub(super) fn may_see(caller: &Caller, with_credentials: bool) -> Result<(), Status> {
    if with_credentials {
        caller.needs(rules::CREDENTIALS, "reading digests")?;
    }
    Ok(())
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

fn found<T>(what: &str, id: &str, record: Option<T>) -> Answer<T> {
    record.map(Response::new).ok_or_else(|| missing(what, id))
}

fn page(limit: u32) -> usize {
    if limit == 0 { PAGE } else { (limit as usize).min(PAGE) }
}

fn after<T: std::str::FromStr<Err = fed_core::ids::InvalidId>>(what: &str, after: &str) -> Result<Option<T>, Status> {
    if after.is_empty() {
        Ok(None)
    } else {
        Ok(Some(write::parse(what, after)?))
    }
}

#[tonic::async_trait]
impl Federation for ApiService {
    type WatchStream = watch::Stream;
    type PipelineStream = pipeline::Stream;
    type BackupStream = backup::Stream;

    async fn status(&self, _: Request<pb::StatusRequest>) -> Answer<pb::StatusReply> {
        status::status(&self.0)
            .await
            .map(Response::new)
            .map_err(|error| damaged(&error))
    }

    async fn get_user(&self, request: Request<pb::GetRequest>) -> Answer<pb::UserRecord> {
        let asked = request.into_inner();
        let id: UserId = write::parse("user", &asked.id)?;
        let record = self.read(asked.consistency, false, |reader| reader.user(&id)).await?;
        found("user", &asked.id, record)
    }

    async fn list_users(&self, request: Request<pb::ListRequest>) -> Answer<pb::ListUsersReply> {
        let asked = request.into_inner();
        let after = after("user", &asked.after)?;
        let limit = page(asked.limit);
        self.read(asked.consistency, false, |reader| reader.users(after.as_ref(), limit))
            .await
            .map(Response::new)
    }

    async fn put_user(&self, request: Request<pb::PutUserRequest>) -> Answer<pb::WriteReply> {
        let caller = Caller::of(&request)?;
        self.propose(&caller, write::put_user(request.into_inner())?).await
    }

    async fn delete_user(&self, request: Request<pb::DeleteRequest>) -> Answer<pb::WriteReply> {
        let caller = Caller::of(&request)?;
        self.propose(&caller, write::delete_user(request.into_inner())?).await
    }

    async fn get_device(&self, request: Request<pb::GetRequest>) -> Answer<pb::DeviceRecord> {
        may_see(&Caller::of(&request)?, request.get_ref().with_credentials)?;
        let asked = request.into_inner();
        let id: DeviceId = write::parse("device", &asked.id)?;
        let record = self
            .read(asked.consistency, asked.with_credentials, |reader| reader.device(&id))
            .await?;
        found("device", &asked.id, record)
    }

    async fn list_devices(&self, request: Request<pb::ListRequest>) -> Answer<pb::ListDevicesReply> {
        may_see(&Caller::of(&request)?, request.get_ref().with_credentials)?;
        let asked = request.into_inner();
        let after = after("device", &asked.after)?;
        let user: Option<UserId> = if asked.user.is_empty() {
            None
        } else {
            Some(write::parse("user", &asked.user)?)
        };
        let limit = page(asked.limit);
        let reply = self.read(asked.consistency, asked.with_credentials, |reader| match &user {
            Some(user) => reader.devices_of(user),
            None => reader.devices(after.as_ref(), limit),
        });
        reply.await.map(Response::new)
    }

    async fn put_device(&self, request: Request<pb::PutDeviceRequest>) -> Answer<pb::WriteReply> {
        let caller = Caller::of(&request)?;
        self.propose(&caller, write::put_device(request.into_inner())?).await
    }

    async fn delete_device(&self, request: Request<pb::DeleteRequest>) -> Answer<pb::WriteReply> {
        let caller = Caller::of(&request)?;
        self.propose(&caller, write::delete_device(request.into_inner())?).await
    }

    async fn write(&self, request: Request<pb::WriteManyRequest>) -> Answer<pb::WriteManyReply> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        if asked.changes.len() > write::MOST_CHANGES {
            let text = format!(
                "{} changes in one call, at most {} are allowed",
                asked.changes.len(),
                write::MOST_CHANGES
            );
            return Err(Status::invalid_argument(text));
        }
        for change in &asked.changes {
            caller.needs(rules::of_change(change), "one of these changes")?;
        }
        caller.spends(u32::try_from(asked.changes.len() / CHANGES_PER_CALL).unwrap_or(u32::MAX))?;
        let commands = asked
            .changes
            .into_iter()
            .map(write::command)
            .collect::<Result<Vec<_>, _>>()?;
        if commands.is_empty() {
            return Ok(Response::new(pb::WriteManyReply::default()));
        }
        let sealed = self.sealed(commands).await?.into_iter();
        if asked.dry_run {
            let (snapshot, _) = self.snapshot(pb::Consistency::Linearizable as i32).await?;
            let commands = sealed.collect::<Result<Vec<_>, _>>()?;
            let would = would::would(&snapshot, write::together(commands))?;
            return Ok(Response::new(pb::WriteManyReply {
                would: Some(would),
                ..pb::WriteManyReply::default()
            }));
        }
        if asked.all_or_nothing {
            let commands = sealed.collect::<Result<Vec<_>, _>>()?;
            let count = commands.len();
            let batch = self.named(&caller, write::together(commands));
            let proposed = self.0.cluster.propose(batch).await;
            let proposed = proposed.map_err(|error| not_proposed(&error))?;
            if let Reply::Refused(refusal) = &proposed.reply {
                return Err(refused_together(refusal));
            }
            let result = pb::WriteResult {
                revision: proposed.revision.0,
                refusal: String::new(),
            };
            return Ok(Response::new(pb::WriteManyReply {
                results: vec![result; count],
                would: None,
            }));
        }
        // What cannot be proposed has its answer already; the others keep their order.
        let mut results = Vec::new();
        let mut commands = Vec::new();
        for command in sealed {
            match command {
                Ok(command) => {
                    results.push(None);
                    commands.push(self.named(&caller, command));
                }
                Err(status) => results.push(Some(pb::WriteResult {
                    revision: 0,
                    refusal: status.message().to_owned(),
                })),
            }
        }
        let proposed = self.0.cluster.propose_many(commands).await;
        let mut proposed = proposed.map_err(|error| not_proposed(&error))?.into_iter();
        let results = results.into_iter().filter_map(|known| {
            known.or_else(|| proposed.next().map(|done| write::result(&done.reply, done.revision.0)))
        });
        Ok(Response::new(pb::WriteManyReply {
            results: results.collect(),
            would: None,
        }))
    }

    async fn pipeline(&self, request: Request<Streaming<pb::PipelineRequest>>) -> Answer<Self::PipelineStream> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(pipeline::start(self, request.into_inner(), caller)))
    }

    async fn r#where(&self, request: Request<pb::GetRequest>) -> Answer<pb::WhereReply> {
        let asked = request.into_inner();
        write::name(&asked.id)?;
        let reply = self
            .read(asked.consistency, false, |reader| reader.whereabouts(&asked.id))
            .await?;
        found("user, device or number", &asked.id, reply)
    }

    async fn route(&self, request: Request<pb::RouteRequest>) -> Answer<pb::RouteReply> {
        let asked = request.into_inner();
        write::name(&asked.dialled)?;
        let device: Option<DeviceId> = if asked.caller_device.is_empty() {
            None
        } else {
            Some(write::parse("device", &asked.caller_device)?)
        };
        let number = Some(asked.caller_number).filter(|number| !number.is_empty());
        let caller = route::Caller {
            device,
            number,
            hops: 0,
        };
        // As a call would: fresh if it can be had, else from what this node has.
        let fresh = self.snapshot(pb::Consistency::Linearizable as i32).await;
        let (snapshot, freshness) = match fresh {
            Ok(fresh) => fresh,
            Err(_) => self.snapshot(pb::Consistency::Local as i32).await?,
        };
        let (view, here) = (MapView::new(&snapshot), self.0.cluster.id());
        if let Some(caller) = &caller.device {
            let known = view.device(caller).map_err(|error| damaged(&error))?;
            found("device", caller.as_str(), known)?;
        }
        let planned = route(&view, here, &caller, &asked.dialled);
        let reply = planned.and_then(|planned| plan::route_reply(planned, &view, here, freshness));
        reply.map(Response::new).map_err(|error| damaged(&error))
    }

    async fn list_nodes(&self, request: Request<pb::ListRequest>) -> Answer<pb::ListNodesReply> {
        self.read(request.into_inner().consistency, false, |reader| reader.nodes())
            .await
            .map(Response::new)
    }

    async fn get_node(&self, request: Request<pb::GetRequest>) -> Answer<pb::NodeRecord> {
        let asked = request.into_inner();
        write::node_name(&asked.id)?;
        let record = self
            .read(asked.consistency, false, |reader| reader.node_named(&asked.id))
            .await?;
        found("node", &asked.id, record)
    }

    async fn remove_node(&self, request: Request<pb::RemoveNodeRequest>) -> Answer<pb::WriteReply> {
        let who = Caller::of(&request)?.who;
        let pb::RemoveNodeRequest {
            id,
            lose_quorum,
            cut_off,
        } = request.into_inner();
        let node = if id == 0 { self.0.cluster.id() } else { NodeId(id) };
        let how = Removal {
            lose_quorum,
            cut_off,
            if_members_at: None,
        };
        let revision = self.0.leave.remove(who, node, how).await?;
        Ok(Response::new(pb::WriteReply { revision }))
    }

    async fn plan_members(&self, request: Request<pb::PlanMembersRequest>) -> Answer<pb::MembersPlan> {
        let action = members::action(request.get_ref())?;
        let plan = self.plan_members_now(action).await?;
        Ok(Response::new(members::plan_out(plan)))
    }

    async fn apply_plan(&self, request: Request<pb::ApplyPlanRequest>) -> Answer<pb::WriteReply> {
        let who = Caller::of(&request)?.who;
        let pb::ApplyPlanRequest { plan, dry_run } = request.into_inner();
        let revision = self.apply_plan_now(who, &plan, dry_run).await?;
        Ok(Response::new(pb::WriteReply { revision }))
    }

    async fn create_join_token(
        &self,
        request: Request<pb::CreateJoinTokenRequest>,
    ) -> Answer<pb::CreateJoinTokenReply> {
        let caller = Caller::of(&request)?;
        let (text, token, command) = invitation::create(&self.0, request.get_ref()).await?;
        let revision = self.propose(&caller, command).await?.into_inner().revision;
        Ok(Response::new(pb::CreateJoinTokenReply {
            text: text.reveal(),
            expires_at_unix: token.expires_at_unix,
            revision,
        }))
    }

    async fn transfer_leadership(
        &self,
        request: Request<pb::TransferLeadershipRequest>,
    ) -> Answer<pb::TransferLeadershipReply> {
        let cluster = &self.0.cluster;
        let moved = cluster.transfer_leadership(NodeId(request.into_inner().id)).await;
        moved.map_err(|error| not_changed(&error))?;
        let revision = cluster.local().revision().0;
        Ok(Response::new(pb::TransferLeadershipReply { revision }))
    }

    async fn backup(&self, _: Request<pb::BackupRequest>) -> Answer<Self::BackupStream> {
        backup::start(&self.0.backups).await.map(Response::new)
    }

    async fn list_settings(&self, request: Request<pb::ListRequest>) -> Answer<pb::ListSettingsReply> {
        self.read(request.into_inner().consistency, false, |reader| reader.settings())
            .await
            .map(Response::new)
    }

    async fn get_setting(&self, request: Request<pb::GetRequest>) -> Answer<pb::SettingRecord> {
        let asked = request.into_inner();
        let record = self
            .read(asked.consistency, false, |reader| reader.setting(&asked.id))
            .await?;
        found("setting", &asked.id, record)
    }

    async fn put_setting(&self, request: Request<pb::PutSettingRequest>) -> Answer<pb::WriteReply> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        caller.needs(rules::of_setting(&asked.key), "changing this setting")?;
        self.propose(&caller, write::put_setting(asked)?).await
    }

    async fn delete_setting(&self, request: Request<pb::DeleteRequest>) -> Answer<pb::WriteReply> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        caller.needs(rules::of_setting(&asked.id), "changing this setting")?;
        self.propose(&caller, write::delete_setting(asked)?).await
    }

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Answer<Self::WatchStream> {
        let caller = Caller::of(&request)?;
        let after = request.into_inner().after;
        if let Some(after) = after {
            self.has_reached(after).await?;
        }
        Ok(Response::new(watch::start(&self.0, after, caller)))
    }

    async fn bind(&self, request: Request<pb::BindRequest>) -> Answer<pb::BindReply> {
        bind::bind(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn unbind(&self, request: Request<pb::UnbindRequest>) -> Answer<pb::WriteReply> {
        bind::unbind(&self.0, request.into_inner()).await.map(Response::new)
    }

    async fn create_token(&self, request: Request<pb::CreateTokenRequest>) -> Answer<pb::CreateTokenReply> {
        let caller = Caller::of(&request)?;
        let (text, token, command) = tokens::create(request.into_inner())?;
        let written = self.propose(&caller, command).await?.into_inner();
        let reply = tokens::created(&text, token, fed_core::ids::Revision(written.revision));
        Ok(Response::new(reply))
    }

    async fn list_tokens(&self, request: Request<pb::ListRequest>) -> Answer<pb::ListTokensReply> {
        let asked = request.into_inner();
        let after: Option<TokenId> = after("token", &asked.after)?;
        let limit = page(asked.limit);
        let (snapshot, freshness) = self.snapshot(asked.consistency).await?;
        let found = MapView::new(&snapshot).tokens(after.as_ref(), limit);
        let found = found.map_err(|error| damaged(&error))?;
        let last = found.last().filter(|_| found.len() == limit);
        let next = last.map(|last| last.value.id.to_string()).unwrap_or_default();
        let tokens = found.into_iter().map(|record| tokens::shown(record.value)).collect();
        let freshness = Some(freshness);
        Ok(Response::new(pb::ListTokensReply {
            tokens,
            next,
            freshness,
        }))
    }

    async fn revoke_token(&self, request: Request<pb::GetRequest>) -> Answer<pb::WriteReply> {
        let caller = Caller::of(&request)?;
        self.propose(&caller, tokens::revoke(request.get_ref())?).await
    }

    async fn list_audit(&self, request: Request<pb::ListAuditRequest>) -> Answer<pb::ListAuditReply> {
        let asked = request.into_inner();
        let (snapshot, freshness) = self.snapshot(asked.consistency).await?;
        let listed = audit::list(&MapView::new(&snapshot), &asked, freshness);
        listed.map(Response::new).map_err(|error| damaged(&error))
    }

    async fn drift(&self, request: Request<pb::DriftRequest>) -> Answer<pb::DriftReply> {
        drift::at(&self.0, request.into_inner().node).await.map(Response::new)
    }
}
