//! Real RTP: a socket that sends 50 packets of mu-law a second and counts, by speaker, what it hears.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use parking_lot::Mutex;

use crate::lab::Namespace;

const PACKET: Duration = Duration::from_millis(20);

/// One side of a conversation. Every packet it sends is filled with its `voice`, so that the other side can tell whom it hears.
#[derive(Debug)]
pub struct Rtp {
    socket: Arc<UdpSocket>,
    voice: u8,
    remote: Arc<Mutex<Option<SocketAddr>>>,
    heard: Arc<[AtomicU64; 256]>,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Rtp {
    /// Opens the socket inside the phone's namespace; nothing is sent before [`Rtp::talk_to`].
    pub fn open(namespace: &Namespace, ip: std::net::IpAddr, voice: u8) -> Result<Self> {
        let socket = namespace
            .enter(move || UdpSocket::bind((ip, 0)))?
            .context("RTP socket")?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let rtp = Self {
            socket: Arc::new(socket),
            voice,
            remote: Arc::default(),
            heard: Arc::new(std::array::from_fn(|_| AtomicU64::new(0))),
            sent: Arc::default(),
            stop: Arc::default(),
        };
        rtp.listen();
        Ok(rtp)
    }

    /// The port to offer in SDP.
    pub fn port(&self) -> Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Starts speaking to `remote`, or turns to it when already speaking.
    pub fn talk_to(&self, remote: SocketAddr) {
        if self.remote.lock().replace(remote).is_some() {
            return;
        }
        let (socket, remote, sent, stop, voice) = (
            self.socket.clone(),
            self.remote.clone(),
            self.sent.clone(),
            self.stop.clone(),
            self.voice,
        );
        thread::spawn(move || {
            let mut packet = [voice; 172];
            packet[0] = 0x80;
            packet[1] = 0;
            packet[8..12].copy_from_slice(&u32::from_be_bytes([voice, 1, 2, 3]).to_be_bytes());
            let (mut sequence, mut timestamp) = (1u16, 0u32);
            while !stop.load(Ordering::Relaxed) {
                packet[2..4].copy_from_slice(&sequence.to_be_bytes());
                packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
                let to = *remote.lock();
                if let Some(to) = to
                    && socket.send_to(&packet, to).is_ok()
                {
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                sequence = sequence.wrapping_add(1);
                timestamp = timestamp.wrapping_add(160);
                thread::sleep(PACKET);
            }
        });
    }

    /// Packets heard so far from the phone with that voice.
    pub fn heard_from(&self, voice: u8) -> u64 {
        self.heard[usize::from(voice)].load(Ordering::Relaxed)
    }

    /// Packets heard so far from anyone.
    pub fn heard(&self) -> u64 {
        self.heard.iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }

    /// Packets sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn listen(&self) {
        let (socket, heard, stop) = (self.socket.clone(), self.heard.clone(), self.stop.clone());
        thread::spawn(move || {
            let mut packet = [0u8; 2048];
            while !stop.load(Ordering::Relaxed) {
                // The middle of the payload: what the speaker filled it with. RTCP and comfort noise are not speech.
                if let Ok((172, _)) = socket.recv_from(&mut packet)
                    && packet[1] & 0x7f == 0
                {
                    heard[usize::from(packet[92])].fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
}

impl Drop for Rtp {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
