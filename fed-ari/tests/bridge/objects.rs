//! Map to Asterisk: what is pushed, in which order, and what is left alone.

use std::time::Duration;

use fed_ari::{
    bridge::{BridgeFault, Phase},
    client::ObjectType,
    port::{MapPort, memory::MemoryMap},
    sim::{Request, SimAsterisk, SimConfig, SimVersion},
};
use fed_core::{
    command::{Command, Expect},
    ids::{NodeId, UserId},
    records::TransportProfile,
};

use tokio::time::timeout;

use crate::site::{PATIENCE, Site, add_user, device, done, map_with, pair, put_node, until};

fn field(site: &Site, kind: &str, id: &str, name: &str) -> Option<String> {
    site.sim
        .object(kind, id)?
        .into_iter()
        .find(|(n, _)| n == name)
        .map(|(_, value)| value)
}

#[tokio::test]
async fn everything_a_device_and_a_trunk_need_is_pushed_to_both_versions() {
    let map = map_with(&["alice"]);
    let (a, b) = pair(&map).await;
    for (site, other) in [(&a, "fed-node-2"), (&b, "fed-node-1")] {
        assert_eq!(field(site, "auth", "alice", "realm").as_deref(), Some("federated"));
        assert_eq!(field(site, "aor", "alice", "max_contacts").as_deref(), Some("1"));
        assert_eq!(
            field(site, "aor", "alice-fed", "contact").as_deref(),
            Some("sip:alice@127.0.0.1:5070")
        );
        assert_eq!(
            field(site, "endpoint", "alice", "aors").as_deref(),
            Some("alice,alice-fed")
        );
        assert_eq!(field(site, "endpoint", other, "context").as_deref(), Some("fed-trunk"));
        assert!(field(site, "identify", other, "match").is_some_and(|m| m.starts_with("127.0.0.1")));
        assert_eq!(site.status().verified, site.status().desired);
        assert_eq!(site.status().faults, []);
    }
    until("the numbers for the time without fed-node", || {
        a.sim.global("FED_DEVICES_1001").as_deref() == Some("alice")
    })
    .await;
}

/// Sets how dialplans find people elsewhere.
fn locate(map: &MemoryMap, how: &str) {
    done(
        map,
        Command::PutSetting {
            key: "locate".to_owned(),
            value: how.into(),
            expect: Expect::Any,
        },
    );
}

#[tokio::test]
async fn where_dialplans_ask_no_endpoint_goes_after_a_redirect() {
    let map = map_with(&["alice", "bob"]);
    let mut web = device("bob");
    web.transport = TransportProfile::WebRtc;
    let expect = Expect::Any;
    done(&map, Command::PutDevice { device: web, expect });
    let (a, b) = pair(&map).await;
    let follows = |site: &Site, id: &str| {
        let method = site.sim.holds("endpoint", id, "redirect_method");
        let contact = field(site, "aor", &format!("{id}-fed"), "contact").unwrap_or_default();
        (method.as_deref() == Some("uri_pjsip"), !contact.is_empty())
    };
    for site in [&a, &b] {
        assert_eq!(follows(site, "alice"), (true, true));
        assert_eq!(
            follows(site, "bob"),
            (false, false),
            "a browser's own redirect leads nowhere"
        );
    }
    a.register("alice", "sip:alice@127.0.0.1:6001");
    for (how, redirected) in [("ask", false), ("redirect", true), ("ask", false)] {
        locate(&map, how);
        for site in [&a, &b] {
            until("every endpoint is as the setting says", || {
                follows(site, "alice") == (redirected, redirected)
            })
            .await;
            assert_eq!(follows(site, "bob"), (false, false));
            assert_eq!(
                field(site, "endpoint", "alice", "aors").as_deref(),
                Some("alice,alice-fed")
            );
            assert_eq!(site.status().faults, []);
        }
        assert_eq!(a.sim.registrations("alice"), ["sip:alice@127.0.0.1:6001"]);
    }
}

