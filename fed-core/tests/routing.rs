//! Where calls go.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod common;

use common::{Federation, device, device_id, number, user};
use fed_core::command::{Command, Expect};
use fed_core::ids::NodeId;
use fed_core::records::{Forwards, RingStrategy, User, setting};
use fed_core::route::{
    Caller, Cause, Located, Outcome, Place, RoutePlan, Stage, StageCondition, Target, locate, places, route,
    route_alone,
};

/// Nodes 1 to 3; alice (100, boss) with two devices, bob (101) and carol (102) with one each.
fn federation() -> Federation {
    let mut federation = Federation::of(3);
    federation.put_user(user("alice", &["100", "boss"]));
    federation.put_device(device("alice-desk", "alice"));
    federation.put_device(device("alice-cell", "alice"));
    federation.provision("bob", &["101"]);
    federation.provision("carol", &["102"]);
    federation
}

fn plan(federation: &Federation, dialled: &str) -> RoutePlan {
    route(&federation.view(), NodeId(1), &Caller::default(), dialled).unwrap()
}

/// The stages in short: `after/condition: device@node+...`, node 1 being here.
fn stages(federation: &Federation, dialled: &str) -> Vec<String> {
    match plan(federation, dialled).outcome {
        Outcome::Ring { stages, otherwise } => {
            assert_eq!(otherwise, Cause::NoAnswer);
            stages.iter().map(short).collect()
        }
        Outcome::Refuse(cause) => panic!("refused: {cause}"),
    }
}

fn short(stage: &Stage) -> String {
    let on = match stage.on {
        StageCondition::Always => "",
        StageCondition::Busy => " busy",
        StageCondition::NoAnswer => " no answer",
    };
    let target = |target: &Target| format!("{}@{}", target.device, target.place.node(NodeId(1)));
    let targets: Vec<_> = stage.targets.iter().map(target).collect();
    format!("{}{on}: {}", stage.after, targets.join("+"))
}

fn refused(federation: &Federation, dialled: &str) -> Cause {
    match plan(federation, dialled).outcome {
        Outcome::Refuse(cause) => cause,
        Outcome::Ring { stages, .. } => panic!("rings {stages:?}"),
    }
}

fn with(federation: &mut Federation, id: &str, numbers: &[&str], wish: impl FnOnce(&mut User)) {
    let mut user = user(id, numbers);
    wish(&mut user);
    federation.put_user(user);
}

fn forwards(always: &str, busy: &str, no_answer: &str, offline: &str) -> Forwards {
    let to = |text: &str| (!text.is_empty()).then(|| number(text));
    Forwards {
        always: to(always),
        busy: to(busy),
        no_answer: to(no_answer),
        offline: to(offline),
    }
}

#[test]
fn number_alias_user_and_device_all_lead_there() {
    let mut federation = federation();
    federation.register("alice-desk", 1);
    for dialled in ["100", "boss", "alice", "alice-desk"] {
        assert_eq!(stages(&federation, dialled), ["0: alice-desk@1"], "{dialled}");
    }
}

#[test]
fn a_target_elsewhere_names_the_sip_address_of_its_node() {
    let mut federation = federation();
    federation.register("bob", 2);
    let Outcome::Ring { stages, .. } = plan(&federation, "101").outcome else {
        panic!()
    };
    let there = Place::There {
        node: NodeId(2),
        sip_address: "10.0.0.2:5060".to_owned(),
    };
    assert_eq!(
        stages[0].targets,
        [Target {
            device: device_id("bob"),
            place: there
        }]
    );
    assert_eq!(stages[0].timeout_s, 30);
}

#[test]
fn two_devices_at_two_nodes_ring_together() {
    let mut federation = federation();
    federation.register("alice-desk", 1);
    federation.register("alice-cell", 3);
    assert_eq!(stages(&federation, "100"), ["0: alice-cell@3+alice-desk@1"]);
}

