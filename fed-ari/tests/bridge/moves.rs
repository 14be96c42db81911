//! Asterisk to map: registrations, moves, and what is found after something was missed.

use std::time::Duration;

use fed_ari::port::memory::MemoryMap;
use fed_core::{
    command::{Command, Expect},
    ids::{DeviceId, NodeId},
};

use crate::site::{Site, contact, device, done, map_with, pair, placed, places, until};

const AT_A: &str = "sip:alice@127.0.0.1:6001";
const AT_B: &str = "sip:alice@127.0.0.1:6002";

/// Waits until alice's binding has its details, and with them its last change.
async fn described(map: &MemoryMap) {
    until("the phone's name", || {
        let snapshot = map.snapshot();
        let all = snapshot
            .view()
            .bindings_of(&DeviceId::new("alice").expect("an id"))
            .expect("reads");
        all.iter().any(|b| b.value.user_agent.as_deref() == Some("sim phone"))
    })
    .await;
}

/// Alice registers at A, and all that follows from it has been done.
async fn settled_at_a(map: &MemoryMap, a: &Site) {
    a.register("alice", AT_A);
    placed(map, "alice", 1, AT_A).await;
    described(map).await;
}

#[tokio::test]
async fn a_registration_is_bound_with_its_details_and_unbound_when_it_ends() {
    let map = map_with(&["alice"]);
    let (a, _b) = pair(&map).await;
    settled_at_a(&map, &a).await;
    a.sim.unregister("alice", AT_A);
    until("unbound", || places(&map, "alice").is_empty()).await;
}

#[tokio::test]
async fn after_a_move_the_stale_contact_is_gone_from_the_old_server() {
    let map = map_with(&["alice"]);
    let (a, b) = pair(&map).await;
    for _ in 0..20 {
        a.register("alice", AT_A);
        placed(&map, "alice", 1, AT_A).await;
        until("nothing stale at B", || b.sim.registrations("alice").is_empty()).await;
        b.register("alice", AT_B);
        placed(&map, "alice", 2, AT_B).await;
        until("nothing stale at A", || a.sim.registrations("alice").is_empty()).await;
    }
    a.agrees().await;
    b.agrees().await;
    assert_eq!(a.status().faults, []);
}

#[tokio::test]
async fn a_phone_that_comes_back_at_once_stays() {
    let map = map_with(&["alice"]);
    let (a, b) = pair(&map).await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    for round in 0..20 {
        b.register("alice", AT_B);
        placed(&map, "alice", 2, AT_B).await;
        // Sooner or later within the time that the old contact's deletion takes.
        tokio::time::sleep(Duration::from_micros(round * 150)).await;
        a.register("alice", AT_A);
        placed(&map, "alice", 1, AT_A).await;
        until("nothing stale at B", || b.sim.registrations("alice").is_empty()).await;
        assert_eq!(a.sim.registrations("alice"), [AT_A], "round {round}");
    }
    a.agrees().await;
    b.agrees().await;
}

#[tokio::test]
async fn a_registration_that_was_refreshed_while_it_was_ended_is_put_back() {
    let map = map_with(&["alice"]);
    let (a, b) = pair(&map).await;
    settled_at_a(&map, &a).await;
    a.sim.clear_requests();
    a.sim.slow_down(Duration::from_millis(300));
    b.register("alice", AT_B);
    until("the last look", || asked_of_contacts(&a, "GET")).await;
    // The end is on its way.
    tokio::time::sleep(Duration::from_millis(100)).await;
    a.register("alice", AT_A);
    until("ended", || asked_of_contacts(&a, "PUT")).await;
    a.sim.slow_down(Duration::ZERO);
    placed(&map, "alice", 1, AT_A).await;
    until("she is back", || a.sim.registrations("alice") == [AT_A]).await;
    until("nothing stale at B", || b.sim.registrations("alice").is_empty()).await;
    a.agrees().await;
}

