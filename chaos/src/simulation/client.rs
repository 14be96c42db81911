//! Clients: puts, gets, compare-and-sets and deletes at the node they live beside, sent again when the outcome is
//! unknown, by whoever comes across them, under the same name.

use std::time::Duration;

use fed_core::ids::{ClientId, SessionId};
use fed_core::machine::Request;
use fed_raft::{Cluster, Consistency, KeepAliveError, ProposeError};

use super::cluster::{Shared, now_ns};
use super::machine::{Command, Kv, Reply, value_of};
use crate::operation::{Call, Operation, Outcome};

/// How long an operation may take before its outcome is unknown.
const PATIENCE: Duration = Duration::from_millis(500);
/// Pause before a key is read again that could not be read at the end.
const AGAIN: Duration = Duration::from_millis(50);
/// How often a write is sent again.
const TRIES: u32 = 4;

/// A write that was sent and whose outcome is unknown.
#[derive(Clone)]
pub(super) struct Retry {
    at: usize,
    op: u64,
    request: Request<Command>,
    tries: u32,
}

/// Works until it is told to be quiet.
pub(super) async fn run(world: Shared, host: usize, node: Cluster<Kv>) {
    let process = {
        let mut world = world.borrow_mut();
        world.next_client += 1;
        world.next_client
    };
    let mut sequence = 0;
    loop {
        let think = world.borrow_mut().random.below(60_000);
        tokio::time::sleep(Duration::from_micros(think)).await;
        if world.borrow().quiet {
            return;
        }
        let again = {
            let mut world = world.borrow_mut();
            let pick = world.random.below(2) == 0 && !world.retries.is_empty();
            pick.then(|| world.retries.remove(0))
        };
        if let Some(retry) = again {
            write(&world, &node, retry).await;
            continue;
        }
        sequence += 1;
        one(&world, host, &node, process, sequence).await;
    }
}

async fn one(world: &Shared, host: usize, node: &Cluster<Kv>, process: u64, sequence: u64) {
    let (key, kind, op) = {
        let mut world = world.borrow_mut();
        let keys = world.plan.keys as u64;
        let key = format!("k{}", world.random.below(keys));
        let kind = world.random.below(10);
        world.next_operation += 1;
        (key, kind, world.next_operation)
    };
    let value = format!("v{op}");
    let operation = |call| Operation {
        process: process as i64,
        node: Some(host as i64),
        key: key.clone(),
        call,
        outcome: Outcome::Unknown,
        start_ns: now_ns(),
        end_ns: now_ns(),
    };
    let (call, command) = match kind {
        0..=3 => {
            get(world, node, &key, operation(Call::Get)).await;
            return;
        }
        4..=6 => {
            let call = Call::Put { value: value.clone() };
            (
                call,
                Command::Put {
                    op,
                    key: key.clone(),
                    value,
                },
            )
        }
        7 | 8 => {
            // What it may well hold, so that some of them succeed.
            let expect = value_of(&node.local(), &key).ok().flatten();
            let call = Call::Cas {
                expect: expect.clone(),
                value: Some(value.clone()),
            };
            let command = Command::Cas {
                op,
                key: key.clone(),
                expect,
                value: Some(value),
            };
            (call, command)
        }
        _ => (Call::Delete, Command::Delete { op, key: key.clone() }),
    };
    let at = world.borrow_mut().begin(operation(call));
    #[cfg(feature = "planted-bugs")]
    let command = match evaluated_here(node, command) {
        Some(command) => command,
        None => return world.borrow_mut().finish(at, Outcome::Refused),
    };
    let retry = Retry {
        at,
        op,
        request: Request {
            client: ClientId(u128::from(process)),
            sequence,
            command,
        },
        tries: 0,
    };
    write(world, node, retry).await;
}

/// Whether it was answered.
async fn get(world: &Shared, node: &Cluster<Kv>, key: &str, operation: Operation) -> bool {
    let at = world.borrow_mut().begin(operation);
    // Without an answer there is nothing to judge.
    if let Ok(snapshot) = node.read(Consistency::Linearizable, PATIENCE).await
        && let Ok(value) = value_of(&snapshot, key)
    {
        world.borrow_mut().finish(at, Outcome::Answered(value));
        return true;
    }
    false
}

/// Reads every key until it is answered, so that an acknowledged write that is gone shows.
pub(super) async fn scan(world: &Shared, host: usize, node: &Cluster<Kv>) {
    let keys = world.borrow().plan.keys;
    for key in 0..keys {
        let key = format!("k{key}");
        let operation = || Operation {
            process: -(host as i64),
            node: Some(host as i64),
            key: key.clone(),
            call: Call::Get,
            outcome: Outcome::Unknown,
            start_ns: now_ns(),
            end_ns: now_ns(),
        };
        while !get(world, node, &key, operation()).await {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

async fn write(world: &Shared, node: &Cluster<Kv>, mut retry: Retry) {
    let certain = retry.tries == 0;
    retry.tries += 1;
    let at = retry.at;
    match node.propose_request(retry.request.clone(), PATIENCE).await {
        Ok(proposed) => {
            let mut world = world.borrow_mut();
            match proposed.reply {
                Reply::Done => {
                    world.finish(at, Outcome::Done);
                    if !matches!(retry.request.command, Command::Delete { .. }) {
                        world.acknowledged.insert(retry.op, proposed.revision.0);
                    }
                }
                Reply::Different => world.finish(at, Outcome::Refused),
                // Too late to know.
                Reply::Forgotten | Reply::Opened(_) => {}
            }
        }
        Err(ProposeError::OutcomeUnknown { .. }) if retry.tries < TRIES => world.borrow_mut().retries.push(retry),
        Err(ProposeError::OutcomeUnknown { .. }) => {}
        // Certainly not applied, if this was the only attempt. Of a compare-and-set that would say that it looked.
        Err(_) if certain && !matches!(retry.request.command, Command::Cas { .. }) => {
            world.borrow_mut().finish(at, Outcome::Refused);
        }
        Err(_) if retry.tries < TRIES => world.borrow_mut().retries.push(retry),
        Err(_) => {}
    }
}

/// Keeps a session open, and opens another when it ended.
pub(super) async fn hold_session(world: Shared, node: Cluster<Kv>) {
    let mut session = None;
    while !world.borrow().quiet {
        match session {
            None => {
                if let Ok(proposed) = node.propose(Command::Open).await
                    && let Reply::Opened(opened) = proposed.reply
                {
                    session = Some(SessionId(opened));
                }
            }
            Some(open) => {
                if let Err(KeepAliveError::Ended { .. }) = node.keep_alive(open).await {
                    session = None;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

/// The planted bug: the comparison is made here, before the command is ordered.
#[cfg(feature = "planted-bugs")]
fn evaluated_here(node: &Cluster<Kv>, command: Command) -> Option<Command> {
    match command {
        Command::Cas { op, key, expect, value } if fed_raft::planted::is("cas-outside-apply") => {
            let holds = value_of(&node.local(), &key).ok()?;
            let value = value?;
            (holds == expect).then_some(Command::Put { op, key, value })
        }
        command => Some(command),
    }
}