#[tokio::test]
async fn all_auths_are_written_before_all_aors_before_all_endpoints() {
    let map = map_with(&["alice", "bob", "carol", "dave"]);
    let mut a = Site::new(&map, 1, SimVersion::V16).await;
    a.start();
    a.up().await;
    let puts: Vec<String> = a
        .sim
        .requests()
        .into_iter()
        .filter(|r| r.method == "PUT")
        .map(|r| r.path)
        .collect();
    let last = |kind: &str| puts.iter().rposition(|path| path.contains(&format!("/{kind}/")));
    let first = |kind: &str| puts.iter().position(|path| path.contains(&format!("/{kind}/")));
    assert!(
        last("auth") < first("aor") && last("aor") < first("endpoint"),
        "{puts:?}"
    );
    assert!(first("auth").is_some());
}

#[tokio::test]
async fn a_user_added_or_removed_while_up_is_followed_and_others_are_not_touched() {
    let map = map_with(&["alice"]);
    let (a, b) = pair(&map).await;
    a.sim.clear_requests();
    add_user(&map, "bob", "1002");
    for site in [&a, &b] {
        until("bob's endpoint", || field(site, "endpoint", "bob", "aors").is_some()).await;
    }
    assert!(
        !a.sim
            .requests()
            .iter()
            .any(|r| r.method == "PUT" && r.path.contains("alice"))
    );
    a.register("bob", "sip:bob@127.0.0.1:6002");
    done(
        &map,
        Command::DeleteUser {
            id: UserId::new("bob").expect("an id"),
            expect: Expect::Any,
        },
    );
    for site in [&a, &b] {
        until("nothing of bob", || {
            ["auth", "aor", "endpoint"]
                .iter()
                .all(|kind| !site.sim.object_ids(kind).iter().any(|id| id.starts_with("bob")))
        })
        .await;
        until("no number of bob", || {
            site.sim.global("FED_DEVICES_1002").unwrap_or_default().is_empty()
        })
        .await;
    }
}

#[tokio::test]
async fn a_device_that_is_anothers_now_rings_for_the_one_before_no_more() {
    let map = map_with(&["alice", "bob"]);
    let mut site = Site::new(&map, 1, SimVersion::V22).await;
    // As rarely as outside of tests: what is looked at again anyway would hide what was forgotten.
    site.start_looking_again(Duration::from_secs(300));
    site.up().await;
    let mut desk = device("desk");
    for (owner, numbers) in [("alice", ["alice&desk", "bob"]), ("bob", ["alice", "bob&desk"])] {
        desk.user = UserId::new(owner).expect("an id");
        done(
            &map,
            Command::PutDevice {
                device: desk.clone(),
                expect: Expect::Any,
            },
        );
        until(&format!("desk is {owner}'s"), || {
            ["FED_DEVICES_1001", "FED_DEVICES_1002"].map(|name| site.sim.global(name).unwrap_or_default()) == numbers
        })
        .await;
    }
}

#[tokio::test]
async fn an_aor_is_not_touched_while_a_phone_is_registered_on_it() {
    let map = map_with(&["alice"]);
    let (a, _b) = pair(&map).await;
    a.register("alice", "sip:alice@127.0.0.1:6001");
    let mut wider = device("alice");
    wider.max_contacts = 3;
    done(
        &map,
        Command::PutDevice {
            device: wider,
            expect: Expect::Any,
        },
    );
    a.when("the change is postponed", |s| {
        s.postponed.iter().any(|(_, id)| id == "alice")
    })
    .await;
    assert_eq!(field(&a, "aor", "alice", "max_contacts").as_deref(), Some("1"));
    assert_eq!(a.sim.registrations("alice"), ["sip:alice@127.0.0.1:6001"]);
    a.sim.unregister("alice", "sip:alice@127.0.0.1:6001");
    until("the change is made", || {
        field(&a, "aor", "alice", "max_contacts").as_deref() == Some("3")
    })
    .await;
    a.when("nothing is postponed", |s| s.postponed.is_empty()).await;
}

