//! The door: every call by every role, and every kind of wrong token.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use fed_core::ids::Revision;
use parking_lot::Mutex;
use prost::Message;
use tonic::Code;

use super::*;
use crate::api::refusals::Refusal;
use crate::api::rules::RULES;

const HERE: NodeId = NodeId(1);
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

type Tokens = Arc<Mutex<BTreeMap<TokenId, Record<Token>>>>;

/// A door with tokens that tests may change.
struct Site {
    door: Door,
    noted: tokio::sync::mpsc::Receiver<Refusal>,
    tokens: Tokens,
    local: String,
    _data: tempfile::TempDir,
}

fn site() -> Site {
    site_with(0)
}

fn site_with(calls_per_s: u32) -> Site {
    site_of(Limits::new(calls_per_s, 0))
}

fn site_of(limits: Limits) -> Site {
    let data = tempfile::tempdir().unwrap();
    let local = LocalToken::make(data.path()).unwrap();
    let text = std::fs::read_to_string(LocalToken::file(data.path())).unwrap();
    let tokens = Tokens::default();
    let known = tokens.clone();
    let (refusals, noted) = Refusals::channel();
    let guard = Guard {
        local,
        look_up: Box::new(move |id| Ok(known.lock().get(id).cloned())),
    };
    Site {
        door: Door::new(HERE, Some(guard), Arc::new(limits), Arc::new(refusals)),
        noted,
        tokens,
        local: text.trim().to_owned(),
        _data: data,
    }
}

impl Site {
    fn add(&self, role: Role, change: impl FnOnce(&mut Token)) -> TokenText {
        let text = TokenText::random();
        let mut token = Token {
            id: text.id.clone(),
            name: String::new(),
            role,
            secret_hash: text.secret.hash(),
            expires_at_unix: now_unix() + 60,
            one_use: false,
            node: None,
        };
        change(&mut token);
        let record = Record {
            created: Revision(1),
            modified: Revision(1),
            value: token,
        };
        self.tokens.lock().insert(text.id.clone(), record);
        text
    }

    async fn admit(&self, call: &str, token: &str) -> Result<Caller, Status> {
        let call = if call.starts_with("Operations/") {
            call.to_owned()
        } else {
            format!("Federation/{call}")
        };
        let path = format!("/federated.client.v1.{call}");
        self.door.admit(&path, Some(&format!("Bearer {token}")), SOURCE).await
    }
}

/// The calls that each role may make beyond those of the role before it, written out: whoever changes a rule changes this.
const MAY: [(Role, &[&str]); 5] = [
    (
        Role::Reader,
        &[
            "GetDevice",
            "GetNode",
            "GetSetting",
            "GetUser",
            "ListDevices",
            "ListNodes",
            "ListSettings",
            "ListUsers",
            "Operations/Events",
            "Operations/Nodes",
            "Operations/Ready",
            "Pipeline",
            "Route",
            "Status",
            "Watch",
            "Where",
        ],
    ),
    (Role::Registrar, &["Bind", "Unbind"]),
    (
        Role::Operator,
        &[
            "DeleteDevice",
            "DeleteSetting",
            "DeleteUser",
            "Drift",
            "ListAudit",
            "Operations/Logs",
            "Operations/Perf",
            "Operations/Replicas",
            "PlanMembers",
            "PutDevice",
            "PutSetting",
            "PutUser",
            "Write",
        ],
    ),
    (
        Role::Admin,
        &[
            "ApplyPlan",
            "Backup",
            "CreateJoinToken",
            "CreateToken",
            "ListTokens",
            "RemoveNode",
            "RevokeToken",
            "TransferLeadership",
        ],
    ),
    (Role::Node, &[]),
];

