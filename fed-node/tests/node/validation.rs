//! What means something to a dialplan, a SIP header or a line of configuration comes in by no way: command line, API, stream, import.

use crate::support::{Federation, Insider, Node, until};
use fed_core::command::{Command, Expect};
use fed_core::ids::{DeviceId, Number, UserId};
use fed_core::records::{Device, DigestCredentials, User};
use fed_proto::client as pb;
use tonic::Code;

/// Pieces that end, open or call something.
const INJECTIONS: [&str; 14] = [
    "a&PJSIP/evil",
    "a/b",
    "a,1,System(id)",
    "a\nexten => _X.,1,Hangup()",
    "a\r\nContact: <sip:evil@192.0.2.66>",
    "${EVAL(x)}",
    "a\"b",
    "a'b",
    "a|b",
    "a b",
    "a(b)",
    "a<sip:evil@192.0.2.66>",
    "a\0b",
    "a;tag=1",
];

fn good_user() -> pb::User {
    pb::User {
        id: "victim".to_owned(),
        ring: "all".to_owned(),
        ring_timeout_s: 30,
        ..pb::User::default()
    }
}

fn good_device() -> pb::Device {
    pb::Device {
        id: "victim".to_owned(),
        user: "alice".to_owned(),
        realm: "federated".to_owned(),
        md5_ha1: "0".repeat(32),
        max_contacts: 1,
        ..pb::Device::default()
    }
}

/// Every text field of a user and a device with the piece in it.
fn changes(piece: &str) -> Vec<(String, pb::change::What)> {
    type Set<T> = fn(&mut T, String);
    let users: [(&str, Set<pb::User>); 9] = [
        ("user id", |user, piece| user.id = piece),
        ("number", |user, piece| user.numbers = vec![piece]),
        ("forward_always", |user, piece| user.forward_always = Some(piece)),
        ("forward_busy", |user, piece| user.forward_busy = Some(piece)),
        ("forward_no_answer", |user, piece| user.forward_no_answer = Some(piece)),
        ("forward_offline", |user, piece| user.forward_offline = Some(piece)),
        ("mailbox", |user, piece| user.mailbox = Some(piece)),
        ("service_class", |user, piece| user.service_class = Some(piece)),
        ("ring", |user, piece| user.ring = piece),
    ];
    let devices: [(&str, Set<pb::Device>); 7] = [
        ("device id", |device, piece| device.id = piece),
        ("owner", |device, piece| device.user = piece),
        ("realm", |device, piece| device.realm = format!("{piece}\"")),
        ("md5_ha1", |device, piece| device.md5_ha1 = piece),
        ("codec", |device, piece| device.codecs = vec![piece]),
        ("technology", |device, piece| device.technology = piece),
        ("transport", |device, piece| device.transport = piece),
    ];
    let mut all = Vec::new();
    for (field, set) in users {
        let mut user = good_user();
        set(&mut user, piece.to_owned());
        let user = Some(user);
        all.push((
            field.to_owned(),
            pb::change::What::PutUser(pb::PutUserRequest { user, expect: None }),
        ));
    }
    for (field, set) in devices {
        let mut device = good_device();
        set(&mut device, piece.to_owned());
        let device = Some(device);
        all.push((
            field.to_owned(),
            pb::change::What::PutDevice(pb::PutDeviceRequest { device, expect: None }),
        ));
    }
    for key in ["realm", "dialplan_context", "sip_peers", "hop_limit"] {
        let put = pb::PutSettingRequest {
            key: key.to_owned(),
            value: format!("{piece}\\"),
            expect: None,
        };
        all.push((format!("setting {key}"), pb::change::What::PutSetting(put)));
    }
    all
}

/// What the map holds. Its revision also counts the notes of what it refused.
fn held(node: &Node) -> [serde_json::Value; 4] {
    ["user", "device", "setting", "token"].map(|what| node.json(&[what, "list"]))
}