#[tokio::test]
async fn a_registration_that_the_registrar_writes_while_it_is_ended_stays_and_is_bound() {
    for tells_of_refreshes in [true, false] {
        let map = map_with(&["alice"]);
        let (a, b) = pair(&map).await;
        a.sim.tell_refreshes(tells_of_refreshes);
        settled_at_a(&map, &a).await;
        a.sim.clear_requests();
        a.sim.renew_what_is_written_next();
        b.register("alice", AT_B);
        until("it was to be ended", || asked_of_contacts(&a, "PUT")).await;
        placed(&map, "alice", 1, AT_A).await;
        until("nothing stale at B", || b.sim.registrations("alice").is_empty()).await;
        assert_eq!(a.sim.registrations("alice"), [AT_A], "{tells_of_refreshes}");
        // Its end is told as that of any other.
        a.sim.unregister("alice", AT_A);
        until("unbound", || places(&map, "alice").is_empty()).await;
        a.agrees().await;
    }
}

#[tokio::test]
async fn a_look_that_fails_before_a_contact_is_ended_moves_nobody_back() {
    let map = map_with(&["alice"]);
    let (a, b) = pair(&map).await;
    settled_at_a(&map, &a).await;
    a.agrees().await;
    a.sim.fail_next(1, 503);
    b.register("alice", AT_B);
    until("nothing stale at A", || a.sim.registrations("alice").is_empty()).await;
    a.agrees().await;
    b.agrees().await;
    placed(&map, "alice", 2, AT_B).await;
    assert_eq!(b.sim.registrations("alice"), [AT_B]);
}

#[tokio::test]
async fn a_contact_of_which_asterisk_takes_no_change_is_deleted() {
    let map = map_with(&["alice"]);
    let (a, b) = pair(&map).await;
    settled_at_a(&map, &a).await;
    a.sim.take_no_change_of_contacts();
    b.register("alice", AT_B);
    until("nothing stale at A", || a.sim.registrations("alice").is_empty()).await;
    assert!(asked_of_contacts(&a, "DELETE"));
    a.agrees().await;
    b.agrees().await;
}

/// Whether the bridge has made such a call for a contact.
fn asked_of_contacts(site: &Site, method: &str) -> bool {
    let requests = site.sim.requests();
    let mut requests = requests.iter().filter(|request| request.path.contains("/contact/"));
    requests.any(|request| request.method == method)
}

#[tokio::test]
async fn a_refresh_is_no_business_of_the_map() {
    let map = map_with(&["alice"]);
    let (a, _b) = pair(&map).await;
    settled_at_a(&map, &a).await;
    a.agrees().await;
    let before = map.snapshot().revision;
    for _ in 0..50 {
        a.register("alice", AT_A);
    }
    // Another's registration follows them on the same socket.
    a.register("alice", "sip:alice@127.0.0.1:6003");
    placed(&map, "alice", 1, "sip:alice@127.0.0.1:6003").await;
    let changes = map.snapshot().revision.0 - before.0;
    assert!(changes <= 4, "{changes} changes for one new contact");
}

#[tokio::test]
async fn two_contacts_of_one_device_at_two_servers_both_stay() {
    let map = map_with(&["alice"]);
    let mut wide = device("alice");
    wide.max_contacts = 2;
    done(
        &map,
        Command::PutDevice {
            device: wide,
            expect: Expect::Any,
        },
    );
    let (a, b) = pair(&map).await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    b.register("alice", AT_B);
    until("both", || places(&map, "alice").len() == 2).await;
    assert_eq!(
        (a.sim.registrations("alice").len(), b.sim.registrations("alice").len()),
        (1, 1)
    );
}

#[tokio::test]
async fn registrations_and_ends_missed_while_events_were_lost_are_found_after_the_next_connect() {
    let map = map_with(&["alice", "bob"]);
    let (a, b) = pair(&map).await;
    b.register("bob", "sip:bob@127.0.0.1:6010");
    placed(&map, "bob", 2, "sip:bob@127.0.0.1:6010").await;
    for site in [&a, &b] {
        site.sim.lose_events(true);
    }
    a.register("alice", AT_A);
    b.sim.unregister("bob", "sip:bob@127.0.0.1:6010");
    for site in [&a, &b] {
        site.sim.lose_events(false);
        site.sim.drop_sockets();
    }
    placed(&map, "alice", 1, AT_A).await;
    until("bob is gone", || places(&map, "bob").is_empty()).await;
    a.agrees().await;
    b.agrees().await;
}

