//! What an Asterisk says, or has in its files, never makes this crate panic.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../tests/fuzz/mod.rs"]
mod fuzzing;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fed_ari::client::{AriClient, AriConfig, AriEvent, AsteriskVersion, ObjectType};
use fed_ari::port::memory::MemoryMap;
use fed_ari::router::{FastAgi, Router};
use fed_ari::stanzas::{BEGIN, ConfigFile, END, install, remove};
use fed_core::ids::NodeId;
use fuzzing::fuzz;
use tokio::runtime::Runtime;

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

/// Answers every call of one ARI with what stands in `body`; ends with the test.
fn answering(body: Arc<Mutex<Vec<u8>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move |mut stream: TcpStream| -> std::io::Result<()> {
        let (mut asked, mut bytes) = (Vec::new(), [0; 4096]);
        loop {
            while !asked.ends_with(b"\r\n\r\n") {
                let length = stream.read(&mut bytes)?;
                if length == 0 {
                    return Ok(());
                }
                asked.extend_from_slice(&bytes[..length]);
            }
            asked.clear();
            let body = body.lock().unwrap().clone();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat())?;
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream.unwrap()));
        }
    });
    format!("http://{address}")
}

#[test]
fn damaged_answers_of_an_ari_are_errors() {
    let (runtime, body) = (Runtime::new().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let client = AriClient::new(AriConfig::new(answering(body.clone()), "fed", "canary", "fed")).unwrap();
    let words = [
        "{", "}", "[", "]", "\"", ":", ",", "null", "1e999", "-1", "\\u0000", "\\ud800",
    ];
    let answered = |bytes: &[u8]| *body.lock().unwrap() = bytes.to_vec();
    let info = br#"{"build":{"os":"Linux"},"system":{"version":"22.10.1","entity_id":"02:42:ac:11:00:02"},"config":{"name":"pbx1","default_language":"en"},"status":{"startup_time":"2026-01-01T00:00:00.000+0000"}}"#;
    fuzz("ARI info", &[info.to_vec()], &words, |bytes| {
        answered(bytes);
        runtime.block_on(client.info()).is_ok()
    });
    let channels = br#"[{"id":"1.2","name":"PJSIP/alice-00000001","state":"Ring","caller":{"name":"","number":"1001"},"dialplan":{"context":"fed","exten":"1002","priority":3}}]"#;
    fuzz("ARI channels", &[channels.to_vec()], &words, |bytes| {
        answered(bytes);
        runtime.block_on(client.channels()).is_ok()
    });
    let endpoints = br#"[{"technology":"PJSIP","resource":"alice","state":"online","channel_ids":["1.2"]}]"#;
    fuzz("ARI endpoints", &[endpoints.to_vec()], &words, |bytes| {
        answered(bytes);
        runtime.block_on(client.endpoints("PJSIP")).is_ok()
    });
    let object = br#"[{"attribute":"type","value":"endpoint"},{"attribute":"max_contacts","value":"2"}]"#;
    fuzz("ARI object", &[object.to_vec()], &words, |bytes| {
        answered(bytes);
        runtime.block_on(client.get_object(ObjectType::Aor, "alice")).is_ok()
    });
}

/// Panics of any thread since the first call of this.
fn panics() -> &'static AtomicUsize {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            before(panic);
        }));
    });
    &PANICS
}

#[test]
fn damaged_fastagi_calls_end_and_the_next_one_is_answered() {
    let runtime = Runtime::new().unwrap();
    let router = Arc::new(Router::new(Arc::new(MemoryMap::new().port(NodeId(1)))));
    let address = runtime.block_on(async {
        let server = FastAgi::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        tokio::spawn(server.run(router));
        address
    });
    let talk = "agi_network: yes\nagi_network_script: route\nagi_channel: PJSIP/alice-00000001\nagi_callerid: 1001\nagi_arg_1: 1002\n\n\
                200 result=1 (sip:alice@127.0.0.1:6001)\n100 result=0 Trying...\n200 result=1\n200 result=1\n200 result=1\n200 result=1\n";
    let words = [
        "\n",
        "\n\n",
        ":",
        "agi_network_script: again\n",
        "agi_arg_1: ",
        "PJSIP/",
        "HANGUP\n",
        "200 ",
        "100 ",
        "(",
        ")",
        "\"",
        "\0",
        "é",
    ];
    let before = panics().load(Ordering::SeqCst);
    fuzz("FastAGI", &[talk.as_bytes().to_vec()], &words, |bytes| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // It may have ended the call before all of that was read.
        let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        let mut said = Vec::new();
        match stream.read_to_end(&mut said) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("it does not end"),
            _ => {}
        }
        assert_eq!(panics().load(Ordering::SeqCst), before, "it panicked");
        said.starts_with(b"SET VARIABLE") || said.starts_with(b"GET FULL VARIABLE")
    });
}
