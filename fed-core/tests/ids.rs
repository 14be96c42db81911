//! Names: what is taken, what is refused.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use fed_core::ids::{ContactUri, DeviceId, Number, UserId};
use proptest::prelude::*;

#[test]
fn ids_that_mean_something_elsewhere_are_refused() {
    let long = "a".repeat(41);
    for bad in [
        "", " ", "a b", "a&b", "a/b", "a,b", "a;b", "a\nb", "a\0b", "a@b", "a~b", "ä", "-a", ".a", "_a", "a\"", "${X}",
        &long,
    ] {
        assert!(UserId::new(bad).is_err(), "{bad:?}");
        assert!(DeviceId::new(bad).is_err(), "{bad:?}");
    }
    for good in ["a", "7", "alice", "Alice.B-2_x", &"a".repeat(40)] {
        assert_eq!(UserId::new(good).unwrap().as_str(), good);
        assert_eq!(DeviceId::new(good).unwrap().to_string(), good);
    }
}

#[test]
fn devices_do_not_take_the_names_of_generated_objects() {
    for bad in ["fed-node-1", "fed-", "FED-peers", "alice-fed", "alice-FED"] {
        assert!(DeviceId::new(bad).is_err(), "{bad}");
        assert!(UserId::new(bad).is_ok(), "{bad}");
    }
    assert!(DeviceId::new("federico").is_ok());
}