#[tokio::test]
async fn a_contact_found_at_two_servers_stays_where_the_map_has_it() {
    let map = map_with(&["alice"]);
    let (a, b) = pair(&map).await;
    b.register("alice", AT_B);
    placed(&map, "alice", 2, AT_B).await;
    a.sim.lose_events(true);
    a.register("alice", AT_A);
    a.sim.lose_events(false);
    a.sim.drop_sockets();
    until("the contact nobody saw arrive is deleted", || {
        a.sim.registrations("alice").is_empty()
    })
    .await;
    assert_eq!(places(&map, "alice"), [(2, AT_B.to_owned())]);
}

#[tokio::test]
async fn a_registration_during_a_partition_is_bound_after_it() {
    let map = map_with(&["alice"]);
    let (a, b) = pair(&map).await;
    b.register("alice", AT_B);
    placed(&map, "alice", 2, AT_B).await;
    described(&map).await;
    map.cut_off(NodeId(1), true);
    a.register("alice", AT_A);
    until("seen and refused by the map", || {
        a.status().phase != fed_ari::bridge::Phase::Up
    })
    .await;
    assert_eq!(places(&map, "alice"), [(2, AT_B.to_owned())]);
    map.cut_off(NodeId(1), false);
    placed(&map, "alice", 1, AT_A).await;
    until("nothing stale at B", || b.sim.registrations("alice").is_empty()).await;
    a.up().await;
    a.agrees().await;
}

#[tokio::test]
async fn a_registration_while_the_bridge_waits_for_the_map_is_bound_when_it_is_back() {
    let map = map_with(&["alice", "bob"]);
    let (a, b) = pair(&map).await;
    b.register("alice", AT_B);
    placed(&map, "alice", 2, AT_B).await;
    // The details of her old place may still be on their way to the map: they make it no newer.
    map.cut_off(NodeId(1), true);
    // Another phone's registration makes the bridge wait for the map; alice comes while it waits.
    a.register("bob", "sip:bob@127.0.0.1:6009");
    until("the bridge waits", || a.status().phase != fed_ari::bridge::Phase::Up).await;
    a.register("alice", AT_A);
    map.cut_off(NodeId(1), false);
    placed(&map, "alice", 1, AT_A).await;
    until("nothing stale at B", || b.sim.registrations("alice").is_empty()).await;
    a.up().await;
    a.agrees().await;
}

#[tokio::test]
async fn a_registration_that_a_comparison_finds_before_it_is_told_of_it_stays() {
    for told_before_it_is_ended in [true, false] {
        let map = map_with(&["alice", "bob"]);
        let (a, b) = pair(&map).await;
        let contacts = |port: u16| ["alice", "bob"].map(|name| (name, format!("sip:{name}@127.0.0.1:{port}")));
        for (name, at_b) in contacts(6002) {
            b.register(name, &at_b);
            placed(&map, name, 2, &at_b).await;
        }
        a.agrees().await;
        let before = a.status().session.expect("open");
        a.sim.hold_events(true);
        for (name, at_a) in contacts(6001) {
            a.register(name, &at_a);
        }
        a.sim.clear_requests();
        a.sim.slow_down(Duration::from_millis(100));
        done(&map, Command::EndSession { session: before });
        if told_before_it_is_ended {
            // The end of the first of them begins; the other's is to come.
            until("an end", || asked_of_contacts(&a, "PUT")).await;
        } else {
            a.up().await;
        }
        a.sim.hold_events(false);
        a.sim.slow_down(Duration::ZERO);
        for (name, at_a) in contacts(6001) {
            placed(&map, name, 1, &at_a).await;
            until("she is back", || a.sim.registrations(name) == [at_a.clone()]).await;
            until("nothing stale at B", || b.sim.registrations(name).is_empty()).await;
        }
        a.agrees().await;
        b.agrees().await;
    }
}

