//! Tokens and roles against real nodes: what is tried without the right ones.

use std::path::Path;

use fed_proto::client as pb;
use prost::Message;
use tokio::runtime::Runtime;

use crate::support::{Federation, Node, client, operations, until, write_private};

/// Tries a command with a token and expects that it is refused for that reason.
fn refused(node: &Node, token: &Path, args: &[&str], why: &str) {
    let said = node.asks_as(token, args);
    assert_eq!(said.code, 3, "{args:?}: {said:?}");
    assert!(said.err.contains(why), "{args:?}: {said:?}");
}

#[test]
fn each_role_may_what_it_is_for_and_no_more() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    node.add_user("alice", "1001").ok();
    let reader = node.token("reader", &["--role", "reader"]);
    let operator = node.token("operator", &["--role", "operator"]);
    let admin = node.token("admin", &["--role", "admin", "--ttl", "30m"]);

    for args in [
        &["status"][..],
        &["user", "list"],
        &["where", "1001"],
        &["setting", "list"],
        &["route", "1001"],
    ] {
        node.asks_as(&reader, args).ok();
    }
    for args in [
        &["user", "set", "alice", "--name", "x"][..],
        &["user", "remove", "alice", "--yes"],
        &["device", "remove", "alice", "--yes"],
        &["setting", "set", "hop_limit", "5"],
        &["audit", "list"],
        &["token", "list"],
        &["node", "lead", "1"],
        &["leave", "--yes"],
    ] {
        refused(node, &reader, args, "needs the role");
    }
    refused(node, &reader, &["user", "export"], "reading digests");
    let drift = node.asks_as(&reader, &["drift", "--here"]);
    assert!(drift.code == 8 && drift.out.contains("needs the role"), "{drift:?}");

    node.asks_as(&operator, &["user", "set", "alice", "--name", "Alice"])
        .ok();
    node.asks_as(&operator, &["device", "set", "alice", "--codec", "alaw"])
        .ok();
    node.asks_as(&operator, &["setting", "set", "x-note", "5"]).ok();
    for (key, value) in [
        ("hop_limit", "5"),
        ("realm", "example.org"),
        ("dialplan_context", "internal"),
        ("sip_peers", "192.0.2.1"),
    ] {
        refused(node, &operator, &["setting", "set", key, value], "needs the role admin");
        refused(node, &operator, &["setting", "unset", key], "needs the role admin");
    }
    node.asks_as(&admin, &["setting", "set", "hop_limit", "5"]).ok();
    node.asks_as(&operator, &["audit", "list"]).ok();
    let key = node.dir.join("capability-key");
    write_private(&key, &"ab".repeat(32));
    let key = format!("--value-file={}", key.display());
    refused(
        node,
        &operator,
        &["setting", "set", "capability_key", &key],
        "needs the role admin",
    );
    refused(node, &operator, &["user", "export"], "reading digests");
    refused(
        node,
        &operator,
        &["token", "create", "--role", "admin"],
        "needs the role admin",
    );
    refused(node, &operator, &["token", "list"], "needs the role admin");

    node.asks_as(&admin, &["user", "export"]).ok();
    node.asks_as(&admin, &["token", "create", "--role", "admin"]).ok();
    let seal = node.asks_as(&admin, &["setting", "set", "seal_key", "01234567"]);
    assert_eq!(seal.code, 2, "the nodes set it themselves: {seal:?}");
    // Changing the codecs took no password away.
    let export = node.asks(&["user", "export"]).ok().out;
    assert!(
        export
            .lines()
            .any(|line| line.starts_with("alice") && line.contains("alaw")),
        "{export}"
    );

    let log = node.json(&["audit", "list"]);
    let of = |what: &str| {
        let entries = log.as_array().unwrap().iter().rev();
        let mut found = entries.filter(|entry| entry["what"].to_string().contains(what));
        found.next().unwrap()["who"].as_str().unwrap().to_owned()
    };
    assert!(of("user_put alice").starts_with("token "), "{log}");
    assert!(of("setting_put capability_key").starts_with("node "), "{log}");
    // Reading what opens lines is no change and is there all the same, few times.
    node.asks(&["user", "export"]).ok();
    until("reads of digests are in the log", || {
        let log = node.json(&["audit", "list"]);
        let entries = log.as_array().unwrap().iter();
        let reads = entries.filter(|entry| entry["what"].to_string().contains("read digests"));
        let who: Vec<&str> = reads.map(|entry| entry["who"].as_str().unwrap()).collect();
        let by_token = who.iter().filter(|who| who.starts_with("token ")).count();
        (by_token == 1 && who.contains(&"local")).then_some(())
    });
    // What was tried without the right to it is there too; a look is not.
    until("refusals are in the log", || {
        let log = node.json(&["audit", "list"]).to_string();
        assert!(!log.contains("refused ListAudit"), "{log}");
        let calls = ["refused Write", "refused CreateToken", "refused ListTokens"];
        calls.iter().all(|call| log.contains(call)).then_some(())
    });
    node.asks(&["audit", "verify"]).ok();
}

