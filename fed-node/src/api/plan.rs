//! Where calls would go: a routing plan, made and put on the wire.

use fed_core::ids::{DeviceId, NodeId};
use fed_core::kv::StoreError;
use fed_core::map::MapView;
use fed_core::route::{Caller, Cause, Outcome, Place, RoutePlan, Stage, StageCondition, Target, route, route_alone};
use fed_proto::client as pb;
use tonic::Status;

use super::failure::damaged;
use super::lookup::found;
use super::service::ApiService;
use super::write;

impl ApiService {
    /// Where a call would go, as this node would send it now.
    pub(super) async fn route_now(&self, asked: pb::RouteRequest) -> Result<pb::RouteReply, Status> {
        write::name(&asked.dialled)?;
        let device: Option<DeviceId> = if asked.caller_device.is_empty() {
            None
        } else {
            Some(write::parse("device", &asked.caller_device)?)
        };
        let number = Some(asked.caller_number).filter(|number| !number.is_empty());
        let caller = Caller {
            device,
            number,
            hops: 0,
        };
        // As a call would: fresh if it can be had, else from what this node has.
        let fresh = self.snapshot(pb::Consistency::Linearizable as i32).await;
        let decide = if fresh.is_ok() { route } else { route_alone };
        let (snapshot, freshness) = match fresh {
            Ok(fresh) => fresh,
            Err(_) => self.snapshot(pb::Consistency::Local as i32).await?,
        };
        let (view, here) = (MapView::new(&snapshot), self.0.cluster.id());
        if let Some(caller) = &caller.device {
            let known = view.device(caller).map_err(|error| damaged(&error))?;
            found("device", caller.as_str(), known)?;
        }
        let planned = decide(&view, here, &caller, &asked.dialled);
        let reply = planned.and_then(|planned| route_reply(planned, &view, here, freshness));
        reply.map_err(|error| damaged(&error))
    }
}

/// The plan made at node `here` from `view`, with the freshness of that.
fn route_reply(
    plan: RoutePlan,
    view: &MapView<'_>,
    here: NodeId,
    freshness: pb::Freshness,
) -> Result<pb::RouteReply, StoreError> {
    let (stages, last) = match plan.outcome {
        Outcome::Ring { stages, otherwise } => (stages, otherwise),
        Outcome::Refuse(cause) => (Vec::new(), cause),
    };
    Ok(pb::RouteReply {
        stages: stages
            .into_iter()
            .map(|one| stage(one, view, here))
            .collect::<Result<_, _>>()?,
        cause: Some(cause(last)),
        explanation: plan.explanation,
        freshness: Some(freshness),
    })
}

fn stage(stage: Stage, view: &MapView<'_>, here: NodeId) -> Result<pb::Stage, StoreError> {
    let on = match stage.on {
        StageCondition::Always => "always",
        StageCondition::Busy => "busy",
        StageCondition::NoAnswer => "no_answer",
    };
    Ok(pb::Stage {
        targets: stage
            .targets
            .into_iter()
            .map(|one| target(one, view, here))
            .collect::<Result<_, _>>()?,
        timeout_s: stage.timeout_s.into(),
        on: on.to_owned(),
        after: u32::try_from(stage.after).unwrap_or(u32::MAX),
    })
}

fn target(target: Target, view: &MapView<'_>, here: NodeId) -> Result<pb::Target, StoreError> {
    let (is_here, node, sip_address) = match target.place {
        Place::Here => (true, here, String::new()),
        Place::There { node, sip_address } => (false, node, sip_address),
    };
    let record = view.node(node)?;
    Ok(pb::Target {
        device: target.device.into(),
        here: is_here,
        node: node.0,
        sip_address,
        node_name: record.map(|record| record.value.name).unwrap_or_default(),
    })
}

fn cause(cause: Cause) -> pb::Cause {
    pb::Cause {
        name: cause.to_string(),
        sip_status: cause.sip_status().into(),
        q850: cause.q850().into(),
    }
}
