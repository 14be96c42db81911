//! Calls that come in over SIP, from other servers.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::net::UdpSocket;

use super::{
    Shared,
    call::{CallOutcome, enter, finished, play},
    channel::{Channel, Progress},
    dialplan::Run,
    message::Message,
    world::World,
};

/// Cause of a call that its caller cancelled.
const CANCELLED: u16 = 26;

/// Calls that came in and are not over, by Call-ID.
type Incoming = Arc<Mutex<HashMap<String, Arc<Channel>>>>;

/// Takes requests on the SIP socket for ever.
pub(crate) async fn serve(shared: Arc<Shared>, socket: Arc<UdpSocket>) {
    let incoming = Incoming::default();
    let mut buffer = vec![0; 65_535];
    loop {
        let Ok((size, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        if !*shared.running.borrow() {
            continue;
        }
        let Some(request) = Message::parse(&buffer[..size]).filter(|m| m.status().is_none()) else {
            continue;
        };
        let known = incoming.lock().get(request.get("Call-ID")).cloned();
        let answer = match (request.method(), known) {
            ("ACK", _) => continue,
            // Sent again: its first copy is being worked on.
            ("INVITE", Some(_)) => continue,
            ("INVITE", None) => {
                tokio::spawn(take(
                    Arc::clone(&shared),
                    Arc::clone(&socket),
                    Arc::clone(&incoming),
                    request,
                    from,
                ));
                continue;
            }
            ("CANCEL", Some(channel)) => {
                channel.hang_up(CANCELLED);
                200
            }
            ("BYE", Some(channel)) => {
                channel.hang_up(16);
                200
            }
            ("CANCEL" | "BYE", None) => 481,
            ("OPTIONS", _) => 200,
            _ => 501,
        };
        // Lost as on a network.
        let _ = socket
            .send_to(request.answer(answer, "sim", None).as_bytes(), from)
            .await;
    }
}

/// One call that comes in: who it is by address, then through that endpoint's context.
async fn take(shared: Arc<Shared>, socket: Arc<UdpSocket>, incoming: Incoming, invite: Message, from: SocketAddr) {
    let send = async |status: u16| {
        let contact = (status < 300).then_some(shared.sip_address);
        let _ = socket
            .send_to(invite.answer(status, "sim", contact).as_bytes(), from)
            .await;
    };
    let call_id = invite.get("Call-ID").to_owned();
    let channel = {
        let mut world = shared.world.lock();
        let endpoint = world.identify(from);
        endpoint.and_then(|e| {
            let caller = Message::user(invite.get("From"));
            enter(&mut world, &e, caller, Message::user(&invite.start), &call_id)
        })
    };
    let Some(channel) = channel else { return send(401).await };
    incoming.lock().insert(call_id.clone(), Arc::clone(&channel));
    send(100).await;
    let mut progress = channel.progress.subscribe();
    let playing = play(&shared, &channel);
    tokio::pin!(playing);
    let run = loop {
        tokio::select! {
            run = &mut playing => break run,
            changed = progress.changed() => {
                let status = match &*progress.borrow_and_update() {
                    Progress::Calling => continue,
                    Progress::Ringing => 180,
                    Progress::Answered(_) => 200,
                };
                if changed.is_ok() {
                    send(status).await;
                }
            }
        }
    };
    incoming.lock().remove(&call_id);
    match finished(run) {
        _ if channel.is_answered() => {
            let bye = bye(&invite, shared.sip_address);
            let _ = socket.send_to(bye.as_bytes(), from).await;
        }
        CallOutcome::Failed { .. } if run == Run::Ended(CANCELLED) => send(487).await,
        CallOutcome::Failed { sip_status, .. } => send(sip_status).await,
        CallOutcome::Answered { .. } => {}
    }
}

/// Our hang-up of a call that came in.
fn bye(invite: &Message, local: SocketAddr) -> String {
    let contact = invite.get("Contact").trim_matches(['<', '>']);
    format!(
        "BYE {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKbye{}\r\nMax-Forwards: 70\r\nFrom: {};tag=sim\r\nTo: {}\r\nCall-ID: {}\r\n\
         CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        invite.get("Call-ID"),
        invite.get("To"),
        invite.get("From"),
        invite.get("Call-ID"),
    )
}

impl World {
    /// The endpoint that an identify object gives to an address.
    fn identify(&self, from: SocketAddr) -> Option<String> {
        let identifies = self.objects.iter().filter(|((type_, _), _)| type_ == "identify");
        identifies
            .into_iter()
            .find(|(_, object)| object.values("match").iter().any(|network| holds(network, from)))
            .map(|(_, object)| object.value(self.version, "endpoint"))
    }
}

/// True where a network as Asterisk writes it holds the address.
fn holds(network: &str, address: SocketAddr) -> bool {
    let Some((base, mask)) = network.split_once('/') else {
        return false;
    };
    match (base.parse(), address.ip()) {
        (Ok(std::net::IpAddr::V4(base)), std::net::IpAddr::V4(ip)) => mask
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|mask| u32::from(ip) & u32::from(mask) == u32::from(base)),
        (Ok(base), ip) => base == ip,
        (Err(_), _) => false,
    }
}