#[tokio::test]
async fn after_a_change_that_could_not_be_recorded_only_its_own_device_is_compared() {
    let others: Vec<String> = (0..20).map(|number| format!("other{number}")).collect();
    let users: Vec<&str> = others.iter().map(String::as_str).chain(["alice"]).collect();
    let map = map_with(&users);
    let (a, _b) = pair(&map).await;
    for other in &others {
        a.register(other, &format!("sip:{other}@127.0.0.1:6001"));
    }
    for other in &others {
        placed(&map, other, 1, &format!("sip:{other}@127.0.0.1:6001")).await;
    }
    map.cut_off(NodeId(1), true);
    a.register("alice", AT_A);
    until("the bridge waits", || a.status().phase != fed_ari::bridge::Phase::Up).await;
    a.sim.clear_requests();
    map.cut_off(NodeId(1), false);
    placed(&map, "alice", 1, AT_A).await;
    a.up().await;
    let requests = a.sim.requests();
    let asked_of = |name: &str| {
        let read = |path: &str| path.contains(&format!("/aor/{name}")) || path.contains(&format!("/contact/{name}"));
        requests.iter().filter(|request| read(&request.path)).count()
    };
    assert_eq!(asked_of("other"), 0, "{requests:?}");
    assert!(asked_of("alice") > 0, "{requests:?}");
    a.agrees().await;
}

#[tokio::test]
async fn a_session_that_ended_while_one_device_waited_has_all_of_them_compared() {
    let map = map_with(&["alice", "bob"]);
    let (a, _b) = pair(&map).await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    let before = a.status().session.expect("open");
    map.cut_off(NodeId(1), true);
    a.register("bob", "sip:bob@127.0.0.1:6009");
    until("the bridge waits", || a.status().phase != fed_ari::bridge::Phase::Up).await;
    done(&map, Command::EndSession { session: before });
    map.cut_off(NodeId(1), false);
    placed(&map, "bob", 1, "sip:bob@127.0.0.1:6009").await;
    placed(&map, "alice", 1, AT_A).await;
    a.up().await;
    a.agrees().await;
}

#[tokio::test]
async fn a_session_that_ended_is_opened_again_and_its_bindings_count_again() {
    let map = map_with(&["alice"]);
    let (a, _b) = pair(&map).await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    let before = a.status().session.expect("open");
    done(&map, Command::EndSession { session: before });
    a.when("another session", |s| {
        s.session.is_some_and(|session| session != before)
    })
    .await;
    placed(&map, "alice", 1, AT_A).await;
    until("it is kept alive", || {
        a.status().session.is_some_and(|session| map.keep_alives(session) > 1)
    })
    .await;
}

#[tokio::test]
async fn a_registration_that_gave_way_to_another_before_its_details_came_leaves_her_where_she_is() {
    const NEXT: &str = "sip:alice@127.0.0.1:6003";
    let map = map_with(&["alice"]);
    let (a, _b) = pair(&map).await;
    a.sim.slow_down(Duration::from_millis(300));
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    // Asterisk's words of it are on their way.
    a.sim.hold_events(true);
    a.sim.unregister("alice", AT_A);
    a.register("alice", NEXT);
    a.sim.slow_down(Duration::ZERO);
    placed(&map, "alice", 1, NEXT).await;
    a.sim.hold_events(false);
    a.agrees().await;
    let commands = map.commands().into_iter();
    let about_contacts: Vec<String> = commands
        .filter_map(|command| match command {
            Command::Bind { contact, .. } => Some(format!("bind {contact}")),
            Command::Unbind { contact, .. } => Some(format!("unbind {contact}")),
            _ => None,
        })
        .collect();
    let first = |command: &str| about_contacts.iter().position(|made| made == command);
    let (bound, unbound) = (first(&format!("bind {NEXT}")), first(&format!("unbind {AT_A}")));
    assert!(bound.is_some() && bound < unbound, "{about_contacts:?}");
}

/// How often a contact was to be bound.
fn bound(map: &MemoryMap, uri: &str) -> usize {
    let binds = |command: &Command| matches!(command, Command::Bind { contact, .. } if contact.as_str() == uri);
    map.commands().iter().filter(|command| binds(command)).count()
}

