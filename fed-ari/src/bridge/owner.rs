//! One fed-node for one Asterisk: a global variable of the dialplan says whose it is, and since when it was last heard of.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::BridgeFault;
use crate::client::{AriClient, AriError};

/// The variable.
const VARIABLE: &str = "FED_NODE_OWNER";

/// The dialplan notes here when nobody answered a call; for some seconds it asks nobody then.
const SILENT: &str = "FED_SILENT";

/// How often the owner shows that it is there.
pub(super) const REFRESH: Duration = Duration::from_secs(3);

/// An owner that was silent for longer counts as gone.
const FRESH_S: u64 = 10;

/// Who this is, and how it says so.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    identity: String,
}

/// What the variable held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing: Asterisk has been restarted, or never seen a fed-node.
    Nobody,
    /// Somebody, perhaps this one.
    Somebody,
}

impl Owner {
    /// `identity` is the same for every start of the same node and different for any other node.
    pub(super) fn new(identity: impl Into<String>) -> Self {
        Self {
            identity: identity
                .into()
                .replace(|c: char| c.is_whitespace() || c.is_control(), "_"),
        }
    }

    /// Takes the Asterisk, unless somebody else has it.
    pub(super) async fn claim(&self, client: &AriClient) -> Result<Result<Before, BridgeFault>, AriError> {
        let there = client.get_global(VARIABLE).await?;
        if let Some(owner) = self.another(&there, now_s()) {
            return Ok(Err(BridgeFault::SecondFedNode {
                owner,
                after_s: FRESH_S,
            }));
        }
        self.write(client).await?;
        Ok(Ok(if there.is_empty() {
            Before::Nobody
        } else {
            Before::Somebody
        }))
    }

    /// Shows that this one is still there; the fault where somebody else has taken over.
    pub(super) async fn refresh(&self, client: &AriClient) -> Result<Option<BridgeFault>, AriError> {
        let there = client.get_global(VARIABLE).await?;
        if let Some(owner) = self.another(&there, now_s()) {
            return Ok(Some(BridgeFault::SecondFedNode {
                owner,
                after_s: FRESH_S,
            }));
        }
        self.write(client).await?;
        Ok(None)
    }

    /// Lets the Asterisk go: the value stays, so that objects are known to be there, but is old.
    pub(super) async fn release(&self, client: &AriClient) -> Result<(), AriError> {
        client.set_global(VARIABLE, &format!("0 {}", self.identity)).await
    }

    /// Shows that this one is here, and ready to be asked.
    async fn write(&self, client: &AriClient) -> Result<(), AriError> {
        client
            .set_global(VARIABLE, &format!("{} {}", now_s(), self.identity))
            .await?;
        client.set_global(SILENT, "").await
    }

    fn another(&self, value: &str, now_s: u64) -> Option<String> {
        let (seen, identity) = value.split_once(' ')?;
        let seen: u64 = seen.parse().ok()?;
        let fresh = now_s.saturating_sub(seen) < FRESH_S;
        (fresh && identity != self.identity).then(|| identity.to_owned())
    }
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fresh_stranger_stands_in_the_way() {
        let owner = Owner::new("cluster 1/node 2");
        for (value, stranger) in [
            ("", None),
            ("garbage", None),
            ("100 cluster_1/node_2", None),
            ("100 other/node_3", Some("other/node_3")),
            ("89 other/node_3", None),
            ("0 other/node_3", None),
        ] {
            assert_eq!(owner.another(value, 100).as_deref(), stranger, "{value:?}");
        }
    }
}
