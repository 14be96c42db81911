//! Sealed secrets: they open where they belong, and nowhere else.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod common;

use common::{Federation, device, device_id, user};
use fed_core::command::{Command, Expect, Reply};
use fed_core::kv::StoreError;
use fed_core::machine::Machine;
use fed_core::map::{FederationMap, MapView};
use fed_core::records::setting;
use fed_core::sealing::{Place, SealError, SealKey, is_sealed, open};
use proptest::prelude::*;

const HA1: &str = "0123456789abcdef0123456789abcdef";

fn key(byte: u8) -> SealKey {
    SealKey::new([byte; 32])
}

fn sealed_device(id: &str, of: &str) -> Command {
    let mut device = device(id, of);
    device.credentials = device.credentials.sealed(&key(1), &device.id, [9; 24]);
    Command::PutDevice {
        device,
        expect: Expect::Any,
    }
}

#[test]
fn a_digest_opens_at_its_own_device_and_at_no_other() {
    let (alice, bob) = (device_id("alice"), device_id("bob"));
    let sealed = key(1).seal(Place::Digest(&alice), b"canary", [7; 24]);
    assert!(is_sealed(&sealed) && !sealed.contains("canary"));
    assert_eq!(open(Some(&key(1)), Place::Digest(&alice), &sealed).unwrap(), b"canary");
    let elsewhere = open(Some(&key(1)), Place::Digest(&bob), &sealed);
    assert_eq!(elsewhere, Err(SealError::Damaged));
    assert_eq!(
        open(Some(&key(1)), Place::Setting("alice"), &sealed),
        Err(SealError::Damaged)
    );
}

#[test]
fn another_key_and_no_key_are_told_apart_and_say_what_to_do() {
    let sealed = key(1).seal(Place::Setting("k"), b"canary", [7; 24]);
    let other = open(Some(&key(2)), Place::Setting("k"), &sealed).unwrap_err();
    assert!(matches!(other, SealError::OtherKey { .. }));
    let none = open(None, Place::Setting("k"), &sealed).unwrap_err();
    for error in [other, none] {
        let text = error.to_string();
        assert!(
            text.contains(key(1).id()) && text.contains("security/cluster.key"),
            "{text}"
        );
    }
}

#[test]
fn a_key_survives_its_file_and_is_never_printed() {
    let (key, again) = (key(3), SealKey::from_hex(&format!("{}\n", key(3).to_hex())).unwrap());
    assert_eq!(key.id(), again.id());
    assert!(!format!("{key:?}").contains("0303"), "{key:?}");
    assert!(SealKey::from_hex("ab").is_none());
}

#[test]
fn the_map_holds_sealed_and_plain_digests_and_opens_both() {
    let mut federation = Federation::default();
    federation.put_user(user("alice", &[]));
    federation.done(sealed_device("alice", "alice"));
    federation.put_device(device("alice-2", "alice"));
    let key = key(1);
    let view = MapView::new(&federation.store).with_key(Some(&key));
    for id in ["alice", "alice-2"] {
        let device = view.device(&device_id(id)).unwrap().unwrap().value;
        assert_eq!(view.ha1(&device).unwrap(), HA1);
        assert_eq!(device.credentials.is_sealed(), id == "alice");
    }
    let device = view.device(&device_id("alice")).unwrap().unwrap().value;
    let closed = federation.view().ha1(&device).unwrap_err();
    assert!(matches!(closed, StoreError::Sealed { .. }), "{closed}");
    assert!(closed.to_string().contains("device alice"), "{closed}");
}

#[test]
fn the_key_of_capabilities_may_be_sealed() {
    let mut federation = Federation::default();
    let hex = "ab".repeat(32);
    let key = key(1);
    let sealed = key.seal(Place::Setting(setting::CAPABILITY_KEY), hex.as_bytes(), [1; 24]);
    federation.done(Command::PutSetting {
        key: setting::CAPABILITY_KEY.to_owned(),
        value: sealed.into(),
        expect: Expect::Any,
    });
    let view = federation.view().with_key(Some(&key));
    assert_eq!(view.capability_key().unwrap(), Some([0xab; 32]));
    assert!(federation.view().capability_key().is_err());
}

#[test]
fn what_is_not_well_formed_is_refused() {
    let mut federation = Federation::default();
    federation.put_user(user("alice", &[]));
    for bad in [
        "sealed1.",
        "sealed1.01234567.",
        "sealed1.0123456.AA",
        "sealed1.01234567.A A",
        "sealed2.01234567.AA",
        "",
    ] {
        let mut device = device("alice", "alice");
        device.credentials.md5_ha1 = bad.to_owned();
        let put = Command::PutDevice {
            device,
            expect: Expect::Any,
        };
        assert!(matches!(federation.reply(put), Reply::Refused(_)), "{bad}");
    }
}

#[test]
fn members_that_cannot_open_sealed_digests_get_none() {
    assert_eq!(FederationMap.level_of(&sealed_device("alice", "alice")), 2);
    let plain = Command::PutDevice {
        device: device("alice", "alice"),
        expect: Expect::Any,
    };
    assert_eq!(FederationMap.level_of(&plain), 1);
}

proptest! {
    #[test]
    fn whatever_is_sealed_opens_and_whatever_is_changed_does_not(
        secret in prop::collection::vec(any::<u8>(), 0..80),
        nonce in any::<[u8; 24]>(),
        at in any::<prop::sample::Index>(),
    ) {
        let sealed = key(1).seal(Place::Setting("k"), &secret, nonce);
        prop_assert_eq!(open(Some(&key(1)), Place::Setting("k"), &sealed).unwrap(), secret);
        let mut bytes = sealed.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        // Without its mark it is a plain text, and never the secret.
        if is_sealed(&changed) {
            prop_assert!(open(Some(&key(1)), Place::Setting("k"), &changed).is_err());
        }
    }
}
