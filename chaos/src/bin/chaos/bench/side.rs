//! One side of the comparison as the rows with faults and growth see it.

use std::error::Error;
use std::time::Duration;

use fed_chaos::load::Store;
use fed_chaos::load::etcd::EtcdStore;
use fed_chaos::load::fed::FedStore;
use fed_chaos::process::{Access, Etcd, Federation, Usage};

use super::sides::from_leader;

pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) type Done<T> = Result<T, Box<dyn Error>>;

/// A cluster of processes.
pub(super) trait Side {
    type Client: Store;

    /// Where the clients of each node connect.
    fn addresses(&self) -> Vec<Access>;

    /// A connection to one of them.
    async fn connect(&self, address: Access) -> Done<Self::Client>;

    /// The place of the leader.
    async fn leader(&self) -> Done<usize>;

    /// SIGKILL.
    fn kill(&mut self, place: usize);

    /// Starts it again; returns when it has caught up with what the others have now.
    async fn restart(&mut self, place: usize) -> Done<()>;

    /// Adds an empty node; returns its place when it has what the others have now.
    async fn grow(&mut self) -> Done<usize>;

    fn usage(&self, place: usize) -> Done<Usage>;

    /// Connections for that many clients; the first is to the leader.
    async fn clients(&self, clients: usize) -> Done<Vec<Self::Client>> {
        let leader = self.leader().await?;
        let mut connected = Vec::new();
        for address in from_leader(&self.addresses(), leader, clients) {
            connected.push(self.connect(address).await?);
        }
        Ok(connected)
    }
}

impl Side for Federation {
    type Client = FedStore;

    fn addresses(&self) -> Vec<Access> {
        self.accesses()
    }

    async fn connect(&self, address: Access) -> Done<FedStore> {
        Ok(FedStore::connect(&address).await?)
    }

    async fn leader(&self) -> Done<usize> {
        Ok(Federation::leader(self, PATIENCE).await?)
    }

    fn kill(&mut self, place: usize) {
        self.nodes[place].kill();
    }

    async fn restart(&mut self, place: usize) -> Done<()> {
        let leader = Federation::leader(self, PATIENCE).await?;
        let applied = self.nodes[leader].status().await?.applied;
        let node = &mut self.nodes[place];
        node.start()?;
        let back = |status: &fed_proto::client::StatusReply| status.quorum && status.applied >= applied;
        node.reaches("it is back", PATIENCE, back).await?;
        Ok(())
    }

    async fn grow(&mut self) -> Done<usize> {
        let leader = Federation::leader(self, PATIENCE).await?;
        let applied = self.nodes[leader].status().await?.applied;
        let place = Federation::grow(self).await?;
        let there = |status: &fed_proto::client::StatusReply| status.quorum && status.applied >= applied;
        self.nodes[place].reaches("it has caught up", PATIENCE, there).await?;
        Ok(place)
    }

    fn usage(&self, place: usize) -> Done<Usage> {
        Ok(self.nodes[place].usage()?)
    }
}

impl Side for Etcd {
    type Client = EtcdStore;

    fn addresses(&self) -> Vec<Access> {
        let plain = |address| Access {
            address,
            authority: None,
        };
        self.members.iter().map(|member| plain(member.client)).collect()
    }

    async fn connect(&self, address: Access) -> Done<EtcdStore> {
        Ok(EtcdStore::connect(address.address).await?)
    }

    async fn leader(&self) -> Done<usize> {
        Ok(Etcd::leader(self, PATIENCE).await?)
    }

    fn kill(&mut self, place: usize) {
        self.members[place].process.kill();
    }

    async fn restart(&mut self, place: usize) -> Done<()> {
        let leader = Etcd::leader(self, PATIENCE).await?;
        let index = self.members[leader].status().await?.raft_applied_index;
        self.members[place].process.start()?;
        self.members[place].ready(index, PATIENCE).await?;
        Ok(())
    }

    async fn grow(&mut self) -> Done<usize> {
        let leader = Etcd::leader(self, PATIENCE).await?;
        let index = self.members[leader].status().await?.raft_applied_index;
        let place = Etcd::grow(self).await?;
        self.members[place].ready(index, PATIENCE).await?;
        Ok(place)
    }

    fn usage(&self, place: usize) -> Done<Usage> {
        Ok(self.members[place].process.usage()?)
    }
}
