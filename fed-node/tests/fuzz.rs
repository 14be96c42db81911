//! What people and programs hand to a node never makes it panic: files of users, configuration files, addresses, tokens. (SIP:
//! `redirect/tests/fuzz.rs`; backups: `backup/fuzz.rs`.)
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../tests/fuzz/mod.rs"]
mod fuzzing;

use data_encoding::BASE64URL_NOPAD;
use fed_node::address::Address;
use fed_node::api::convert;
use fed_node::config::{ConfigFlags, example, load_with};
use fed_node::roster::check;
use fed_node::security::{JoinToken, TokenText};
use fed_proto::client as pb;
use fuzzing::fuzz;
use prost::Message;

#[test]
fn damaged_rosters_are_refused_with_their_lines() {
    let roster = "# our users\nuser,name,numbers,device,password,ring_timeout_s,forward_busy,do_not_disturb,max_contacts\n\
                  alice,\"Alice, Ä\",1001 +49.30,alice-desk,canary,30,1002,true,2\n\
                  bob,Bob,1002,bob,canary,,,,\n";
    let words = [
        ",",
        "\"",
        "\n",
        "\r",
        "&",
        "1001",
        "alice",
        "#",
        "é",
        "\u{feff}",
        "99999999999999999999",
    ];
    fuzz("roster", &[roster.as_bytes().to_vec()], &words, |bytes| {
        check(&String::from_utf8_lossy(bytes), "federated").1.is_empty()
    });
}

#[test]
fn damaged_configuration_files_are_refused_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fed-node.toml");
    let switched_on: String = example()
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest.contains(" = ")
                    && !rest.contains("  ")
                    && rest.starts_with(|c: char| c.is_ascii_lowercase()) =>
            {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    std::fs::write(&path, &switched_on).unwrap();
    let sound = load_with(Some(&path), [], &ConfigFlags::default()).is_ok();
    let corpus = match sound {
        true => vec![switched_on.into_bytes(), example().into_bytes()],
        // Prose of the example that looks like a key: the example as it is will do.
        false => vec![
            example().into_bytes(),
            b"[peer]\nlisten = \"[::]:7401\"\n[raft]\nvoters = 5\n[log]\nlevel = \"info\"\n".to_vec(),
        ],
    };
    let words = [
        "[",
        "]",
        "=",
        "\"",
        "'",
        "\n",
        "#",
        "\"\"\"",
        "{",
        "}",
        "1979-05-27",
        "-1",
        "inf",
        ".",
        "peer.listen",
    ];
    fuzz("configuration", &corpus, &words, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        match load_with(Some(&path), [], &ConfigFlags::default()) {
            Ok(_) => true,
            Err(errors) => {
                assert!(!errors.to_string().is_empty());
                false
            }
        }
    });
    std::fs::write(&path, "a = ".to_owned() + &"[".repeat(1 << 18)).unwrap();
    assert!(load_with(Some(&path), [], &ConfigFlags::default()).is_err());
}

#[test]
fn addresses_of_any_spelling_are_read_or_refused() {
    let known = ["192.0.2.1:7401", "[2001:db8::1]:7401", "pbx1.example.org:7401"].map(|text| text.as_bytes().to_vec());
    fuzz(
        "address",
        &known,
        &[":", "[", "]", "::", "%eth0", "é", "65536"],
        |bytes| {
            match String::from_utf8_lossy(bytes).parse::<Address>() {
                // What was understood is understood again as it is written.
                Ok(address) => address.to_string().parse::<Address>().unwrap() == address,
                Err(_) => false,
            }
        },
    );
}

#[test]
fn users_and_devices_of_clients_are_checked_before_they_are_believed() {
    let user = pb::User {
        id: "alice".to_owned(),
        numbers: vec!["1001".to_owned()],
        ring: "all".to_owned(),
        ring_timeout_s: 30,
        forward_busy: Some("1002".to_owned()),
        ..pb::User::default()
    };
    fuzz("user", &[user.encode_to_vec()], &["&", "\n", "${"], |bytes| {
        pb::User::decode(bytes).is_ok_and(|user| convert::user(user).is_ok())
    });
    let device = pb::Device {
        id: "alice-desk".to_owned(),
        user: "alice".to_owned(),
        realm: "federated".to_owned(),
        md5_ha1: "0123456789abcdef0123456789abcdef".to_owned(),
        max_contacts: 2,
        ..pb::Device::default()
    };
    fuzz("device", &[device.encode_to_vec()], &["&", "\n", "${"], |bytes| {
        pb::Device::decode(bytes).is_ok_and(|device| convert::device(device).is_ok())
    });
}

#[test]
fn tokens_that_are_damaged_are_refused() {
    let words = ["fed1.", "fed1j.", ".", "=", "-", "_", "é", "\0", " "];
    let token = TokenText::random().reveal().into_bytes();
    fuzz("token", &[token], &words, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        // What was understood is written as it was read.
        TokenText::parse(&text).is_some_and(|token| {
            assert_eq!(token.reveal(), text);
            true
        })
    });
    let inside = format!(
        r#"{{"address":"[2001:db8::1]:7401","node":"fed://{}/node/3","ca_sha256":"{}","id":"abc123","secret":"canary"}}"#,
        "a".repeat(32),
        "07".repeat(32)
    );
    let parsed = |text: &str| match text.parse::<JoinToken>() {
        Ok(token) => {
            assert_eq!(token.reveal().parse(), Ok(token), "it survives being printed");
            true
        }
        Err(error) => {
            assert!(!error.to_string().contains("canary"), "{error}");
            false
        }
    };
    let whole = |json: &[u8]| format!("fed1j.{}", BASE64URL_NOPAD.encode(json));
    let token = whole(inside.as_bytes()).into_bytes();
    fuzz("join token", &[token], &words, |bytes| {
        parsed(&String::from_utf8_lossy(bytes))
    });
    let words = [
        "\"",
        "{",
        "}",
        ":",
        ",",
        "\\u0000",
        "fed://",
        "/node/",
        "18446744073709551616",
        "\"id\":",
    ];
    fuzz("inside of a join token", &[inside.into_bytes()], &words, |bytes| {
        parsed(&whole(bytes))
    });
}