#[test]
fn numbers_are_what_phones_dial() {
    for good in ["100", "+4930123456", "*43", "#21#", "boss", "a_b.c-d"] {
        assert!(Number::new(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "1 2",
        "1&2",
        "1/2",
        "1,2",
        "100;x",
        "(030)",
        "1\n2",
        "_X.",
        "_",
        "_1001",
        ".104",
        "-55",
        &"1".repeat(41),
    ] {
        assert!(Number::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn contacts_are_what_phones_call_themselves() {
    for good in [
        "sip:alice@192.0.2.1:5060;transport=udp",
        "SIPS:alice@[2001:db8::1]:5061",
        "sip:[2001:db8::1];ob",
        "sip:192.0.2.1",
        "sip:x7@h.invalid;transport=ws;x-ast-orig-host=h.invalid:0",
        "sip:1001@192.0.2.1:5060;transport=TLS;rinstance=4f2a81;ob",
        "sip:+4930123456@pbx_1.example.org;line=a-b.c_d!e~f*g",
        "sip:al%40ice%20b@192.0.2.1",
        "sip:alice:word@192.0.2.1",
        "sip:*43#@192.0.2.1",
        "sip:alice@h;uniq=ab/cd+ef==;received=sip:192.0.2.9:5060",
        "sip:alice@[2001:db8::1];x-ast-orig-host=[2001:db8::2]:5060;received=[::1]",
        "iax2:alice@192.0.2.1:4569",
    ] {
        assert_eq!(ContactUri::new(good).map(String::from), Ok(good.to_owned()));
    }
}

#[test]
fn contacts_that_mean_something_to_a_dial_string_are_refused() {
    let long = format!("sip:{}", "a".repeat(252));
    for bad in [
        "",
        "sip:",
        "sip:@h",
        "alice@h",
        "tel:100",
        "sip:a b@h",
        "sip:a@h\r\nX: y",
        "sip:a@h,b",
        "sip:a@h,30,U(x)",
        "<sip:a@h>",
        "sip:\"a\"@h",
        "sip:a\\@h",
        "sip:ä@h",
        // Legal in a user, and another destination to Dial.
        "sip:x&Local/900@out",
        "sip:x&y@h",
        "sip:x/y@h",
        "sip:x|y@h",
        "sip:(x)@h",
        "sip:${EXTEN}@h",
        "sip:x$[1]@h",
        "sip:x^y@h",
        "sip:'x'@h",
        "sip:x;phone-context=y@h",
        "sip:x@h?Subject=y",
        "sip:x@h;a=b&c",
        "sip:x@h;a=b?c",
        "sip:x@h;a=b,c",
        // Nothing ends within an open bracket.
        "sip:x@h;a=[",
        "sip:x@h;a=]",
        "sip:x@h;a=][",
        "sip:x@h;a=[[]]",
        "sip:x@h;a=[;b=]",
        "sip:x@h;",
        "sip:x@h;=b",
        "sip:x@h:0",
        "sip:x@h:",
        "sip:x@h:99999",
        "sip:x@h:+1",
        "sip:x@[::1",
        "sip:x@[fe80::1%25eth0]",
        "sip:x@",
        "sip:x%2@h",
        "sip:x%zz@h",
        &long,
    ] {
        assert!(ContactUri::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_refused_id_is_named_and_the_rule_told() {
    let error = UserId::new("a&b\n").unwrap_err().to_string();
    assert_eq!(
        error,
        "`a&b\\n` is no user id: use 1 to 40 of A-Z a-z 0-9 . _ - beginning with a letter or a digit"
    );
    assert!(UserId::new("x".repeat(300)).unwrap_err().to_string().len() < 200);
}

#[test]
fn deserialising_checks_as_the_constructors_do() {
    assert!(serde_json::from_str::<UserId>("\"alice\"").is_ok());
    let error = serde_json::from_str::<UserId>("\"a&b\"").unwrap_err().to_string();
    assert!(error.contains("no user id"), "{error}");
    assert!(serde_json::from_str::<ContactUri>("\"x\"").is_err());
    let id = DeviceId::new("desk").unwrap();
    assert_eq!(serde_json::to_string(&id).unwrap(), "\"desk\"");
    let stored = fed_core::codec::encode(200, 1, &"a&b".to_owned()).unwrap();
    assert!(fed_core::codec::decode::<DeviceId>(200, 1, &stored).is_err());
}

#[test]
fn what_an_old_log_holds_is_read_and_not_taken_anew() {
    for (text, what) in [
        ("sip:x&y@h", "contact"),
        ("sip:x@h?a=b", "contact"),
        ("sip:x@h;a=[", "contact"),
    ] {
        let old: ContactUri = serde_json::from_str(&format!("{text:?}")).unwrap();
        assert_eq!(old.as_str(), text);
        assert_eq!(old.check().unwrap_err().what, what);
    }
    let old: Number = serde_json::from_str("\"_X.\"").unwrap();
    assert!(old.check().is_err());
    assert!(serde_json::from_str::<Number>("\"1&2\"").is_err());
}

/// What ends, opens or calls something in a dialplan, a SIP header or a line of configuration.
const MEANINGFUL: &str = "&/,\n\r\0\t \"'`$\\{}()[]<>|;=@!?~^%:";

proptest! {
    #[test]
    fn no_id_or_number_that_exists_holds_what_means_something_elsewhere(text in "[a-zA-Z0-9&/,;$\\\\{}()<>|\"'`=@!?~^%: \n\r\t\0#*+._-]{0,12}") {
        let plain = !text.contains(|c| MEANINGFUL.contains(c));
        prop_assert!(UserId::new(text.as_str()).is_err() || plain);
        prop_assert!(DeviceId::new(text.as_str()).is_err() || plain);
        prop_assert!(Number::new(text.as_str()).is_err() || plain);
    }

    #[test]
    fn no_contact_that_exists_leaves_its_dial_string_its_header_or_its_line(
        text in "sips?:[a-z@&;,<>\"'`\\\\ \n\r\t\0.:=?|(){}$^/%\\[\\]~!*+#-]{1,24}"
    ) {
        let leaves = |c: char| c.is_control() || c.is_whitespace() || ",<>\"'`\\&|(){}$^?".contains(c);
        if ContactUri::new(text.as_str()).is_ok() {
            prop_assert!(!text.contains(leaves));
            let user = text.rsplit_once('@').map_or("", |(user, _)| user);
            prop_assert!(!user.contains([';', '/']));
        }
    }

    #[test]
    fn every_contact_of_a_usual_phone_is_taken(
        user in "[A-Za-z0-9+]([A-Za-z0-9._+-]|%[0-9A-F]{2}){0,12}",
        host in "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\\.[a-z]{2,5}){0,2}",
        port in proptest::option::of(1_u16..),
        parameters in "(;[a-z][a-z-]{0,8}(=[A-Za-z0-9._:~+-]{1,12})?){0,3}",
    ) {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let text = format!("sip:{user}@{host}{port}{parameters}");
        prop_assert!(ContactUri::new(text.as_str()).is_ok(), "{}", text);
    }
}
