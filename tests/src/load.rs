//! Phones that register by the hundreds: workers that each send the next REGISTER when the last is answered, and how many of them an Asterisk
//! takes a second.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::lab::{Lab, password_of};
use crate::phone::{Message, authorise, token};

/// How long a phone waits for an answer.
const ANSWER: Duration = Duration::from_secs(1);

/// What the phones do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The same contact again and again: what nearly all REGISTERs of a day are.
    Refresh,
    /// Another contact each time: every one is a change that the federation has to hear of.
    Change,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rate {
    /// Accepted REGISTERs (each with its challenge) a second.
    pub per_second: f64,
    /// How many these were.
    pub accepted: u64,
    /// REGISTERs that were not answered within a second or were refused.
    pub failed: u64,
}

/// Registers the devices at a server for that long, `workers` at a time, each device always by the same worker.
///
/// # Errors
/// When a socket cannot be opened, or nothing is accepted at all.
pub fn registers(
    lab: &Lab,
    server: SocketAddr,
    devices: &[String],
    workers: usize,
    kind: Kind,
    time: Duration,
) -> Result<Rate> {
    let began = Instant::now();
    let results: Vec<Result<(u64, u64)>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|worker| {
                let mine: Vec<&String> = devices.iter().skip(worker).step_by(workers).collect();
                scope.spawn(move || work(lab, server, &mine, kind, began + time))
            })
            .collect();
        handles
            .into_iter()
            .map(|h| h.join().unwrap_or_else(|_| Ok((0, 0))))
            .collect()
    });
    let took = began.elapsed().as_secs_f64();
    let (mut accepted, mut failed) = (0, 0);
    for result in results {
        let (ok, bad) = result?;
        accepted += ok;
        failed += bad;
    }
    ensure!(accepted > 0, "{server} accepted no REGISTER at all");
    Ok(Rate {
        per_second: accepted as f64 / took,
        accepted,
        failed,
    })
}

fn work(lab: &Lab, server: SocketAddr, devices: &[&String], kind: Kind, until: Instant) -> Result<(u64, u64)> {
    let client = RegisterClient::open(lab)?;
    let (mut accepted, mut failed, mut round) = (0, 0, 0u32);
    while Instant::now() < until {
        round = round.wrapping_add(1);
        for device in devices {
            if Instant::now() >= until {
                break;
            }
            let instance = if kind == Kind::Change { round } else { 0 };
            match client.register(server, device, instance) {
                Ok(true) => accepted += 1,
                _ => failed += 1,
            }
        }
    }
    Ok((accepted, failed))
}

/// Many phones behind one socket, which register one after another.
#[derive(Debug)]
pub struct RegisterClient {
    socket: UdpSocket,
    me: SocketAddr,
}

/// A registration that was accepted in the end.
#[derive(Debug, Clone, Copy)]
pub struct Accepted {
    /// When its first REGISTER left.
    pub sent: Instant,
    /// When the 200 was there.
    pub at: Instant,
    /// How often it was sent again, since nothing came in time or it was refused.
    pub retries: u32,
}

impl RegisterClient {
    /// Opens the socket, where the phones are.
    ///
    /// # Errors
    /// When it cannot.
    pub fn open(lab: &Lab) -> Result<Self> {
        let ip = lab.phones_ip();
        let socket = lab.phones().enter(move || UdpSocket::bind((ip, 0)))??;
        socket.set_read_timeout(Some(ANSWER))?;
        let me = socket.local_addr()?;
        Ok(Self { socket, me })
    }

    /// The contact of a device here. Asterisk puts the address that a REGISTER comes from into its contact, so that contacts of a device differ by
    /// `rinstance` alone, to which softphones give a new value at each of their starts.
    pub fn contact(&self, device: &str, instance: u32) -> String {
        format!("sip:{device}@{};rinstance={instance}", self.me)
    }

    /// Registers a device once: a REGISTER and the one that answers its challenge. False where it is refused.
    ///
    /// # Errors
    /// When no answer comes within a second.
    pub fn register(&self, server: SocketAddr, device: &str, instance: u32) -> Result<bool> {
        self.attempt(server, device, instance, &token(), 1)
    }

    /// Registers a device as a phone does that wants to be registered: what is not answered or is refused is sent again, with the same contact
    /// and Call-ID and higher CSeqs.
    ///
    /// # Errors
    /// When nothing was accepted within `patience`.
    pub fn register_until_accepted(
        &self,
        server: SocketAddr,
        device: &str,
        instance: u32,
        patience: Duration,
    ) -> Result<Accepted> {
        let (call_id, sent) = (token(), Instant::now());
        let mut retries = 0;
        loop {
            let outcome = self.attempt(server, device, instance, &call_id, 1 + 2 * retries);
            if matches!(outcome, Ok(true)) {
                let at = Instant::now();
                return Ok(Accepted { sent, at, retries });
            }
            if sent.elapsed() > patience {
                outcome?;
                bail!("{server} refuses {device} after {retries} retries");
            }
            retries += 1;
        }
    }

    /// With that CSeq, and its challenge answered with the next one. Each request has a branch of its own: Asterisk answers one that it has had from
    /// this port as the retransmission that it would be.
    fn attempt(&self, server: SocketAddr, device: &str, instance: u32, call_id: &str, sequence: u32) -> Result<bool> {
        let (me, uri) = (self.me, format!("sip:{}", server.ip()));
        let build = |sequence: u32, authorization: Option<String>| {
            let request = Message::new(format!("REGISTER {uri} SIP/2.0"))
                .with("Via", format!("SIP/2.0/UDP {me};rport;branch=z9hG4bK{}", token()))
                .with("Max-Forwards", "70")
                .with("From", format!("<sip:{device}@{}>;tag={call_id}", server.ip()))
                .with("To", format!("<sip:{device}@{}>", server.ip()))
                .with("Call-ID", call_id)
                .with("CSeq", format!("{sequence} REGISTER"))
                .with("Contact", format!("<{}>", self.contact(device, instance)))
                .with("Expires", "600");
            match authorization {
                Some(value) => request.with("Authorization", value),
                None => request,
            }
        };
        let challenge = self.ask(server, &build(sequence, None))?;
        let header = challenge.header("WWW-Authenticate").context("no challenge")?;
        let answer =
            authorise(header, "REGISTER", &uri, device, &password_of(device)).context("a challenge it cannot meet")?;
        Ok(self.ask(server, &build(sequence + 1, Some(answer)))?.status() == Some(200))
    }

    fn ask(&self, server: SocketAddr, request: &Message) -> Result<Message> {
        self.socket.send_to(&request.to_bytes(), server)?;
        let mut buffer = [0u8; 4096];
        loop {
            let (length, _) = self.socket.recv_from(&mut buffer).context("no answer")?;
            if let Some(answer) = Message::parse(&buffer[..length])
                && answer.call_id() == request.call_id()
                && answer.cseq() == request.cseq()
            {
                return Ok(answer);
            }
        }
    }
}
