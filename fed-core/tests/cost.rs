//! What a registration costs does not depend on how many there are.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod common;

use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Federation, device, device_id, user};
use fed_core::command::Command;
use fed_core::ids::ClientId;
use fed_core::kv::{MemStore, Overlay, ReadStore, StoreError, Table, Visit};
use fed_core::machine::{Request, apply_batch};
use fed_core::map::{FederationMap, MapView};
use fed_core::route::{Caller, locate, route};

/// Counts what is asked of the store below.
struct Counting<'a> {
    store: &'a MemStore,
    gets: AtomicUsize,
    scans: AtomicUsize,
}

impl ReadStore for Counting<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.store.get(table, key)
    }

    fn scan(&self, table: Table, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), StoreError> {
        self.scans.fetch_add(1, Ordering::Relaxed);
        self.store.scan(table, start, end, visit)
    }
}

/// (point reads, scans, changes)
type Cost = (usize, usize, usize);

fn counted(store: &MemStore, work: impl FnOnce(&Counting<'_>) -> usize) -> Cost {
    let counting = Counting {
        store,
        gets: AtomicUsize::new(0),
        scans: AtomicUsize::new(0),
    };
    let changes = work(&counting);
    let Counting { gets, scans, .. } = counting;
    (gets.into_inner(), scans.into_inner(), changes)
}

fn apply(federation: &Federation, commands: Vec<Command>) -> Cost {
    let request = |(sequence, command): (usize, Command)| Request {
        client: ClientId(2),
        sequence: sequence as u64,
        command,
    };
    let requests: Vec<_> = commands.into_iter().enumerate().map(request).collect();
    counted(&federation.store, |store| {
        let mut overlay = Overlay::new(store);
        apply_batch(&FederationMap, &mut overlay, requests).unwrap();
        overlay.into_changes().len()
    })
}

fn with_bindings(bindings: usize) -> Federation {
    let mut federation = Federation::of(2);
    for n in 0..bindings {
        let id = format!("d{n:06}");
        federation.put_user(user(&id, &[]));
        federation.put_device(device(&id, &id));
        federation.register(&id, 1 + n as u64 % 2);
    }
    federation
}

#[test]
fn a_move_costs_a_few_reads_and_no_scan_among_ten_as_among_thousands() {
    let cost = |bindings| {
        let federation = with_bindings(bindings);
        let bind = federation.bind("d000000", "sip:a@192.0.2.99", 2, true);
        apply(&federation, vec![bind])
    };
    let (gets, scans, changes) = cost(10);
    assert_eq!(cost(3000), (gets, scans, changes));
    assert_eq!(scans, 0);
    assert!(gets <= 12, "{gets} reads");
    // The row of bindings, two of the index, the reply, two for a new client, the ledger.
    assert_eq!(changes, 7);
}

#[test]
fn moves_in_a_batch_share_what_they_have_in_common() {
    let federation = with_bindings(64);
    let moves = (0..64).map(|n| {
        let id = format!("d{n:06}");
        federation.bind(&id, "sip:a@192.0.2.99", 2 - n % 2, true)
    });
    let (gets, scans, changes) = apply(&federation, moves.collect());
    assert!(gets <= 64 * 11, "{gets} reads");
    assert_eq!(scans, 0);
    assert!(changes <= 64 * 4 + 3, "{changes} changes");
}

#[test]
fn to_locate_a_device_or_route_a_call_costs_the_same_among_thousands() {
    let cost = |bindings| {
        let federation = with_bindings(bindings);
        let here = fed_core::ids::NodeId(2);
        let located = counted(&federation.store, |store| {
            locate(&MapView::new(store), here, &device_id("d000000")).unwrap();
            0
        });
        let routed = counted(&federation.store, |store| {
            route(&MapView::new(store), here, &Caller::default(), "d000000").unwrap();
            0
        });
        (located, routed)
    };
    let few = cost(10);
    assert_eq!(cost(3000), few);
    // Bindings, session, node.
    assert_eq!(few.0, (3, 0, 0));
    assert!(few.1.0 <= 8 && few.1.1 == 1, "{:?}", few.1);
}
