//! Datagrams in, datagrams out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::net::UdpSocket;
use tracing::{debug, warn};

use super::locator::{Locator, Stamper};
use super::message::MAX_MESSAGE;
use super::repeats::{Known, Repeats};
use super::server::{Answer, Core};
use super::stats::add;

/// A pause after the system refused to receive, so that a lasting refusal does not become a busy loop.
const AFTER_ERROR: Duration = Duration::from_millis(20);

/// Serves one socket for ever.
pub(super) async fn serve<L: Locator, S: Stamper>(socket: UdpSocket, core: Arc<Core<L, S>>) {
    let mut lookups = FuturesUnordered::new();
    let mut repeats = Repeats::default();
    let mut buffer = vec![0; MAX_MESSAGE + 1];
    loop {
        tokio::select! {
            Some((transaction, answer, destination)) = lookups.next() => {
                let answer: Vec<u8> = answer;
                send(&socket, &answer, destination).await;
                repeats.answered(transaction, &answer, core.uptime());
            }
            received = socket.recv_from(&mut buffer) => {
                let (length, source) = match received {
                    Ok(received) => received,
                    Err(error) => {
                        warn!(%error, "redirect server: cannot receive datagrams");
                        tokio::time::sleep(AFTER_ERROR).await;
                        continue;
                    }
                };
                if !core.hears(source.ip()) || !core.admit(source.ip()) {
                    continue;
                }
                let Some(request) = core.read(&buffer[..length], source) else { continue };
                let destination = request.top_via.datagram_destination(source);
                let transaction = core.transaction(&request, source);
                match repeats.know(transaction, core.uptime()) {
                    Known::New => {}
                    Known::Asked => continue,
                    Known::Answered(answer) => {
                        send(&socket, answer, destination).await;
                        continue;
                    }
                }
                match core.answer(request, source) {
                    None => {}
                    // The same for every repetition as it is.
                    Some(Answer::Ready(answer)) => send(&socket, &answer, destination).await,
                    Some(Answer::Later(_)) if lookups.len() >= core.config.lookups => add(&core.stats.dropped),
                    Some(Answer::Later(answer)) => {
                        repeats.asked(transaction, core.uptime());
                        lookups.push(async move { (transaction, answer.await, destination) });
                    }
                }
            }
        }
    }
}

async fn send(socket: &UdpSocket, answer: &[u8], destination: SocketAddr) {
    if let Err(error) = socket.send_to(answer, destination).await {
        debug!(%destination, %error, "an answer could not be sent");
    }
}