#[test]
fn one_device_at_two_nodes_rings_at_both_and_once_at_each() {
    let mut federation = federation();
    let mut desk = device("alice-desk", "alice");
    desk.max_contacts = 3;
    federation.put_device(desk);
    for (uri, node) in [("sip:a@h:1", 2), ("sip:a@h:2", 1), ("sip:a@h:3", 2)] {
        let bind = federation.bind("alice-desk", uri, node, true);
        federation.done(bind);
    }
    assert_eq!(stages(&federation, "100"), ["0: alice-desk@1+alice-desk@2"]);
}

#[test]
fn a_sequential_ring_goes_by_preferred_node_then_by_device() {
    let mut federation = federation();
    federation.register("alice-desk", 1);
    federation.register("alice-cell", 3);
    let sequential = |user: &mut User| user.ring = RingStrategy::Sequential;
    with(&mut federation, "alice", &["100"], sequential);
    assert_eq!(stages(&federation, "100"), ["0: alice-cell@3", "0: alice-desk@1"]);
    with(&mut federation, "alice", &["100"], |user| {
        user.ring = RingStrategy::Sequential;
        user.ring_timeout_s = 7;
        user.preferred_nodes = vec![NodeId(1)];
        user.forwards = forwards("", "", "101", "");
    });
    federation.register("bob", 2);
    assert_eq!(
        stages(&federation, "100"),
        ["0: alice-desk@1", "0: alice-cell@3", "1 no answer: bob@2"]
    );
}

#[test]
fn unknown_and_hostile_names_are_refused_at_once() {
    let federation = federation();
    let long = "9".repeat(300);
    for dialled in ["999", "", "a&b", "x/y", "100;1", "a\nb", &long, "~", "élodie"] {
        assert_eq!(refused(&federation, dialled), Cause::UnknownUser, "{dialled:?}");
    }
    let explanation = plan(&federation, &long).explanation.join("\n");
    assert!(explanation.len() < 200, "{explanation}");
}

#[test]
fn a_user_registered_nowhere_is_offline() {
    let federation = federation();
    assert_eq!(refused(&federation, "100"), Cause::Offline);
    assert_eq!(refused(&federation, "alice-desk"), Cause::Offline);
}

#[test]
fn a_node_that_is_down_is_not_rung() {
    let mut federation = federation();
    federation.register("alice-desk", 2);
    federation.register("alice-cell", 3);
    federation.end(2);
    assert_eq!(stages(&federation, "100"), ["0: alice-cell@3"]);
    let explanation = plan(&federation, "100").explanation.join("\n");
    assert!(explanation.contains("alice-desk is left out at n2"), "{explanation}");
    federation.end(3);
    assert_eq!(refused(&federation, "100"), Cause::Offline);
    federation.open(2);
    assert_eq!(
        refused(&federation, "100"),
        Cause::Offline,
        "its bindings were not confirmed"
    );
}

#[test]
fn do_not_disturb_is_busy_and_follows_the_busy_forward() {
    let mut federation = federation();
    federation.register("alice-desk", 1);
    federation.register("bob", 2);
    with(&mut federation, "alice", &["100"], |user| user.do_not_disturb = true);
    assert_eq!(refused(&federation, "100"), Cause::DoNotDisturb);
    assert_eq!(
        stages(&federation, "alice-desk"),
        ["0: alice-desk@1"],
        "a device itself rings"
    );
    with(&mut federation, "alice", &["100"], |user| {
        user.do_not_disturb = true;
        user.forwards = forwards("", "bob", "", "");
    });
    assert_eq!(stages(&federation, "100"), ["0: bob@2"]);
}

