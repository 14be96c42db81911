//! Reads without leaving the process, by a node embedded in this one.

use std::path::Path;

use fed_chaos::load::embedded::Embedded;
use fed_chaos::load::{KEYS, Report};

use super::Plan;
use super::side::Done;
use super::sides::Sides;

pub(super) async fn measure(sides: &Sides, root: &Path, plan: &Plan, report: &mut Report) -> Done<()> {
    let first = &sides.fed.nodes[0];
    let revision = first.status().await?.revision;
    let folder = root.join("embedded");
    let embedded = Embedded::join(&folder, first.addresses().peer);
    let embedded = embedded.await.map_err(|e| e.to_string())?;
    embedded.reaches(revision).await.map_err(|e| e.to_string())?;
    for _ in 0..plan.rounds {
        let (reader, measured) = (embedded.clone(), plan.measured);
        let rate = tokio::task::spawn_blocking(move || reader.reads(1, measured, KEYS)).await?;
        report.ours(
            "local reads in process, on one core",
            1,
            "1/s",
            rate.map_err(|e| e.to_string())?,
        );
    }
    embedded.stop().await;
    Ok(())
}
