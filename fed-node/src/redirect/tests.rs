//! Helpers of the redirect server's tests, which stand in the modules below.

mod decisions;
mod fuzz;
mod hostile;
mod lookups;
mod messages;
mod sockets;

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use fed_core::ids::{DeviceId, NodeId};
use fed_core::route::Cause;

use super::config::RedirectConfig;
use super::decision::{Asker, Need, decide, triage};
use super::locator::{Located, Locator, Place, Stamp, Stamper, Target};
use super::message::Request;
use super::response;

const KEY: [u8; 32] = [7; 32];
const HERE: NodeId = NodeId(1);
const THERE: NodeId = NodeId(2);
/// An address of this machine that others reach.
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200));
const NOW: u32 = 1_800_000_000;

/// Knows `here`, `there`, `v6`, `offline`, `dnd`, `broken`, `old` (there, stale), `many` (together there, here and at a third node, then again there) and nobody
/// else.
struct Map;

impl Map {
    fn look_up(asked: &str) -> Located {
        let target = |node, sip_address: &str| Target {
            device: DeviceId::new(asked).expect("a test device"),
            node,
            sip_address: sip_address.to_owned(),
            key: KEY,
            turn: 0,
            after_s: 0,
        };
        let later = |target| Target {
            turn: 1,
            after_s: 20,
            ..target
        };
        let place = match asked {
            "here" => Place::At(vec![target(HERE, "192.0.2.1:5060")]),
            "there" | "old" => Place::At(vec![target(THERE, "192.0.2.2:5060")]),
            "many" => Place::At(vec![
                target(THERE, "192.0.2.2:5060"),
                target(NodeId(3), "192.0.2.3:5060"),
                target(HERE, "192.0.2.1:5060"),
                later(target(THERE, "192.0.2.2:5060")),
                later(target(NodeId(3), "192.0.2.3:5060")),
            ]),
            "v6" => Place::At(vec![target(THERE, "[2001:db8::2]:5060")]),
            "evil" => Place::At(vec![target(THERE, "192.0.2.2>\r\nX: y")]),
            "offline" => Place::Nowhere(Cause::Offline),
            "dnd" => Place::Nowhere(Cause::DoNotDisturb),
            "broken" => Place::Nowhere(Cause::Unavailable),
            _ => Place::Nowhere(Cause::UnknownUser),
        };
        Located {
            place,
            stale: asked == "old",
        }
    }
}

impl Locator for Map {
    async fn locate(&self, asked: &str) -> Located {
        tokio::task::yield_now().await;
        Self::look_up(asked)
    }
}

struct Fixed;

impl Stamper for Fixed {
    fn stamp(&self) -> Stamp {
        Stamp {
            now_unix_s: NOW,
            nonce: 42,
        }
    }
}

/// A sound request; `extra` are further whole header lines.
fn request(method: &str, uri: &str, extra: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.7:5062;rport;branch=z9hG4bK-{method}-1\r\n\
         Max-Forwards: 70\r\n\
         From: \"Bob\" <sip:bob@198.51.100.7>;tag=b0b\r\n\
         To: <{uri}>\r\n\
         Call-ID: call-1@198.51.100.7\r\n\
         CSeq: 17 {method}\r\n\
         {extra}Content-Length: 0\r\n\r\n"
    )
}

fn source() -> SocketAddr {
    "198.51.100.7:5062".parse().expect("an address")
}

/// The answer of the pure core, as text; `None` for silence.
fn answer(message: &[u8], source: SocketAddr, config: &RedirectConfig) -> Option<String> {
    let request = Request::parse(message).ok()?;
    let reply = match triage(&request) {
        Need::Silence => return None,
        Need::Reply(reply) => reply,
        Need::Lookup(asked) => {
            let given = Cell::new(42);
            let stamp = || Stamp {
                nonce: given.replace(given.get() + 1),
                ..Fixed.stamp()
            };
            let asker = Asker {
                source,
                own: config.is_own_asterisk(source, request.top_via.port, |ip| ip == OWN),
            };
            decide(&request, &Map::look_up(&asked), asker, HERE, config, &stamp)
        }
    };
    let bytes = response::write(&request, &reply, source, 0xabc);
    Some(String::from_utf8(bytes).expect("answers are text"))
}

fn status(answer: &str) -> u16 {
    let line = answer.strip_prefix("SIP/2.0 ").expect("a status line");
    line[..3].parse().expect("a status")
}

fn headers(answer: &str, name: &str) -> Vec<String> {
    sip_header::extract_header(answer, name)
}
