//! What is done to clocks, and whether the nodes feel it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fed_proto::client as pb;
use fed_proto::client::operations_client::OperationsClient;

use super::RunFailure;
use super::director::Director;
use super::done::{Done, names};
use super::journal::Entry;
use super::roles::Roles;
use crate::plan::{Cover, Selector};
use crate::process::{Access, Bearer};

/// A clock that is so little off proves nothing.
const OFF: Duration = Duration::from_secs(10);
/// How long a node may take to say what time it has.
const PATIENCE: Duration = Duration::from_secs(1);
/// Until an order to a clock holds.
const SOON: Duration = Duration::from_millis(100);
/// A clock that has gone wrong by so little proves nothing: an answer may take that long.
const DRIFT_MS: f64 = 500.0;

/// A clock that was told to go faster or slower.
#[derive(Clone, Copy)]
pub(super) struct Rated {
    node: usize,
    since: Instant,
    offset_s: i64,
    rate: f64,
}

impl Rated {
    /// Whether a clock that is so many milliseconds ahead now has gone at least half as wrong as it was told to.
    fn felt(&self, ahead_ms: f64, after: Duration) -> bool {
        let told = (self.rate - 1.0) * after.as_secs_f64() * 1_000.0;
        let drift = ahead_ms - self.offset_s as f64 * 1_000.0;
        told.abs() / 2.0 >= DRIFT_MS && drift.signum() == told.signum() && drift.abs() >= told.abs() / 2.0
    }
}

impl Director<'_> {
    pub(super) fn set_clocks(
        &mut self,
        who: Selector,
        offset_s: i64,
        rate: f64,
        roles: &Roles,
    ) -> Result<Done, RunFailure> {
        self.tell_clocks();
        let nodes = self.hit(who, roles)?;
        for node in &nodes {
            if rate != 1.0 {
                self.rated.push(Rated {
                    node: *node,
                    since: Instant::now(),
                    offset_s,
                    rate,
                });
            }
            if let Some(clock) = &self.arena.nodes[*node].clock {
                clock.set(offset_s, rate)?;
            }
        }
        let mut done = Done::of(format!(
            "clock of {} {offset_s:+} s, {rate} times as fast",
            names(&nodes)
        ));
        done.at_ns = Some(self.journal.now_ns());
        if offset_s.unsigned_abs() > OFF.as_secs() {
            self.wait_until(Instant::now() + SOON)?;
            for node in nodes {
                let said = self
                    .runtime
                    .block_on(clock_of(&self.arena.nodes[node].process.access()));
                if said.is_some_and(|said| said.abs_diff(now_ms()) > OFF.as_millis() as u64) {
                    done.cover.push(Cover::ClockMoved);
                    break;
                }
            }
        }
        Ok(done)
    }

    /// Writes down whether a clock that was told to go faster or slower since the last order did: a moment before the next order,
    /// when it has had all the time that there is.
    pub(super) fn tell_clocks(&mut self) {
        for rated in std::mem::take(&mut self.rated) {
            let access = self.arena.nodes[rated.node].process.access();
            let Some(said) = self.runtime.block_on(clock_of(&access)) else {
                continue;
            };
            let ahead_ms = said as f64 - now_ms() as f64;
            if rated.felt(ahead_ms, rated.since.elapsed()) {
                self.journal.write(Entry::Seen {
                    at_ns: self.journal.now_ns(),
                    words: format!(
                        "the clock of n{} is {:+.1} s off after {:.1} s at {} times its speed",
                        rated.node + 1,
                        ahead_ms / 1_000.0,
                        rated.since.elapsed().as_secs_f64(),
                        rated.rate
                    ),
                    cover: vec![Cover::ClockRate],
                });
            }
        }
    }
}

/// The wall clock of a node, in milliseconds since 1970, as it says itself.
async fn clock_of(access: &Access) -> Option<u64> {
    let asked = async {
        let channel = access.endpoint().ok()?.connect().await.ok()?;
        let mut connection = OperationsClient::with_interceptor(channel, Bearer::of(access.address));
        let nodes = connection.nodes(pb::NodesRequest {}).await.ok()?.into_inner().nodes;
        // Of all clocks it tells its own without the time that an answer takes.
        let own = nodes
            .into_iter()
            .find(|node| node.clock_ahead_ms == 0 && node.clock_within_ms == 0)?;
        Some(own.about?.clock_unix_ms)
    };
    tokio::time::timeout(PATIENCE, asked).await.ok()?
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_as_ever_has_not_felt_its_order() {
        let rated = |offset_s, rate| Rated {
            node: 0,
            since: Instant::now(),
            offset_s,
            rate,
        };
        let after = Duration::from_secs(4);
        assert!(rated(0, 2.0).felt(3_900.0, after));
        assert!(rated(0, 0.5).felt(-1_950.0, after));
        assert!(rated(-60, 2.0).felt(-56_000.0, after));
        for ahead_ms in [0.0, 900.0, -4_000.0] {
            assert!(!rated(0, 2.0).felt(ahead_ms, after), "{ahead_ms}");
        }
        assert!(!rated(-60, 2.0).felt(-60_000.0, after));
        // Too soon, or too little, to tell from an answer that was late.
        assert!(!rated(0, 2.0).felt(400.0, Duration::from_millis(400)));
        assert!(!rated(0, 1.0).felt(900.0, after));
    }
}
