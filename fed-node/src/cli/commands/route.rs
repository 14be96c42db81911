//! `route NUMBER --explain`.

use std::fmt::Write;

use fed_proto::client as pb;
use serde::Serialize;

use crate::cli::args::{Output, RouteArgs};
use crate::cli::client::Client;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::{Show, print};

#[derive(Serialize)]
struct RouteView {
    dialled: String,
    stages: Vec<StageView>,
    otherwise: CauseView,
    explanation: Vec<String>,
    revision: u64,
    stale: bool,
    #[serde(skip)]
    explain: bool,
}

#[derive(Serialize)]
struct StageView {
    targets: Vec<TargetView>,
    timeout_s: u32,
    on: String,
    after: u32,
}

#[derive(Serialize)]
struct TargetView {
    device: String,
    here: bool,
    node: u64,
    node_name: String,
    sip_address: Option<String>,
}

#[derive(Serialize)]
struct CauseView {
    name: String,
    sip_status: u32,
    q850: u32,
}

pub(super) async fn route(client: &Client, args: RouteArgs, output: Output) -> Outcome {
    let request = pb::RouteRequest {
        dialled: args.number.clone(),
        caller_device: args.from,
        caller_number: String::new(),
    };
    let reply = client.api.clone().route(request).await;
    let reply = reply.map_err(Failure::of_read)?.into_inner();
    let freshness = reply.freshness.unwrap_or_default();
    let cause = reply.cause.unwrap_or_default();
    print(
        output,
        &RouteView {
            dialled: args.number,
            stages: reply.stages.into_iter().map(stage).collect(),
            otherwise: CauseView {
                name: cause.name,
                sip_status: cause.sip_status,
                q850: cause.q850,
            },
            explanation: reply.explanation,
            revision: freshness.revision,
            stale: freshness.stale,
            explain: args.explain,
        },
    )
}

fn stage(stage: pb::Stage) -> StageView {
    let target = |target: pb::Target| TargetView {
        node: target.node,
        node_name: target.node_name,
        sip_address: Some(target.sip_address).filter(|_| !target.here),
        device: target.device,
        here: target.here,
    };
    StageView {
        targets: stage.targets.into_iter().map(target).collect(),
        timeout_s: stage.timeout_s,
        on: stage.on,
        after: stage.after,
    }
}

impl Show for RouteView {
    fn text(&self) -> String {
        let mut text = String::new();
        for (index, stage) in self.stages.iter().enumerate() {
            let when = match stage.on.as_str() {
                _ if index == 0 => String::new(),
                "busy" => format!(" when step {} was busy", stage.after + 1),
                "no_answer" => format!(" when step {} did not answer", stage.after + 1),
                _ => format!(" after step {}", stage.after + 1),
            };
            let targets = stage.targets.iter().map(|target| match &target.sip_address {
                Some(address) => format!("{} at {} ({address})", target.device, target.node_name),
                None => format!("{} here", target.device),
            });
            let targets = targets.collect::<Vec<_>>().join(" and ");
            let _ = writeln!(text, "{}. ring {targets} for {} s{when}", index + 1, stage.timeout_s);
        }
        let lead = if self.stages.is_empty() { "refuse" } else { "otherwise" };
        let _ = write!(
            text,
            "{lead}: {} (SIP {})",
            self.otherwise.name, self.otherwise.sip_status
        );
        if self.stale {
            text.push_str("\nstale: no quorum; this is what the node knew last");
        }
        if self.explain {
            text.push_str("\n\nwhy:");
            for line in &self.explanation {
                let _ = write!(text, "\n  {line}");
            }
        }
        text
    }
}
