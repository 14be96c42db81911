//! Capabilities: what a node accepts from a trunk.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod common;

use common::device_id;
use fed_core::capability::{CapabilityError, Claims, LONGEST_USER_PART, Path, ReplayGuard, Spent, mint, verify};
use fed_core::ids::NodeId;
use proptest::prelude::*;

const KEY: [u8; 32] = [7; 32];
const HERE: NodeId = NodeId(2);
const NOW: u32 = 1_800_000_000;

fn claims() -> Claims {
    Claims {
        device: device_id("alice"),
        path: Path::default().then(NodeId(1)),
        expires_unix_s: NOW + 30,
        nonce: 77,
        hops: 1,
    }
}

#[test]
fn a_capability_says_what_was_put_into_it() {
    let user_part = mint(&KEY, HERE, &claims());
    assert!(user_part.starts_with("alice~"));
    assert_eq!(verify(&KEY, HERE, &user_part, NOW), Ok(claims()));
}

/// Nodes of different releases work side by side during an upgrade.
#[test]
fn what_a_node_without_paths_issues_is_a_path_of_that_node() {
    let issued = "alice~00000001dd4t47g00004q0aamgpu8gv4g53n6";
    assert_eq!(verify(&KEY, HERE, issued, NOW), Ok(claims()));
    assert_eq!(mint(&KEY, HERE, &claims()), issued);
}

#[test]
fn the_longest_device_fits_into_79_characters() {
    let claims = Claims {
        device: device_id(&"d".repeat(40)),
        path: [1023; Path::LENGTH]
            .map(NodeId)
            .into_iter()
            .fold(Path::default(), Path::then),
        expires_unix_s: u32::MAX,
        nonce: u32::MAX,
        hops: u8::MAX,
    };
    let user_part = mint(&KEY, HERE, &claims);
    assert_eq!(user_part.len(), LONGEST_USER_PART);
    assert!(user_part.len() <= 79);
    assert!(
        user_part
            .bytes()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'~')
    );
    assert_eq!(verify(&KEY, HERE, &user_part, NOW), Ok(claims));
}

#[test]
fn what_was_changed_made_up_or_meant_for_another_is_refused() {
    let good = mint(&KEY, HERE, &claims());
    assert_eq!(verify(&KEY, NodeId(3), &good, NOW), Err(CapabilityError::Forged));
    assert_eq!(verify(&[8; 32], HERE, &good, NOW), Err(CapabilityError::Forged));
    let other_device = good.replace("alice", "bob");
    assert_eq!(verify(&KEY, HERE, &other_device, NOW), Err(CapabilityError::Forged));
    for (text, error) in [
        ("alice", CapabilityError::Missing),
        ("", CapabilityError::Missing),
        ("alice~", CapabilityError::Malformed),
        ("~aaaa", CapabilityError::Malformed),
        ("alice~!!", CapabilityError::Malformed),
        (&good[..good.len() - 1], CapabilityError::Malformed),
        (&format!("{good}a"), CapabilityError::Malformed),
        (&format!("a&b{}", &good[5..]), CapabilityError::Malformed),
        (&format!("alice~{}", &good[5..]), CapabilityError::Malformed),
    ] {
        assert_eq!(verify(&KEY, HERE, text, NOW), Err(error), "{text}");
    }
}

#[test]
fn it_is_good_until_its_second_and_not_in_it() {
    let good = mint(&KEY, HERE, &claims());
    assert!(verify(&KEY, HERE, &good, NOW + 29).is_ok());
    assert_eq!(verify(&KEY, HERE, &good, NOW + 30), Err(CapabilityError::Expired));
}

#[test]
fn each_is_good_for_one_call() {
    let mut guard = ReplayGuard::default();
    assert_eq!(guard.check(&claims(), NOW), Ok(()));
    assert_eq!(guard.check(&claims(), NOW + 1), Err(CapabilityError::Replayed));
    let other = Claims { nonce: 78, ..claims() };
    assert_eq!(guard.check(&other, NOW), Ok(()));
    assert_eq!(guard.check(&other, NOW + 29), Err(CapabilityError::Replayed));
    assert_eq!(guard.check(&other, NOW + 30), Err(CapabilityError::Expired));
}

#[test]
fn the_guard_forgets_what_is_over_and_never_what_is_good() {
    let mut guard = ReplayGuard::new(2);
    let at = |nonce, expires_unix_s| Claims {
        nonce,
        expires_unix_s,
        ..claims()
    };
    assert_eq!(guard.check(&at(1, NOW + 5), NOW), Ok(()));
    assert_eq!(guard.check(&at(2, NOW + 9), NOW), Ok(()));
    assert_eq!(guard.check(&at(3, NOW + 9), NOW), Err(CapabilityError::Overloaded));
    assert_eq!(guard.check(&at(1, NOW + 5), NOW), Err(CapabilityError::Replayed));
    assert_eq!(guard.check(&at(3, NOW + 9), NOW + 5), Ok(()));
    assert_eq!(guard.check(&at(2, NOW + 9), NOW + 5), Err(CapabilityError::Replayed));
}

#[test]
fn what_was_used_before_the_guard_was_made_is_refused_too() {
    let mut guard = ReplayGuard::default();
    guard.remember(Spent::of(&claims()));
    assert_eq!(guard.check(&claims(), NOW), Err(CapabilityError::Replayed));
    assert_eq!(guard.check(&Claims { nonce: 78, ..claims() }, NOW), Ok(()));
}

#[test]
fn a_guard_in_doubt_takes_none_that_may_have_been_used() {
    let mut guard = ReplayGuard::default();
    guard.doubt(NOW + 30);
    assert_eq!(guard.check(&claims(), NOW), Err(CapabilityError::Doubtful));
    let later = Claims {
        expires_unix_s: NOW + 31,
        ..claims()
    };
    assert_eq!(guard.check(&later, NOW + 11), Ok(()));
}

#[test]
fn a_damaged_record_of_a_used_capability_is_none() {
    let spent = Spent::of(&claims());
    assert_eq!(Spent::from_bytes(&spent.to_bytes()), Some(spent));
    for at in 0..Spent::BYTES {
        let mut bytes = spent.to_bytes();
        bytes[at] ^= 1;
        assert_eq!(Spent::from_bytes(&bytes), None, "byte {at}");
    }
}

proptest! {
    #[test]
    fn one_changed_character_is_never_accepted(at in 0usize..37, to in "[a-z0-9]") {
        let good = mint(&KEY, HERE, &claims());
        let at = "alice~".len() + at;
        prop_assume!(good[at..=at] != to);
        let mut bad = good.clone();
        bad.replace_range(at..=at, &to);
        prop_assert!(verify(&KEY, HERE, &bad, NOW).is_err());
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,120}") {
        let _ = verify(&KEY, HERE, &text, NOW);
    }
}
