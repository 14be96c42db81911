//! Asking a node's redirect server where a device is, the way its own Asterisk asks: an INVITE over loopback UDP.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::node::REDIRECT_PORT;
use super::{Host, Namespace};
use crate::phone::Message;

/// What the redirect server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// 302: send the call to this user part at this address.
    At {
        /// `device~token`.
        user: String,
        /// `ip:port` of the Asterisk.
        address: String,
    },
    /// Registered at the asking node itself.
    Here,
    /// Any other answer.
    Refused(u16),
}

/// A socket inside a host that asks its redirect server.
#[derive(Debug)]
pub struct Asker {
    socket: UdpSocket,
    asked: u32,
}

impl Asker {
    /// Opens the socket on the host's loopback.
    ///
    /// # Errors
    /// When it cannot.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        let socket = namespace.enter(|| UdpSocket::bind("127.0.0.1:0"))??;
        socket.set_read_timeout(Some(Duration::from_millis(1_000)))?;
        Ok(Self { socket, asked: 0 })
    }

    /// One question and its answer, with the moment the answer was there.
    ///
    /// # Errors
    /// When no answer comes within a second.
    pub fn ask(&mut self, device: &str) -> Result<(Located, Instant)> {
        self.asked += 1;
        let me = self.socket.local_addr()?;
        let call_id = format!("ask-{}-{}-{}", std::process::id(), me.port(), self.asked);
        let invite = Message::new(format!("INVITE sip:{device}@127.0.0.1:{REDIRECT_PORT} SIP/2.0"))
            .with("Via", format!("SIP/2.0/UDP {me};branch=z9hG4bK{call_id}"))
            .with("Max-Forwards", "70")
            .with("From", format!("<sip:lab@127.0.0.1>;tag={call_id}"))
            .with("To", format!("<sip:{device}@127.0.0.1>"))
            .with("Call-ID", call_id.clone())
            .with("CSeq", "1 INVITE")
            .with("Contact", format!("<sip:lab@{me}>"));
        self.socket.send_to(&invite.to_bytes(), ("127.0.0.1", REDIRECT_PORT))?;
        let mut buffer = [0u8; 4096];
        loop {
            let (length, _) = self
                .socket
                .recv_from(&mut buffer)
                .context("the redirect server did not answer")?;
            let at = Instant::now();
            if let Some(answer) = Message::parse(&buffer[..length])
                && answer.call_id() == call_id
            {
                return Ok((located(&answer), at));
            }
        }
    }
}

fn located(answer: &Message) -> Located {
    let status = answer.status().unwrap_or_default();
    if status == 302
        && let Some(uri) = answer.uri_in("Contact")
        && let Some((user, rest)) = uri.trim_start_matches("sip:").split_once('@')
    {
        let address = rest.split(';').next().unwrap_or(rest);
        return Located::At {
            user: user.to_owned(),
            address: address.to_owned(),
        };
    }
    if answer
        .header("Warning")
        .is_some_and(|w| w.contains("registered at the asking server"))
    {
        return Located::Here;
    }
    Located::Refused(status)
}

impl Host {
    /// Asks this host's redirect server once.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn locate(&self, device: &str) -> Result<Located> {
        Ok(Asker::open(&self.namespace)?.ask(device)?.0)
    }

    /// Fails unless this host's node sends calls for the device to `owner`. A node that does not run is not asked.
    ///
    /// # Errors
    /// When it says anything else.
    pub fn expect_located(&self, device: &str, owner: &Host) -> Result<()> {
        if !self.node()?.was_started() {
            return Ok(());
        }
        self.expect_answer(device, owner, self.locate(device)?)
    }

    /// As [`Host::expect_located`], of many devices, each with its owner.
    ///
    /// # Errors
    /// The first that is not where it should be.
    pub fn expect_all_located<'a>(&self, all: impl IntoIterator<Item = (&'a str, &'a Host)>) -> Result<()> {
        let mut asker = Asker::open(&self.namespace)?;
        for (device, owner) in all {
            self.expect_answer(device, owner, asker.ask(device)?.0)?;
        }
        Ok(())
    }

    fn expect_answer(&self, device: &str, owner: &Host, answer: Located) -> Result<()> {
        match answer {
            Located::Here => ensure!(
                self.name == owner.name,
                "{} says {device} is at itself, not at {}",
                self.name,
                owner.name
            ),
            Located::At { address, .. } => {
                ensure!(
                    address == owner.advertised,
                    "{} sends calls for {device} to {address}, not to {}",
                    self.name,
                    owner.name
                );
            }
            Located::Refused(status) => bail!("{} answers {status} for {device}", self.name),
        }
        Ok(())
    }
}