#[tokio::test]
async fn every_call_is_open_to_the_roles_that_may_and_to_no_other() {
    let site = site();
    let files = prost_types::FileDescriptorSet::decode(fed_proto::DESCRIPTORS)
        .unwrap()
        .file;
    let client = files.iter().filter(|file| file.package() == "federated.client.v1");
    let services = client.flat_map(|file| &file.service);
    let calls: Vec<String> = services
        .flat_map(|service| {
            let names = service.method.iter().map(prost_types::MethodDescriptorProto::name);
            names.map(|name| match service.name() {
                "Federation" => name.to_owned(),
                other => format!("{other}/{name}"),
            })
        })
        .collect();
    let ruled: usize = RULES.iter().map(|(_, rules)| rules.len()).sum();
    assert_eq!(calls.len(), ruled, "{calls:?}");
    let mut may: Vec<&str> = Vec::new();
    for (role, more) in MAY {
        may.extend(more);
        if role == Role::Node {
            may.clear();
        }
        let token = site.add(role, |_| {}).reveal();
        for call in &calls {
            let code = site.admit(call, &token).await.err().map(|status| status.code());
            let expected = match (role, may.contains(&call.as_str())) {
                // It joins nodes, and is no token of this API at all.
                (Role::Node, _) => Some(Code::Unauthenticated),
                (_, true) => None,
                (_, false) => Some(Code::PermissionDenied),
            };
            assert_eq!(code, expected, "{role} calls {call}");
            if role == Role::Node {
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_has_no_rule_is_closed_even_to_the_administrator() {
    let site = site();
    for call in ["Nothing", "", "GetUser/x"] {
        let status = site.admit(call, &site.local).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{call}");
    }
}

#[tokio::test]
async fn wrong_tokens_are_refused_alike_and_tell_nothing() {
    let site = site();
    let good = site.add(Role::Admin, |_| {});
    let expired = site.add(Role::Admin, |token| token.expires_at_unix = now_unix());
    let one_use = site.add(Role::Admin, |token| token.one_use = true);
    let node = site.add(Role::Node, |_| {});
    let revoked = site.add(Role::Admin, |_| {});
    site.tokens.lock().remove(&revoked.id);
    let other_secret = TokenText::new(good.id.clone()).reveal();
    let local_guess = TokenText::new(TokenId::new("local").unwrap()).reveal();
    let mut said = std::collections::BTreeSet::new();
    for wrong in [
        TokenText::random().reveal(),
        expired.reveal(),
        one_use.reveal(),
        node.reveal(),
        revoked.reveal(),
        other_secret,
        local_guess,
        "fed1.x".to_owned(),
        String::new(),
    ] {
        let status = site.admit("Status", &wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{wrong}");
        assert!(!status.message().contains(good.id.as_str()));
        said.insert(status.message().to_owned());
    }
    assert_eq!(said.len(), 1, "one answer for all: {said:?}");
    assert_eq!(site.door.limits().unauthenticated.load(Ordering::Relaxed), 9);
    site.admit("Status", &good.reveal()).await.unwrap();
}

#[tokio::test]
async fn nothing_shown_is_answered_with_what_to_show() {
    let site = site();
    let path = "/federated.client.v1.Federation/Status";
    let status = site.door.admit(path, None, SOURCE).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("--token-file"), "{status}");
}

#[tokio::test]
async fn a_token_of_one_node_opens_no_other() {
    let site = site();
    let there = site.add(Role::Registrar, |token| token.node = Some(NodeId(2)));
    let status = site.admit("Bind", &there.reveal()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let here = site.add(Role::Registrar, |token| token.node = Some(HERE));
    assert_eq!(site.admit("Bind", &here.reveal()).await.unwrap().node, Some(HERE));
}

#[tokio::test]
async fn who_came_in_stays_until_the_token_is_revoked_changed_or_expired() {
    let site = site();
    let text = site.add(Role::Reader, |_| {});
    let caller = site.admit("Watch", &text.reveal()).await.unwrap();
    assert!(site.door.may_stay(&caller));
    let record = site.tokens.lock().remove(&text.id).unwrap();
    assert!(!site.door.may_stay(&caller), "revoked");
    let again = Record {
        modified: Revision(9),
        ..record
    };
    site.tokens.lock().insert(text.id.clone(), again);
    assert!(!site.door.may_stay(&caller), "made anew");
    let late = Caller {
        expires_at_unix: now_unix(),
        token_at: Some(Revision(9)),
        ..caller
    };
    assert!(!site.door.may_stay(&late), "expired");
    let local = site.admit("Watch", &site.local).await.unwrap();
    assert!(site.door.may_stay(&local));
}

#[tokio::test]
async fn guesses_wait_and_the_right_token_does_not() {
    let site = site();
    let good = site.add(Role::Reader, |_| {}).reveal();
    for _ in 0..3 {
        let guess = TokenText::random().reveal();
        let begun = std::time::Instant::now();
        site.admit("Status", &guess).await.unwrap_err();
        assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
    }
    // It is told from a guess before anybody waits, so it needs no measuring: it may not even pause.
    let admitted = site.admit("Status", &good);
    assert!(futures::FutureExt::now_or_never(admitted).unwrap().is_ok());
}

#[tokio::test]
async fn without_a_guard_everybody_is_an_administrator_and_named_so() {
    let door = Door::new(HERE, None, Arc::new(Limits::new(0, 0)), Arc::new(Refusals::channel().0));
    let path = "/federated.client.v1.Federation/RemoveNode";
    let caller = door.admit(path, None, SOURCE).await.unwrap();
    assert_eq!((caller.who, caller.role), (Actor::Anyone, Role::Admin));
}

#[tokio::test]
async fn a_refused_change_is_noted_with_whose_it_was_and_a_refused_look_is_not() {
    let mut site = site();
    let reader = site.add(Role::Reader, |_| {});
    let elsewhere = site.add(Role::Registrar, |token| token.node = Some(NodeId(2)));
    for (token, call) in [
        (&reader, "PutUser"),
        (&elsewhere, "Bind"),
        (&reader, "Drift"),
        (&reader, "PutUser"),
    ] {
        let path = format!("/federated.client.v1.Federation/{call}");
        let shown = format!("Bearer {}", token.reveal());
        site.door.admit(&path, Some(&shown), SOURCE).await.unwrap_err();
    }
    // Nobody is nobody.
    site.door
        .admit("/federated.client.v1.Federation/PutUser", None, SOURCE)
        .await
        .unwrap_err();
    for (token, text) in [(reader, "refused PutUser"), (elsewhere, "refused Bind")] {
        let who = Actor::Token(token.id);
        assert_eq!(
            site.noted.try_recv().unwrap(),
            Refusal {
                who,
                text: text.to_owned()
            }
        );
    }
    assert!(site.noted.try_recv().is_err());
}

#[tokio::test]
async fn what_is_refused_costs_as_much_as_what_is_done() {
    let site = site_with(1);
    let reader = site.add(Role::Reader, |_| {}).reveal();
    let elsewhere = site.add(Role::Reader, |token| token.node = Some(NodeId(2))).reveal();
    for (token, call) in [(&reader, "PutUser"), (&reader, "Nothing"), (&elsewhere, "Status")] {
        let mut codes = Vec::new();
        for _ in 0..50 {
            codes.push(site.admit(call, token).await.unwrap_err().code());
        }
        assert_eq!(codes.last(), Some(&Code::ResourceExhausted), "{call}");
    }
    // Not even what it may do is left to it.
    let status = site.admit("Status", &reader).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    site.admit("Status", &site.local).await.unwrap();
}

#[tokio::test]
async fn a_call_holds_one_of_its_tokens_places_for_as_long_as_anything_of_it_lasts() {
    let site = site_of(Limits::new(0, 2));
    let reader = site.add(Role::Reader, |_| {}).reveal();
    let first = site.admit("Watch", &reader).await.unwrap();
    let second = site.admit("Watch", &reader).await.unwrap();
    let status = site.admit("Status", &reader).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let told = status.message();
    assert!(
        told.starts_with("overloaded: 2 calls") && told.contains("client.calls_at_once"),
        "{told}"
    );
    assert!(site.door.limits().metrics().contains("{why=\"limited\"} 1"));
    site.admit("Watch", &site.local).await.unwrap();
    let task = first.clone();
    drop(first);
    site.admit("Status", &reader).await.unwrap_err();
    drop(task);
    site.admit("Status", &reader).await.unwrap();
    drop(second);
}
