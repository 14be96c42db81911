//! How many REGISTERs a second an Asterisk takes: workers that each send the next one when the last is answered.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::lab::{Lab, password_of};
use crate::phone::{Message, authorise, token};

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
    let ip = lab.phones_ip();
    let socket = lab.phones().enter(move || UdpSocket::bind((ip, 0)))??;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let me = socket.local_addr()?;
    let (mut accepted, mut failed, mut round) = (0, 0, 0u16);
    while Instant::now() < until {
        round = round.wrapping_add(1);
        for device in devices {
            if Instant::now() >= until {
                break;
            }
            let port = if kind == Kind::Change {
                20_000 + round % 20_000
            } else {
                20_000
            };
            match register(&socket, me, server, device, port) {
                Ok(true) => accepted += 1,
                _ => failed += 1,
            }
        }
    }
    Ok((accepted, failed))
}

fn register(socket: &UdpSocket, me: SocketAddr, server: SocketAddr, device: &str, port: u16) -> Result<bool> {
    let (call_id, uri) = (token(), format!("sip:{}", server.ip()));
    let build = |sequence: u8, authorization: Option<String>| {
        let request = Message::new(format!("REGISTER {uri} SIP/2.0"))
            .with("Via", format!("SIP/2.0/UDP {me};rport;branch=z9hG4bK{}", token()))
            .with("Max-Forwards", "70")
            .with("From", format!("<sip:{device}@{}>;tag={call_id}", server.ip()))
            .with("To", format!("<sip:{device}@{}>", server.ip()))
            .with("Call-ID", call_id.clone())
            .with("CSeq", format!("{sequence} REGISTER"))
            .with("Contact", format!("<sip:{device}@{}:{port}>", me.ip()))
            .with("Expires", "600");
        match authorization {
            Some(value) => request.with("Authorization", value),
            None => request,
        }
    };
    let challenge = ask(socket, server, &build(1, None))?;
    let header = challenge.header("WWW-Authenticate").context("no challenge")?;
    let answer =
        authorise(header, "REGISTER", &uri, device, &password_of(device)).context("a challenge it cannot meet")?;
    Ok(ask(socket, server, &build(2, Some(answer)))?.status() == Some(200))
}

fn ask(socket: &UdpSocket, server: SocketAddr, request: &Message) -> Result<Message> {
    socket.send_to(&request.to_bytes(), server)?;
    let mut buffer = [0u8; 4096];
    loop {
        let (length, _) = socket.recv_from(&mut buffer).context("no answer")?;
        if let Some(answer) = Message::parse(&buffer[..length])
            && answer.call_id() == request.call_id()
            && answer.cseq() == request.cseq()
        {
            return Ok(answer);
        }
    }
}
