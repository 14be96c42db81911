//! The calls of the client API: each checked, handed to its noun, and answered.

use std::sync::Arc;

use fed_core::ids::{DeviceId, NodeId, Revision, TokenId, UserId};
use fed_core::map::MapView;
use fed_proto::client as pb;
use fed_proto::client::federation_server::Federation;
use tonic::{Request, Response, Status, Streaming};

use super::caller::Caller;
use super::failure::damaged;
use super::lookup::{after, found, page};
use super::node::{NodeView, Removal};
use super::{audit, backup, bind, drift, invitation, members, pipeline, rules, status, tokens, watch, write};

type Answer<T> = Result<Response<T>, Status>;

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
        self.may_see(&Caller::of(&request)?, request.get_ref().with_credentials)?;
        let asked = request.into_inner();
        let id: DeviceId = write::parse("device", &asked.id)?;
        let record = self
            .read(asked.consistency, asked.with_credentials, |reader| reader.device(&id))
            .await?;
        found("device", &asked.id, record)
    }

    async fn list_devices(&self, request: Request<pb::ListRequest>) -> Answer<pb::ListDevicesReply> {
        self.may_see(&Caller::of(&request)?, request.get_ref().with_credentials)?;
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
        self.write_many(&caller, request.into_inner()).await.map(Response::new)
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
        self.route_now(request.into_inner()).await.map(Response::new)
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
        let caller = Caller::of(&request)?;
        let revision = self.lead(caller.who, NodeId(request.into_inner().id)).await?;
        Ok(Response::new(pb::TransferLeadershipReply { revision }))
    }

    async fn backup(&self, request: Request<pb::BackupRequest>) -> Answer<Self::BackupStream> {
        let who = Caller::of(&request)?.who;
        let stream = backup::start(&self.0.backups).await?;
        self.0.door.did(&who, "made a backup");
        Ok(Response::new(stream))
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
        let caller = Caller::of(&request)?;
        bind::bind(self, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn unbind(&self, request: Request<pb::UnbindRequest>) -> Answer<pb::WriteReply> {
        let caller = Caller::of(&request)?;
        bind::unbind(self, &caller, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn create_token(&self, request: Request<pb::CreateTokenRequest>) -> Answer<pb::CreateTokenReply> {
        let caller = Caller::of(&request)?;
        let (text, token, command) = tokens::create(request.into_inner())?;
        let written = self.propose(&caller, command).await?.into_inner();
        let reply = tokens::created(&text, token, Revision(written.revision));
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
