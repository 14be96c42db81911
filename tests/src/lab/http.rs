//! Just enough HTTP to ask a server inside a namespace one question.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;

use super::namespace::Namespace;

/// One request to 127.0.0.1:`port` inside the namespace: status and body.
///
/// # Errors
/// When nobody listens there or the answer is not HTTP.
pub fn request(
    namespace: &Namespace,
    port: u16,
    method: &str,
    path: &str,
    user: Option<(&str, &str)>,
) -> Result<(u16, String)> {
    let mut stream = namespace
        .enter(move || TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(2)))?
        .with_context(|| format!("127.0.0.1:{port} in {}", namespace.name()))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let login = user.map_or_else(String::new, |(name, password)| {
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        format!("Authorization: Basic {text}\r\n")
    });
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{login}Connection: close\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .context("no HTTP status")?;
    Ok((status, body.to_owned()))
}
