//! The two threads: one probes and may hang with the disk, one watches it and must not.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use fed_core::machine::Machine;
use tokio::runtime::Handle;

use super::Disk;
use super::watchdog::{Verdict, Watchdog};
use crate::metrics::timed;
use crate::node::Node;

/// Between two looks of the watchdog, and the longest wait of the probe for the end of the node.
const STEP: Duration = Duration::from_millis(50);
const FILE: &str = "probe";

/// Begins to probe; ends with the node. Threads, not tasks: a disk that hangs must hold up neither.
pub(crate) fn start<M: Machine>(node: &Arc<Node<M>>) -> io::Result<()> {
    let (probing, watching) = (Arc::downgrade(node), Arc::downgrade(node));
    let disk = node.disk.clone();
    let every = node.config.disk_probe_every;
    let watchdog = Watchdog::new(node.config.disk_late, node.config.disk_dead, STEP);
    let runtime = Handle::current();
    thread::Builder::new()
        .name("fed-raft-probe".to_owned())
        .spawn(move || probe(&probing, &disk, every))?;
    thread::Builder::new()
        .name("fed-raft-disk".to_owned())
        .spawn(move || watch(&watching, watchdog, &runtime))?;
    Ok(())
}

/// The node, unless it has ended.
fn alive<M: Machine>(node: &Weak<Node<M>>) -> Option<Arc<Node<M>>> {
    node.upgrade().filter(|node| !node.life.stop.is_cancelled())
}

fn probe<M: Machine>(node: &Weak<Node<M>>, disk: &Disk, every: Duration) {
    let mut number = 0;
    loop {
        let begun = Instant::now();
        number += 1;
        // The thread may hang in here: it must hold nothing that keeps the node's folder in use.
        let Some(seconds) = alive(node).map(|node| node.metrics.disk_probe.clone()) else {
            return;
        };
        disk.under_way.store(number, Ordering::Release);
        let written = timed(&seconds, || write(disk, || alive(node).is_none()));
        disk.under_way.store(0, Ordering::Release);
        disk.look_at_space();
        let Some(here) = alive(node) else { return };
        if let Err(error) = written
            && !says_nothing_of_the_disk(&error)
        {
            let why = format!("{}: a synced write failed: {error}", disk.folder().display());
            here.life.fail(&why, here.config.on_failure);
            return;
        }
        if let Some(why) = latched(&here, disk) {
            here.life.fail(&why, here.config.on_failure);
            return;
        }
        drop(here);
        while begun.elapsed() < every {
            thread::sleep(STEP.min(every));
            if alive(node).is_none() {
                return;
            }
        }
    }
}

/// A full disk is looked after by its free space, and a folder that was taken away is no disk that fails: what the
/// databases have open goes on until they need more.
fn says_nothing_of_the_disk(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::NotFound)
}

/// A small file, written and synced.
fn write(disk: &Disk, over: impl Fn() -> bool) -> io::Result<()> {
    disk.faults.wait_while_stalled(over);
    if disk.faults.sync_fails() {
        return Err(io::Error::other("ordered by a test"));
    }
    let path = disk.folder().join(FILE);
    let written = write_file(&path);
    if written.is_err() {
        // Cut off or empty: not to be found by anybody.
        drop(std::fs::remove_file(&path));
    }
    written
}

fn write_file(path: &Path) -> io::Result<()> {
    let mut file = File::options().create(true).truncate(false).write(true).open(path)?;
    file.write_all(&[b'.'; 512])?;
    file.sync_data()
}

/// What a database keeps refusing writes for, if one does.
fn latched<M: Machine>(node: &Node<M>, disk: &Disk) -> Option<String> {
    let which = if node.log.has_failed() || disk.faults.error_is_latched() {
        "log"
    } else if node.state.has_failed() {
        "state"
    } else {
        return None;
    };
    Some(format!(
        "{}: the database reports a failed background write and takes no more; look at the disk, then start the node again. Where it ends so again, or its LOG file speaks of corruption, remove the node from the cluster and let it join again with an empty folder, or, where it is the only one left, restore the state from a backup into a new cluster; an older copy of this folder must not be put back",
        disk.folder().join(which).display()
    ))
}

fn watch<M: Machine>(node: &Weak<Node<M>>, mut watchdog: Watchdog, runtime: &Handle) {
    let mut last = Instant::now();
    loop {
        thread::sleep(STEP);
        let Some(here) = alive(node) else { return };
        let passed = last.elapsed();
        last = Instant::now();
        let folder = here.disk.folder().display();
        match watchdog.look(here.disk.under_way.load(Ordering::Acquire), passed) {
            Verdict::Fine => {}
            Verdict::HandOver => {
                tracing::error!(%folder, late = ?here.config.disk_late, "the disk does not answer: this node must not lead");
                let leading = here.clone();
                runtime.spawn(async move { leading.hand_over().await });
            }
            Verdict::Stop => {
                let why = format!(
                    "{folder}: the disk has not answered a small write for {:?}",
                    here.config.disk_dead
                );
                here.life.fail(&why, here.config.on_failure);
                return;
            }
        }
    }
}
