//! A lock service with fencing tokens on three nodes in one process: `cargo run -p fed-raft --example lock_service`.
//!
//! A worker that holds a lock may be paused, and go on when somebody else holds it by then. No lock service can prevent
//! that; a *fencing token* makes it harmless: each grant carries a higher number than the one before (here the revision
//! of the state), and the resource takes no work under a lower number than it has seen.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fed_core::ids::{Revision, SessionId};
use fed_core::kv::{ReadStore, StoreError, Table, WriteStore};
use fed_core::machine::Machine;
use fed_raft::{Cluster, Config, KeepAliveError, Role, WatchItem};
use serde::{Deserialize, Serialize};
use std::ops::{Bound, ControlFlow};

/// Who holds which lock: name -> the holder's session and the token.
const LOCKS: Table = Table(16);
/// Open sessions.
const SESSIONS: Table = Table(17);
const SOON: Duration = Duration::from_secs(20);

struct Locks;

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Command {
    Open,
    End { session: u64 },
    Acquire { lock: String, session: u64 },
    Release { lock: String, token: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Reply {
    Opened { session: u64 },
    Granted { token: u64 },
    HeldBy { session: u64 },
    Released,
    NotHeld,
    SessionEnded,
    Forgotten,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Event {
    Granted { lock: String, token: u64 },
    Released { lock: String },
}

/// The session that holds the lock, and its token.
fn holder(store: &dyn ReadStore, lock: &str) -> Result<Option<(u64, u64)>, StoreError> {
    let bytes = store.get(LOCKS, lock.as_bytes())?;
    Ok(bytes.and_then(|bytes| {
        let (session, token) = bytes.split_first_chunk::<8>()?;
        let token = token.try_into().ok()?;
        Some((u64::from_be_bytes(*session), u64::from_be_bytes(token)))
    }))
}

fn release(store: &mut dyn WriteStore, events: &mut Vec<Event>, lock: String) {
    store.delete(LOCKS, lock.clone().into_bytes());
    events.push(Event::Released { lock });
}

impl Machine for Locks {
    type Command = Command;
    type Reply = Reply;
    type Event = Event;

    fn apply(
        &self,
        revision: Revision,
        command: Command,
        store: &mut dyn WriteStore,
        events: &mut Vec<Event>,
    ) -> Result<Reply, StoreError> {
        Ok(match command {
            Command::Open => {
                store.put(SESSIONS, revision.0.to_be_bytes().to_vec(), Vec::new());
                Reply::Opened { session: revision.0 }
            }
            Command::End { session } => {
                let mut held = Vec::new();
                store.scan(LOCKS, Bound::Unbounded, Bound::Unbounded, &mut |lock, value| {
                    if value.starts_with(&session.to_be_bytes()) {
                        held.push(String::from_utf8_lossy(lock).into_owned());
                    }
                    ControlFlow::Continue(())
                })?;
                held.into_iter().for_each(|lock| release(store, events, lock));
                store.delete(SESSIONS, session.to_be_bytes().to_vec());
                Reply::Released
            }
            Command::Acquire { lock, session } => {
                if store.get(SESSIONS, &session.to_be_bytes())?.is_none() {
                    return Ok(Reply::SessionEnded);
                }
                if let Some((session, _)) = holder(store, &lock)? {
                    return Ok(Reply::HeldBy { session });
                }
                let token = revision.0;
                let value = [session.to_be_bytes(), token.to_be_bytes()].concat();
                store.put(LOCKS, lock.clone().into_bytes(), value);
                events.push(Event::Granted { lock, token });
                Reply::Granted { token }
            }
            Command::Release { lock, token } => match holder(store, &lock)? {
                Some((_, held)) if held == token => {
                    release(store, events, lock);
                    Reply::Released
                }
                _ => Reply::NotHeld,
            },
        })
    }

    fn forgotten(&self) -> Reply {
        Reply::Forgotten
    }

    fn open_sessions(&self, store: &dyn ReadStore) -> Result<Vec<SessionId>, StoreError> {
        let mut open = Vec::new();
        store.scan(SESSIONS, Bound::Unbounded, Bound::Unbounded, &mut |key, _| {
            open.extend(key.try_into().map(u64::from_be_bytes).map(SessionId));
            ControlFlow::Continue(())
        })?;
        Ok(open)
    }

    /// The cluster's leader proposes this when nobody kept the session alive for its ttl.
    fn end_session(&self, session: SessionId) -> Command {
        Command::End { session: session.0 }
    }
}

/// What the lock protects: it takes no work under a token older than it has seen.
#[derive(Default)]
struct Ledger {
    newest: u64,
    written: Vec<&'static str>,
}

impl Ledger {
    fn write(&mut self, token: u64, what: &'static str) -> bool {
        if token < self.newest {
            return false;
        }
        self.newest = token;
        self.written.push(what);
        true
    }
}

/// A worker at one node.
struct Worker {
    node: Cluster<Locks>,
    session: u64,
}

impl Worker {
    async fn start(node: &Cluster<Locks>) -> Result<Self> {
        match node.propose(Command::Open).await?.reply {
            Reply::Opened { session } => Ok(Self {
                node: node.clone(),
                session,
            }),
            other => bail!("no session: {other:?}"),
        }
    }

    /// Shows that it lives, three times per ttl, until dropped.
    fn keep_alive(&self) -> tokio::task::JoinHandle<()> {
        let (node, session) = (self.node.clone(), SessionId(self.session));
        tokio::spawn(async move {
            loop {
                let pause = match node.keep_alive(session).await {
                    Ok(ttl) => ttl / 3,
                    Err(KeepAliveError::NoLeader(_)) => Duration::from_millis(50),
                    Err(_) => return,
                };
                tokio::time::sleep(pause).await;
            }
        })
    }

    async fn acquire(&self, lock: &str) -> Result<Reply> {
        let (lock, session) = (lock.to_owned(), self.session);
        Ok(self.node.propose(Command::Acquire { lock, session }).await?.reply)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = |name: &str| Config::new(folder.path().join(name), "127.0.0.1:0");
    Cluster::<Locks>::init(&config("one"))?;
    let one = Cluster::start(config("one"), Locks).await?;
    let seed = one.address().to_string();
    let mut nodes = vec![one];
    for name in ["two", "three"] {
        Cluster::<Locks>::join(&config(name), &seed).await?;
        nodes.push(Cluster::start(config(name), Locks).await?);
    }
    let all_vote = async {
        while nodes[0].members().iter().filter(|m| m.role != Role::Learner).count() < 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, all_vote).await.context("three voters")?;

    let mut ledger = Ledger::default();
    let (first, second) = (Worker::start(&nodes[1]).await?, Worker::start(&nodes[2]).await?);
    let (first_lives, second_lives) = (first.keep_alive(), second.keep_alive());
    let Reply::Granted { token: old } = first.acquire("ledger").await? else {
        bail!("a free lock is granted");
    };
    println!("the first worker holds the lock with token {old}");
    ensure!(ledger.write(old, "from the first"));
    let mut watch = nodes[2].watch(nodes[2].local().revision());
    let refused = second.acquire("ledger").await?;
    println!("the second one is told: {refused:?}");
    ensure!(matches!(refused, Reply::HeldBy { session } if session == first.session));

    // The first worker is paused: it no longer shows that it lives.
    first_lives.abort();
    println!("the first worker is paused");
    let released = async {
        while let Some(item) = watch.next().await {
            if let WatchItem::Events { events, .. } = item
                && events
                    .iter()
                    .any(|e| matches!(e, Event::Released { lock } if lock == "ledger"))
            {
                return true;
            }
        }
        false
    };
    ensure!(tokio::time::timeout(SOON, released).await.context("its session ends")?);
    let Reply::Granted { token: new } = second.acquire("ledger").await? else {
        bail!("a released lock is granted");
    };
    println!("its session ended; the second worker holds the lock with token {new}");
    ensure!(new > old, "tokens only grow");
    ensure!(ledger.write(new, "from the second"));

    // The first one wakes up in the middle of its work, and believes that it still holds the lock.
    ensure!(!ledger.write(old, "too late"), "the old token is fenced off");
    println!(
        "what the first worker writes with its old token is refused: {:?}",
        ledger.written
    );
    let lock = "ledger".to_owned();
    let late = nodes[1].propose(Command::Release { lock, token: old }).await?;
    ensure!(late.reply == Reply::NotHeld, "nor can it release what another holds");
    let lock = "ledger".to_owned();
    ensure!(nodes[0].propose(Command::Release { lock, token: new }).await?.reply == Reply::Released);
    second_lives.abort();
    for node in nodes {
        node.shutdown().await;
    }
    Ok(())
}
