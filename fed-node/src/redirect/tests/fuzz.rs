//! Damaged SIP, from the seed that the fuzz tests of all decoders are given; what an answer may be is [`super::hostile`]'s.

use super::*;
use crate::fuzzing::fuzz;
use crate::redirect::stream::Framer;

const WORDS: [&str; 20] = [
    "\r\n",
    "\n",
    "\0",
    ":",
    ";",
    ",",
    "\"",
    "<",
    ">",
    "@",
    "[",
    "]",
    "%",
    "=",
    "\t",
    "SIP/2.0",
    "Via: ",
    "Content-Length: 99999999999999999999",
    "tel:",
    "\r\n\r\n",
];

fn messages() -> Vec<Vec<u8>> {
    let message = |(method, device): (&str, &str)| {
        let via = "Via: SIP/2.0/TCP a.example:5080;branch=z9hG4bKa, SIP/2.0/UDP [2001:db8::9];x=\"y\"\r\n";
        request(method, &format!("sip:{device}@h;transport=tcp"), via).into_bytes()
    };
    [
        ("INVITE", "there"),
        ("INVITE", "v6"),
        ("OPTIONS", "here"),
        ("REGISTER", "nobody"),
    ]
    .map(message)
    .to_vec()
}

#[test]
fn damaged_messages_are_answered_in_bounds_or_not_at_all() {
    fuzz("SIP message", &messages(), &WORDS, |bytes| {
        let Some(answer) = answer(bytes, source(), &RedirectConfig::default()) else {
            return false;
        };
        assert!(answer.len() <= bytes.len() + 1_200, "{} bytes", answer.len());
        let (_, rest) = answer.split_once("\r\n\r\n").expect("an end of headers");
        assert!(rest.is_empty());
        let contacts = headers(&answer, "Contact");
        assert_eq!(contacts.len(), usize::from(status(&answer) == 302));
        true
    });
}

#[test]
fn damaged_streams_are_cut_into_messages_or_given_up() {
    let stream = messages().concat();
    fuzz("SIP stream", &[stream], &WORDS, |bytes| {
        let (mut framer, mut taken) = (Framer::default(), 0);
        for chunk in bytes.chunks(1 + bytes.len() % 700) {
            framer.push(chunk);
            loop {
                match framer.next() {
                    Ok(None) => break,
                    Ok(Some(_)) => taken += 1,
                    Err(_) => return false,
                }
                assert!(taken <= bytes.len(), "frames without end");
            }
        }
        taken > 0
    });
}