#[tokio::test]
async fn asterisks_word_of_a_registration_that_has_just_gone_brings_nobody_back() {
    let map = map_with(&["alice", "bob"]);
    let (a, b) = pair(&map).await;
    // Ended by its phone.
    settled_at_a(&map, &a).await;
    let before = bound(&map, AT_A);
    a.sim.unregister("alice", AT_A);
    until("unbound", || places(&map, "alice").is_empty()).await;
    a.sim.tell_of("alice", AT_A);
    a.register("bob", "sip:bob@127.0.0.1:6001");
    placed(&map, "bob", 1, "sip:bob@127.0.0.1:6001").await;
    a.agrees().await;
    assert_eq!(bound(&map, AT_A), before, "bound anew");
    a.sim.unregister("bob", "sip:bob@127.0.0.1:6001");
    // And by the bridge.
    for comes_back in [false, true] {
        settled_at_a(&map, &a).await;
        b.register("alice", AT_B);
        until("nothing stale at A", || a.sim.registrations("alice").is_empty()).await;
        if comes_back {
            a.register("alice", AT_A);
            placed(&map, "alice", 1, AT_A).await;
            until("nothing stale at B", || b.sim.registrations("alice").is_empty()).await;
        } else {
            a.sim.tell_of("alice", AT_A);
            // What is told of another after it has been followed when that one is bound.
            a.register("bob", "sip:bob@127.0.0.1:6001");
            placed(&map, "bob", 1, "sip:bob@127.0.0.1:6001").await;
            placed(&map, "alice", 2, AT_B).await;
            assert_eq!(b.sim.registrations("alice"), [AT_B]);
        }
        a.agrees().await;
        b.agrees().await;
    }
}

#[tokio::test]
async fn the_late_details_of_a_registration_do_not_bring_it_back() {
    let map = map_with(&["alice"]);
    let (a, b) = pair(&map).await;
    a.sim.slow_down(Duration::from_millis(300));
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    b.register("alice", AT_B);
    placed(&map, "alice", 2, AT_B).await;
    b.sim.unregister("alice", AT_B);
    until("she has left B", || places(&map, "alice").is_empty()).await;
    a.sim.slow_down(Duration::ZERO);
    until("nothing stale at A", || a.sim.registrations("alice").is_empty()).await;
    a.agrees().await;
    assert_eq!(places(&map, "alice"), []);
}

#[tokio::test]
async fn a_superseded_contact_is_deleted_even_when_nobody_registered_anew() {
    let map = map_with(&["alice"]);
    let (a, b) = pair(&map).await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    let session = b.status().session.expect("open");
    let bind = Command::Bind {
        device: DeviceId::new("alice").expect("an id"),
        contact: contact(AT_B),
        node: NodeId(2),
        session,
        basis: Some(map.snapshot().revision),
        user_agent: None,
        path: None,
    };
    done(&map, bind);
    until("the stale contact is gone", || a.sim.registrations("alice").is_empty()).await;
    a.when("counted", |_| true).await;
}

#[tokio::test]
async fn a_contact_that_would_break_a_header_or_a_line_is_not_bound_and_hinders_nobody() {
    let map = map_with(&["alice", "bob"]);
    let (a, _b) = pair(&map).await;
    for hostile in [
        "sip:alice@192.0.2.1>,<sip:evil@192.0.2.66",
        "sip:alice@192.0.2.1\r\nX-Evil: 1",
        "sip:alice@192.0.2.1,sip:evil@192.0.2.66",
        "tel:+49900123456",
        "sip:alice@\"evil\"",
    ] {
        a.sim.register("alice", hostile);
    }
    a.register("bob", "sip:bob@127.0.0.1:6001");
    placed(&map, "bob", 1, "sip:bob@127.0.0.1:6001").await;
    // Whatever became of them at that server, the map never took one in.
    let bound = map.commands().into_iter().filter_map(|command| match command {
        Command::Bind { contact, .. } => Some(contact.to_string()),
        _ => None,
    });
    for contact in bound {
        assert!(contact.starts_with("sip:bob@"), "{contact}");
    }
    assert!(places(&map, "alice").is_empty());
}
