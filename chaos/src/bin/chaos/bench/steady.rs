//! Rows with a steady load: rate, p50 and p99, ours and etcd's in turns.

use std::error::Error;
use std::time::Duration;

use fed_chaos::load::fed_stream::FedStream;
use fed_chaos::load::{Effort, Freshness, KEYS, Report, Sample, Store, drive};

use super::side::{PATIENCE, Side};
use super::sides::{Sides, from_leader};
use super::{Plan, Row};

/// Writes in one call.
const BATCH: u64 = 64;
const WARM_UP: Duration = Duration::from_secs(1);

/// What one client does over and over.
#[derive(Debug, Clone, Copy)]
enum Work {
    Put,
    PutMany,
    Get(Freshness),
}

/// One line of the table before it is measured.
struct Line {
    name: &'static str,
    unit: &'static str,
    clients: usize,
    work: Work,
    /// Ours by the stream of calls; etcd's by single calls, as it has no other.
    stream: bool,
}

fn lines(rows: &[Row]) -> Vec<Line> {
    let line = |name, clients, work| Line {
        name,
        unit: "1/s",
        clients,
        work,
        stream: false,
    };
    let stream = |name, clients, work| Line {
        stream: true,
        ..line(name, clients, work)
    };
    let of = |row: &Row| match row {
        Row::Writes => [1, 64, 256].map(|n| line("single writes", n, Work::Put)).into(),
        Row::Batches => vec![line("writes in batches of 64", 16, Work::PutMany)],
        Row::Reads => [64, 256]
            .map(|n| line("linearizable reads", n, Work::Get(Freshness::Linearizable)))
            .into(),
        Row::Local => vec![line("local reads", 64, Work::Get(Freshness::Local))],
        Row::Stream => vec![
            stream("single writes, ours by stream", 256, Work::Put),
            stream(
                "linearizable reads, ours by stream",
                256,
                Work::Get(Freshness::Linearizable),
            ),
            stream("local reads, ours by stream", 256, Work::Get(Freshness::Local)),
        ],
        _ => Vec::new(),
    };
    rows.iter().flat_map(of).collect()
}

pub(super) async fn measure(
    sides: &Sides,
    rows: &[Row],
    plan: &Plan,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    for line in lines(rows) {
        for round in 0..plan.rounds {
            let effort = Effort {
                clients: line.clients,
                warm_up: WARM_UP,
                measured: plan.measured,
                seed: u64::from(round) + 1,
            };
            let before = sides.cpu();
            let ours = if line.stream {
                run(&streams(sides, line.clients).await?, effort, line.work).await?
            } else {
                run(&sides.fed.clients(line.clients).await?, effort, line.work).await?
            };
            let between = sides.cpu();
            let cpu = each_took(&line, &ours, between.0.saturating_sub(before.0), plan);
            note(&line, "ours", &ours, cpu);
            enter(&line, &ours, cpu, |row, unit, figure| {
                report.ours(row, line.clients as u64, unit, figure)
            });
            if let Some(etcd) = &sides.etcd {
                let theirs = run(&etcd.clients(line.clients).await?, effort, line.work).await?;
                let cpu = each_took(&line, &theirs, sides.cpu().1.saturating_sub(between.1), plan);
                note(&line, "etcd", &theirs, cpu);
                enter(&line, &theirs, cpu, |row, unit, figure| {
                    report.theirs(row, line.clients as u64, unit, figure)
                });
            }
        }
    }
    Ok(())
}

async fn run<S: Store>(stores: &[S], effort: Effort, work: Work) -> Result<Sample, tonic::Status> {
    match work {
        Work::Put => {
            drive(stores, effort, |store, mut random| async move {
                store.put(random.below(KEYS), random.bits()).await
            })
            .await
        }
        Work::PutMany => {
            drive(stores, effort, |store, mut random| async move {
                store.put_many(random.below(KEYS - BATCH), BATCH, random.bits()).await
            })
            .await
        }
        Work::Get(freshness) => {
            drive(stores, effort, move |store, mut random| async move {
                store.get(random.below(KEYS), freshness).await
            })
            .await
        }
    }
}

/// As [`Side::clients`], but each connection is one stream.
async fn streams(sides: &Sides, clients: usize) -> Result<Vec<FedStream>, Box<dyn Error>> {
    let leader = sides.fed.leader(PATIENCE).await?;
    let mut streams = Vec::new();
    for address in from_leader(&sides.fed.addresses(), leader, clients) {
        streams.push(FedStream::connect(&address).await?);
    }
    Ok(streams)
}

fn each(work: Work) -> f64 {
    match work {
        Work::PutMany => BATCH as f64,
        Work::Put | Work::Get(_) => 1.0,
    }
}

/// Microseconds of processor time of all servers for each thing done. Neighbours on the machine disturb it less than a rate.
fn each_took(line: &Line, sample: &Sample, cpu: Duration, plan: &Plan) -> f64 {
    let all = (plan.measured + WARM_UP).as_secs_f64() * sample.rate * each(line.work);
    cpu.as_secs_f64() * 1e6 / all
}

fn enter(line: &Line, sample: &Sample, cpu: f64, mut add: impl FnMut(&str, &'static str, f64)) {
    add(line.name, line.unit, sample.rate * each(line.work));
    add(&format!("{}, p50", line.name), "ms", sample.p50);
    add(&format!("{}, p99", line.name), "ms", sample.p99);
    add(&format!("{}, servers' CPU for each", line.name), "us", cpu);
}

/// One line for whoever watches.
fn note(line: &Line, side: &str, sample: &Sample, cpu: f64) {
    let rate = sample.rate * each(line.work);
    eprintln!(
        "{side} {} x{}: {rate:.0}/s, p50 {:.2} ms, p99 {:.2} ms, servers' CPU {cpu:.1} us each",
        line.name, line.clients, sample.p50, sample.p99,
    );
}
