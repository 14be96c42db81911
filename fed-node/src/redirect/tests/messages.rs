//! Reading requests and writing what every answer repeats.

use super::*;

fn ask(message: &str, from: &str) -> Option<String> {
    answer(
        message.as_bytes(),
        from.parse().expect("an address"),
        &RedirectConfig::default(),
    )
}

#[test]
fn an_answer_repeats_what_its_sender_needs_to_recognise_it() {
    let lower = "Via: SIP/2.0/TLS a.example;branch=z9hG4bKa, SIP/2.0/UDP [2001:db8::9];branch=z9hG4bKb\r\nVia: SIP/2.0/UDP c;x=\"1,2\"\r\n";
    let message = request("INVITE", "sip:there@198.51.100.1", lower);
    let answer = ask(&message, "198.51.100.7:5062").expect("an answer");
    assert_eq!(
        headers(&answer, "Via"),
        [
            "SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK-INVITE-1;received=198.51.100.7;rport=5062",
            "SIP/2.0/TLS a.example;branch=z9hG4bKa",
            "SIP/2.0/UDP [2001:db8::9];branch=z9hG4bKb",
            "SIP/2.0/UDP c;x=\"1,2\"",
        ]
    );
    assert_eq!(headers(&answer, "From"), ["\"Bob\" <sip:bob@198.51.100.7>;tag=b0b"]);
    assert_eq!(
        headers(&answer, "To"),
        ["<sip:there@198.51.100.1>;tag=0000000000000abc"]
    );
    assert_eq!(headers(&answer, "Call-ID"), ["call-1@198.51.100.7"]);
    assert_eq!(headers(&answer, "CSeq"), ["17 INVITE"]);
    assert_eq!(headers(&answer, "Content-Length"), ["0"]);
    assert!(answer.ends_with("\r\n\r\n"));
}

#[test]
fn the_answer_goes_to_the_address_the_request_came_from() {
    let via = |via: &str| {
        let message = request("OPTIONS", "sip:there@h", "").replace("198.51.100.7:5062;rport", via);
        Request::parse(message.as_bytes()).expect("sound").top_via
    };
    let table = [
        // what the Via says, where it came from, where the answer goes, what the Via gains
        (
            "198.51.100.7:5062;rport",
            "198.51.100.7:1024",
            "198.51.100.7:1024",
            ";received=198.51.100.7;rport=1024",
        ),
        ("198.51.100.7:5062", "198.51.100.7:1024", "198.51.100.7:5062", ""),
        ("198.51.100.7", "198.51.100.7:1024", "198.51.100.7:5060", ""),
        (
            "10.0.0.1:5062",
            "203.0.113.5:1024",
            "203.0.113.5:5062",
            ";received=203.0.113.5",
        ),
        (
            "phone.example:5062;rport",
            "203.0.113.5:1024",
            "203.0.113.5:1024",
            ";received=203.0.113.5;rport=1024",
        ),
        (
            "10.0.0.1;maddr=224.0.0.1",
            "203.0.113.5:1024",
            "203.0.113.5:5060",
            ";received=203.0.113.5",
        ),
        (
            "10.0.0.1;received=9.9.9.9;rport=9",
            "203.0.113.5:1024",
            "203.0.113.5:1024",
            ";received=203.0.113.5;rport=1024",
        ),
        (
            "[2001:db8::1]:5062;rport",
            "[2001:db8::1]:1024",
            "[2001:db8::1]:1024",
            ";received=2001:db8::1;rport=1024",
        ),
        ("[2001:DB8:0::1]:5062", "[2001:db8::1]:1024", "[2001:db8::1]:5062", ""),
    ];
    for (text, source, destination, gained) in table {
        let source: SocketAddr = source.parse().expect("an address");
        let via = via(text);
        assert_eq!(via.datagram_destination(source).to_string(), destination, "{text}");
        assert!(
            via.answered(source)
                .ends_with(&format!(";branch=z9hG4bK-OPTIONS-1{gained}")),
            "{}",
            via.answered(source)
        );
    }
}

