//! The state at three sizes: what grows with it, and what must not. A federation of its own for each size.

use std::path::Path;
use std::time::{Duration, Instant};

use fed_chaos::load::embedded::Embedded;
use fed_chaos::load::{Effort, Report, Sample, Store, drive};
use fed_chaos::process::{Etcd, Federation};

use super::Plan;
use super::side::{Done, Side};

const WRITERS: usize = 256;
/// Keys in one call to etcd while they are made.
const FILL: u64 = 100;

pub(super) async fn measure(
    fed_node: &Path,
    etcd: Option<&Path>,
    root: &Path,
    plan: &Plan,
    sizes: &[u64],
    report: &mut Report,
) -> Done<()> {
    for &size in sizes {
        let root = root.join(format!("size-{size}"));
        std::fs::create_dir_all(&root)?;
        let mut federation = Federation::start(fed_node, &root, 3, plan.plaintext).await?;
        let folder = root.join("embedded");
        let embedded = Embedded::join(&folder, federation.nodes[0].addresses().peer);
        let embedded = embedded.await.map_err(|e| e.to_string())?;
        let filled = Instant::now();
        let told = |done| eprintln!("{done} of {size} bindings");
        embedded.fill(size, told).await.map_err(|e| e.to_string())?;
        report.ours(&row(size, "made"), 4, "s", filled.elapsed().as_secs_f64());
        embedded.stop().await;
        one(&mut federation, size, plan, &mut |row, clients, unit, figure| {
            report.ours(row, clients, unit, figure);
        })
        .await?;
        drop(federation);
        if let Some(program) = etcd {
            let mut etcd = Etcd::start(program, &root, 3).await?;
            let clients = etcd.clients(6).await?;
            for first in (0..size).step_by(FILL as usize) {
                let client = &clients[(first / FILL) as usize % clients.len()];
                client.put_many(first, FILL.min(size - first), first).await?;
            }
            one(&mut etcd, size, plan, &mut |row, clients, unit, figure| {
                report.theirs(row, clients, unit, figure);
            })
            .await?;
        }
        std::fs::remove_dir_all(&root)?;
    }
    Ok(())
}

fn row(size: u64, what: &str) -> String {
    format!("{size} bindings: {what}")
}

async fn one<S: Side>(
    side: &mut S,
    size: u64,
    plan: &Plan,
    add: &mut impl FnMut(&str, u64, &'static str, f64),
) -> Done<()> {
    let clients = WRITERS as u64;
    let writes = write(side, size, plan).await?;
    add(&row(size, "single writes"), clients, "1/s", writes.rate);
    add(&row(size, "single writes, p99"), clients, "ms", writes.p99);
    let leader = side.leader().await?;
    let places = 0..side.addresses().len();
    let usages = places.map(|place| side.usage(place)).collect::<Done<Vec<_>>>()?;
    let resident = usages.iter().map(|usage| usage.resident).max().unwrap_or(0);
    add(
        &row(size, "resident memory of the largest node"),
        0,
        "MB",
        resident as f64 / 1e6,
    );
    let follower = (leader + 1) % side.addresses().len();
    side.kill(follower);
    let restarted = Instant::now();
    side.restart(follower).await?;
    add(
        &row(size, "a node killed -9, start to ready"),
        0,
        "s",
        restarted.elapsed().as_secs_f64(),
    );
    let joining = Instant::now();
    side.grow().await?;
    add(
        &row(size, "an empty node joined and caught up"),
        0,
        "s",
        joining.elapsed().as_secs_f64(),
    );
    Ok(())
}

async fn write<S: Side>(side: &S, size: u64, plan: &Plan) -> Done<Sample> {
    let effort = Effort {
        clients: WRITERS,
        warm_up: Duration::from_secs(1),
        measured: plan.measured,
        seed: size,
    };
    let stores = side.clients(WRITERS).await?;
    let put = move |store: S::Client, mut random: fed_chaos::seeded::Seeded| async move {
        store.put(random.below(size), random.bits()).await
    };
    Ok(drive(&stores, effort, put).await?)
}
