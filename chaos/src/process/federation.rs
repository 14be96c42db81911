//! A federation of real processes on loopback.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Access, Addresses, FedNode, ProcessError, at, leash};

/// Longest wait for a new federation to settle.
const PATIENCE: Duration = Duration::from_secs(30);

/// Several nodes of one federation; the first one founded it. They end with the thread that started them, at the latest ([`leash`]).
#[derive(Debug)]
pub struct Federation {
    /// Its nodes, running or not.
    pub nodes: Vec<FedNode>,
    binary: PathBuf,
    root: PathBuf,
    plaintext: bool,
}

impl Federation {
    /// Starts `count` nodes of `binary` with their folders under `root`, and waits until they are one federation with a
    /// leader in which everybody is up. With `plaintext` they have no certificates and ask nobody who they are.
    ///
    /// # Errors
    /// When one of them does not start, join or settle.
    pub async fn start(binary: &Path, root: &Path, count: usize, plaintext: bool) -> Result<Self, ProcessError> {
        let mut federation = Self {
            nodes: Vec::new(),
            binary: binary.to_owned(),
            root: root.to_owned(),
            plaintext,
        };
        for _ in 0..count {
            federation.grow().await?;
        }
        federation.settled(PATIENCE).await?;
        Ok(federation)
    }

    /// Founds the federation, or lets one more node join it, and waits until it answers; its place in [`Federation::nodes`].
    ///
    /// # Errors
    /// When it does not start or join.
    pub async fn grow(&mut self) -> Result<usize, ProcessError> {
        let addresses = Addresses::loopback().map_err(|e| at(&self.root, e))?;
        let name = format!("n{}", self.nodes.len() + 1);
        let mut node = FedNode::new(&self.binary, &self.root, &name, addresses)?.through(leash().iter().copied());
        if self.plaintext {
            node = node.plaintext();
        }
        match self.nodes.iter().find(|node| node.is_running()) {
            None => node.init()?,
            Some(other) => node.join(&other.invitation()?)?,
        }
        node.start()?;
        node.ready(PATIENCE).await?;
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    /// How clients reach each node.
    #[must_use]
    pub fn accesses(&self) -> Vec<Access> {
        self.nodes.iter().map(FedNode::access).collect()
    }

    /// Waits until every running node knows a leader and sees every running node up.
    ///
    /// # Errors
    /// When that does not come true within the time.
    pub async fn settled(&mut self, within: Duration) -> Result<(), ProcessError> {
        let running = self.nodes.iter().filter(|node| node.is_running()).count();
        let voters = self.nodes.len().min(3);
        for node in self.nodes.iter_mut().filter(|node| node.is_running()) {
            let all_up = |status: &fed_proto::client::StatusReply| {
                let count = |wanted: &dyn Fn(&fed_proto::client::Member) -> bool| {
                    status.members.iter().filter(|member| wanted(member)).count()
                };
                status.quorum && count(&|m| m.up) >= running && count(&|m| m.role == "voter") >= voters
            };
            node.reaches(&format!("it sees {running} nodes up"), within, all_up)
                .await?;
        }
        Ok(())
    }

    /// The place of the leader in [`Federation::nodes`], as the running nodes see it.
    ///
    /// # Errors
    /// When nobody leads within the time.
    pub async fn leader(&self, within: Duration) -> Result<usize, ProcessError> {
        let deadline = std::time::Instant::now() + within;
        loop {
            for (place, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_running()) {
                if node.status().await.is_ok_and(|status| status.role == "leader") {
                    return Ok(place);
                }
            }
            if std::time::Instant::now() > deadline {
                let what = "somebody leads".to_owned();
                return Err(ProcessError::Late { what, within });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
