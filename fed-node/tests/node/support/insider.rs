//! A member in this process, which says to the cluster what no command line would say.

use fed_core::audit::{Actor, Origin};
use fed_core::command::{Command, Reply};
use fed_core::ids::NodeId;
use fed_core::map::FederationMap;
use fed_raft::{Cluster, Config, OnFailure, ProposeError, StartError};
use tokio::runtime::Runtime;

use super::until;

/// A member of a federation without certificates.
pub(crate) struct Insider {
    runtime: Runtime,
    cluster: Cluster<FederationMap>,
    _folder: tempfile::TempDir,
}

impl Insider {
    /// Joins over the node with this peer address.
    pub(crate) fn join(seed: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(folder.path().join("cluster"), "127.0.0.1:0");
        config.on_failure = OnFailure::StopNode;
        let runtime = Runtime::new().unwrap();
        runtime.block_on(Cluster::<FederationMap>::join(&config, seed)).unwrap();
        // A process that another test starts at this moment holds the folder's lock until it runs its own program.
        let cluster = until("the folder is let go of", || {
            match runtime.block_on(Cluster::start(config.clone(), FederationMap)) {
                Err(StartError::InUse(_)) => None,
                started => Some(started.unwrap()),
            }
        });
        Self {
            runtime,
            cluster,
            _folder: folder,
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.cluster.id()
    }

    /// The command, as if its administrator had asked for it.
    pub(crate) fn asked(&self, command: Command) -> Command {
        let origin = Origin {
            who: Actor::Local,
            via: self.id(),
            at_unix: 1_000,
        };
        let command = Box::new(command);
        Command::By { origin, command }
    }

    pub(crate) fn propose(&self, command: Command) -> Result<Reply, ProposeError> {
        let proposed = self.runtime.block_on(self.cluster.propose(command));
        proposed.map(|proposed| proposed.reply)
    }

    pub(crate) fn stop(self) {
        self.runtime.block_on(self.cluster.shutdown());
    }
}