#[test]
fn forwards_are_followed_each_in_its_case() {
    let mut federation = federation();
    for (id, node) in [("alice-desk", 1), ("bob", 2), ("carol", 3)] {
        federation.register(id, node);
    }
    let forward = |federation: &mut Federation, to: Forwards| {
        with(federation, "alice", &["100"], |user| user.forwards = to);
    };
    forward(&mut federation, forwards("101", "102", "102", "102"));
    assert_eq!(stages(&federation, "100"), ["0: bob@2"]);
    forward(&mut federation, forwards("", "bob", "102", ""));
    assert_eq!(
        stages(&federation, "100"),
        ["0: alice-desk@1", "0 busy: bob@2", "0 no answer: carol@3"]
    );
    forward(&mut federation, forwards("", "", "", "carol"));
    assert_eq!(stages(&federation, "100"), ["0: alice-desk@1"]);
    federation.register("alice-desk", 2);
    federation.end(2);
    assert_eq!(stages(&federation, "100"), ["0: carol@3"]);
}

/// As [`stages`], at a node that is cut off.
fn stages_alone(federation: &Federation, dialled: &str) -> Vec<String> {
    let plan = route_alone(&federation.view(), NodeId(1), &Caller::default(), dialled).unwrap();
    match plan.outcome {
        Outcome::Ring { stages, otherwise } => {
            assert_eq!(otherwise, Cause::Offline);
            stages.iter().map(short).collect()
        }
        Outcome::Refuse(cause) => panic!("refused: {cause}"),
    }
}

/// What a call rings and how it ends where nothing of that is registered, at a node that has a quorum and has lost its session.
fn guessed(federation: &Federation, dialled: &str) -> (Vec<String>, Cause) {
    match plan(federation, dialled).outcome {
        Outcome::Ring { stages, otherwise } => (stages.iter().map(short).collect(), otherwise),
        Outcome::Refuse(cause) => panic!("refused: {cause}"),
    }
}

#[test]
fn who_was_here_when_this_nodes_session_ended_rings_here_until_it_is_known_better() {
    let mut federation = federation();
    federation.register("bob", 1);
    federation.register("carol", 2);
    federation.end(1);
    for opened_another in [false, true] {
        if opened_another {
            federation.open(1);
        }
        assert_eq!(guessed(&federation, "101"), (vec!["0: bob@1".into()], Cause::Offline));
        assert_eq!(refused(&federation, "100"), Cause::Offline, "she never was here");
        assert_eq!(stages(&federation, "102"), ["0: carol@2"]);
    }
    let forward = |federation: &mut Federation| {
        with(federation, "bob", &["101"], |user| {
            user.forwards = forwards("", "", "", "102");
        })
    };
    forward(&mut federation);
    assert_eq!(
        guessed(&federation, "101").0,
        ["0: bob@1", "0 no answer: carol@2"],
        "whether he is offline shows when he is rung"
    );
    federation.end(2);
    assert_eq!(
        guessed(&federation, "101").0,
        ["0: bob@1"],
        "another node's word counts for nothing"
    );
    assert_eq!(refused(&federation, "102"), Cause::Offline);
    federation.register("bob", 3);
    assert_eq!(stages(&federation, "101"), ["0: bob@3"], "he is elsewhere now");
    federation.register("bob", 1);
    assert_eq!(stages(&federation, "101"), ["0: bob@1"], "confirmed");
}