#[test]
fn a_guessed_password_is_answered_like_any_other_to_whoever_may_not_read_digests() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    node.add_user("alice", "1001").ok();
    node.hears(&["device", "set", "alice", "--password-stdin"], "right\n")
        .ok();
    let operator = node.token("operator", &["--role", "operator"]);
    let tries = |guess: &str, dry: &[&str]| {
        let args = [&["device", "set", "alice", "--password-stdin"], dry].concat();
        node.hears_as(&operator, &args, format!("{guess}\n")).ok()
    };
    let revision = || node.json(&["status"])["revision"].clone();
    let before = revision();
    let right = tries("right", &["--dry-run"]);
    let wrong = tries("wrong", &["--dry-run"]);
    assert_eq!((&right.out, &right.err), (&wrong.out, &wrong.err));
    assert!(right.out.contains("password: *** -> *** (new)"), "{right:?}");
    assert_eq!(revision(), before);
    // Who may read digests is told what is so.
    let admin = node
        .hears(&["device", "set", "alice", "--password-stdin", "--dry-run"], "right\n")
        .ok();
    assert!(admin.out.contains("nothing would change"), "{admin:?}");

    // The real thing is a change and an entry in the audit log either way.
    let changes = || {
        let log = node.json(&["audit", "list"]).to_string();
        let device = node.json(&["device", "show", "alice"]);
        (log.matches("device_put alice").count(), device["revision"].clone())
    };
    let (noted, modified) = changes();
    tries("right", &[]);
    let (then, changed) = changes();
    assert_eq!(then, noted + 1);
    assert!(changed != serde_json::Value::Null && changed != modified, "{changed}");
    // It is the same password all the same.
    let admin = node
        .hears(&["device", "set", "alice", "--password-stdin", "--dry-run"], "right\n")
        .ok();
    assert!(admin.out.contains("nothing would change"), "{admin:?}");
}

#[test]
fn without_a_token_with_a_wrong_one_or_a_revoked_one_nothing_is_answered() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let token = node.token("short", &["--role", "reader"]);
    node.asks_as(&token, &["status"]).ok();
    let id = std::fs::read_to_string(&token)
        .unwrap()
        .split('.')
        .nth(1)
        .unwrap()
        .to_owned();
    node.asks(&["token", "revoke", &id]).ok();
    refused(node, &token, &["status"], "was revoked or has expired");
    assert!(!node.json(&["token", "list"]).to_string().contains(&id));

    let wrong = node.dir.join("wrong");
    write_private(&wrong, &format!("fed1.{id}.{}\n", "A".repeat(43)));
    refused(node, &wrong, &["user", "list"], "not known here");
    // That of another node is nothing here, nor is the one of the last start.
    let (server, authority) = (format!("127.0.0.1:{}", node.client), node.authority());
    let elsewhere = tempfile::tempdir().unwrap();
    let said = crate::support::says(&["--server", &server, "--ca", authority.to_str().unwrap(), "status"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.err.contains("--token-file"), "{said:?}");
    drop(elsewhere);
}

#[test]
fn the_local_token_is_new_after_a_restart_and_a_stolen_old_one_is_worth_nothing() {
    let mut federation = Federation::start(1);
    let node = &mut federation.nodes[0];
    let stolen = node.dir.join("stolen");
    write_private(&stolen, &node.local_token());
    node.asks_as(&stolen, &["status"]).ok();
    node.terminate();
    node.run();
    refused(node, &stolen, &["status"], "not known here");
}

