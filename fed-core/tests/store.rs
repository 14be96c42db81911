//! Overlays behave as if their changes had been written.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use std::ops::{Bound, ControlFlow};

use fed_core::kv::{MemStore, Overlay, ReadStore, Table, WriteStore, scan_prefix};
use proptest::prelude::*;

type Write = (u8, Vec<u8>, Option<Vec<u8>>);
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255)], 0..4)
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..3));
    prop::collection::vec((0u8..2, key(), value), 0..20)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        Just(Bound::Unbounded),
        key().prop_map(Bound::Included),
        key().prop_map(Bound::Excluded)
    ]
}

fn write(store: &mut dyn WriteStore, writes: &[Write]) {
    for (table, key, value) in writes {
        match value {
            Some(value) => store.put(Table(*table), key.clone(), value.clone()),
            None => store.delete(Table(*table), key.clone()),
        }
    }
}

fn rows(store: &dyn ReadStore, start: &Bound<Vec<u8>>, end: &Bound<Vec<u8>>, most: usize) -> Rows {
    let mut rows = Vec::new();
    let (start, end) = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
    store
        .scan(Table(0), start, end, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            if rows.len() < most {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })
        .unwrap();
    rows
}

proptest! {
    #[test]
    fn an_overlay_reads_as_the_store_it_will_become(
        below in writes(),
        first in writes(),
        second in writes(),
        (start, end) in (bound(), bound()),
        most in 1usize..6,
        asked in key(),
    ) {
        let mut base = MemStore::new();
        write(&mut base, &below);
        let mut lower = Overlay::new(&base);
        write(&mut lower, &first);
        let mut upper = Overlay::new(&lower);
        write(&mut upper, &second);

        let mut plain = base.clone();
        write(&mut plain, &first);
        write(&mut plain, &second);
        prop_assert_eq!(rows(&upper, &start, &end, most), rows(&plain, &start, &end, most));
        prop_assert_eq!(upper.get(Table(0), &asked), plain.get(Table(0), &asked));

        let by_prefix = |store: &dyn ReadStore| {
            let mut keys = Vec::new();
            scan_prefix(store, Table(1), &asked, &mut |key, _| {
                keys.push(key.to_vec());
                ControlFlow::Continue(())
            }).unwrap();
            keys
        };
        prop_assert_eq!(by_prefix(&upper), by_prefix(&plain));
        prop_assert!(by_prefix(&plain).iter().all(|key| key.starts_with(&asked)));

        let changes = upper.into_changes();
        for change in changes {
            lower.change(change);
        }
        let mut written = base.clone();
        for change in lower.into_changes() {
            written.change(change);
        }
        prop_assert_eq!(written, plain);
    }
}
