//! What is answered to what.

use super::*;
use crate::redirect::config::TargetTransport;

fn ask(method: &str, device: &str) -> Option<String> {
    let message = request(method, &format!("sip:{device}@198.51.100.1:5070"), "");
    answer(message.as_bytes(), source(), &RedirectConfig::default())
}

#[test]
fn every_request_gets_the_status_that_the_map_calls_for() {
    let table = [
        ("INVITE", "there", Some(302)),
        ("INVITE", "here", Some(302)),
        ("INVITE", "old", Some(302)),
        ("INVITE", "offline", Some(480)),
        ("INVITE", "dnd", Some(486)),
        ("INVITE", "nobody", Some(404)),
        ("INVITE", "broken", Some(503)),
        ("INVITE", "evil", Some(503)),
        ("INVITE", "a&b", Some(404)),
        ("INVITE", "a%0d%0aX", Some(404)),
        ("INVITE", "there~token", Some(482)),
        ("OPTIONS", "there", Some(200)),
        ("OPTIONS", "here", Some(200)),
        ("OPTIONS", "offline", Some(480)),
        ("OPTIONS", "nobody", Some(404)),
        ("OPTIONS", "broken", Some(503)),
        ("ACK", "there", None),
        ("CANCEL", "there", Some(200)),
        ("REGISTER", "there", Some(405)),
        ("BYE", "there", Some(405)),
        ("SUBSCRIBE", "there", Some(405)),
        ("NEWFANGLED", "there", Some(405)),
    ];
    for (method, device, expected) in table {
        assert_eq!(
            ask(method, device).as_deref().map(status),
            expected,
            "{method} {device}"
        );
    }
    assert_eq!(ask("INVITE", &"a".repeat(300)).as_deref().map(status), Some(404));
}

#[test]
fn the_contact_is_the_owners_address_with_a_capability_for_that_node_alone() {
    let answer = ask("INVITE", "there").expect("an answer");
    let contacts = headers(&answer, "Contact");
    let [contact] = contacts.as_slice() else {
        panic!("one Contact: {answer}")
    };
    let user = contact
        .strip_prefix("<sip:")
        .and_then(|rest| rest.strip_suffix("@192.0.2.2:5060>"))
        .expect(contact);
    let claims = fed_core::capability::verify(&KEY, THERE, user, NOW).expect("a genuine capability");
    assert_eq!(claims.device.as_str(), "there");
    let path = fed_core::capability::Path::default().then(HERE);
    assert_eq!((claims.path, claims.nonce, claims.hops), (path, 42, 1));
    assert!(
        fed_core::capability::verify(&KEY, HERE, user, NOW).is_err(),
        "it is good at no other node"
    );
    assert!(
        fed_core::capability::verify(&KEY, THERE, user, NOW + 30).is_err(),
        "it runs out"
    );
}

/// Each Contact: the node's SIP address, q, nonce, and for how many seconds it is good.
fn places(answer: &str) -> Vec<(String, String, u32, u32)> {
    let node = |address: &str| address["192.0.2.".len()..=8].parse().map(NodeId).expect("a node");
    let read = |contact: String| {
        let (uri, parameters) = contact
            .strip_prefix("<sip:")
            .and_then(|rest| rest.split_once('>'))
            .expect("a URI");
        let (user, address) = uri.split_once('@').expect("a user");
        let claims = fed_core::capability::verify(&KEY, node(address), user, NOW).expect("a genuine capability");
        let q = parameters.trim_start_matches(";q=").to_owned();
        (address.to_owned(), q, claims.nonce, claims.expires_unix_s - NOW)
    };
    headers(answer, "Contact").into_iter().map(read).collect()
}

#[test]
fn other_software_gets_all_places_in_order_and_the_own_asterisk_one() {
    let ask = |from: &str| {
        let message = request("INVITE", "sip:many@198.51.100.1:5070", "");
        let source = from.parse().expect("an address");
        answer(message.as_bytes(), source, &RedirectConfig::default()).expect("an answer")
    };
    let expected = [
        ("192.0.2.2:5060", "1.0", 42, 30),
        ("192.0.2.3:5060", "1.0", 43, 30),
        ("192.0.2.1:5060", "1.0", 44, 30),
        ("192.0.2.2:5060", "0.9", 45, 50),
    ];
    let expected = expected.map(|(address, q, nonce, good_s)| (address.to_owned(), q.to_owned(), nonce, good_s));
    assert_eq!(places(&ask("198.51.100.7:5062")), expected, "four at most");
    assert_eq!(
        places(&ask("127.0.0.1:5060")),
        [("192.0.2.2:5060".to_owned(), String::new(), 42, 30)],
        "its own Asterisk"
    );
    assert_eq!(
        places(&ask("192.0.2.200:5060")),
        [("192.0.2.2:5060".to_owned(), String::new(), 42, 30)],
        "its own Asterisk at an address that others reach"
    );
    let third = places(&ask("192.0.2.3:5060"));
    let addresses: Vec<&str> = third.iter().map(|(address, ..)| address.as_str()).collect();
    assert_eq!(
        addresses,
        ["192.0.2.2:5060", "192.0.2.1:5060", "192.0.2.2:5060"],
        "nobody is sent back to itself"
    );
}

#[test]
fn a_contact_can_name_its_transport_and_an_ipv6_address() {
    for (transport, suffix) in [
        (TargetTransport::Any, ""),
        (TargetTransport::Udp, ";transport=udp"),
        (TargetTransport::Tcp, ";transport=tcp"),
    ] {
        let config = RedirectConfig {
            target_transport: transport,
            ..RedirectConfig::default()
        };
        let message = request("INVITE", "sip:v6@198.51.100.1", "");
        let answer = answer(message.as_bytes(), source(), &config).expect("an answer");
        assert!(
            headers(&answer, "Contact")[0].ends_with(&format!("@[2001:db8::2]:5060{suffix}>")),
            "{answer}"
        );
    }
}

