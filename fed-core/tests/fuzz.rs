//! What comes from a disk, a peer or a caller never makes this crate panic: stored rows, commands, replies, events, capabilities, names.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod common;
#[path = "../../tests/fuzz/mod.rs"]
mod fuzzing;

use std::ops::{Bound, ControlFlow};
use std::path::PathBuf;

use common::{Federation, device_id};
use fed_core::audit::{Hash, verify as verify_audit};
use fed_core::capability::{Claims, Path, mint, verify};
use fed_core::codec::{decode, encode};
use fed_core::command::{Command, Reply};
use fed_core::event::Change;
use fed_core::ids::{ClientId, ContactUri, DeviceId, NodeId, Number, UserId};
use fed_core::kv::{MemStore, ReadStore, Table, WriteStore};
use fed_core::machine::{Request, apply_batch, recomputed_state_hash};
use fed_core::map::{FederationMap, MapView};
use fed_core::sealing::{Place, SealKey, is_sealed, open};
use fuzzing::fuzz;

/// Bytes of the envelope before the payload; see `codec`.
const HEADER: usize = 13;

/// The envelope around a damaged payload made right again, so that the damage gets past the checksum.
fn resealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let (Some(payload), true) = (bytes.len().checked_sub(HEADER), bytes.starts_with(b"fd")) {
        bytes[9..HEADER].copy_from_slice(&u32::try_from(payload).unwrap().to_be_bytes());
        let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes[2..5]), &bytes[9..]);
        bytes[5..9].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// The lines of a file of `tests/golden`.
fn golden(name: &str) -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.hex"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Every row of every table of the golden map.
fn rows() -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    const TABLES: [(u8, &str); 15] = [
        (16, "user"),
        (17, "device"),
        (18, "bindings"),
        (19, "node"),
        (20, "session"),
        (21, "setting"),
        (22, "number"),
        (23, "devices_of_user"),
        (24, "bindings_at_node"),
        (25, "node_name"),
        (26, "session_of_node"),
        (27, "count"),
        (28, "token"),
        (29, "audit"),
        (30, "audit_head"),
    ];
    let mut rows = Vec::new();
    for (table, name) in TABLES {
        for line in golden(name) {
            let (key, value) = line.split_once(' ').unwrap();
            rows.push((Table(table), unhex(key), unhex(value)));
        }
    }
    rows
}

/// Reads everything there is; whether nothing was found to be wrong.
fn read_all(store: &MemStore) -> bool {
    let view = MapView::new(store);
    let (users, devices) = (view.users(None, 100), view.devices(None, 100));
    let (head, trail) = (view.audit_head(), view.audit(0, 100));
    if let (Ok(_), Ok(trail)) = (&head, &trail) {
        let _ = verify_audit(0, Hash::default(), trail);
    }
    let mut fine = users.is_ok() && devices.is_ok();
    for user in users.into_iter().flatten() {
        fine &= view.devices_of(&user.value.id).is_ok();
    }
    for device in devices.into_iter().flatten() {
        fine &= view.bindings_of(&device.value.id).is_ok() && view.live_bindings_of(&device.value.id).is_ok();
    }
    for number in ["100", "alice", "alice-desk", "nobody"] {
        fine &= view.number(&Number::new(number).unwrap()).is_ok();
    }
    fine &= view.tokens(None, 100).is_ok() && head.is_ok() && trail.is_ok();
    fine &= view.nodes().is_ok() && view.node_by_name("n2").is_ok() && view.sessions().is_ok();
    fine &= [1, 2]
        .into_iter()
        .all(|node| view.bindings_at(NodeId(node)).is_ok() && view.session_of(NodeId(node)).is_ok());
    fine & view.realm().is_ok()
        & view.capability_key().is_ok()
        & view.counts().is_ok()
        & recomputed_state_hash(store).is_ok()
}

#[test]
fn damaged_rows_are_errors() {
    let rows = rows();
    let values: Vec<Vec<u8>> = rows.iter().map(|(_, _, value)| value.clone()).collect();
    for seals in [false, true] {
        let mut turn = 0;
        fuzz("a row of the map", &values, &[], |value| {
            // An example stands in its own row; a damaged one in any.
            let own = rows.iter().position(|(_, _, there)| there == value);
            turn += 1;
            let at = own.unwrap_or(turn % rows.len());
            let mut store = MemStore::new();
            for (table, key, there) in &rows {
                store.put(*table, key.clone(), there.clone());
            }
            let value = if seals { resealed(value) } else { value.to_vec() };
            store.put(rows[at].0, rows[at].1.clone(), value);
            let fine = read_all(&store);
            // Commands on such a map are refused or fail; they do not panic either.
            for (sequence, command) in (1..).zip(commands()) {
                let request = Request {
                    client: ClientId(9),
                    sequence,
                    command,
                };
                let _ = apply_batch(&FederationMap, &mut store, vec![request]);
            }
            fine
        });
    }
}

fn commands() -> Vec<Command> {
    let decoded = [golden("commands"), golden("commands_2")]
        .concat()
        .into_iter()
        .map(|line| decode(200, 1, &unhex(&line)).unwrap());
    decoded.collect()
}

/// Decoders of the frozen enums.
fn decoded<T: serde::de::DeserializeOwned + serde::Serialize>(bytes: &[u8]) -> bool {
    match decode::<T>(200, 1, bytes) {
        // What was understood can be written again.
        Ok(value) => encode(200, 1, &value).is_ok(),
        Err(_) => false,
    }
}