#[tokio::test]
async fn a_restarted_bridge_writes_nothing_that_is_there_and_removes_what_is_gone() {
    let map = map_with(&["alice", "bob"]);
    let mut a = Site::new(&map, 1, SimVersion::V22).await;
    a.start();
    a.up().await;
    until("the numbers are there", || {
        ["FED_DEVICES_1001", "FED_DEVICES_1002"].map(|name| a.sim.global(name))
            == [Some("alice".into()), Some("bob".into())]
    })
    .await;
    a.bridge.take().expect("started").stop().await;
    done(
        &map,
        Command::DeleteUser {
            id: UserId::new("bob").expect("an id"),
            expect: Expect::Any,
        },
    );
    a.sim.clear_requests();
    a.start();
    a.up().await;
    let writes = |r: &Request| r.method == "PUT" && r.path.contains("/config/dynamic/");
    assert!(!a.sim.requests().iter().any(writes), "nothing differs");
    assert!(a.sim.object("endpoint", "bob").is_none() && a.sim.object("aor", "bob").is_none());
    assert!(a.sim.object("endpoint", "alice").is_some());
    until("the number that was taken away meanwhile rings nobody", || {
        a.sim.global("FED_DEVICES_1002").unwrap_or_default().is_empty()
    })
    .await;
    assert_eq!(a.sim.global("FED_DEVICES_1001").as_deref(), Some("alice"));
}

#[tokio::test]
async fn an_entry_that_asterisk_does_not_take_takes_no_other_with_it() {
    let map = map_with(&[]);
    let (a, _b) = pair(&map).await;
    let set = |peers: &str| Command::PutSetting {
        key: "sip_peers".into(),
        value: peers.into(),
        expect: Expect::Any,
    };
    done(&map, set("127.0.0.7"));
    let served = || field(&a, "identify", "fed-peers", "match");
    until("the right one", || served().is_some_and(|m| m.starts_with("127.0.0.7"))).await;
    done(&map, set("127.0.0.7,10.0.0.0/99"));
    until("the fault", || !a.status().faults.is_empty()).await;
    until("the right one serves", || {
        served().is_some_and(|m| m.starts_with("127.0.0.7"))
    })
    .await;
    done(&map, set("127.0.0.8"));
    until("the next one", || served().is_some_and(|m| m.starts_with("127.0.0.8"))).await;
}

#[tokio::test]
async fn a_node_that_moves_to_another_address_is_trusted_there_and_no_longer_at_the_old_one() {
    let map = map_with(&[]);
    let (a, _b) = pair(&map).await;
    put_node(&map, 2, "127.0.0.9:5060");
    until("the new address", || {
        field(&a, "identify", "fed-node-2", "match").is_some_and(|m| m.starts_with("127.0.0.9"))
    })
    .await;
    until("the new contact", || {
        field(&a, "aor", "fed-node-2", "contact").as_deref() == Some("sip:127.0.0.9:5060")
    })
    .await;
    let matches = a.sim.object("identify", "fed-node-2").expect("there");
    assert_eq!(
        matches.iter().filter(|(name, _)| name == "match").count(),
        1,
        "{matches:?}"
    );
    done(&map, Command::DeleteNode { id: NodeId(2) });
    until("no trunk", || {
        a.sim.object("endpoint", "fed-node-2").is_none() && a.sim.object("identify", "fed-node-2").is_none()
    })
    .await;
}

#[tokio::test]
async fn without_the_sorcery_mappings_the_fault_names_type_and_remedy_and_no_session_is_open() {
    let map = map_with(&["alice"]);
    let mut a = Site::new(&map, 1, SimVersion::V22).await;
    let config = SimConfig {
        writable: vec!["auth".into(), "endpoint".into(), "identify".into()],
        ..SimConfig::new(SimVersion::V22)
    };
    a.sim = SimAsterisk::start(config).await.expect("starts");
    a.client = fed_ari::client::AriClient::new(a.sim.ari_config("fed")).expect("a client");
    a.start();
    a.when("the fault", |s| {
        s.faults.contains(&BridgeFault::MissingMapping { object: "aor" })
    })
    .await;
    let text = a.status().faults[0].to_string();
    assert!(
        text.contains("aor=memory") && text.contains("asterisk-config"),
        "{text}"
    );
    assert_ne!(a.status().phase, Phase::Up);
    assert_eq!(a.port.local().view().session_of(NodeId(1)).expect("reads"), None);
}

