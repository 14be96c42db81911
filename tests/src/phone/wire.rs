//! The phone's sockets: one UDP socket, or a TCP listener with the connections made through it.
//!
//! Every message is stamped with the monotonic clock as it leaves the socket, before anything reads it.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::Mutex;

use super::message::{Message, framed};
use crate::lab::Namespace;

/// How a phone speaks SIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Connections.
    Tcp,
}

impl Transport {
    /// As written in a Via header.
    pub(crate) fn via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

/// Where a message came from, and so where its answer goes.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A datagram from this address.
    Udp(SocketAddr),
    /// This connection.
    Tcp(Arc<TcpStream>),
}

type Deliver = Arc<dyn Fn(Message, Origin, Instant) + Send + Sync>;

/// Sockets of one phone, inside its namespace.
pub(crate) struct Wire {
    transport: Transport,
    local: SocketAddr,
    namespace: Namespace,
    udp: Option<UdpSocket>,
    connections: Arc<Mutex<HashMap<SocketAddr, Arc<TcpStream>>>>,
    deliver: Mutex<Option<Deliver>>,
    listener: Option<TcpListener>,
    stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wire({:?} {})", self.transport, self.local)
    }
}

impl Wire {
    /// Binds a free port on `ip` inside the namespace.
    pub(crate) fn open(namespace: &Namespace, ip: IpAddr, transport: Transport) -> Result<Self> {
        let (udp, listener, local) = match transport {
            Transport::Udp => {
                let socket = namespace
                    .enter(move || UdpSocket::bind((ip, 0)))?
                    .context("SIP socket")?;
                socket.set_read_timeout(Some(Duration::from_millis(100)))?;
                let local = socket.local_addr()?;
                (Some(socket), None, local)
            }
            Transport::Tcp => {
                let listener = namespace
                    .enter(move || TcpListener::bind((ip, 0)))?
                    .context("SIP listener")?;
                listener.set_nonblocking(true)?;
                let local = listener.local_addr()?;
                (None, Some(listener), local)
            }
        };
        Ok(Self {
            transport,
            local,
            namespace: namespace.clone(),
            udp,
            connections: Arc::default(),
            deliver: Mutex::default(),
            listener,
            stop: Arc::default(),
        })
    }

    /// The address others reach this phone at.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// UDP or TCP.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// Starts reading: every message goes to `deliver`, on the reading thread.
    pub(crate) fn start(&self, deliver: impl Fn(Message, Origin, Instant) + Send + Sync + 'static) -> Result<()> {
        let deliver: Deliver = Arc::new(deliver);
        *self.deliver.lock() = Some(deliver.clone());
        if let Some(udp) = &self.udp {
            let (socket, deliver, stop) = (udp.try_clone()?, deliver.clone(), self.stop.clone());
            thread::spawn(move || {
                let mut buffer = vec![0u8; 65_536];
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                        let at = Instant::now();
                        if let Some(message) = Message::parse(&buffer[..length]) {
                            deliver(message, Origin::Udp(from), at);
                        }
                    }
                }
            });
        }
        if let Some(listener) = &self.listener {
            let (listener, stop) = (listener.try_clone()?, self.stop.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok((stream, _)) => read_connection(Arc::new(stream), deliver.clone(), stop.clone(), || ()),
                        Err(_) => thread::sleep(Duration::from_millis(2)),
                    }
                }
            });
        }
        Ok(())
    }

    /// Sends a request to an address; over TCP, on the connection already there or a new one.
    pub(crate) fn send(&self, message: &Message, to: SocketAddr) -> Result<()> {
        match &self.udp {
            Some(udp) => {
                udp.send_to(&message.to_bytes(), to)
                    .with_context(|| format!("sending to {to}"))?;
            }
            None => {
                let stream = self.connection(to)?;
                if (&*stream).write_all(&message.to_bytes()).is_err() {
                    // The other side closed it meanwhile (it was restarted, say): once more on a new one.
                    self.connections.lock().remove(&to);
                    (&*self.connection(to)?)
                        .write_all(&message.to_bytes())
                        .with_context(|| format!("sending to {to}"))?;
                }
            }
        }
        Ok(())
    }

    /// Sends back to where a message came from.
    pub(crate) fn reply(&self, message: &Message, origin: &Origin) -> Result<()> {
        match (origin, &self.udp) {
            (Origin::Udp(to), Some(udp)) => {
                udp.send_to(&message.to_bytes(), to)?;
            }
            (Origin::Tcp(stream), _) => (&**stream).write_all(&message.to_bytes())?,
            (Origin::Udp(_), None) => {}
        }
        Ok(())
    }

    fn connection(&self, to: SocketAddr) -> Result<Arc<TcpStream>> {
        if let Some(stream) = self.connections.lock().get(&to) {
            return Ok(stream.clone());
        }
        let stream = self
            .namespace
            .enter(move || TcpStream::connect_timeout(&to, Duration::from_secs(3)))?
            .with_context(|| format!("connecting to {to}"))?;
        stream.set_nodelay(true)?;
        let stream = Arc::new(stream);
        self.connections.lock().insert(to, stream.clone());
        if let Some(deliver) = self.deliver.lock().clone() {
            // One that the other side has closed is not written to again: the first message on it would be lost without a word.
            let (ours, connections) = (stream.clone(), self.connections.clone());
            read_connection(stream.clone(), deliver, self.stop.clone(), move || {
                let mut connections = connections.lock();
                if connections.get(&to).is_some_and(|there| Arc::ptr_eq(there, &ours)) {
                    connections.remove(&to);
                }
            });
        }
        Ok(stream)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for stream in self.connections.lock().values() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// Reads until the connection or the phone is closed, then says so.
fn read_connection(
    stream: Arc<TcpStream>,
    deliver: Deliver,
    stop: Arc<AtomicBool>,
    closed: impl FnOnce() + Send + 'static,
) {
    thread::spawn(move || {
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
        let (mut buffer, mut chunk) = (Vec::new(), [0u8; 16_384]);
        while !stop.load(Ordering::Relaxed) {
            match (&*stream).read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => {
                    let at = Instant::now();
                    buffer.extend_from_slice(&chunk[..length]);
                    loop {
                        let blank = buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
                        buffer.drain(..blank);
                        let Some(end) = framed(&buffer) else { break };
                        if let Some(message) = Message::parse(&buffer[..end]) {
                            deliver(message, Origin::Tcp(stream.clone()), at);
                        }
                        buffer.drain(..end);
                    }
                }
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
        }
        closed();
    });
}
