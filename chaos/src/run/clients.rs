//! The load: clients that put, get, compare-and-set and delete a few keys at once, at random nodes, each operation recorded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::client::{Connection, Seen, connect, perform};
use crate::operation::{Call, Outcome};
use crate::plan::Load;
use crate::process::Access;
use crate::recorder::{Recorder, RecorderError};
use crate::seeded::Seeded;

/// How many of 100 operations a client asks another node than before.
const WANDERS: u64 = 10;
/// How often a key is read at the end that could not be read.
const TRIES: usize = 20;
/// Pause after a node could not be reached.
const UNREACHABLE: Duration = Duration::from_millis(20);

/// What all clients of a run share.
pub(super) struct Clients {
    recorder: Recorder,
    load: Load,
    /// Where the nodes answer clients; a node that left is not among them.
    nodes: Mutex<Vec<(usize, Access)>>,
    groups: Vec<AtomicU64>,
    /// Revisions of acknowledged writes.
    acknowledged: Mutex<Vec<u64>>,
    /// How often nodes refused something, by code.
    refused: Mutex<BTreeMap<String, usize>>,
    stop: CancellationToken,
}

impl Clients {
    pub(super) fn new(recorder: Recorder, load: Load, stop: CancellationToken) -> Arc<Self> {
        let groups = load.clients.div_ceil(load.clients_per_key);
        Arc::new(Clients {
            recorder,
            load,
            nodes: Mutex::new(Vec::new()),
            groups: (0..groups).map(|_| AtomicU64::new(0)).collect(),
            acknowledged: Mutex::new(Vec::new()),
            refused: Mutex::new(BTreeMap::new()),
            stop,
        })
    }

    /// From now on these nodes are asked: number and address of each.
    pub(super) fn ask(&self, nodes: Vec<(usize, Access)>) {
        *locked(&self.nodes) = nodes;
    }

    /// Every key that was used.
    pub(super) fn keys(&self) -> Vec<String> {
        let most = self.load.operations_per_key as u64;
        let used = |group: usize, count: u64| (0..count.div_ceil(most)).map(move |number| key(group, number));
        let groups = self.groups.iter().enumerate();
        groups
            .flat_map(|(group, count)| used(group, count.load(Ordering::Relaxed)))
            .collect()
    }

    /// Revisions of all acknowledged writes.
    pub(super) fn acknowledged(&self) -> Vec<u64> {
        locked(&self.acknowledged).clone()
    }

    /// How often nodes refused something, by code.
    pub(super) fn refused(&self) -> BTreeMap<String, usize> {
        locked(&self.refused).clone()
    }