#[tokio::test]
async fn an_object_that_somebody_deletes_or_changes_while_the_bridge_is_up_is_put_right() {
    let map = map_with(&["alice", "bob"]);
    let (a, _b) = pair(&map).await;
    let written = a.sim.object("auth", "alice").expect("there");
    a.client
        .delete_object(ObjectType::Auth, "alice")
        .await
        .expect("deletes");
    a.client
        .put_object(ObjectType::Endpoint, "bob", &[("context", "elsewhere")])
        .await
        .expect("changes");
    a.client
        .set_global("FED_DEVICES_1001", "elsewhere")
        .await
        .expect("sets");
    until("the variable is as it was", || {
        a.sim.global("FED_DEVICES_1001").as_deref() == Some("alice")
    })
    .await;
    until("the deleted one is back", || {
        a.sim.object("auth", "alice").as_ref() == Some(&written)
    })
    .await;
    until("the changed one is as it was", || {
        field(&a, "endpoint", "bob", "context").as_deref() == Some("fed-users")
    })
    .await;
}

#[tokio::test]
async fn a_peer_whose_name_leads_elsewhere_by_now_is_looked_up_anew() {
    let map = map_with(&[]);
    let (a, b) = pair(&map).await;
    done(
        &map,
        Command::PutSetting {
            key: "sip_peers".into(),
            value: "localhost,198.51.100.0/24".into(),
            expect: Expect::Any,
        },
    );
    let here = || field(&a, "identify", "fed-peers", "match").is_some_and(|held| held.starts_with("127.0.0.1"));
    until("the peers are known", here).await;
    // What the name led to when it was written.
    a.client
        .delete_object(ObjectType::Identify, "fed-peers")
        .await
        .expect("deletes");
    a.client
        .put_object(
            ObjectType::Identify,
            "fed-peers",
            &[("endpoint", "fed-peers"), ("match", "192.0.2.9,198.51.100.0/24")],
        )
        .await
        .expect("is put");
    until("it is looked up anew", here).await;
    drop(b);
}

#[tokio::test]
async fn what_a_revision_changed_is_in_asterisk_once_the_bridge_says_so() {
    let map = map_with(&[]);
    let (a, b) = pair(&map).await;
    let sites = [&a, &b];
    let watches = sites.map(|site| site.bridge.as_ref().expect("started").watch_written());
    let reached = async |revision| {
        for mut watch in watches.clone() {
            let reached = timeout(PATIENCE, watch.wait_for(|written| *written >= Some(revision))).await;
            assert!(matches!(reached, Ok(Ok(_))), "not in time: {revision}");
        }
    };
    sites
        .iter()
        .for_each(|site| site.sim.slow_down(Duration::from_millis(10)));
    for user in ["ann", "bob", "carl", "dora", "emil"] {
        add_user(&map, user, &format!("20{}", user.len()));
        reached(map.snapshot().revision).await;
        for site in sites {
            for kind in ["auth", "aor", "endpoint"] {
                assert!(site.sim.object(kind, user).is_some(), "{kind} {user}");
            }
        }
        let id = UserId::new(user).expect("an id");
        done(
            &map,
            Command::DeleteUser {
                id,
                expect: Expect::Any,
            },
        );
        reached(map.snapshot().revision).await;
        assert!(sites.iter().all(|site| site.sim.object("endpoint", user).is_none()));
    }
    // What no Asterisk has to be written for counts too.
    done(
        &map,
        Command::PutSetting {
            key: "note".to_owned(),
            value: "1".into(),
            expect: Expect::Any,
        },
    );
    reached(map.snapshot().revision).await;
}

#[tokio::test]
async fn an_asterisk_that_went_away_holds_a_revision_once_it_is_back_and_written_to() {
    let map = map_with(&["alice"]);
    let (a, _b) = pair(&map).await;
    let mut written = a.bridge.as_ref().expect("started").watch_written();
    let begun = timeout(PATIENCE, written.wait_for(Option::is_some)).await;
    assert!(matches!(begun, Ok(Ok(_))));
    drop(begun);
    // Each call takes longer than its link lasts.
    a.sim.slow_down(Duration::from_millis(500));
    add_user(&map, "bob", "2002");
    let after = map.snapshot().revision;
    a.sim.stop().await;
    let gone = timeout(PATIENCE, written.wait_for(Option::is_none)).await;
    assert!(matches!(gone, Ok(Ok(_))));
    drop(gone);
    assert!(a.sim.object("endpoint", "bob").is_none());
    a.sim.slow_down(Duration::ZERO);
    a.sim.start_again().await.expect("starts");
    let back = timeout(PATIENCE, written.wait_for(|written| *written >= Some(after))).await;
    assert!(matches!(back, Ok(Ok(_))));
    assert!(a.sim.object("endpoint", "bob").is_some());
}
