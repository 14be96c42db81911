//! What is done to disks: power cuts, faults, flipped bits.

use std::path::Path;
use std::time::{Duration, Instant};

use super::RunFailure;
use super::director::Director;
use super::done::{Done, names};
use super::journal::Entry;
use super::roles::Roles;
use crate::disk::{Fault, Tally};
use crate::plan::{Cover, Damage, Selector};
use crate::seeded::Seeded;

/// What a node says that names its damage: the first way out.
pub(super) const WAY_OUT: &str = "join again";

/// How long a node on damaged data may take to notice.
const NOTICE: Duration = Duration::from_secs(10);

impl Director<'_> {
    /// All disks stop at one moment, then the processes, then the disks forget.
    pub(super) fn power_cut(
        &mut self,
        who: Selector,
        torn: bool,
        roles: &Roles,
        window: f64,
    ) -> Result<Done, RunFailure> {
        let nodes = self.hit(who, roles)?;
        let mut random = Seeded::new(self.draw());
        let at_ns = self.journal.now_ns();
        for node in &nodes {
            if let Some(disk) = &self.arena.nodes[*node].disk {
                disk.power_off();
            }
        }
        for node in &nodes {
            self.arena.kill(*node);
            if let Some(disk) = &mut self.arena.nodes[*node].disk {
                disk.power_on(torn.then_some(&mut random))?;
            }
        }
        let how = if torn {
            "with torn writes"
        } else {
            "with all that was not synced"
        };
        let mut done = Done::of(format!("the power of {} goes, {how}", names(&nodes)));
        done.at_ns = Some(at_ns);
        self.note_leader(&nodes, roles, window, Cover::LeaderKilled, &mut done);
        Ok(done)
    }

    pub(super) fn set_disks(&mut self, who: Selector, fault: Fault, roles: &Roles) -> Result<Done, RunFailure> {
        let nodes = self.hit(who, roles)?;
        for node in &nodes {
            let node = &mut self.arena.nodes[*node];
            let Some(disk) = &node.disk else { continue };
            let capacity = if fault.capacity > 0 {
                disk.used() + fault.capacity
            } else {
                0
            };
            disk.set_fault(Fault { capacity, ..fault });
            // Once its disk has failed, it may find that out later, until it is started again.
            node.may_end |= fault.may_end_a_node();
        }
        let led = roles
            .leader
            .map_or(String::new(), |(leader, _)| format!("; n{} led", leader + 1));
        Ok(Done::of(format!("disk of {}: {fault:?}{led}", names(&nodes))))
    }

    pub(super) fn heal_disks(&mut self) {
        for node in &self.arena.nodes {
            if let Some(disk) = &node.disk {
                disk.set_fault(Fault::default());
            }
        }
    }

    /// Writes down what the disks really did.
    pub(super) fn tell_disks(&self) {
        let mut all = Tally::default();
        for disk in self.arena.nodes.iter().filter_map(|node| node.disk.as_ref()) {
            let tally = disk.tally();
            all.full += tally.full;
            all.failed_syncs += tally.failed_syncs;
            all.forgotten += tally.forgotten;
        }
        let seen = [
            (all.full, Cover::DiskFull),
            (all.failed_syncs, Cover::SyncFailed),
            (all.forgotten, Cover::UnsyncedLost),
        ];
        let cover: Vec<Cover> = seen
            .into_iter()
            .filter(|(times, _)| *times > 0)
            .map(|(_, cover)| cover)
            .collect();
        if !cover.is_empty() {
            self.journal.write(Entry::Seen {
                at_ns: self.journal.now_ns(),
                words: format!(
                    "disks refused {} writes as full and failed {} syncs; power cuts took {} changes",
                    all.full, all.failed_syncs, all.forgotten
                ),
                cover,
            });
        }
    }

    /// A node that does not notice is judged, and its folder is emptied all the same. It joins again, which is the first way out.
    pub(super) fn damage(&mut self, who: Selector, place: Damage, roles: &Roles) -> Result<Done, RunFailure> {
        let node = self.hit_one(who, roles)?;
        let mut random = Seeded::new(self.draw());
        let at_ns = self.journal.now_ns();
        self.arena.kill(node);
        let data_dir = self.arena.nodes[node].process.data_dir();
        let (folder, ending) = match place {
            Damage::Log => ("/log/".to_owned(), ".log"),
            Damage::State => ("/state/".to_owned(), ".sst"),
            // Nobody reads an older one any more, or one that was just being made.
            Damage::Snapshot => (format!("/snapshots/{}/", newest_snapshot(&data_dir)), ".sst"),
        };
        let damaged = &mut self.arena.nodes[node];
        let Some(disk) = &mut damaged.disk else {
            return Err(RunFailure::Plan("a node without a disk cannot be damaged".into()));
        };
        let Some(file) = disk.flip_a_bit(&[folder.as_str()], ending, &mut random)? else {
            return Err(RunFailure::Plan(format!(
                "n{} has no {place:?} to damage yet",
                node + 1
            )));
        };
        self.arena.start_node(node)?;
        self.arena.nodes[node].wanted = false;
        let deadline = Instant::now() + NOTICE;
        let mut noticed = false;
        while !noticed && Instant::now() < deadline {
            self.wait_until(Instant::now() + Duration::from_millis(50))?;
            noticed = self.arena.nodes[node].process.process().check().is_err();
        }
        let log = self.arena.nodes[node].process.process().log_tail();
        // Other parts of it may have said something later.
        let said = log.lines().rfind(|line| line.contains(WAY_OUT)).or(log.lines().last());
        let said = said.unwrap_or_default().to_owned();
        self.journal.write(Entry::Damaged {
            at_ns,
            node: node + 1,
            file: file.clone(),
            noticed,
            said,
        });
        self.take_out(node)?;
        self.arena.rejoin(node, self.runtime)?;
        let saw = if noticed { "and noticed" } else { "and did not notice" };
        let mut done = Done::of(format!(
            "a bit flipped in {file} of n{}, which started {saw}; its folder was emptied, and it joined again",
            node + 1
        ));
        done.at_ns = Some(at_ns);
        Ok(done)
    }
}

/// The folder's name of the newest complete snapshot; empty when there is none.
fn newest_snapshot(data_dir: &Path) -> String {
    let folders = std::fs::read_dir(data_dir.join("cluster").join("snapshots"));
    let names = folders.into_iter().flatten().flatten().map(|folder| folder.file_name());
    // Each is called after the last log entry in it, and a number.
    let place = |name: &str| {
        let (entry, number) = name.split_once('-')?;
        Some((entry.parse::<u64>().ok()?, number.parse::<u64>().ok()?))
    };
    let complete = names.filter_map(|name| name.to_str().and_then(|name| Some((place(name)?, name.to_owned()))));
    complete.max().map(|(_, name)| name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_complete_snapshot_is_the_one_that_is_damaged() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(newest_snapshot(folder.path()), "");
        for name in ["999-0", "1049-0", "1049-1", "building"] {
            std::fs::create_dir_all(folder.path().join("cluster/snapshots").join(name)).expect("made");
        }
        assert_eq!(newest_snapshot(folder.path()), "1049-1");
    }
}
