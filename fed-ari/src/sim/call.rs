//! Calls of the simulated Asterisk: begun by a device here, or coming in over SIP.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Shared, cause,
    channel::{Channel, Place, Progress},
    dialplan::{self, Run},
    sip::Message,
    world::World,
};

/// How a call went, for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// Answered by this contact here, or by this URI elsewhere. The call stands until somebody hangs up.
    Answered {
        /// Contact or URI.
        by: String,
    },
    /// Ended without an answer.
    Failed {
        /// Q.850 cause.
        q850: u16,
        /// What a phone would have been sent.
        sip_status: u16,
    },
}

/// A call of a device; dropping it hangs up.
pub struct Call {
    channel: Option<Arc<Channel>>,
    ended: tokio::sync::watch::Receiver<Option<CallOutcome>>,
    _task: AbortOnDropHandle<()>,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.hang_up();
    }
}

impl Call {
    /// Waits until the call is answered or has failed.
    pub async fn outcome(&mut self) -> CallOutcome {
        let Some(channel) = &self.channel else {
            return CallOutcome::Failed {
                q850: 21,
                sip_status: 401,
            };
        };
        let mut progress = channel.progress.subscribe();
        tokio::select! {
            biased;
            answered = progress.wait_for(|p| matches!(p, Progress::Answered(_))) => match answered.as_deref() {
                Ok(Progress::Answered(by)) => CallOutcome::Answered { by: by.clone() },
                _ => failed(0),
            },
            ended = self.ended.wait_for(Option::is_some) => {
                ended.ok().and_then(|outcome| outcome.clone()).unwrap_or_else(|| failed(0))
            }
        }
    }

    /// Waits until some phone rings or the call is answered or over; true where one rings or has answered.
    pub async fn rings(&mut self) -> bool {
        let Some(channel) = &self.channel else { return false };
        let mut progress = channel.progress.subscribe();
        tokio::select! {
            biased;
            rings = progress.wait_for(|p| *p != Progress::Calling) => rings.is_ok(),
            _ = self.ended.wait_for(Option::is_some) => false,
        }
    }

    /// Waits until the call is over, whoever ended it.
    pub async fn over(&mut self) {
        if self.channel.is_some() {
            // An error means that the task is gone, and the call with it.
            let _ = self.ended.wait_for(Option::is_some).await;
        }
    }

    /// The caller hangs up, or cancels.
    pub fn hang_up(&self) {
        if let Some(channel) = &self.channel {
            channel.hang_up(16);
        }
    }

    /// The dialplan's steps so far, with their arguments.
    pub fn steps(&self) -> Vec<String> {
        self.channel.as_ref().map(|c| c.trace()).unwrap_or_default()
    }
}

fn failed(q850: u16) -> CallOutcome {
    CallOutcome::Failed {
        q850,
        sip_status: cause::to_status(q850),
    }
}

fn finished(run: Run) -> CallOutcome {
    match run {
        Run::Ended(q850) => failed(q850),
        Run::NoExtension => CallOutcome::Failed {
            q850: 1,
            sip_status: 404,
        },
    }
}

/// Makes a channel of an endpoint, in its context; `None` where there is no such endpoint.
fn enter(world: &mut World, endpoint: &str, caller: &str, exten: &str, call_id: &str) -> Option<Arc<Channel>> {
    let context = world.object("endpoint", endpoint)?.value(world.version, "context");
    let number = world.next();
    let place = Place {
        context,
        exten: exten.to_owned(),
        priority: 1,
    };
    let id = format!("{}.{number}", world.started.elapsed().unwrap_or_default().as_millis());
    let name = format!("PJSIP/{endpoint}-{number:08x}");
    let channel = Arc::new(Channel::new(id.clone(), name, caller, call_id.to_owned(), place));
    world.channels.insert(id, Arc::clone(&channel));
    Some(channel)
}

/// Runs the channel to its end and forgets it.
async fn play(shared: &Arc<Shared>, channel: &Arc<Channel>) -> Run {
    let run = dialplan::run(shared, channel).await;
    if let Run::Ended(q850) = run {
        channel.hang_up(q850);
    }
    shared.world.lock().channels.remove(&channel.id);
    run
}

/// A device of this server calls.
pub(crate) fn originate(shared: &Arc<Shared>, device: &str, dialled: &str) -> Call {
    let channel = enter(&mut shared.world.lock(), device, device, dialled, "");
    let (sender, ended) = tokio::sync::watch::channel(None);
    let task = {
        let (shared, channel) = (Arc::clone(shared), channel.clone());
        tokio::spawn(async move {
            if let Some(channel) = channel {
                let run = play(&shared, &channel).await;
                sender.send_replace(Some(finished(run)));
            }
        })
    };
    Call {
        channel,
        ended,
        _task: AbortOnDropHandle::new(task),
    }
}

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