#[test]
fn no_injection_comes_in_over_the_api_and_errors_are_one_line() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    node.add_user("alice", "1001").ok();
    let before = held(node);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut client = crate::support::client(node, &node.local_token()).await;
        let mut asked = Vec::new();
        for piece in INJECTIONS {
            for (field, what) in changes(piece) {
                let change = pb::Change { what: Some(what) };
                let request = pb::WriteManyRequest {
                    changes: vec![change.clone()],
                    all_or_nothing: true,
                    dry_run: false,
                };
                let refused = client.write(request).await.expect_err(&format!("{field}: {piece:?}"));
                assert_eq!(refused.code(), Code::InvalidArgument, "{field}: {piece:?}: {refused}");
                assert!(!refused.message().contains(['\n', '\r', '\0']), "{refused:?}");
                let what = Some(pb::pipeline_request::What::Change(change));
                let id = asked.len() as u64;
                asked.push(pb::PipelineRequest { id, what });
            }
        }
        // The stream is no way around it.
        let count = asked.len();
        let mut replies = client.pipeline(tokio_stream::iter(asked)).await.unwrap().into_inner();
        for _ in 0..count {
            let reply = replies.message().await.unwrap().unwrap();
            let refused = matches!(&reply.what, Some(pb::pipeline_reply::What::Error(error)) if error.code == Code::InvalidArgument as u32);
            assert!(refused, "{reply:?}");
        }
        // Nor are the questions.
        for piece in INJECTIONS {
            let get = pb::GetRequest {
                id: piece.to_owned(),
                ..pb::GetRequest::default()
            };
            assert_eq!(client.r#where(get.clone()).await.unwrap_err().code(), Code::InvalidArgument);
            assert_eq!(client.get_user(get.clone()).await.unwrap_err().code(), Code::InvalidArgument);
            let route = pb::RouteRequest {
                dialled: piece.to_owned(),
                ..pb::RouteRequest::default()
            };
            assert_eq!(client.route(route).await.unwrap_err().code(), Code::InvalidArgument);
        }
    });
    assert_eq!(held(node), before, "nothing was written");
}

#[test]
fn no_injection_comes_in_by_the_command_line() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    node.add_user("alice", "1001").ok();
    let before = held(node);
    let piece = "a&PJSIP/evil,${X}";
    for args in [
        &["user", "add", piece, "--no-device"][..],
        &["user", "set", "alice", "--number", piece],
        &["user", "set", "alice", "--forward-busy", piece],
        &["user", "set", "alice", "--mailbox", piece],
        &["user", "set", "alice", "--service-class", piece],
        &["user", "set", "alice", "--name", "a\"<sip:evil>"],
        &["device", "set", "alice", "--codec", piece],
        &["setting", "set", "dialplan_context", piece],
        &["token", "create", "--role", "reader", "--name", "a\"\nb"],
    ] {
        let said = node.asks(args);
        assert_eq!(said.code, 2, "{args:?}: {said:?}");
        assert_eq!(said.err.trim().lines().count(), 1, "{args:?}: {said:?}");
    }
    for id in [piece, "fed-node-1"] {
        let said = node.hears(&["device", "add", id, "--user", "alice", "--password-stdin"], "secret");
        assert_eq!(said.code, 2, "{said:?}");
    }
    assert_eq!(held(node), before, "nothing was written");
}

fn import(node: &Node, lines: &str) -> crate::support::Said {
    let file = node.dir.join("roster.csv");
    crate::support::write_private(&file, lines);
    node.asks(&["user", "import", file.to_str().unwrap()])
}

#[test]
fn no_injection_comes_in_by_an_import() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    for (column, value) in [
        ("user", "a&b"),
        ("numbers", "1001;x,2"),
        ("mailbox", "1@a|b"),
        ("codecs", "alaw&x"),
        ("device", "a/b"),
        ("name", "a<b>"),
    ] {
        let good = [
            ("user", "alice"),
            ("name", "Alice"),
            ("numbers", "1001"),
            ("mailbox", ""),
            ("device", "alice"),
            ("codecs", ""),
            ("password", "secret"),
        ];
        let value_of = |(name, fine): (&'static str, &'static str)| {
            let value = if name == column { value } else { fine };
            format!("\"{value}\"")
        };
        let head: Vec<_> = good.iter().map(|(name, _)| *name).collect();
        let line: Vec<_> = good.into_iter().map(value_of).collect();
        let said = import(node, &format!("{}\n{}\n", head.join(","), line.join(",")));
        assert_eq!(said.code, 2, "{column}: {said:?}");
    }
    assert_eq!(node.json(&["user", "list"]), serde_json::json!([]));
}

#[test]
fn a_key_of_capabilities_that_is_none_is_refused_before_it_is_sealed() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    for bad in ["x", "../..", "AB", &"AB".repeat(32)] {
        let said = node.hears(&["setting", "set", "capability_key", "-"], bad);
        assert!(said.code != 0 && said.err.contains("64 lower-case"), "{bad}: {said:?}");
    }
    let key = "ab".repeat(32);
    let said = node.asks(&["setting", "set", "capability_key", &key]);
    assert!(
        said.code == 2 && said.err.contains("capability_key -") && !said.err.contains(&key),
        "{said:?}"
    );
    node.hears(&["setting", "set", "capability_key", "-"], format!("{key}\n"))
        .ok();
    let file = node.dir.join("key");
    crate::support::write_private(&file, &key);
    let file = format!("--value-file={}", file.display());
    node.asks(&["setting", "set", "capability_key", &file]).ok();
}

