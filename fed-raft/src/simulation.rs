//! Nodes on simulated machines: what drives them and what shows their insides.
//!
//! With this feature a node touches nothing real. Its files are on a disk that is the first folder of its
//! [`data_dir`](crate::Config::data_dir) and that forgets, when the power goes, what was not synced; its sockets are
//! turmoil's, so it runs on a host of a `turmoil::Sim`; its tasks are on one thread; chance comes from a seed. Built
//! with `--cfg tokio_unstable`, the same seed gives the same run.

use std::time::Duration;

use crate::platform::simulated;
pub use crate::witness::{Ballot, Happened, Members, Note, Place, take};

/// Begins a simulation: everything that is left to chance comes from the seed. Once in a process.
pub fn begin(seed: u64) {
    simulated::chance::begin(seed);
}

/// Takes the power from a disk: unsynced bytes and names are lost, all or from some moment on, and the last write that
/// survives may be torn. Nothing can be read or written until [`power_on`], so that what a dying node still does has
/// no effect.
pub fn power_cut(disk: &str) {
    simulated::power_cut(disk);
}

/// Gives the power back.
pub fn power_on(disk: &str) {
    simulated::power_on(disk);
}

/// Empties a disk: somebody removed everything on it.
pub fn erase(disk: &str) {
    simulated::erase(disk);
}

/// From now on a sync of the disk takes a random time up to this. At first 3 ms.
pub fn set_sync_time(disk: &str, most: Duration) {
    simulated::set_sync_time(disk, most);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fed_core::ids::NodeId;

    use super::*;
    use crate::identity::{self, ClusterId, Identity};

    #[test]
    fn the_folder_of_a_new_node_survives_a_power_cut() {
        for seed in 0..50 {
            begin(seed);
            let disk = format!("new{seed}");
            let folder = Path::new("/").join(&disk).join("lib/fed-node/data");
            let made = Identity {
                cluster: ClusterId(1),
                node: NodeId(7),
                incarnation: seed,
                founder: false,
                seeds: Vec::new(),
            };
            identity::create(&folder, &made).expect("made");
            power_cut(&disk);
            power_on(&disk);
            assert_eq!(identity::inspect(&folder).expect("readable"), Some(made));
        }
    }
}
