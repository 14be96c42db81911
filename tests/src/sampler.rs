//! What the fed-nodes take and who leads, looked at all the while: what was only so for a moment is seen too, as far as a look every
//! [`PAUSE`] sees it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;

use crate::lab::{Namespace, http_request};
use crate::machine::memory_kib;

/// Between two looks at a node.
const PAUSE: Duration = Duration::from_millis(100);
/// Where a node serves its metrics, on its own loopback.
const METRICS_PORT: u16 = 7402;

/// What was seen of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sampled {
    /// The most memory that it had, in KiB.
    pub memory_kib: u64,
    /// The most requests that waited there to be proposed.
    pub queue_requests: u64,
    /// How often it was asked and answered.
    pub answers: u64,
    /// The terms in which it led.
    pub led: BTreeSet<u64>,
}

/// Looks at nodes until it is stopped.
#[derive(Debug)]
pub struct Sampler {
    nodes: Vec<Arc<Node>>,
    over: Arc<AtomicBool>,
    looking: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Node {
    namespace: Namespace,
    process: Mutex<Option<u32>>,
    seen: Mutex<Sampled>,
}

impl Sampler {
    /// Looks at nodes, each with its network and its process.
    pub fn start(nodes: impl IntoIterator<Item = (Namespace, u32)>) -> Self {
        let over = Arc::<AtomicBool>::default();
        let node = |(namespace, pid)| {
            Arc::new(Node {
                namespace,
                process: Mutex::new(Some(pid)),
                seen: Mutex::default(),
            })
        };
        let nodes: Vec<_> = nodes.into_iter().map(node).collect();
        let look = |node: &Arc<Node>| {
            let (node, over) = (node.clone(), over.clone());
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    node.look();
                    // How often it looks: nothing waits for it, and a slower machine has fewer looks.
                    thread::sleep(PAUSE);
                }
            })
        };
        let looking = nodes.iter().map(look).collect();
        Self { nodes, over, looking }
    }

    /// The node of that number has another process now, or none.
    pub fn replaced(&self, node: usize, process: Option<u32>) {
        *self.nodes[node].process.lock() = process;
    }

    /// What was seen so far, of each.
    pub fn so_far(&self) -> Vec<Sampled> {
        self.nodes.iter().map(|node| node.seen.lock().clone()).collect()
    }

    /// Ends it, with what was seen of each.
    ///
    /// # Errors
    /// When a node was never seen.
    pub fn stop(mut self) -> Result<Vec<Sampled>> {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.looking.drain(..) {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        let seen = self.so_far();
        let blind = seen.iter().position(|seen| seen.answers == 0 || seen.memory_kib == 0);
        ensure!(blind.is_none(), "nothing was seen of a node: {seen:?}");
        Ok(seen)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Node {
    /// A node that is being killed or started says nothing, and has no memory.
    fn look(&self) {
        let process = *self.process.lock();
        let memory = process.and_then(|pid| memory_kib(pid).ok());
        let answer = http_request(&self.namespace, METRICS_PORT, "GET", "/metrics", None);
        let page = answer.and_then(|(_, page)| Page::read(&page)).ok();
        let mut seen = self.seen.lock();
        seen.memory_kib = seen.memory_kib.max(memory.unwrap_or_default());
        if let Some(page) = page {
            seen.answers += 1;
            seen.queue_requests = seen.queue_requests.max(page.queue_requests);
            if page.leads {
                seen.led.insert(page.term);
            }
        }
    }
}

/// Of a page of metrics, all at one moment.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    term: u64,
    leads: bool,
    queue_requests: u64,
}

impl Page {
    fn read(page: &str) -> Result<Self> {
        let value = |name: &str| -> Result<u64> {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            Ok(line.with_context(|| format!("no {name}"))?.trim().parse()?)
        };
        Ok(Self {
            term: value("fed_raft_term")?,
            leads: value("fed_raft_is_leader")? == 1,
            queue_requests: value("fed_raft_queue_requests")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_what_is_looked_for_is_no_answer() {
        let page = "# TYPE fed_raft_term gauge\nfed_raft_term 7\nfed_raft_is_leader 1\nfed_raft_queue_requests 12\n";
        let read = Page {
            term: 7,
            leads: true,
            queue_requests: 12,
        };
        assert_eq!(Page::read(page).expect("a page"), read);
        assert!(Page::read(&page.replace("fed_raft_is_leader", "other")).is_err());
        assert!(Page::read("").is_err());
    }
}