#[test]
fn a_registrar_tells_of_its_own_node_alone() {
    let federation = Federation::start(2);
    let [here, there] = &federation.nodes[..] else { panic!() };
    here.add_user("alice", "1001").ok();
    let token = here.token("registrar", &["--role", "registrar", "--node", "n1"]);
    refused(here, &token, &["user", "remove", "alice", "--yes"], "needs the role");
    refused(there, &token, &["status"], "holds at node");
    let without = here.asks(&["token", "create", "--role", "registrar"]);
    assert_eq!(without.code, 2, "{without:?}");
    assert!(without.err.contains("node"), "{without:?}");

    let text = std::fs::read_to_string(&token).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut own = client(here, text.trim()).await;
        let bind = |node| fed_proto::client::BindRequest {
            device: "alice".to_owned(),
            contact: "sip:alice@192.0.2.1:5060".to_owned(),
            node,
            ..Default::default()
        };
        let denied = || {
            let page = crate::canary::metrics(here.metrics);
            let line = page.lines().find(|line| line.contains("why=\"denied\""));
            let count = line.and_then(|line| line.rsplit(' ').next()).unwrap();
            count.parse::<u64>().unwrap()
        };
        let before = denied();
        let forged = own.bind(bind(2)).await.unwrap_err();
        assert_eq!(forged.code(), tonic::Code::PermissionDenied, "{forged}");
        assert_eq!(denied(), before + 1, "what is refused inside a call counts as well");
        let injected = fed_proto::client::BindRequest {
            contact: "sip:a@b>,<sip:evil@192.0.2.66".to_owned(),
            ..bind(0)
        };
        let injected = own.bind(injected).await.unwrap_err();
        assert_eq!(injected.code(), tonic::Code::InvalidArgument, "{injected}");
        own.bind(bind(0)).await.unwrap();
        let mut other = client(there, text.trim()).await;
        let elsewhere = other.bind(bind(0)).await.unwrap_err();
        assert_eq!(elsewhere.code(), tonic::Code::PermissionDenied, "{elsewhere}");
    });
    until("alice is at n1", || {
        let found = there.json(&["where", "alice"]);
        found.to_string().contains("192.0.2.1:5060").then_some(())
    });
    // What it told, and what it was refused, is in the audit log in its name.
    let id = text.split('.').nth(1).unwrap();
    for what in ["bound alice", "refused Bind"] {
        until(what, || {
            let log = here.json(&["audit", "list"]);
            let mut entries = log.as_array()?.iter();
            let found = entries.find(|entry| entry["what"].to_string().contains(what))?;
            assert_eq!(found["who"], format!("token {id}"), "{found}");
            Some(())
        });
    }
}

#[test]
fn whoever_is_refused_is_told_a_code_to_look_up() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let reader = std::fs::read_to_string(node.token("reader", &["--role", "reader"])).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let refusal = |status: tonic::Status| status.metadata().get("fed-code").cloned();
        let status = fed_proto::client::StatusRequest {};
        let nobody = client(node, "fed.nobody.0000").await.status(status).await.unwrap_err();
        let put = fed_proto::client::PutUserRequest::default();
        let too_small = client(node, reader.trim()).await.put_user(put).await.unwrap_err();
        assert_ne!(nobody.code(), too_small.code());
        for status in [nobody, too_small] {
            assert!(refusal(status.clone()).is_some(), "{status:?}");
        }
    });
}

#[test]
fn a_stream_ends_when_its_token_is_revoked_and_tells_a_reader_nothing_of_tokens() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let token = node.token("watcher", &["--role", "reader"]);
    let text = std::fs::read_to_string(&token).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut watcher = client(node, text.trim()).await;
        let from = fed_proto::client::WatchRequest { after: Some(1) };
        let mut watch = watcher.watch(from).await.unwrap().into_inner();
        node.add_user("alice", "1001").ok();
        let id = text.split('.').nth(1).unwrap();
        node.asks(&["token", "revoke", id]).ok();
        let mut seen = String::new();
        let ended = loop {
            let item = tokio::time::timeout(crate::support::PATIENCE, watch.message())
                .await
                .unwrap();
            match item {
                Ok(Some(item)) => seen += &format!("{item:?}"),
                Ok(None) => panic!("it ended without a word: {seen}"),
                Err(status) => break status,
            }
        };
        assert_eq!(ended.code(), tonic::Code::Unauthenticated, "{ended}");
        assert!(seen.contains("user_put") && !seen.contains("token_"), "{seen}");
    });
}