#[test]
fn cut_off_every_device_may_be_registered_here_and_wishes_still_count() {
    let mut federation = federation();
    federation.register("alice-desk", 3);
    assert_eq!(
        stages_alone(&federation, "100"),
        ["0: alice-cell@1+alice-desk@1+alice-desk@3"],
        "one device is known elsewhere, the other nowhere"
    );
    federation.register("bob", 1);
    assert_eq!(stages_alone(&federation, "101"), ["0: bob@1"], "once");
    assert_eq!(stages_alone(&federation, "carol"), ["0: carol@1"]);
    let forward = |federation: &mut Federation, to: Forwards| {
        with(federation, "carol", &["102"], |user| user.forwards = to);
    };
    forward(&mut federation, forwards("101", "", "", ""));
    assert_eq!(stages_alone(&federation, "102"), ["0: bob@1"], "she forwards all calls");
    forward(&mut federation, forwards("", "", "", "101"));
    assert_eq!(
        stages_alone(&federation, "102"),
        ["0: carol@1", "0 no answer: bob@1"],
        "whether she is offline shows when she is rung"
    );
    federation.register("carol", 1);
    assert_eq!(
        stages_alone(&federation, "102"),
        ["0: carol@1"],
        "she is known to be here"
    );
    with(&mut federation, "carol", &["102"], |user| user.do_not_disturb = true);
    let plan = route_alone(&federation.view(), NodeId(1), &Caller::default(), "102").unwrap();
    assert_eq!(plan.outcome, Outcome::Refuse(Cause::DoNotDisturb));
    assert!(
        route_alone(&federation.view(), NodeId(1), &Caller::default(), "nobody")
            .unwrap()
            .outcome
            == Outcome::Refuse(Cause::UnknownUser)
    );
}

#[test]
fn forwards_of_the_one_forwarded_to_hang_on_their_own_stage() {
    let mut federation = federation();
    for (id, node) in [("alice-desk", 1), ("bob", 2), ("carol", 3)] {
        federation.register(id, node);
    }
    with(&mut federation, "alice", &["100"], |user| {
        user.forwards = forwards("", "101", "102", "")
    });
    with(&mut federation, "bob", &["101"], |user| {
        user.forwards = forwards("", "", "102", "")
    });
    assert_eq!(
        stages(&federation, "100"),
        [
            "0: alice-desk@1",
            "0 busy: bob@2",
            "1 no answer: carol@3",
            "0 no answer: carol@3"
        ]
    );
}

#[test]
fn a_forward_that_leads_nowhere_takes_nothing_away() {
    let mut federation = federation();
    federation.register("alice-desk", 1);
    with(&mut federation, "alice", &["100"], |user| {
        user.forwards = forwards("", "999", "bob", "");
    });
    assert_eq!(stages(&federation, "100"), ["0: alice-desk@1"]);
    with(&mut federation, "alice", &["100"], |user| {
        user.forwards = forwards("999", "", "", "")
    });
    assert_eq!(refused(&federation, "100"), Cause::UnknownUser);
}

#[test]
fn forwards_in_a_circle_are_refused_and_never_followed_twice() {
    let mut federation = federation();
    federation.register("alice-desk", 1);
    federation.register("bob", 2);
    let always = |federation: &mut Federation, id: &str, number: &str, to: &str| {
        with(federation, id, &[number], |user| {
            user.forwards = forwards(to, "", "", "")
        });
    };
    always(&mut federation, "alice", "100", "101");
    always(&mut federation, "bob", "101", "102");
    always(&mut federation, "carol", "102", "alice");
    assert_eq!(refused(&federation, "100"), Cause::Loop);
    always(&mut federation, "alice", "100", "100");
    assert_eq!(refused(&federation, "100"), Cause::Loop);
    // In a circle of conditions everybody rings once.
    with(&mut federation, "alice", &["100"], |user| {
        user.forwards = forwards("", "101", "", "")
    });
    with(&mut federation, "bob", &["101"], |user| {
        user.forwards = forwards("", "100", "", "")
    });
    assert_eq!(stages(&federation, "100"), ["0: alice-desk@1", "0 busy: bob@2"]);
}

#[test]
fn at_most_five_forwards_are_followed() {
    let mut federation = Federation::of(1);
    for n in 0..8 {
        let id = format!("u{n}");
        let to = format!("u{}", n + 1);
        with(&mut federation, &id, &[], |user| {
            user.forwards = forwards(&to, "", "", "")
        });
    }
    federation.provision("u5", &[]);
    federation.register("u5", 1);
    assert_eq!(stages(&federation, "u0"), ["0: u5@1"]);
    with(&mut federation, "u5", &[], |user| {
        user.forwards = forwards("u6", "", "", "")
    });
    federation.provision("u6", &[]);
    assert_eq!(refused(&federation, "u0"), Cause::Loop);
}

