//! Calls of the simulated Asterisk's own devices, and what every call has in common.

use std::sync::Arc;

use super::{
    Shared, cause,
    channel::{Channel, Place, Progress},
    dialplan::{self, Run},
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

pub(super) fn finished(run: Run) -> CallOutcome {
    match run {
        Run::Ended(q850) => failed(q850),
        Run::NoExtension => CallOutcome::Failed {
            q850: 1,
            sip_status: 404,
        },
    }
}

/// Makes a channel of an endpoint, in its context; `None` where there is no such endpoint.
pub(super) fn enter(
    world: &mut World,
    endpoint: &str,
    caller: &str,
    exten: &str,
    call_id: &str,
) -> Option<Arc<Channel>> {
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
pub(super) async fn play(shared: &Arc<Shared>, channel: &Arc<Channel>) -> Run {
    let run = dialplan::run(shared, channel).await;
    if let Run::Ended(q850) = run {
        channel.hang_up(q850);
    }
    shared.world.lock().leave(channel);
    run
}

/// A device of this server calls.
pub(crate) fn originate(shared: &Arc<Shared>, device: &str, dialled: &str) -> Call {
    let channel = enter(&mut shared.world.lock(), device, device, dialled, "");
    let (sender, ended) = tokio::sync::watch::channel(None);
    if let Some(channel) = channel.clone() {
        let shared = Arc::clone(shared);
        // Ends by itself when the call is hung up, as it is with its handle.
        tokio::spawn(async move {
            let run = play(&shared, &channel).await;
            sender.send_replace(Some(finished(run)));
        });
    }
    Call { channel, ended }
}