#[test]
fn damaged_commands_replies_and_events_are_errors() {
    for (name, decoder) in [
        ("commands", decoded::<Command> as fn(&[u8]) -> bool),
        ("replies", decoded::<Reply>),
        ("events", decoded::<Change>),
    ] {
        let lines = [golden(name), golden(&format!("{name}_2"))].concat();
        let corpus: Vec<Vec<u8>> = lines.iter().map(|line| unhex(line)).collect();
        fuzz(name, &corpus, &[], decoder);
        fuzz(&format!("{name}, checksums repaired"), &corpus, &[], |bytes| {
            decoder(&resealed(bytes))
        });
    }
}

/// A peer (or a client's program) can send what no constructor would let through: it is decoded, not made.
#[test]
fn commands_that_nobody_would_make_are_applied_or_refused() {
    let lines = [golden("commands"), golden("commands_2")].concat();
    let corpus: Vec<Vec<u8>> = lines.iter().map(|line| unhex(line)).collect();
    let mut federation = Federation::of(2);
    federation.provision("alice", &["100"]);
    federation.register("alice", 1);
    let (mut understood, mut sequence) = (0, 0);
    fuzz("commands, applied", &corpus, &["&", "/", "\n", "\0"], |bytes| {
        let Ok(command) = decode::<Command>(200, 1, &resealed(bytes)) else {
            return false;
        };
        understood += 1;
        sequence += 1;
        let request = Request {
            client: ClientId(7),
            sequence,
            command,
        };
        apply_batch(&FederationMap, &mut federation.store, vec![request]).unwrap();
        if understood % 50 == 0 {
            assert!(read_all(&federation.store), "a command left a map that cannot be read");
        }
        true
    });
}

#[test]
fn capabilities_and_names_from_outside_are_refused_in_words() {
    let claims = Claims {
        device: device_id("alice-desk"),
        path: Path::default().then(NodeId(3)),
        expires_unix_s: 2_000,
        nonce: 77,
        hops: 2,
    };
    let token = mint(&[7; 32], NodeId(1), &claims).into_bytes();
    fuzz("capability", &[token], &["~", "-", "é"], |bytes| {
        let genuine = verify(&[7; 32], NodeId(1), &String::from_utf8_lossy(bytes), 1_000);
        // Nobody gets through with anything else than what was given out; its letters may be capitals.
        assert!(genuine.as_ref().is_ok_and(|got| *got == claims) || genuine.is_err());
        genuine.is_ok()
    });
    let names = [
        "alice",
        "+49.30#*",
        "sip:alice@192.0.2.1:5060;transport=tcp",
        "sip:a@[::1];x=[::1]",
    ]
    .map(|name| name.as_bytes().to_vec());
    fuzz("names", &names, &["&", ",", "/", ";", "\n", "${", "@", "é"], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (user, device) = (UserId::new(&*text), DeviceId::new(&*text));
        let (number, contact) = (Number::new(&*text), ContactUri::new(&*text));
        for plain in [
            user.map(|u| u.to_string()).ok(),
            device.map(|d| d.to_string()).ok(),
            number.map(|n| n.to_string()).ok(),
        ] {
            if let Some(name) = plain.as_ref() {
                assert!(
                    !name.contains(['&', ',', '/', '\n', '$', ';', '@']),
                    "{name:?} means something to a dialplan"
                );
            }
            if plain.is_some() {
                return true;
            }
        }
        if let Ok(contact) = &contact {
            assert!(
                !contact.as_str().contains(['&', ',', '\n', '$', '|', '(', '{']),
                "{contact:?} means something to a dial string"
            );
            let count = |bracket| contact.as_str().matches(bracket).count();
            assert!(count('[') == count(']'), "{contact:?} holds the commas after it");
        }
        contact.is_ok()
    });
}

#[test]
fn damaged_sealed_secrets_do_not_open() {
    let (key, device) = (SealKey::new([7; 32]), device_id("alice-desk"));
    let sealed = key.seal(Place::Digest(&device), b"0123456789abcdef", [9; 24]);
    fuzz(
        "sealed secret",
        &[sealed.clone().into_bytes()],
        &["sealed1.", ".", "-", "é"],
        |bytes| {
            let text = String::from_utf8_lossy(bytes);
            assert!(
                open(None, Place::Digest(&device), &text).is_err() || !is_sealed(&text),
                "opened without a key"
            );
            let opened = open(Some(&key), Place::Digest(&device), &text);
            assert!(
                !is_sealed(&text) || opened.is_err() || text == sealed,
                "opened changed: {text}"
            );
            is_sealed(&text) && opened.is_ok()
        },
    );
}

#[test]
fn a_scan_over_damaged_keys_ends() {
    let keys: Vec<Vec<u8>> = rows().into_iter().map(|(_, key, _)| key).collect();
    let rows = rows();
    let mut turn = 0;
    fuzz("a key of the map", &keys, &[], |key| {
        turn += 1;
        let (table, _, value) = rows
            .iter()
            .find(|(_, there, _)| there == key)
            .unwrap_or(&rows[turn % rows.len()]);
        let mut store = MemStore::new();
        for (table, key, value) in &rows {
            store.put(*table, key.clone(), value.clone());
        }
        store.put(*table, key.to_vec(), value.clone());
        let mut count = 0;
        let whole = store.scan(*table, Bound::Unbounded, Bound::Unbounded, &mut |_, _| {
            count += 1;
            ControlFlow::Continue(())
        });
        whole.unwrap();
        read_all(&store) && rows.iter().any(|(_, there, _)| there == key)
    });
}
