//! The leader killed under load: how long until the next write is acknowledged.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fed_chaos::load::{KEYS, Report, Store};
use fed_chaos::seeded::Seeded;
use tokio::sync::mpsc;

use super::side::{Done, PATIENCE, Side};
use super::sides::Sides;

const KILLS: u64 = 10;
const WRITERS: u64 = 16;
/// A client that hears nothing for this long sends something else.
const GIVE_UP: Duration = Duration::from_millis(200);
/// Load before the kill.
const BEFORE: Duration = Duration::from_secs(1);
const ROW: &str = "leader killed: gap until the next acknowledged write";

pub(super) async fn measure(sides: &mut Sides, report: &mut Report) -> Done<()> {
    let mut gaps = (Vec::new(), Vec::new());
    for kill in 0..KILLS {
        gaps.0.push(gap(&mut sides.fed, kill).await?);
        if let Some(etcd) = &mut sides.etcd {
            gaps.1.push(gap(etcd, kill).await?);
        }
    }
    enter(&gaps.0, |row, figure| report.ours(row, WRITERS, "ms", figure));
    enter(&gaps.1, |row, figure| report.theirs(row, WRITERS, "ms", figure));
    Ok(())
}

fn enter(gaps: &[f64], mut add: impl FnMut(&str, f64)) {
    let mut sorted = gaps.to_vec();
    sorted.sort_by(f64::total_cmp);
    if let (Some(&median), Some(&worst)) = (sorted.get(sorted.len().saturating_sub(1) / 2), sorted.last()) {
        add(&format!("{ROW}, p50"), median);
        add(&format!("{ROW}, worst of {KILLS}"), worst);
    }
}

/// Milliseconds from the kill until a write that began after it was acknowledged by one of the other nodes.
async fn gap<S: Side>(side: &mut S, seed: u64) -> Done<f64> {
    let leader = side.leader().await?;
    let mut others = side.addresses();
    others.remove(leader);
    let killed = Arc::new(OnceLock::<Instant>::new());
    let (acknowledged, mut first) = mpsc::unbounded_channel();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = side.connect(others[writer as usize % others.len()].clone()).await?;
        let (killed, acknowledged) = (killed.clone(), acknowledged.clone());
        let mut random = Seeded::new(seed * 1000 + writer);
        writers.spawn(async move {
            while !acknowledged.is_closed() {
                let began = Instant::now();
                let put = store.put(random.below(KEYS), random.bits());
                let put = tokio::time::timeout(GIVE_UP, put).await;
                let after = killed.get().filter(|killed| began >= **killed);
                match (put, after) {
                    // Nobody may be waiting any more.
                    (Ok(Ok(())), Some(killed)) => drop(acknowledged.send(killed.elapsed())),
                    (Ok(Ok(())), None) => {}
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        });
    }
    tokio::time::sleep(BEFORE).await;
    let _ = killed.set(Instant::now());
    side.kill(leader);
    let gap = tokio::time::timeout(PATIENCE, first.recv()).await;
    let gap = gap.map_err(|_| "no write was acknowledged after the leader was killed")?;
    drop(first);
    writers.shutdown().await;
    side.restart(leader).await?;
    // So that the next kill does not meet a follower that is still behind.
    tokio::time::sleep(BEFORE).await;
    let gap = gap.ok_or("the writers ended")?.as_secs_f64() * 1000.0;
    eprintln!("leader killed: {gap:.0} ms");
    Ok(gap)
}
