//! Ten thousand broken messages: no panic, no swollen answer, nothing forged.

use super::*;
use crate::redirect::stream::Framer;

/// A small generator (xorshift64*), so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

const DEVICES: [&str; 7] = ["there", "here", "v6", "offline", "nobody", "broken", "old"];
const TOKENS: [&[u8]; 24] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b":",
    b";",
    b",",
    b"\"",
    b"<",
    b">",
    b"@",
    b"[",
    b"]",
    b"%",
    b"~",
    b"=",
    b" ",
    b"\t",
    b"SIP/2.0",
    b"Via: ",
    b"Content-Length: 99999999999999999999",
    b"\xff\xfe",
    b"tel:",
    b"\r\n\r\n",
];

fn mutate(message: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(message.len().max(1));
        match random.below(7) {
            0 => message.truncate(at),
            1 => message[at..].iter_mut().take(1).for_each(|b| *b ^= 1 << (at % 8)),
            2 => message[at..].iter_mut().take(1).for_each(|b| *b = (at * 7) as u8),
            3 => drop(message.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied())),
            4 => drop(message.drain(at..(at + random.below(40)).min(message.len()))),
            5 => {
                let piece = message[at..(at + random.below(200)).min(message.len())].to_vec();
                let to = random.below(message.len().max(1));
                drop(message.splice(to..to, piece));
            }
            _ => message.extend((0..random.below(300)).map(|n| (n * at) as u8)),
        }
        if message.is_empty() {
            return;
        }
    }
}

fn seed_message(random: &mut Random) -> Vec<u8> {
    let method = ["INVITE", "OPTIONS", "CANCEL", "REGISTER", "ACK"][random.below(5)];
    let device = DEVICES[random.below(DEVICES.len())];
    let extra = [
        "",
        "Via: SIP/2.0/TCP a.example:5080;branch=z9hG4bKa, SIP/2.0/UDP [2001:db8::9];x=\"y\"\r\n",
        "Contact: <sip:bob@h>\r\nUser-Agent: x\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n  folded\r\n",
    ][random.below(3)];
    request(method, &format!("sip:{device}@h;transport=tcp"), extra).into_bytes()
}

#[test]
fn no_mutation_panics_swells_the_answer_or_smuggles_a_header() {
    let config = RedirectConfig::default();
    let (mut answered, mut silent) = (0, 0);
    for seed in 1..=20_000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut message = seed_message(&mut random);
        mutate(&mut message, &mut random);
        let Some(answer) = answer(&message, source(), &config) else {
            silent += 1;
            continue;
        };
        answered += 1;
        assert!(
            answer.len() <= message.len() + 1_200,
            "seed {seed}: {} bytes for {}",
            answer.len(),
            message.len()
        );
        let (head, rest) = answer.split_once("\r\n\r\n").expect("an end of headers");
        assert!(rest.is_empty(), "seed {seed}");
        for line in head.split("\r\n").skip(1) {
            let name = line.split(':').next().unwrap_or_default();
            let known = [
                "Via",
                "From",
                "To",
                "Call-ID",
                "CSeq",
                "Contact",
                "Record-Route",
                "Allow",
                "Retry-After",
                "Warning",
                "X-Fed-Stale",
                "Server",
                "Content-Length",
            ];
            assert!(known.contains(&name), "seed {seed}: {line}");
            assert!(
                !line.chars().any(|c| c.is_control() && c != '\t'),
                "seed {seed}: {line:?}"
            );
        }
        let contacts = headers(&answer, "Contact");
        assert_eq!(contacts.len(), usize::from(status(&answer) == 302), "seed {seed}");
        assert!(contacts.iter().all(|c| c.ends_with("@192.0.2.1:5060>")
            || c.ends_with("@192.0.2.2:5060>")
            || c.ends_with("@[2001:db8::2]:5060>")));
    }
    assert!(
        answered > 2_000 && silent > 2_000,
        "{answered} answered, {silent} not: the mutations reach both sides"
    );
}

#[test]
fn random_bytes_are_met_with_silence() {
    for seed in 1..=5_000_u64 {
        let mut random = Random(seed);
        let message: Vec<u8> = (0..random.below(2_000)).map(|_| random.below(256) as u8).collect();
        assert_eq!(
            answer(&message, source(), &RedirectConfig::default()),
            None,
            "seed {seed}"
        );
    }
}

#[test]
fn every_truncation_of_a_request_is_harmless() {
    let whole = request("INVITE", "sip:there@h", "Via: SIP/2.0/UDP b;branch=z9hG4bKb\r\n");
    for length in 0..whole.len() {
        if let Some(answer) = answer(&whole.as_bytes()[..length], source(), &RedirectConfig::default()) {
            assert_eq!(status(&answer), 400, "cut at {length}");
        }
    }
}

#[test]
fn mutated_streams_yield_bounded_frames_and_no_panic() {
    for seed in 1..=3_000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut stream = Vec::new();
        for _ in 0..3 {
            let mut message = seed_message(&mut random);
            if random.below(2) == 0 {
                mutate(&mut message, &mut random);
            }
            stream.extend(message);
        }
        let mut framer = Framer::default();
        let mut taken = 0;
        'stream: for chunk in stream.chunks(1 + random.below(700)) {
            framer.push(chunk);
            loop {
                match framer.next() {
                    Ok(None) => break,
                    Ok(Some(_)) => taken += 1,
                    Err(_) => break 'stream,
                }
            }
            assert!(taken <= stream.len(), "seed {seed}: frames without end");
        }
    }
}

#[test]
fn the_largest_requests_are_read_in_time_proportional_to_their_size() {
    for filler in [
        "Via: SIP/2.0/UDP h\r\n",
        "X:\r\n",
        "X: ;;;;;;,,,,,\r\n",
        " \r\n",
        "\"",
        "<",
        "%41",
        ";",
        ",",
    ] {
        let extra = format!("{}\r\n", filler.repeat(60_000 / filler.len()));
        let message = request("INVITE", "sip:there@h", &extra);
        let uri = format!(
            "sip:{}@h",
            filler.trim_end().repeat(30_000 / filler.trim_end().len().max(1))
        );
        let begun = std::time::Instant::now();
        let _ = answer(message.as_bytes(), source(), &RedirectConfig::default());
        let _ = answer(
            request("INVITE", &uri, "").as_bytes(),
            source(),
            &RedirectConfig::default(),
        );
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(2),
            "{filler:?} took {:?}",
            begun.elapsed()
        );
    }
}
