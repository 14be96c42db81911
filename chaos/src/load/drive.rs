//! Clients that each have one call under way, and what they saw.

use std::future::Future;
use std::time::{Duration, Instant};

use tonic::Status;

use super::Store;
use crate::seeded::Seeded;

/// How long and how many.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Clients at the same time.
    pub clients: usize,
    /// Run before anything is counted.
    pub warm_up: Duration,
    /// Counted.
    pub measured: Duration,
    /// Decides which keys.
    pub seed: u64,
}

/// What the clients of one run saw.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Calls answered in a second.
    pub rate: f64,
    /// Half of the calls took no longer, in milliseconds.
    pub p50: f64,
    /// 99 of 100 calls took no longer, in milliseconds.
    pub p99: f64,
    /// Calls answered while it was counted.
    pub calls: u64,
}

/// Runs `call` over and over in each of the clients, which share `stores` evenly. `call` gets a store and random numbers.
///
/// # Errors
/// The first call that failed: a figure with failures in it would mean nothing.
pub async fn drive<S, F>(
    stores: &[S],
    effort: Effort,
    call: impl Fn(S, Seeded) -> F + Clone + Send + 'static,
) -> Result<Sample, Status>
where
    S: Store,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let begin = Instant::now() + effort.warm_up;
    let end = begin + effort.measured;
    let mut seeds = Seeded::new(effort.seed);
    let mut clients = tokio::task::JoinSet::new();
    for store in stores.iter().cycle().take(effort.clients) {
        let (store, call, mut seeded) = (store.clone(), call.clone(), Seeded::new(seeds.bits()));
        clients.spawn(async move {
            let mut took: Vec<u32> = Vec::with_capacity(1 << 14);
            loop {
                let started = Instant::now();
                if started >= end {
                    return Ok::<_, Status>(took);
                }
                call(store.clone(), Seeded::new(seeded.bits())).await?;
                let done = Instant::now();
                if started >= begin && done < end {
                    let nanos = (done - started).as_nanos();
                    took.push(u32::try_from(nanos / 100).unwrap_or(u32::MAX));
                }
            }
        });
    }
    let mut took = Vec::new();
    while let Some(client) = clients.join_next().await {
        took.extend(client.map_err(|e| Status::internal(e.to_string()))??);
    }
    Ok(summary(took, effort.measured))
}

/// `took` in units of 100 ns.
fn summary(mut took: Vec<u32>, measured: Duration) -> Sample {
    took.sort_unstable();
    let percentile = |share: usize| {
        let rank = (took.len() * share).div_ceil(100);
        took.get(rank.saturating_sub(1))
            .map_or(f64::NAN, |&units| f64::from(units) / 10_000.0)
    };
    Sample {
        rate: took.len() as f64 / measured.as_secs_f64(),
        p50: percentile(50),
        p99: percentile(99),
        calls: took.len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_duration_that_was_measured() {
        let sample = summary((1..=100).rev().map(|ms| ms * 10_000).collect(), Duration::from_secs(2));
        assert_eq!((sample.p50, sample.p99, sample.rate), (50.0, 99.0, 50.0));
    }
}
