//! What is done to clocks, and whether the nodes feel it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fed_proto::client as pb;
use fed_proto::client::operations_client::OperationsClient;

use super::RunFailure;
use super::director::Director;
use super::done::{Done, names};
use super::roles::Roles;
use crate::plan::{Cover, Selector};
use crate::process::{Access, Bearer};

/// A clock that is so little off proves nothing.
const OFF: Duration = Duration::from_secs(10);
/// How long a node may take to say what time it has.
const PATIENCE: Duration = Duration::from_secs(1);
/// Until an order to a clock holds.
const SOON: Duration = Duration::from_millis(100);

impl Director<'_> {
    pub(super) fn set_clocks(
        &mut self,
        who: Selector,
        offset_s: i64,
        rate: f64,
        roles: &Roles,
    ) -> Result<Done, RunFailure> {
        let nodes = self.hit(who, roles)?;
        for node in &nodes {
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