    /// One client, until it is told to stop.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub(super) async fn run(self: Arc<Self>, number: usize, seed: u64) -> Result<(), RecorderError> {
        let mut random = Seeded::new(seed);
        let group = number % self.groups.len();
        let (mut at, mut known) = (None, (String::new(), None));
        let mut values = 0;
        while !self.stop.is_cancelled() {
            if random.chance(WANDERS) {
                at = None;
            }
            let Some((node, mut connection)) = self.connected(at.take(), &mut random).await else {
                tokio::time::sleep(UNREACHABLE).await;
                continue;
            };
            let key = self.next_key(group);
            if known.0 != key {
                known = (key.clone(), None);
            }
            values += 1;
            let (call, seen) = choose(&mut random, &mut known.1, format!("c{number}.{values}"));
            let operation = self
                .recorder
                .begin(number as i64, &key, call.clone())?
                .at_node(node as i64);
            let done = perform(&mut connection, &key, &call, &seen);
            // Dropped unfinished, an operation is recorded as unknown.
            match tokio::time::timeout(Duration::from_millis(self.load.timeout_ms), done).await {
                Ok(done) => {
                    if let Some(seen) = done.seen {
                        known.1 = Some(seen);
                    }
                    if let (Outcome::Done, Some(revision)) = (&done.outcome, done.revision) {
                        locked(&self.acknowledged).push(revision);
                    }
                    if let Some(code) = done.code {
                        *locked(&self.refused).entry(code).or_default() += 1;
                    }
                    operation.end(done.outcome)?;
                    at = done.connected.then_some((node, connection));
                }
                Err(_) => operation.end(Outcome::Unknown)?,
            }
            tokio::time::sleep(Duration::from_millis(random.below(self.load.pause_ms + 1))).await;
        }
        Ok(())
    }

    /// Reads every key once, each at another node, so that the history ends with what is left of everything; the keys that could not
    /// be read within twenty tries.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub(super) async fn read_all(&self, seed: u64) -> Result<Vec<String>, RecorderError> {
        let mut random = Seeded::new(seed);
        let process = self.load.clients as i64;
        let mut unread = Vec::new();
        'keys: for key in self.keys() {
            for _ in 0..TRIES {
                let Some((node, mut connection)) = self.connected(None, &mut random).await else {
                    tokio::time::sleep(UNREACHABLE).await;
                    continue;
                };
                let operation = self.recorder.begin(process, &key, Call::Get)?.at_node(node as i64);
                let nothing = Seen::default();
                let done = perform(&mut connection, &key, &Call::Get, &nothing);
                let Ok(done) = tokio::time::timeout(Duration::from_secs(5), done).await else {
                    continue;
                };
                let answered = matches!(done.outcome, Outcome::Answered(_));
                operation.end(done.outcome)?;
                if answered {
                    continue 'keys;
                }
            }
            unread.push(key);
        }
        Ok(unread)
    }

    async fn connected(&self, before: Option<(usize, Connection)>, random: &mut Seeded) -> Option<(usize, Connection)> {
        if before.is_some() {
            return before;
        }
        let nodes = locked(&self.nodes).clone();
        let (node, access) = nodes.get(random.below(nodes.len() as u64) as usize)?;
        Some((*node, connect(access).await?))
    }

    fn next_key(&self, group: usize) -> String {
        let count = self.groups[group].fetch_add(1, Ordering::Relaxed);
        key(group, count / self.load.operations_per_key as u64)
    }
}

fn key(group: usize, number: u64) -> String {
    format!("k{group}.{number}")
}

/// The next operation: of ten, four gets, two puts, three compare-and-sets (or a get, if it is not known what to compare with), one
/// delete.
fn choose(random: &mut Seeded, known: &mut Option<Seen>, value: String) -> (Call, Seen) {
    let nothing = Seen::default();
    match random.below(10) {
        0..2 => (Call::Put { value }, nothing),
        2..5 => match known.take() {
            Some(seen) => {
                let expect = seen.0.as_ref().map(|(value, _)| value.clone());
                // One in five deletes what it compares; that nothing is replaced by nothing is not worth asking for.
                let deletes = expect.is_some() && random.chance(20);
                let value = (!deletes).then_some(value);
                (Call::Cas { expect, value }, seen)
            }
            None => (Call::Get, nothing),
        },
        5 => (Call::Delete, nothing),
        _ => (Call::Get, nothing),
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compare_and_set_compares_with_what_was_seen() {
        let mut random = Seeded::new(1);
        let mut compared = 0;
        for _ in 0..1_000 {
            let mut known = Some(Seen(Some(("old".into(), 7))));
            if let (Call::Cas { expect, .. }, seen) = choose(&mut random, &mut known, "new".into()) {
                assert_eq!((expect.as_deref(), seen.0), (Some("old"), Some(("old".into(), 7))));
                compared += 1;
            }
        }
        assert!(compared > 200);
    }

    #[test]
    fn nobody_works_on_more_keys_or_longer_than_the_load_says() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(&folder.path().join("history.jsonl")).unwrap();
        let load = Load {
            clients: 12,
            clients_per_key: 6,
            operations_per_key: 3,
            ..Load::default()
        };
        let clients = Clients::new(recorder, load, CancellationToken::new());
        let keys: Vec<String> = (0..7).map(|_| clients.next_key(1)).collect();
        assert_eq!(keys, ["k1.0", "k1.0", "k1.0", "k1.1", "k1.1", "k1.1", "k1.2"]);
        assert_eq!(clients.keys(), ["k1.0", "k1.1", "k1.2"]);
    }
}
