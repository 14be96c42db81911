//! The line of one leg: datagrams, or a connection where a URI asks for one.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::net::{TcpStream, UdpSocket};

use super::message::Message;

/// Read from a connection at once.
const PIECE: usize = 16_384;

/// Something to say SIP on.
pub(crate) enum Line {
    Udp(UdpSocket),
    Tcp {
        stream: TcpStream,
        /// Read, and no whole message yet.
        read: Vec<u8>,
    },
}

impl Line {
    /// Datagrams from a free port of this address.
    pub(crate) async fn datagrams(ip: IpAddr) -> io::Result<Self> {
        Ok(Self::Udp(UdpSocket::bind((ip, 0)).await?))
    }

    /// A connection.
    pub(crate) async fn connection(target: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(target).await?;
        stream.set_nodelay(true)?;
        Ok(Self::Tcp {
            stream,
            read: Vec::new(),
        })
    }

    pub(crate) fn local(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp { stream, .. } => stream.local_addr(),
        }
    }

    /// As a Via header names it.
    pub(crate) fn transport(&self) -> &'static str {
        match self {
            Self::Udp(_) => "UDP",
            Self::Tcp { .. } => "TCP",
        }
    }

    /// True where nothing is lost on the way, so nothing is sent again.
    pub(crate) fn is_reliable(&self) -> bool {
        matches!(self, Self::Tcp { .. })
    }

    /// Sends; an error shows up at the next receive.
    pub(crate) async fn send(&self, message: &str, target: SocketAddr) {
        match self {
            Self::Udp(socket) => drop(socket.send_to(message.as_bytes(), target).await),
            Self::Tcp { stream, .. } => {
                let mut rest = message.as_bytes();
                while !rest.is_empty() && stream.writable().await.is_ok() {
                    match stream.try_write(rest) {
                        Ok(size) => rest = &rest[size..],
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                        Err(_) => return,
                    }
                }
            }
        }
    }

    /// Sends at once or not at all: a full buffer loses it as a network would.
    pub(crate) fn send_now(&self, message: &str, target: SocketAddr) {
        let _ = match self {
            Self::Udp(socket) => socket.try_send_to(message.as_bytes(), target),
            Self::Tcp { stream, .. } => stream.try_write(message.as_bytes()),
        };
    }

    /// The next message and where it came from. Nothing is lost when this is given up.
    pub(crate) async fn receive(&mut self) -> io::Result<(Message, SocketAddr)> {
        match self {
            Self::Udp(socket) => {
                let mut buffer = vec![0; 65_535];
                loop {
                    let (size, from) = socket.recv_from(&mut buffer).await?;
                    if let Some(message) = Message::parse(&buffer[..size]) {
                        return Ok((message, from));
                    }
                }
            }
            Self::Tcp { stream, read } => loop {
                if let Some(end) = whole(read) {
                    let message: Vec<u8> = read.drain(..end).collect();
                    if let Some(message) = Message::parse(&message) {
                        return Ok((message, stream.peer_addr()?));
                    }
                    continue;
                }
                stream.readable().await?;
                let mut piece = [0; PIECE];
                match stream.try_read(&mut piece) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(size) => read.extend_from_slice(&piece[..size]),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(e) => return Err(e),
                }
            },
        }
    }
}

/// Where the first message ends, once it is there with its body.
fn whole(read: &[u8]) -> Option<usize> {
    let head = read.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let length = Message::parse(&read[..head]).and_then(|message| message.get("Content-Length").parse::<usize>().ok());
    let end = head + length.unwrap_or(0);
    (read.len() >= end).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_whole_with_its_body() {
        let text = b"SIP/2.0 200 OK\r\nContent-Length: 4\r\n\r\nbodySIP/2.0 100";
        for size in 0..41 {
            assert_eq!(whole(&text[..size]), None, "{size}");
        }
        assert_eq!(whole(&text[..41]), Some(41));
        assert_eq!(whole(text), Some(41));
    }
}