#[test]
fn the_calling_device_does_not_ring_itself_if_there_is_another() {
    let mut federation = federation();
    federation.register("alice-desk", 1);
    federation.register("alice-cell", 2);
    let caller = Caller {
        device: Some(device_id("alice-desk")),
        ..Caller::default()
    };
    let call = |dialled| route(&federation.view(), NodeId(1), &caller, dialled).unwrap();
    let Outcome::Ring { stages, .. } = call("100").outcome else {
        panic!()
    };
    assert_eq!(stages.iter().map(short).collect::<Vec<_>>(), ["0: alice-cell@2"]);
    let Outcome::Ring { stages, .. } = call("alice-desk").outcome else {
        panic!()
    };
    assert_eq!(stages.iter().map(short).collect::<Vec<_>>(), ["0: alice-desk@1"]);
}

#[test]
fn a_call_that_has_crossed_too_many_nodes_is_refused() {
    let mut federation = federation();
    federation.register("bob", 2);
    let at = |federation: &Federation, hops| {
        let caller = Caller {
            hops,
            ..Caller::default()
        };
        route(&federation.view(), NodeId(1), &caller, "101").unwrap().outcome
    };
    assert!(matches!(at(&federation, 3), Outcome::Ring { .. }));
    assert_eq!(at(&federation, 4), Outcome::Refuse(Cause::TooManyHops));
    federation.done(Command::PutSetting {
        key: setting::HOP_LIMIT.to_owned(),
        value: "2".into(),
        expect: Expect::Any,
    });
    assert_eq!(at(&federation, 2), Outcome::Refuse(Cause::TooManyHops));
}

#[test]
fn a_device_is_located_here_first_then_where_it_registered_last() {
    let mut federation = federation();
    let desk = device_id("alice-desk");
    let at = |federation: &Federation, here| locate(&federation.view(), NodeId(here), &desk).unwrap();
    let there = |node: u64| Located::There {
        node: NodeId(node),
        sip_address: format!("10.0.0.{node}:5060"),
    };
    assert_eq!(at(&federation, 1), Located::Offline);
    let mut two = device("alice-desk", "alice");
    two.max_contacts = 2;
    federation.put_device(two);
    federation.register("alice-desk", 3);
    federation.register("alice-desk", 2);
    assert_eq!(at(&federation, 1), there(2));
    assert_eq!(at(&federation, 2), Located::Here);
    assert_eq!(at(&federation, 3), Located::Here);
    assert_eq!(places(&federation.view(), NodeId(1), &desk).unwrap().len(), 2);
    federation.end(2);
    assert_eq!(at(&federation, 1), there(3));
    let ghost = locate(&federation.view(), NodeId(1), &device_id("ghost")).unwrap();
    assert_eq!(ghost, Located::Unknown);
}

#[test]
fn the_explanation_tells_each_step() {
    let mut federation = federation();
    federation.register("alice-desk", 2);
    with(&mut federation, "alice", &["100"], |user| {
        user.forwards = forwards("", "", "101", "");
    });
    assert_eq!(
        plan(&federation, "100").explanation,
        [
            "100 leads to user alice",
            "device alice-cell is not registered",
            "stage 1, first: ring alice-desk at n2 (10.0.0.2:5060) for 30 s",
            "user alice forwards unanswered calls to 101",
            "101 leads to user bob",
            "device bob is not registered",
            "no device of user bob is registered at a live node",
            "the forward to 101 is left out: offline",
        ]
    );
    assert_eq!(
        plan(&federation, "101").explanation.last().map(String::as_str),
        Some("refused: offline (SIP 480)")
    );
}
