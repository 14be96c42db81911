//! A routing plan for the wire.

use fed_core::route::{Cause, Outcome, Place, RoutePlan, StageCondition};
use fed_proto::client as pb;

/// The plan, with the freshness of what it was made from.
pub(super) fn route_reply(plan: RoutePlan, freshness: pb::Freshness) -> pb::RouteReply {
    let (stages, last) = match plan.outcome {
        Outcome::Ring { stages, otherwise } => (stages, otherwise),
        Outcome::Refuse(cause) => (Vec::new(), cause),
    };
    let stages = stages
        .into_iter()
        .map(|stage| pb::Stage {
            targets: stage
                .targets
                .into_iter()
                .map(|target| {
                    let device = target.device.to_string();
                    match target.place {
                        Place::Here => pb::Target {
                            device,
                            here: true,
                            node: 0,
                            sip_address: String::new(),
                        },
                        Place::There { node, sip_address } => pb::Target {
                            device,
                            here: false,
                            node: node.0,
                            sip_address,
                        },
                    }
                })
                .collect(),
            timeout_s: stage.timeout_s.into(),
            on: match stage.on {
                StageCondition::Always => "always",
                StageCondition::Busy => "busy",
                StageCondition::NoAnswer => "no_answer",
            }
            .to_owned(),
            after: u32::try_from(stage.after).unwrap_or(u32::MAX),
        })
        .collect();
    pb::RouteReply {
        stages,
        cause: Some(cause(last)),
        explanation: plan.explanation,
        freshness: Some(freshness),
    }
}

fn cause(cause: Cause) -> pb::Cause {
    pb::Cause {
        name: cause.to_string(),
        sip_status: cause.sip_status().into(),
        q850: cause.q850().into(),
    }
}