#[test]
fn an_asterisk_is_not_sent_back_to_itself() {
    let invite = |device: &str, from: &str, config: &RedirectConfig| {
        let message = request("INVITE", &format!("sip:{device}@127.0.0.1:5070"), "");
        status(&answer(message.as_bytes(), from.parse().expect("an address"), config).expect("an answer"))
    };
    let default = RedirectConfig::default();
    assert_eq!(
        invite("here", "127.0.0.1:5060", &default),
        480,
        "loopback is this node's own Asterisk"
    );
    assert_eq!(invite("here", "[::1]:5060", &default), 480);
    assert_eq!(invite("here", "[::ffff:127.0.0.1]:5060", &default), 480);
    assert_eq!(invite("there", "127.0.0.1:5060", &default), 302);
    assert_eq!(
        invite("here", "198.51.100.9:5060", &default),
        302,
        "other software is sent here"
    );
    assert_eq!(
        invite("there", "192.0.2.2:5060", &default),
        480,
        "the owner itself asks"
    );
    assert_eq!(
        invite("there", "192.0.2.2:5080", &default),
        302,
        "another program beside the owner asks"
    );

    // Its transport may be bound to any address of this machine: what tells it from other software there is its port.
    assert_eq!(invite("here", "192.0.2.200:5060", &default), 480);
    assert_eq!(invite("here", "[::ffff:192.0.2.200]:5060", &default), 480);
    assert_eq!(invite("there", "192.0.2.200:5060", &default), 302);
    assert_eq!(
        invite("here", "192.0.2.200:5080", &default),
        302,
        "other software on this machine is sent here"
    );
    let at = |sip_port| RedirectConfig {
        sip_port,
        ..RedirectConfig::default()
    };
    assert_eq!(invite("here", "192.0.2.200:5080", &at(5080)), 480);
    assert_eq!(
        invite("here", "192.0.2.200:40000", &at(5062)),
        480,
        "the Via's port counts, as on TCP"
    );
    assert_eq!(
        invite("here", "198.51.100.9:5062", &at(5062)),
        302,
        "no address of this machine"
    );
}

#[test]
fn options_says_reachable_to_the_own_asterisk_too() {
    let message = request("OPTIONS", "sip:here@127.0.0.1:5070", "");
    let answer = answer(
        message.as_bytes(),
        "127.0.0.1:5060".parse().expect("an address"),
        &RedirectConfig::default(),
    );
    assert_eq!(answer.as_deref().map(status), Some(200));
}

#[test]
fn options_to_the_server_itself_is_answered_without_the_map() {
    let message = request("OPTIONS", "sip:127.0.0.1:5070", "");
    let answer = answer(message.as_bytes(), source(), &RedirectConfig::default()).expect("an answer");
    assert_eq!(status(&answer), 200);
    assert_eq!(headers(&answer, "Allow"), ["INVITE, ACK, CANCEL, OPTIONS"]);
}

#[test]
fn a_map_that_cannot_be_read_says_when_to_try_again_and_a_stale_one_says_so() {
    let broken = ask("INVITE", "broken").expect("an answer");
    assert_eq!(headers(&broken, "Retry-After"), ["2"]);
    let old = ask("INVITE", "old").expect("an answer");
    assert_eq!(headers(&old, "X-Fed-Stale"), ["yes"]);
    assert!(headers(&ask("INVITE", "there").expect("an answer"), "X-Fed-Stale").is_empty());
}

#[test]
fn an_invite_without_hops_left_goes_nowhere() {
    let with = |method: &str, hops: &str| {
        let message =
            request(method, "sip:there@198.51.100.1", "").replace("Max-Forwards: 70", &format!("Max-Forwards: {hops}"));
        status(&answer(message.as_bytes(), source(), &RedirectConfig::default()).expect("an answer"))
    };
    assert_eq!(with("INVITE", "0"), 483);
    assert_eq!(with("INVITE", "1"), 302);
    assert_eq!(with("OPTIONS", "0"), 200, "it asks about us, and goes no further");
    assert_eq!(with("INVITE", "many"), 400);
}

#[test]
fn requests_inside_a_dialog_find_none_here() {
    for method in ["INVITE", "BYE", "CANCEL", "OPTIONS", "INFO"] {
        let message = request(method, "sip:there@198.51.100.1", "")
            .replace("To: <sip:there@198.51.100.1>", "To: <sip:there@198.51.100.1>;tag=x");
        let answer = answer(message.as_bytes(), source(), &RedirectConfig::default()).expect("an answer");
        assert_eq!(status(&answer), 481, "{method}");
        assert_eq!(headers(&answer, "To"), ["<sip:there@198.51.100.1>;tag=x"]);
    }
}

#[test]
fn telephone_uris_and_escapes_name_a_number() {
    for (uri, expected) in [
        ("tel:+49-30-1234", "+49301234"),
        ("sip:%2B4930@host", "+4930"),
        ("sip:here:secret@host", "here"),
        ("sip:here;phone-context=x@host", "here"),
        ("sip:here@[2001:db8::1]:5070;transport=tcp?X-Y=z", "here"),
    ] {
        let request = Request::parse(request("INVITE", uri, "").as_bytes()).expect("sound");
        assert_eq!(
            (request.asked.as_deref(), request.flaw),
            (Some(expected), None),
            "{uri}"
        );
    }
}