#[test]
fn compact_folded_and_oddly_spaced_headers_are_read() {
    let message = "OPTIONS sip:there@h SIP/2.0\nv:SIP / 2.0 / UDP\n 198.51.100.7 ;branch=z9hG4bKx\nf : <sip:b@h>\n\t;tag=1\nT: <sip:there@h>\ni: 1\nCSEQ: 1  OPTIONS\nl: 0\n\n";
    let answer = ask(message, "198.51.100.7:5060").expect("an answer");
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(headers(&answer, "Via"), ["SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKx"]);
    assert_eq!(headers(&answer, "From"), ["<sip:b@h> ;tag=1"]);
}

#[test]
fn a_latin_1_display_name_is_no_obstacle() {
    let mut message = request("INVITE", "sip:there@h", "").into_bytes();
    let bob = message.windows(3).position(|w| w == b"Bob").expect("Bob");
    message[bob + 1] = 0xf6;
    let answer = answer(&message, source(), &RedirectConfig::default()).expect("an answer");
    assert_eq!(status(&answer), 302);
    assert!(headers(&answer, "From")[0].ends_with(";tag=b0b"));
}

#[test]
fn malformed_requests_that_can_be_answered_get_400_or_their_own_status() {
    let sound = request("INVITE", "sip:there@h", "");
    let table = [
        ("sip:there@h SIP/2.0", "sip:the re@h SIP/2.0", 400),
        ("sip:there@h SIP/2.0", "sip:there@h:99999 SIP/2.0", 400),
        ("sip:there@h SIP/2.0", "sip: SIP/2.0", 400),
        ("sip:there@h SIP/2.0", "sip:%ff@h SIP/2.0", 400),
        ("sip:there@h SIP/2.0", "http://there@h SIP/2.0", 416),
        ("sip:there@h SIP/2.0", "sips:there@h SIP/2.0", 416),
        ("sip:there@h SIP/2.0", "sip:there@h SIP/3.0", 505),
        ("CSeq: 17 INVITE", "CSeq: 17 OPTIONS", 400),
        ("CSeq: 17 INVITE", "CSeq: 4294967296 INVITE", 400),
        ("CSeq: 17 INVITE", "CSeq: INVITE", 400),
        ("Content-Length: 0", "Content-Length: 10", 400),
        ("Content-Length: 0", "Content-Length: -1", 400),
        ("Content-Length: 0", "Content-Length: 0\r\nContent-Length: 0", 400),
        ("Call-ID: call-1", "Call-ID: another\r\nCall-ID: call-1", 400),
        ("Content-Length: 0\r\n\r\n", "Content-Length: 0\r\n", 400),
    ];
    for (old, new, expected) in table {
        assert!(sound.contains(old), "{old}");
        let answer = ask(&sound.replacen(old, new, 1), "198.51.100.7:5062");
        assert_eq!(answer.as_deref().map(status), Some(expected), "{new}");
    }
}

#[test]
fn what_cannot_be_answered_is_met_with_silence() {
    let sound = request("INVITE", "sip:there@h", "");
    for (old, new) in [
        ("INVITE sip", "SIP/2.0 200 OK sip"),
        ("INVITE sip:there@h SIP/2.0\r\n", ""),
        ("INVITE sip:there@h SIP/2.0", "GET / HTTP/1.1"),
        ("INVITE sip:there@h SIP/2.0", "INVITE"),
        ("Via: ", "Vla: "),
        ("SIP/2.0/UDP ", "SIP/2.0/"),
        ("198.51.100.7:5062;rport", "198.51.100.7:x;rport"),
        ("198.51.100.7:5062;rport", "a\tb;rport"),
        ("From: ", "X-From: "),
        ("Call-ID: call-1", "Call-ID: call\u{0}1"),
        ("Call-ID: call-1", "Call-ID: call\rContact: <sip:evil>"),
        ("To: <sip:there@h>\r\n", "To:\r\n"),
    ] {
        assert!(sound.contains(old), "{old}");
        assert_eq!(ask(&sound.replacen(old, new, 1), "198.51.100.7:5062"), None, "{new}");
    }
    let response = sound.replace("INVITE sip:there@h SIP/2.0", "SIP/2.0 302 Moved");
    assert_eq!(ask(&response, "198.51.100.7:5062"), None, "answers are never answered");
    let vias = "Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\n".repeat(71);
    assert_eq!(ask(&request("INVITE", "sip:there@h", &vias), "198.51.100.7:5062"), None);
}
