//! The map against a plain model of it, and the applier against itself: random logs with retries, cut into
//! batches in every way, copied in the middle.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod commands;
#[path = "../common/mod.rs"]
mod common;
mod plain;
mod watcher;

use std::ops::{Bound, ControlFlow};

use commands::{CURRENT, Step, provisioned, steps};
use fed_core::audit;
use fed_core::command::{Command, Reply};
use fed_core::event::Change;
use fed_core::ids::ClientId;
use fed_core::kv::{MemStore, Overlay, ReadStore, Table, WriteStore};
use fed_core::machine::{Outcome, Request, apply_batch, recomputed_state_hash, revision, state_hash};
use fed_core::map::{FederationMap, MapView};
use plain::{Model, Plain};
use proptest::prelude::*;
use watcher::Watcher;

type Applied = Outcome<Reply, Change>;

/// Turns steps into a log, with sessions and retries filled in by running it on the model.
fn log(steps: Vec<Step>, provision: bool) -> Vec<Request<Command>> {
    let mut model = Model::default();
    let mut log: Vec<Request<Command>> = Vec::new();
    let first = provisioned().into_iter().map(|command| Step::New {
        client: 1,
        command: Box::new(command),
    });
    let first = if provision { first.collect() } else { Vec::new() };
    for step in first.into_iter().chain(steps) {
        let request = match step {
            Step::New { client, mut command } => {
                resolve(&mut command, &model.map);
                let sequence = log.len() as u64;
                Request {
                    client: ClientId(client),
                    sequence,
                    command: *command,
                }
            }
            Step::Retry { back } => match log.iter().rev().nth(back) {
                Some(request) => request.clone(),
                None => continue,
            },
        };
        model.request((request.client.0, request.sequence), &request.command);
        log.push(request);
    }
    log
}

fn resolve(command: &mut Command, map: &Plain) {
    match command {
        Command::Bind { node, session, .. } if *session == CURRENT => {
            let open = map.sessions.iter().find(|open| open.1 == *node);
            *session = open.map_or(CURRENT, |open| open.0);
        }
        Command::Batch(commands) => {
            commands.iter_mut().for_each(|command| resolve(command, map));
        }
        Command::By { command, .. } => resolve(command, map),
        _ => {}
    }
}

fn run(store: &mut MemStore, requests: &[Request<Command>]) -> Vec<Applied> {
    // As a node does it: into an overlay, then out of it in one piece.
    let mut overlay = Overlay::new(store);
    let outcomes = apply_batch(&FederationMap, &mut overlay, requests.to_vec()).unwrap();
    for change in overlay.into_changes() {
        store.change(change);
    }
    outcomes
}

