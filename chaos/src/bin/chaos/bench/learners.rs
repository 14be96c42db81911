//! Twenty learners beside three voters: what they cost, and how far behind they are.

use std::path::Path;
use std::time::Duration;

use fed_chaos::load::{Effort, KEYS, Report, Store, drive};
use fed_chaos::process::Federation;

use super::Plan;
use super::side::{Done, PATIENCE, Side};

const LEARNERS: usize = 20;
const WRITERS: usize = 64;

pub(super) async fn measure(fed_node: &Path, root: &Path, plan: &Plan, report: &mut Report) -> Done<()> {
    let mut federation = Federation::start(fed_node, root, 3, plan.plaintext).await?;
    let alone = load(&federation, plan).await?;
    report.ours("single writes, 3 voters alone", WRITERS as u64, "1/s", alone.rate);
    report.ours("CPU of all nodes for each", WRITERS as u64, "us", alone.cpu);
    for _ in 0..LEARNERS {
        Side::grow(&mut federation).await?;
    }
    federation.settled(PATIENCE).await?;
    let beside = load(&federation, plan).await?;
    let clients = WRITERS as u64;
    report.ours("single writes, 20 learners as well", clients, "1/s", beside.rate);
    report.ours("CPU of all nodes for each, learners as well", clients, "us", beside.cpu);
    report.ours("furthest learner behind, entries, median", clients, "", beside.lag);
    Ok(())
}

struct Loaded {
    rate: f64,
    /// Microseconds of all nodes for each write.
    cpu: f64,
    /// Entries.
    lag: f64,
}

async fn load(federation: &Federation, plan: &Plan) -> Done<Loaded> {
    // The three voters came first.
    let voters = &federation.addresses()[..3];
    let mut stores = Vec::new();
    for address in voters.iter().chain(voters) {
        stores.push(federation.connect(address.clone()).await?);
    }
    let effort = Effort {
        clients: WRITERS,
        warm_up: Duration::from_secs(1),
        measured: plan.measured,
        seed: 1,
    };
    let before = cpu(federation)?;
    let writes = drive(&stores, effort, |store, mut random| async move {
        store.put(random.below(KEYS), random.bits()).await
    });
    let (sample, lags) = tokio::join!(writes, lags(federation, plan.measured));
    let sample = sample?;
    let all = sample.rate * (plan.measured + effort.warm_up).as_secs_f64();
    Ok(Loaded {
        rate: sample.rate,
        cpu: (cpu(federation)? - before).as_secs_f64() * 1e6 / all,
        lag: lags,
    })
}

fn cpu(federation: &Federation) -> Done<Duration> {
    (0..federation.nodes.len())
        .map(|place| Ok(federation.usage(place)?.cpu))
        .sum()
}

/// Looks now and then how far the one furthest behind is; the median of the looks.
async fn lags(federation: &Federation, measured: Duration) -> f64 {
    let mut looks = Vec::new();
    let end = tokio::time::Instant::now() + measured;
    while tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let Some(leader) = federation.nodes.first() else { break };
        if let Ok(status) = leader.status().await {
            let furthest = status.members.iter().map(|member| member.lag).max();
            looks.extend(furthest.filter(|lag| *lag >= 0).map(|lag| lag as f64));
        }
    }
    looks.sort_by(f64::total_cmp);
    looks.get(looks.len() / 2).copied().unwrap_or(f64::NAN)
}
