//! Connections: answers go back on the connection their request came on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::connections::{Connections, Place};
use super::decision::{Reply, Status};
use super::locator::{Locator, Stamper};
use super::own::is_own;
use super::server::{Answer, Core};
use super::stream::{Broken, Frame, Framer};

/// A pause after the system refused a connection (too many open files), so that it does not become a busy loop.
const AFTER_ERROR: Duration = Duration::from_millis(100);
const READ: usize = 8 * 1024;

/// Accepts connections until stopped, then closes them all.
pub(super) async fn serve<L: Locator, S: Stamper>(
    listener: TcpListener,
    core: Arc<Core<L, S>>,
    connections: Connections,
    stop: CancellationToken,
) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => match accepted {
                Err(error) => {
                    warn!(%error, "redirect server: cannot accept connections");
                    tokio::time::sleep(AFTER_ERROR).await;
                }
                // Closed without a word.
                Ok((_, source)) if !core.hears(source.ip()) => {}
                Ok((stream, source)) => {
                    if let Some(place) = connections.admit(source.ip(), is_own(source.ip().to_canonical())) {
                        let core = core.clone();
                        open.spawn(async move {
                            let ended = place.cut.run_until_cancelled(converse(stream, source, core, &place)).await;
                            debug!(%source, why = ended.unwrap_or("it gave way to a newer one"), "connection closed");
                        });
                    }
                }
            },
        }
    }
    open.shutdown().await;
}

/// Serves one connection; returns why it ended.
async fn converse<L: Locator, S: Stamper>(
    stream: TcpStream,
    source: SocketAddr,
    core: Arc<Core<L, S>>,
    place: &Place,
) -> &'static str {
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    let patience = core.config.message_timeout;
    let mut framer = Framer::default();
    let mut lookups = FuturesUnordered::new();
    let mut buffer = vec![0; READ];
    let mut deadline = Instant::now() + core.config.idle;
    loop {
        tokio::select! {
            Some(answer) = lookups.next() => {
                let answer: Vec<u8> = answer;
                if !send(&mut writer, &answer, patience).await {
                    return "it took no answer";
                }
            }
            () = tokio::time::sleep_until(deadline) => return "it said nothing more",
            // While too many lookups are out, nothing is read: the sender's own window holds it back.
            read = reader.read(&mut buffer), if lookups.len() < core.config.lookups => {
                let Ok(length @ 1..) = read else { return "its sender closed it" };
                let was_in_message = framer.is_in_message();
                let mut one_ended = false;
                framer.push(&buffer[..length]);
                loop {
                    let message = match framer.next() {
                        Ok(None) => break,
                        Ok(Some(Frame::Message(message))) => {
                            one_ended = true;
                            message
                        }
                        Ok(Some(Frame::Ping)) => {
                            if !core.admit(source.ip()) || !send(&mut writer, b"\r\n", patience).await {
                                return "it asked too much";
                            }
                            continue;
                        }
                        Err(broken) => {
                            if let Some(answer) = farewell(&core, &broken, source) {
                                send(&mut writer, &answer, patience).await;
                            }
                            return "it sent what cannot be told apart";
                        }
                    };
                    if !core.admit(source.ip()) {
                        return "it asked too much";
                    }
                    let request = core.read(&message, source).inspect(|_| place.has_spoken());
                    match request.and_then(|request| core.answer(request, source)) {
                        Some(Answer::Later(answer)) => lookups.push(answer),
                        Some(Answer::Ready(answer)) if !send(&mut writer, &answer, patience).await => return "it took no answer",
                        Some(Answer::Ready(_)) | None => {}
                    }
                }
                if !framer.is_in_message() {
                    deadline = Instant::now() + core.config.idle;
                } else if one_ended || !was_in_message {
                    // The message now begun must come to its end by then: further bytes buy no further time.
                    deadline = Instant::now() + patience;
                }
            }
        }
    }
}

/// The last answer on a stream whose messages cannot be told apart any more.
fn farewell<L: Locator, S: Stamper>(core: &Core<L, S>, broken: &Broken, source: SocketAddr) -> Option<Vec<u8>> {
    let request = core.read(&broken.head, source)?;
    let reply = if broken.too_large {
        Reply::plain(Status::MessageTooLarge)
    } else {
        Reply::refusal(Status::BadRequest, "one Content-Length is needed on a connection")
    };
    Some(core.write(&request, &reply, source))
}

async fn send(writer: &mut OwnedWriteHalf, answer: &[u8], patience: Duration) -> bool {
    matches!(timeout(patience, writer.write_all(answer)).await, Ok(Ok(())))
}
