//! The generic applier, with a machine that is no federation.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use std::ops::{Bound, ControlFlow};

use fed_core::ids::{ClientId, Revision, SessionId};
use fed_core::kv::{MemStore, Overlay, ReadStore, StoreError, Table, WriteStore};
use fed_core::machine::{CLIENTS, Machine, Request, WINDOW, apply_batch, recomputed_state_hash, revision, state_hash};

/// Counters by key. Adding 0 changes nothing.
struct Counters;

const COUNTERS: Table = Table(16);

impl Machine for Counters {
    type Command = (u8, u64);
    type Reply = Option<u64>;
    type Event = (u64, u8);

    fn apply(
        &self,
        revision: Revision,
        (key, add): (u8, u64),
        store: &mut dyn WriteStore,
        events: &mut Vec<(u64, u8)>,
    ) -> Result<Option<u64>, StoreError> {
        let old = store.get(COUNTERS, &[key])?;
        let old = old.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
        let new = old + add;
        if add == 0 {
            events.push((revision.0, key));
            return Ok(Some(new));
        }
        let table = if key == u8::MAX { Table(1) } else { COUNTERS };
        store.put(table, vec![key], new.to_be_bytes().to_vec());
        events.push((revision.0, key));
        Ok(Some(new))
    }

    fn forgotten(&self) -> Option<u64> {
        None
    }

    fn open_sessions(&self, _: &dyn ReadStore) -> Result<Vec<SessionId>, StoreError> {
        Ok(Vec::new())
    }

    fn end_session(&self, _: SessionId) -> (u8, u64) {
        (0, 0)
    }
}

fn request(client: u128, sequence: u64, command: (u8, u64)) -> Request<(u8, u64)> {
    Request {
        client: ClientId(client),
        sequence,
        command,
    }
}

fn apply(
    store: &mut MemStore,
    requests: Vec<Request<(u8, u64)>>,
) -> Vec<fed_core::machine::Outcome<Option<u64>, (u64, u8)>> {
    apply_batch(&Counters, store, requests).unwrap()
}

#[test]
fn a_retried_request_has_one_effect_and_its_old_reply() {
    let mut store = MemStore::new();
    let first = apply(&mut store, vec![request(1, 1, (1, 5)), request(1, 2, (1, 5))]);
    assert_eq!((first[1].reply, first[1].revision), (Some(10), Revision(2)));
    let before = store.clone();
    let retry = apply(&mut store, vec![request(1, 1, (1, 5))]);
    assert_eq!(store, before);
    assert!(retry[0].duplicate && retry[0].events.is_empty());
    assert_eq!((retry[0].reply, retry[0].revision), (Some(5), Revision(1)));
    // The same number of another client is another request.
    let other = apply(&mut store, vec![request(2, 1, (1, 5))]);
    assert_eq!((other[0].reply, other[0].duplicate), (Some(15), false));
}

#[test]
fn a_retry_in_the_same_batch_is_known() {
    let mut store = MemStore::new();
    let outcomes = apply(&mut store, vec![request(1, 1, (1, 5)); 3]);
    let replies: Vec<_> = outcomes.iter().map(|o| (o.reply, o.duplicate)).collect();
    assert_eq!(replies, [(Some(5), false), (Some(5), true), (Some(5), true)]);
}

#[test]
fn only_what_writes_gets_a_revision() {
    let mut store = MemStore::new();
    let outcomes = apply(
        &mut store,
        vec![request(1, 1, (1, 5)), request(1, 2, (1, 0)), request(1, 3, (2, 1))],
    );
    let revisions: Vec<_> = outcomes.iter().map(|o| (o.revision.0, o.events.clone())).collect();
    assert_eq!(revisions, [(1, vec![(1, 1)]), (1, vec![]), (2, vec![(2, 2)])]);
    assert_eq!(revision(&store).unwrap(), Revision(2));
}

#[test]
fn a_request_out_of_the_window_is_not_applied() {
    let mut store = MemStore::new();
    apply(&mut store, vec![request(1, 1, (1, 1)), request(1, 1 + WINDOW, (1, 1))]);
    let late = apply(&mut store, vec![request(1, 1, (1, 1))]);
    assert_eq!((late[0].reply, late[0].duplicate), (None, false));
    assert_eq!(late[0].revision, Revision(2));
    let next = apply(&mut store, vec![request(1, 2, (1, 1))]);
    assert_eq!(next[0].reply, Some(3), "out of order within the window is fine");
}

#[test]
fn the_client_first_seen_is_forgotten_first_with_all_it_asked() {
    let mut store = MemStore::new();
    apply(&mut store, vec![request(0, 1, (1, 1)), request(0, 2, (1, 1))]);
    for client in 1..u128::from(CLIENTS) {
        apply(&mut store, vec![request(client, 1, (1, 0))]);
    }
    assert!(apply(&mut store, vec![request(0, 1, (1, 1))])[0].duplicate);
    apply(&mut store, vec![request(u128::from(CLIENTS), 1, (1, 0))]);
    let mut left = 0;
    store
        .scan(Table(1), Bound::Unbounded, Bound::Excluded(&[0; 15]), &mut |_, _| {
            left += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(left, 0);
    assert!(!apply(&mut store, vec![request(0, 1, (1, 1))])[0].duplicate);
    assert!(
        apply(&mut store, vec![request(2, 1, (1, 1))])[0].duplicate,
        "others are known"
    );
    assert_eq!(recomputed_state_hash(&store).unwrap(), state_hash(&store).unwrap());
}

#[test]
fn a_machine_cannot_write_where_it_must_not() {
    let mut store = MemStore::new();
    let failed = apply_batch(&Counters, &mut store, vec![request(1, 1, (u8::MAX, 1))]);
    assert_eq!(failed.unwrap_err(), StoreError::Reserved { table: 1 });
}

#[test]
fn damage_is_seen_by_the_hash() {
    let mut store = MemStore::new();
    apply(&mut store, vec![request(1, 1, (1, 5))]);
    assert_eq!(recomputed_state_hash(&store).unwrap(), state_hash(&store).unwrap());
    let mut other = Overlay::new(&store);
    other.put(COUNTERS, vec![1], 6u64.to_be_bytes().to_vec());
    assert_ne!(recomputed_state_hash(&other).unwrap(), state_hash(&other).unwrap());
}

#[test]
fn a_damaged_reply_is_an_error_that_names_it() {
    let mut store = MemStore::new();
    apply(&mut store, vec![request(1, 1, (1, 5))]);
    let mut key = 1u128.to_be_bytes().to_vec();
    key.extend_from_slice(&[0, 1]);
    let mut value = store.get(Table(1), &key).unwrap().unwrap();
    *value.last_mut().unwrap() ^= 1;
    store.put(Table(1), key, value);
    let failed = apply_batch(&Counters, &mut store, vec![request(1, 1, (1, 5))]).unwrap_err();
    assert!(matches!(failed, StoreError::Damaged { table: 1, .. }));
    assert!(failed.to_string().contains("leave, then join again"), "{failed}");
}
