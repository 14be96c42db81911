//! Many changes and reads on one stream. What has arrived together is done together: its changes are proposed as one group, its reads
//! answered from one snapshot; each has the answer that a call of its own would have had.

use std::sync::Arc;

use fed_core::command::Command;
use fed_core::ids::{DeviceId, UserId};
use fed_core::kv::StoreError;
use fed_core::map::MapView;
use fed_proto::client as pb;
use futures::FutureExt;
use pb::pipeline_reply::What as Answer;
use pb::pipeline_request::What as Asked;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::caller::Caller;
use super::door::sent_away;
use super::failure::{damaged, not_proposed};
use super::read::Reader;
use super::service::ApiService;
use super::stay::LOOK_EVERY;
use super::{rules, write};

/// What the client reads.
pub(super) type Stream = ReceiverStream<Result<pb::PipelineReply, Status>>;

/// The call, as the gate knows it.
const PATH: &str = "/federated.client.v1.Federation/Pipeline";
/// Requests of one stream that are done together.
const TOGETHER: usize = 64;
/// Groups of one stream under way at once; with more, the stream is not read.
const GROUPS: usize = 16;
/// Answers that may wait for a slow client.
const ANSWERS: usize = 256;

/// Answers what comes, until the client ends the stream or the node stops.
pub(super) fn start(service: &ApiService, mut requests: Streaming<pb::PipelineRequest>, caller: Caller) -> Stream {
    let (answers, stream) = mpsc::channel(ANSWERS);
    let service = service.clone();
    tokio::spawn(async move {
        let groups = Arc::new(Semaphore::new(GROUPS));
        let stop = service.0.stop.clone();
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let first = tokio::select! {
                first = requests.message() => first,
                // The answer is looked at as every one is; but who does not read it is to write nothing either.
                _ = look.tick() => {
                    if !service.0.door.may_stay(&caller) {
                        // The client may have gone too.
                        let _ = answers.send(Err(sent_away())).await;
                        return;
                    }
                    continue;
                }
                () = stop.cancelled() => return,
                () = answers.closed() => return,
            };
            let Ok(Some(first)) = first else { return };
            let mut group = vec![first];
            while group.len() < TOGETHER
                && let Some(Ok(Some(next))) = requests.message().now_or_never()
            {
                group.push(next);
            }
            let slot = groups.clone().acquire_owned().await;
            let (service, answers, caller) = (service.clone(), answers.clone(), caller.clone());
            tokio::spawn(async move {
                let _slot = slot;
                for (id, what) in answer(&service, &caller, group).await {
                    let what = Some(what.unwrap_or_else(|status| Answer::Error(error(&status))));
                    if answers.send(Ok(pb::PipelineReply { id, what })).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    ReceiverStream::new(stream)
}

type Answered = Vec<(u64, Result<Answer, Status>)>;

async fn answer(service: &ApiService, caller: &Caller, group: Vec<pb::PipelineRequest>) -> Answered {
    let mut sorted = Sorted::default();
    for request in group {
        // As the gate does it for a single call.
        match may(service, caller, &request) {
            Ok(()) => sorted.take(request),
            Err(status) => {
                if status.code() == Code::PermissionDenied {
                    service.0.door.refused_inside(&caller.who, PATH);
                }
                sorted.malformed.push((request.id, Err(status)));
            }
        }
    }
    let (written, fresh, local) = tokio::join!(
        written(service, caller, sorted.changes),
        read(service, pb::Consistency::Linearizable, sorted.fresh),
        read(service, pb::Consistency::Local, sorted.local),
    );
    let mut answered = sorted.malformed;
    answered.extend(written);
    answered.extend(fresh);
    answered.extend(local);
    answered
}

fn may(service: &ApiService, caller: &Caller, request: &pb::PipelineRequest) -> Result<(), Status> {
    // First of all: what is refused costs as much as what is done.
    caller.spends(1)?;
    match &request.what {
        Some(Asked::Change(change)) => caller.needs(rules::of_change(change), "this change"),
        Some(Asked::GetUser(get) | Asked::GetDevice(get)) => service.may_see(caller, get.with_credentials),
        None => Ok(()),
    }
}

/// Requests by what they need.
#[derive(Default)]
struct Sorted {
    changes: Vec<(u64, Command)>,
    fresh: Vec<(u64, Read)>,
    local: Vec<(u64, Read)>,
    malformed: Answered,
}

/// What is read, and whether credentials are shown.
enum Read {
    User(UserId),
    Device(DeviceId, bool),
}

impl Sorted {
    fn take(&mut self, request: pb::PipelineRequest) {
        let id = request.id;
        let taken = match request.what {
            None => Err(super::BadRequest::Missing("question")),
            Some(Asked::Change(change)) => write::command(change).map(|command| self.changes.push((id, command))),
            Some(Asked::GetUser(get)) => {
                write::parse("user", &get.id).map(|user| self.reads(get.consistency).push((id, Read::User(user))))
            }
            Some(Asked::GetDevice(get)) => write::parse("device", &get.id).map(|device| {
                let read = Read::Device(device, get.with_credentials);
                self.reads(get.consistency).push((id, read));
            }),
        };
        if let Err(bad) = taken {
            self.malformed.push((id, Err(bad.into())));
        }
    }

    fn reads(&mut self, consistency: i32) -> &mut Vec<(u64, Read)> {
        if consistency == pb::Consistency::Local as i32 {
            &mut self.local
        } else {
            &mut self.fresh
        }
    }
}

async fn written(service: &ApiService, caller: &Caller, changes: Vec<(u64, Command)>) -> Answered {
    if changes.is_empty() {
        return Vec::new();
    }
    let (ids, commands): (Vec<u64>, Vec<Command>) = changes.into_iter().unzip();
    let sealed = match service.sealed(caller, commands).await {
        Ok(sealed) => sealed,
        Err(status) => return ids.into_iter().map(|id| (id, Err(status.clone()))).collect(),
    };
    let mut answered = Vec::with_capacity(ids.len());
    let (mut going, mut commands) = (Vec::new(), Vec::new());
    for (id, command) in ids.into_iter().zip(sealed) {
        match command {
            Ok(command) => {
                going.push(id);
                commands.push(command);
            }
            Err(status) => answered.push((id, Err(status))),
        }
    }
    match service.propose_named(caller, commands).await {
        Ok(proposed) => {
            let replies = proposed.into_iter().map(|p| write::reply(&p.reply, p.revision.0));
            answered.extend(going.into_iter().zip(replies.map(|reply| reply.map(Answer::Written))));
        }
        Err(error) => {
            let status = not_proposed(&error);
            answered.extend(going.into_iter().map(|id| (id, Err(status.clone()))));
        }
    }
    answered
}

async fn read(service: &ApiService, consistency: pb::Consistency, reads: Vec<(u64, Read)>) -> Answered {
    if reads.is_empty() {
        return Vec::new();
    }
    let (snapshot, freshness) = match service.snapshot(consistency as i32).await {
        Ok(found) => found,
        Err(status) => return reads.into_iter().map(|(id, _)| (id, Err(status.clone()))).collect(),
    };
    let key = service.0.vault.key();
    let one = |(id, read): (u64, Read)| {
        let mut reader = Reader {
            view: MapView::new(&snapshot).with_key(key.as_deref()),
            freshness,
            with_credentials: false,
        };
        let answer = match read {
            Read::User(user) => found("user", &user, reader.user(&user)).map(Answer::User),
            Read::Device(device, with_credentials) => {
                reader.with_credentials = with_credentials;
                found("device", &device, reader.device(&device)).map(Answer::Device)
            }
        };
        (id, answer)
    };
    reads.into_iter().map(one).collect()
}

fn found<T>(what: &str, id: &impl std::fmt::Display, record: Result<Option<T>, StoreError>) -> Result<T, Status> {
    record
        .map_err(|error| damaged(&error))?
        .ok_or_else(|| super::lookup::missing(what, &id.to_string()))
}

fn error(status: &Status) -> pb::PipelineError {
    pb::PipelineError {
        code: status.code() as u32,
        message: status.message().to_owned(),
    }
}
