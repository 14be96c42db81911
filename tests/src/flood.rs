//! Floods of SIP messages from many ports, at a rate that is kept whatever the other side does.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::lab::Namespace;
use crate::phone::{Message, authorise, token};

/// Messages leave in groups, this often.
const ROUND: Duration = Duration::from_millis(10);

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// REGISTERs of known and unknown names; each challenge is answered with a guessed password.
    Registers,
    /// INVITEs without a password, of numbers and targets that exist and that do not.
    Invites,
    /// What a redirect server may hear: garbage, OPTIONS and INVITEs.
    Anything,
}

/// What came of a flood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flooded {
    /// Messages sent.
    pub sent: u64,
    /// Answers by status.
    pub answers: BTreeMap<u16, u64>,
}

/// A flood under way.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<Flooded>>,
}

impl Flood {
    /// Sends to an address from that many ports, until stopped. `names` are names and numbers that exist there.
    ///
    /// # Errors
    /// When a socket cannot be opened.
    pub fn start(
        namespace: &Namespace,
        ip: IpAddr,
        to: SocketAddr,
        kind: Kind,
        (ports, per_second): (usize, u32),
        names: &'static [&'static str],
    ) -> Result<Self> {
        let mut sockets = Vec::new();
        for _ in 0..ports.max(1) {
            let socket = namespace.enter(move || UdpSocket::bind((ip, 0)))??;
            socket.set_nonblocking(true)?;
            sockets.push(socket);
        }
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let sender = thread::spawn(move || {
            let source = Source {
                sockets,
                to,
                kind,
                names,
            };
            source.send_until(&stopped, per_second)
        });
        Ok(Self { stop, sender })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it could not be sent.
    pub fn stop(self) -> Result<Flooded> {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.join().map_err(|_| anyhow!("the sender panicked"))?
    }
}

struct Source {
    sockets: Vec<UdpSocket>,
    to: SocketAddr,
    kind: Kind,
    names: &'static [&'static str],
}

impl Source {
    fn send_until(&self, stopped: &AtomicBool, per_second: u32) -> Result<Flooded> {
        let began = Instant::now();
        let mut flooded = Flooded::default();
        while !stopped.load(Ordering::Relaxed) {
            // What could not be sent in time is not made up for.
            let due = (began.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
            let most = u64::from(per_second / 50).max(1);
            for _ in 0..due.saturating_sub(flooded.sent).min(most) {
                let number = flooded.sent;
                let socket = &self.sockets[number as usize % self.sockets.len()];
                let message = self.message(number, socket.local_addr()?);
                // A full buffer here is a lost datagram, as anywhere else on its way.
                let _ = socket.send_to(&message, self.to);
                flooded.sent += 1;
            }
            for socket in &self.sockets {
                self.hear(socket, &mut flooded.answers)?;
            }
            thread::sleep(ROUND);
        }
        Ok(flooded)
    }

    fn message(&self, number: u64, me: SocketAddr) -> Vec<u8> {
        let known = self.names[number as usize % self.names.len()];
        let name = if number.is_multiple_of(2) {
            known.to_owned()
        } else {
            format!("nobody{number}")
        };
        let host = self.to.ip();
        match (self.kind, number % 3) {
            (Kind::Registers, _) => request("REGISTER", format!("sip:{host}"), &name, me),
            (Kind::Anything, 0) => return b"\0\xff garbage sip:\r\n\r\n".to_vec(),
            (Kind::Anything, 1) => request("OPTIONS", format!("sip:{host}"), &name, me),
            // As a call from another node names its target, without and with a word that no node gave out.
            (Kind::Invites, 1) => request("INVITE", format!("sip:{name}~{}@{host}", token()), &name, me),
            _ => request("INVITE", format!("sip:{name}@{host}"), &name, me),
        }
        .to_bytes()
    }

    /// Counts the answers, acknowledges what must be, and answers challenges of registrations.
    fn hear(&self, socket: &UdpSocket, answers: &mut BTreeMap<u16, u64>) -> Result<()> {
        let mut buffer = [0u8; 4096];
        while let Ok((length, _)) = socket.recv_from(&mut buffer) {
            let Some(answer) = Message::parse(&buffer[..length]) else {
                continue;
            };
            let (Some(status), Some((sequence, method))) = (answer.status(), answer.cseq()) else {
                continue;
            };
            *answers.entry(status).or_default() += 1;
            let me = socket.local_addr()?;
            let reply = match method {
                "INVITE" if status >= 200 => Some(acknowledgement(&answer, self.to)?),
                "REGISTER" if status == 401 && sequence == 1 => self.guess(&answer, me)?,
                _ => None,
            };
            if let Some(reply) = reply {
                let _ = socket.send_to(&reply.to_bytes(), self.to);
            }
        }
        Ok(())
    }

    fn guess(&self, challenge: &Message, me: SocketAddr) -> Result<Option<Message>> {
        let uri = format!("sip:{}", self.to.ip());
        let who = challenge.uri_in("From").context("no From")?;
        let name = who.trim_start_matches("sip:").split('@').next().unwrap_or_default();
        let header = challenge.header("WWW-Authenticate").context("no challenge")?;
        let answer = authorise(header, "REGISTER", &uri, name, "a guess");
        Ok(answer.map(|answer| {
            let mut request = request("REGISTER", uri, name, me).with("Authorization", answer);
            for (name, value) in &mut request.headers {
                match name.as_str() {
                    "CSeq" => *value = "2 REGISTER".to_owned(),
                    "Call-ID" => *value = challenge.call_id().to_owned(),
                    _ => {}
                }
            }
            request
        }))
    }
}

fn request(method: &str, uri: String, name: &str, me: SocketAddr) -> Message {
    let word = token();
    Message::new(format!("{method} {uri} SIP/2.0"))
        .with("Via", format!("SIP/2.0/UDP {me};rport;branch=z9hG4bK{word}"))
        .with("Max-Forwards", "70")
        .with("From", format!("<sip:{name}@{}>;tag={word}", me.ip()))
        .with(
            "To",
            format!(
                "<{}>",
                if method == "REGISTER" {
                    format!("sip:{name}@{}", me.ip())
                } else {
                    uri
                }
            ),
        )
        .with("Call-ID", word)
        .with("CSeq", format!("1 {method}"))
        .with("Contact", format!("<sip:{name}@{me}>"))
        .with("Expires", "600")
}

/// Of a refused INVITE: in its own transaction (RFC 3261 section 17.1.1.3).
fn acknowledgement(answer: &Message, to: SocketAddr) -> Result<Message> {
    let mut ack = Message::new(format!("ACK sip:{to} SIP/2.0"));
    for name in ["Via", "From", "To", "Call-ID"] {
        let value = answer
            .header(name)
            .with_context(|| format!("an answer without {name}"))?;
        ack = ack.with(name, value);
    }
    Ok(ack.with("Max-Forwards", "70").with("CSeq", "1 ACK"))
}
