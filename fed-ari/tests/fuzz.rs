//! What an Asterisk says, or has in its files, never makes this crate panic.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../tests/fuzz/mod.rs"]
mod fuzzing;

use fed_ari::client::{AriEvent, AsteriskVersion};
use fed_ari::stanzas::{BEGIN, ConfigFile, END, install, remove};
use fuzzing::fuzz;

/// One of each kind that is looked into, as Asterisk 16 and 22 send them.
const EVENTS: [&str; 7] = [
    r#"{"application":"fed","contact_info":{"uri":"sip:alice@127.0.0.1:6001","roundtrip_usec":"0","aor":"alice","contact_status":"NonQualified"},"type":"ContactStatusChange","endpoint":{"channel_ids":[],"resource":"alice","technology":"PJSIP"},"timestamp":"2026-01-01T00:00:00.000+0000"}"#,
    r#"{"type":"PeerStatusChange","endpoint":{"technology":"PJSIP","resource":"alice","state":"online","channel_ids":[]},"peer":{"type":"Peer","peer_status":"Reachable"}}"#,
    r#"{"type":"DeviceStateChanged","device_state":{"name":"PJSIP/alice","state":"NOT_INUSE"}}"#,
    r#"{"type":"StasisStart","args":["route","1002"],"channel":{"id":"1.2","name":"PJSIP/alice-00000001","state":"Ring","caller":{"name":"","number":"1001"},"dialplan":{"context":"fed","exten":"1002","priority":3}}}"#,
    r#"{"type":"StasisEnd","channel":{"id":"1.2","name":"PJSIP/alice-00000001"}}"#,
    r#"{"type":"ApplicationReplaced","application":"fed"}"#,
    r#"{"type":"ChannelDestroyed","cause":16,"cause_txt":"Normal Clearing","channel":{"id":"1.2","name":"PJSIP/alice-00000001"}}"#,
];

#[test]
fn damaged_events_are_other_events_or_none() {
    let corpus = EVENTS.map(|event| event.as_bytes().to_vec());
    let words = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        "null",
        "1e999",
        "-1",
        "\\u0000",
        "\\ud800",
        "\"type\":",
    ];
    fuzz("ARI event", &corpus, &words, |bytes| {
        AriEvent::parse(&String::from_utf8_lossy(bytes)).is_some()
    });
    // Nesting without end: the reader gives up, it does not run out of stack.
    assert_eq!(AriEvent::parse(&"[".repeat(1 << 20)), None);
    assert_eq!(
        AriEvent::parse(&format!("{{\"type\":{}", "{\"a\":".repeat(1 << 18))),
        None
    );
}

#[test]
fn damaged_configuration_files_are_read_as_far_as_possible() {
    let own = "[general]\n; mine\nstatic=yes\n#include extra.conf\n;-- a long\ncomment --;\n[tpl](!)\ntype=endpoint\n[alice](tpl,+)\ncontext => from-office\n";
    let with = install(own, "[fed-users]\nnew=1\n").unwrap();
    let words = [
        "[",
        "]",
        "(",
        ")",
        "(!)",
        "(+)",
        "=",
        "=>",
        ";--",
        "--;",
        ";",
        "#include ",
        "\n",
        BEGIN,
        END,
    ];
    // A file is text whatever stands in it: only broken marks are refused.
    fuzz("stanzas", &[with.clone().into_bytes()], &words, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let file = ConfigFile::parse(&text, |_| vec![own.to_owned()]);
        let _ = (
            file.objects().count(),
            file.option("alice", "type"),
            file.options("general", "static"),
        );
        match (install(&text, "[fed-users]\nnew=2\n"), remove(&text)) {
            (Ok(once), Ok(_)) => {
                assert_eq!(
                    install(&once, "[fed-users]\nnew=2\n").unwrap(),
                    once,
                    "a second time changes nothing"
                );
                true
            }
            (Err(_), Err(_)) => false,
            either => panic!("one of install and remove refused: {either:?}"),
        }
    });
}

#[test]
fn versions_of_any_spelling_are_read_or_refused() {
    let known =
        ["16.28.0~dfsg-0+deb11u4", "Asterisk 22.10.1", "certified/18.9-cert5"].map(|text| text.as_bytes().to_vec());
    fuzz("version", &known, &[".", "GIT-", "99999999999", "é"], |bytes| {
        String::from_utf8_lossy(bytes).parse::<AsteriskVersion>().is_ok()
    });
}
