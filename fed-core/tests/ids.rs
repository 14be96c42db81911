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
        &"1".repeat(41),
    ] {
        assert!(Number::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn contacts_are_uris_and_nothing_more() {
    for good in [
        "sip:alice@192.0.2.1:5060;transport=udp",
        "SIPS:alice@[2001:db8::1]:5061",
        "sip:x7@h.invalid;transport=ws",
        "iax2:alice@192.0.2.1:4569",
    ] {
        assert!(ContactUri::new(good).is_ok(), "{good}");
    }
    let long = format!("sip:{}", "a".repeat(252));
    for bad in [
        "",
        "sip:",
        "alice@h",
        "tel:100",
        "sip:a b@h",
        "sip:a@h\r\nX: y",
        "sip:a@h,b",
        "<sip:a@h>",
        "sip:\"a\"@h",
        "sip:a\\@h",
        "sip:ä@h",
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
    fn no_contact_that_exists_leaves_its_header_or_its_line(text in "sip:[a-z@&;,<>\"'`\\\\ \n\r\t\0.:=?]{1,20}") {
        let leaves = text.contains(|c: char| c.is_control() || c.is_whitespace() || ",<>\"'`\\".contains(c));
        prop_assert!(ContactUri::new(text.as_str()).is_err() || !leaves);
    }
}