#[test]
fn names_that_the_dialplan_keeps_for_itself_go_to_nobody_and_stay_with_whose_they_are() {
    let federation = Federation::start_plain(1);
    let node = &federation.nodes[0];
    node.add_user("alice", "1001").ok();
    // As an API of before the rule took it.
    let insider = Insider::join(&node.peer_address());
    let fax = UserId::new("fax").unwrap();
    let credentials = DigestCredentials {
        realm: "federated".to_owned(),
        md5_ha1: "0".repeat(32),
    };
    let user = Command::PutUser {
        user: User {
            numbers: vec![Number::new("1009").unwrap(), Number::new("o").unwrap()],
            ..User::new(fax.clone())
        },
        expect: Expect::Any,
    };
    let device = Command::PutDevice {
        device: Device::new(DeviceId::new("fax").unwrap(), fax, credentials),
        expect: Expect::Any,
    };
    for older in [user, device] {
        until("it is there", || insider.propose(insider.asked(older.clone())).ok());
    }
    for args in [
        &["user", "set", "fax", "--name", "Fax", "--forward-busy", "1001"][..],
        &[
            "user", "set", "fax", "--number", "1009", "--number", "o", "--number", "1010",
        ],
        &["device", "set", "fax", "--max-contacts", "2"],
    ] {
        let tried: Vec<&str> = args.iter().copied().chain(["--dry-run"]).collect();
        node.asks(&tried).ok();
        node.asks(args).ok();
    }
    let exported = node.asks(&["user", "export"]);
    let changed = exported.ok().out.replace("Fax,", "Fax machine,");
    let said = import(node, &changed).ok();
    assert!(said.out.contains("1 changed"), "{said:?}");
    let report = node.setup(&["-o", "json", "doctor"]).json();
    let mut checks = report["checks"].as_array().unwrap().iter();
    let names = checks.find(|check| check["check"] == "names").unwrap();
    assert_eq!(names["grade"], "warn", "{names}");
    assert_eq!(names["seen"], "user fax; device fax of user fax; number o of user fax");
    // Somebody new is told by whichever part looks first: the command line, the node, the import.
    let before = held(node);
    for args in [
        &["user", "add", "t", "--no-device"][..],
        &["user", "add", "tina", "--number", "t", "--no-device"],
        &["user", "set", "alice", "--number", "t"],
        &["user", "set", "fax", "--number", "o", "--number", "t"],
        &["device", "add", "t", "--user", "alice", "--password-stdin"],
    ] {
        let said = node.hears(args, "secret");
        assert!(
            said.code == 2 && said.err.contains("\"t\" is an extension"),
            "{args:?}: {said:?}"
        );
    }
    let said = import(node, "user,device,password\nt,,\nalice,e,secret\n");
    assert_eq!(said.code, 3, "{said:?}");
    for name in ["t", "e"] {
        assert!(said.err.contains(&format!("{name:?} is an extension")), "{said:?}");
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut client = crate::support::client(node, "").await;
        let put = |id: &str| pb::Change {
            what: Some(pb::change::What::PutUser(pb::PutUserRequest {
                user: Some(pb::User {
                    id: id.to_owned(),
                    ..good_user()
                }),
                expect: None,
            })),
        };
        for all_or_nothing in [true, false] {
            let request = pb::WriteManyRequest {
                changes: vec![put("t")],
                all_or_nothing,
                dry_run: false,
            };
            let why = match client.write(request).await {
                Ok(reply) => reply.into_inner().results.remove(0).refusal,
                Err(status) => status.message().to_owned(),
            };
            assert!(why.contains("\"t\" is an extension"), "{why}");
        }
        let asked = ["t", "fax"].map(|id| pb::PipelineRequest {
            id: u64::from(id == "fax"),
            what: Some(pb::pipeline_request::What::Change(put(id))),
        });
        let mut replies = client.pipeline(tokio_stream::iter(asked)).await.unwrap().into_inner();
        for _ in 0..2 {
            let reply = replies.message().await.unwrap().unwrap();
            let done = matches!(reply.what, Some(pb::pipeline_reply::What::Written(_)));
            assert_eq!(done, reply.id == 1, "{reply:?}");
        }
    });
    assert_eq!(&before[1..], &held(node)[1..], "no device");
    let users = node.asks(&["user", "list"]).ok().out;
    assert!(
        !users.contains("tina") && users.lines().all(|line| !line.starts_with("t ")),
        "{users}"
    );
    insider.stop();
}
