//! The requests already answered, so that a retry has no second effect.
//!
//! Each client has a ring of [`WINDOW`] slots; request `s` lives in slot `s mod WINDOW` until `s + WINDOW`
//! takes it. One read tells whether a request is new. At most [`CLIENTS`] clients are remembered; the one first
//! seen goes first, with all its slots.

use std::ops::ControlFlow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ledger::{Ledger, damaged};
use crate::codec;
use crate::ids::{ClientId, Revision};
use crate::kv::{ReadStore, StoreError, Table, WriteStore, scan_prefix};

/// How many sequence numbers of a client are remembered.
pub const WINDOW: u64 = 4096;
/// How many clients are remembered.
pub const CLIENTS: u64 = 10_000;

/// (client, slot) -> the reply.
const REPLIES: Table = Table(1);
/// client -> its ordinal.
const ORDINALS: Table = Table(2);
/// ordinal -> client.
const ORDER: Table = Table(3);

const KIND: u8 = 33;
const KIND_ORDINAL: u8 = 34;
const KIND_CLIENT: u8 = 35;

/// Frozen: version 1 of the stored row.
#[derive(Serialize, Deserialize)]
struct Answered<R> {
    sequence: u64,
    revision: u64,
    reply: R,
}

pub(super) enum Known<R> {
    /// Never seen; what its slot holds now.
    New { slot: Option<Vec<u8>> },
    /// Applied before, with this reply at this revision.
    Answered { reply: R, revision: Revision },
    /// A later request has its slot.
    Forgotten,
}

pub(super) fn look_up<R: DeserializeOwned>(
    store: &dyn ReadStore,
    client: ClientId,
    sequence: u64,
) -> Result<Known<R>, StoreError> {
    let key = slot_key(client, sequence);
    let Some(bytes) = store.get(REPLIES, &key)? else {
        return Ok(Known::New { slot: None });
    };
    let row: Answered<R> = codec::decode(KIND, 1, &bytes).map_err(|source| damaged(REPLIES, &key, source))?;
    Ok(match row.sequence.cmp(&sequence) {
        std::cmp::Ordering::Less => Known::New { slot: Some(bytes) },
        std::cmp::Ordering::Equal => Known::Answered {
            reply: row.reply,
            revision: Revision(row.revision),
        },
        std::cmp::Ordering::Greater => Known::Forgotten,
    })
}

/// Remembers the reply to a new request. `slot` is what [`look_up`] found in its place.
pub(super) fn remember<R: Serialize>(
    store: &mut dyn WriteStore,
    ledger: &mut Ledger,
    (client, sequence): (ClientId, u64),
    slot: Option<&[u8]>,
    reply: &R,
) -> Result<(), StoreError> {
    if slot.is_none() {
        admit(store, ledger, client)?;
    }
    let row = Answered {
        sequence,
        revision: ledger.revision,
        reply,
    };
    let bytes = codec::encode(KIND, 1, &row).map_err(StoreError::Encode)?;
    ledger.put(store, REPLIES, slot_key(client, sequence), slot, bytes);
    Ok(())
}

/// Numbers a client that is new, and forgets the one first seen when there are too many.
fn admit(store: &mut dyn WriteStore, ledger: &mut Ledger, client: ClientId) -> Result<(), StoreError> {
    let key = client.0.to_be_bytes().to_vec();
    if store.get(ORDINALS, &key)?.is_some() {
        return Ok(());
    }
    let ordinal = ledger.next_client;
    ledger.next_client += 1;
    let named = codec::encode(KIND_ORDINAL, 1, &ordinal).map_err(StoreError::Encode)?;
    ledger.put(store, ORDINALS, key, None, named);
    let listed = codec::encode(KIND_CLIENT, 1, &client).map_err(StoreError::Encode)?;
    ledger.put(store, ORDER, ordinal.to_be_bytes().to_vec(), None, listed);
    while ledger.next_client - ledger.oldest_client > CLIENTS {
        evict_oldest(store, ledger)?;
    }
    Ok(())
}

fn evict_oldest(store: &mut dyn WriteStore, ledger: &mut Ledger) -> Result<(), StoreError> {
    let order_key = ledger.oldest_client.to_be_bytes().to_vec();
    let listed = store
        .get(ORDER, &order_key)?
        .ok_or_else(|| StoreError::Inconsistent(format!("client {} is missing", ledger.oldest_client)))?;
    let client: ClientId =
        codec::decode(KIND_CLIENT, 1, &listed).map_err(|source| damaged(ORDER, &order_key, source))?;
    ledger.oldest_client += 1;
    ledger.delete(store, ORDER, order_key, Some(&listed));
    let key = client.0.to_be_bytes().to_vec();
    let named = store.get(ORDINALS, &key)?;
    let mut slots = Vec::new();
    scan_prefix(store, REPLIES, &key, &mut |slot, value| {
        slots.push((slot.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    ledger.delete(store, ORDINALS, key, named.as_deref());
    for (slot, value) in slots {
        ledger.delete(store, REPLIES, slot, Some(&value));
    }
    Ok(())
}

fn slot_key(client: ClientId, sequence: u64) -> Vec<u8> {
    let (client, slot) = (client.0.to_be_bytes(), ((sequence % WINDOW) as u16).to_be_bytes());
    [&client[..], &slot].concat()
}