/// A store filled from the rows of another, as a snapshot would.
fn copy(store: &MemStore) -> MemStore {
    let mut copy = MemStore::new();
    for table in 0..=u8::MAX {
        store
            .scan(Table(table), Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
                copy.put(Table(table), key.to_vec(), value.to_vec());
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    copy
}

fn rows(store: &MemStore, table: u8) -> usize {
    let mut rows = 0;
    store
        .scan(Table(table), Bound::Unbounded, Bound::Unbounded, &mut |_, _| {
            rows += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    rows
}

/// Every read of the map, and every row of every index, against the model.
fn assert_same(store: &MemStore, plain: &Plain) {
    let view = MapView::new(store);
    let mut users = plain.users.clone();
    users.sort_by(|a, b| a.value.id.cmp(&b.value.id));
    assert_eq!(view.users(None, usize::MAX).unwrap(), users);
    let mut devices = plain.devices.clone();
    devices.sort_by(|a, b| a.value.id.cmp(&b.value.id));
    assert_eq!(view.devices(None, usize::MAX).unwrap(), devices);
    let mut nodes = plain.nodes.clone();
    nodes.sort_by_key(|node| node.value.id);
    assert_eq!(view.nodes().unwrap(), nodes);
    let mut bindings = plain.bindings.clone();
    bindings.sort_by(|a, b| (&a.value.device, &a.value.contact).cmp(&(&b.value.device, &b.value.contact)));

    let mut index_rows = [0; 3];
    for user in &users {
        let of_user = devices.iter().filter(|device| device.value.user == user.value.id);
        let of_user: Vec<_> = of_user.cloned().collect();
        assert_eq!(view.devices_of(&user.value.id).unwrap(), of_user);
        for number in &user.value.numbers {
            assert_eq!(view.number(number).unwrap().as_ref(), Some(&user.value.id));
        }
        index_rows[0] += user.value.numbers.len();
    }
    for device in &devices {
        let id = &device.value.id;
        let of_device: Vec<_> = bindings
            .iter()
            .filter(|binding| binding.value.device == *id)
            .cloned()
            .collect();
        assert_eq!(view.bindings_of(id).unwrap(), of_device);
        let live = |node| plain.sessions.iter().any(|open| open.0 == node);
        let live: Vec<_> = of_device
            .iter()
            .filter(|binding| live(binding.value.session))
            .cloned()
            .collect();
        assert_eq!(view.live_bindings_of(id).unwrap(), live);
        index_rows[1] += usize::from(!of_device.is_empty());
        let mut nodes: Vec<_> = of_device.iter().map(|binding| binding.value.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        index_rows[2] += nodes.len();
    }
    for node in &nodes {
        let id = node.value.id;
        let at_node: Vec<_> = bindings
            .iter()
            .filter(|binding| binding.value.node == id)
            .cloned()
            .collect();
        assert_eq!(view.bindings_at(id).unwrap(), at_node);
        assert_eq!(view.node_by_name(&node.value.name).unwrap().as_ref(), Some(node));
        let open = plain.sessions.iter().find(|open| open.1 == id).map(|open| open.0);
        assert_eq!(view.session_of(id).unwrap(), open);
    }
    for (key, setting) in &plain.settings {
        assert_eq!(view.setting(key).unwrap().as_ref(), Some(setting));
    }
    let mut tokens = plain.tokens.clone();
    tokens.sort_by(|a, b| a.value.id.cmp(&b.value.id));
    assert_eq!(view.tokens(None, usize::MAX).unwrap(), tokens);
    let head = view.audit_head().unwrap();
    let entries = view.audit(0, usize::MAX).unwrap();
    let audited: Vec<_> = entries.iter().map(|entry| entry.revision).collect();
    assert_eq!(audited, plain.audited);
    assert_eq!(
        audit::verify(0, head.before_first, &entries).unwrap(),
        (head.next - 1, head.last)
    );
    let mut sessions = plain.sessions.clone();
    sessions.sort_unstable();
    let open: Vec<_> = view
        .sessions()
        .unwrap()
        .iter()
        .map(|open| (open.id, open.node))
        .collect();
    assert_eq!(open, sessions);

    let expected = [
        (18, index_rows[1]),
        (20, sessions.len()),
        (21, plain.settings.len()),
        (22, index_rows[0]),
        (23, devices.len()),
        (24, index_rows[2]),
        (25, nodes.len()),
        (26, sessions.len()),
        (28, plain.tokens.len()),
        (29, plain.audited.len()),
    ];
    for (table, count) in expected {
        assert_eq!(rows(store, table), count, "rows in table {table}");
    }
    let counts = view.counts().unwrap();
    let counted = [
        counts.users,
        counts.devices,
        counts.bindings,
        counts.nodes,
        counts.sessions,
    ];
    let there = [users.len(), devices.len(), bindings.len(), nodes.len(), sessions.len()];
    assert_eq!(counted, there.map(|n| n as u64));
    assert_eq!(counts.numbers, index_rows[0] as u64);
    assert_eq!(counts.tokens, plain.tokens.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_map_does_what_a_plain_model_does(steps in steps(80), provision: bool) {
        let mut model = Model::default();
        let mut store = MemStore::new();
        let mut watcher = Watcher::default();
        for request in log(steps, provision) {
            let before = revision(&store).unwrap();
            let outcome = run(&mut store, std::slice::from_ref(&request)).remove(0);
            let (reply, at) = model.request((request.client.0, request.sequence), &request.command);
            prop_assert_eq!(&outcome.reply, &reply, "{:?}", request.command);
            prop_assert_eq!(outcome.revision, at);
            let wrote = revision(&store).unwrap() != before;
            // A note is in the audit log and changes nothing that is watched.
            let noted = matches!(&request.command, Command::By { command, .. } if matches!(**command, Command::Note { .. }));
            prop_assert_eq!(wrote && !noted, !outcome.events.is_empty(), "events are told of changes only");
            prop_assert!(!(wrote && plain::refused(&reply)), "a refused command writes nothing");
            watcher.see(&outcome.events);
        }
        prop_assert_eq!(revision(&store).unwrap(), model.revision);
        assert_same(&store, &model.map);
        watcher.assert_knows(&model.map);
        prop_assert_eq!(recomputed_state_hash(&store).unwrap(), state_hash(&store).unwrap());
    }

    #[test]
    fn the_same_log_gives_the_same_state_at_any_batch_boundary_and_through_a_copy(
        steps in steps(60),
        sizes in prop::collection::vec(1usize..12, 1..20),
        copy_after in 0usize..60,
    ) {
        let log = log(steps, true);
        let mut whole = MemStore::new();
        let outcomes = run(&mut whole, &log);

        let mut cut = MemStore::new();
        let mut cut_outcomes = Vec::new();
        let mut rest = log.as_slice();
        let mut sizes = sizes.iter().cycle();
        while !rest.is_empty() {
            let size = (*sizes.next().unwrap()).min(rest.len());
            cut_outcomes.extend(run(&mut cut, &rest[..size]));
            rest = &rest[size..];
        }

        let at = copy_after.min(log.len());
        let mut first = MemStore::new();
        run(&mut first, &log[..at]);
        let mut second = copy(&first);
        run(&mut second, &log[at..]);

        prop_assert_eq!(&cut_outcomes, &outcomes);
        prop_assert_eq!(&cut, &whole);
        prop_assert_eq!(&second, &whole);
        let hash = state_hash(&whole).unwrap();
        prop_assert_eq!(state_hash(&cut).unwrap(), hash);
        prop_assert_eq!(state_hash(&second).unwrap(), hash);

        // The whole log once more: every request is known.
        let again = run(&mut whole, &log);
        prop_assert!(again.iter().all(|outcome| outcome.duplicate));
        prop_assert_eq!(&whole, &cut);
        prop_assert_eq!(state_hash(&whole).unwrap(), hash);
    }
}

#[test]
fn different_states_have_different_hashes() {
    let mut stores = [MemStore::new(), MemStore::new()];
    for (n, store) in stores.iter_mut().enumerate() {
        let user = common::user(&format!("u{n}"), &[]);
        let command = Command::PutUser {
            user,
            expect: fed_core::command::Expect::Any,
        };
        run(
            store,
            &[Request {
                client: ClientId(1),
                sequence: 1,
                command,
            }],
        );
    }
    let [a, b] = stores;
    assert_eq!(revision(&a).unwrap(), revision(&b).unwrap());
    assert_ne!(state_hash(&a).unwrap(), state_hash(&b).unwrap());
}