/// The end of a stream: its code, once everything before it was read.
async fn end_of<T>(mut stream: tonic::Streaming<T>, call: &str) -> tonic::Code {
    let read = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return tonic::Code::Ok,
                Err(status) => return status.code(),
            }
        }
    };
    let ended = tokio::time::timeout(crate::support::PATIENCE, read).await;
    ended.unwrap_or_else(|_| panic!("{call} goes on without a token"))
}

/// The calls whose answer is a stream.
fn streaming() -> Vec<String> {
    let files = prost_types::FileDescriptorSet::decode(fed_proto::DESCRIPTORS).unwrap();
    let client = files.file.iter().filter(|file| file.package() == "federated.client.v1");
    let methods = client
        .flat_map(|file| &file.service)
        .flat_map(|service| &service.method);
    let streaming = methods.filter(|method| method.server_streaming());
    streaming.map(|method| method.name().to_owned()).collect()
}

#[test]
fn every_stream_ends_when_its_token_is_revoked() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let token = node.token("follower", &["--role", "operator"]);
    let text = std::fs::read_to_string(&token).unwrap();
    let id = text.split('.').nth(1).unwrap();
    Runtime::new().unwrap().block_on(async {
        let mut federation = client(node, text.trim()).await;
        let mut operations = operations(node, text.trim()).await;
        // Its end is not sent: the stream stays open from this side.
        let (_asks, asked) = tokio::sync::mpsc::channel::<pb::PipelineRequest>(1);
        let asked = tokio_stream::wrappers::ReceiverStream::new(asked);
        let pipeline = federation.pipeline(asked).await.unwrap().into_inner();
        let watch = federation.watch(pb::WatchRequest { after: Some(1) }).await.unwrap();
        let logs = pb::LogsRequest {
            follow: true,
            ..pb::LogsRequest::default()
        };
        let logs = operations.logs(logs).await.unwrap().into_inner();
        let events = pb::EventsRequest {
            follow: true,
            ..pb::EventsRequest::default()
        };
        let events = operations.events(events).await.unwrap().into_inner();
        node.asks(&["token", "revoke", id]).ok();
        let ends = [
            ("Pipeline", end_of(pipeline, "Pipeline").await),
            ("Watch", end_of(watch.into_inner(), "Watch").await),
            ("Logs", end_of(logs, "Logs").await),
            ("Events", end_of(events, "Events").await),
        ];
        for (call, code) in ends {
            assert_eq!(code, tonic::Code::Unauthenticated, "{call}");
        }
        // One that ends by itself is looked at by the same code; a new one is to be added above.
        let tried: Vec<&str> = ends.iter().map(|(call, _)| *call).chain(["Backup"]).collect();
        for call in streaming() {
            assert!(tried.contains(&call.as_str()), "{call} is not tried here");
        }
    });
}

#[test]
fn too_many_calls_of_one_token_are_told_when_to_come_again() {
    let federation = Federation::start_with(1, |_, node| {
        node.flags.push("--client-calls-per-s=5".to_owned());
    });
    let node = &federation.nodes[0];
    let token = node.token("hasty", &["--role", "reader"]);
    let text = std::fs::read_to_string(&token).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut hasty = client(node, text.trim()).await;
        let refused = loop {
            if let Err(status) = hasty.status(fed_proto::client::StatusRequest {}).await {
                break status;
            }
        };
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");
        let wait: u64 = refused
            .metadata()
            .get("retry-after-ms")
            .unwrap()
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=1_000).contains(&wait), "{wait}");
    });
    // The administrator of the machine is not held up by it.
    for _ in 0..3 {
        node.asks(&["status"]).ok();
    }
}
