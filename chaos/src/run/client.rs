//! One client of the map: a key is a user, its content that user's display name.

use std::time::Duration;

use fed_proto::client as pb;
use fed_proto::client::federation_client::FederationClient;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::operation::{Call, Outcome};
use crate::process::{Access, Bearer};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_millis(300);

/// A connection to one node.
pub(super) type Connection = FederationClient<InterceptedService<Channel, Bearer>>;

/// Connects, or does not within 300 ms.
pub(super) async fn connect(access: &Access) -> Option<Connection> {
    let endpoint = access.endpoint().ok()?.tcp_nodelay(true);
    let channel = tokio::time::timeout(CONNECT, endpoint.connect()).await.ok()?.ok()?;
    Some(FederationClient::with_interceptor(channel, Bearer::of(access.address)))
}

/// What a key was seen to hold, and the revision at which that was written; both or neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen(pub(super) Option<(String, u64)>);

/// What came of an operation.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    /// A get was answered with this.
    pub(super) seen: Option<Seen>,
    /// A write was acknowledged at this revision.
    pub(super) revision: Option<u64>,
    /// The connection can be used again.
    pub(super) connected: bool,
    /// The code with which the node refused it; [`NO_CODE`] and its words where it gave none.
    pub(super) code: Option<String>,
}

/// What the tally of refusals calls one that names no code.
pub(super) const NO_CODE: &str = "none";

/// The code that a node gave its refusal (`fed-node explain` lists them).
pub(super) fn code_of(status: &Status) -> Option<&str> {
    status.metadata().get("fed-code")?.to_str().ok()
}

/// Carries out one operation. For a compare-and-set, `seen` is what the key must still hold: values are never written twice, so
/// the same revision means the same content, and another one another.
pub(super) async fn perform(connection: &mut Connection, key: &str, call: &Call, seen: &Seen) -> Done {
    let same = match &seen.0 {
        Some((_, revision)) => pb::expect::What::Revision(*revision),
        None => pb::expect::What::Absent(true),
    };
    let same = Some(pb::Expect { what: Some(same) });
    match call {
        Call::Get => get(connection, key).await,
        Call::Put { value } => put(connection, key, value, None).await,
        Call::Cas { value: Some(value), .. } => put(connection, key, value, same).await,
        Call::Cas { value: None, .. } => delete(connection, key, same).await,
        Call::Delete => delete(connection, key, None).await,
    }
}

async fn get(connection: &mut Connection, key: &str) -> Done {
    let request = pb::GetRequest {
        id: key.to_owned(),
        ..pb::GetRequest::default()
    };
    let seen = match connection.get_user(request).await {
        Ok(answer) => {
            let record = answer.into_inner();
            let name = record.user.unwrap_or_default().display_name;
            Seen(Some((name, record.stamp.unwrap_or_default().modified)))
        }
        Err(status) if from_node(&status) && status.code() == Code::NotFound => Seen(None),
        Err(status) => return failed(&status, false),
    };
    Done {
        outcome: Outcome::Answered(seen.0.as_ref().map(|(value, _)| value.clone())),
        seen: Some(seen),
        revision: None,
        connected: true,
        code: None,
    }
}

async fn put(connection: &mut Connection, key: &str, value: &str, expect: Option<pb::Expect>) -> Done {
    let compares = expect.is_some();
    let request = pb::PutUserRequest {
        user: Some(user(key, value)),
        expect,
    };
    written(connection.put_user(request).await, compares)
}

async fn delete(connection: &mut Connection, key: &str, expect: Option<pb::Expect>) -> Done {
    let compares = expect.is_some();
    let request = pb::DeleteRequest {
        id: key.to_owned(),
        expect,
    };
    match connection.delete_user(request).await {
        // Nothing was there, which is what a delete promises.
        Err(status) if !compares && from_node(&status) && status.code() == Code::NotFound => Done {
            outcome: Outcome::Done,
            seen: None,
            revision: None,
            connected: true,
            code: None,
        },
        answer => written(answer, compares),
    }
}

pub(super) fn user(key: &str, value: &str) -> pb::User {
    pb::User {
        id: key.to_owned(),
        display_name: value.to_owned(),
        ring: "all".to_owned(),
        ring_timeout_s: 30,
        ..pb::User::default()
    }
}

fn written(answer: Result<tonic::Response<pb::WriteReply>, Status>, compares: bool) -> Done {
    match answer {
        Ok(reply) => Done {
            outcome: Outcome::Done,
            seen: None,
            revision: Some(reply.into_inner().revision),
            connected: true,
            code: None,
        },
        Err(status) => failed(&status, compares),
    }
}

/// What the protocol says of each code (`federation.proto`); what did not come from the node proves nothing.
fn failed(status: &Status, compares: bool) -> Done {
    let outcome = match status.code() {
        _ if !from_node(status) => Outcome::Unknown,
        Code::Unavailable | Code::ResourceExhausted | Code::InvalidArgument => {
            // Nothing was tried. For a compare-and-set, refused would say that the content differed.
            if compares { Outcome::Unknown } else { Outcome::Refused }
        }
        Code::Aborted | Code::AlreadyExists | Code::NotFound if compares => Outcome::Refused,
        _ => Outcome::Unknown,
    };
    Done {
        outcome,
        seen: None,
        revision: None,
        connected: from_node(status),
        code: from_node(status).then(|| match code_of(status) {
            Some(code) => code.to_owned(),
            None => format!("{NO_CODE}: {:?}: {}", status.code(), status.message()),
        }),
    }
}

/// Whether the node itself gave this answer: what the connection's own failures are made into has a source.
pub(super) fn from_node(status: &Status) -> bool {
    std::error::Error::source(status).is_none() && status.code() != Code::Cancelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_prove_it_are_refusals() {
        let outcome = |code, compares| failed(&Status::new(code, "said"), compares).outcome;
        assert_eq!(outcome(Code::Aborted, true), Outcome::Refused);
        assert_eq!(outcome(Code::Unavailable, false), Outcome::Refused);
        // Refused would mean that the compared content differed.
        assert_eq!(outcome(Code::Unavailable, true), Outcome::Unknown);
        for code in [Code::DeadlineExceeded, Code::Unknown, Code::Internal, Code::Cancelled] {
            assert_eq!(outcome(code, false), Outcome::Unknown, "{code}");
        }
    }

    #[test]
    fn a_failure_of_the_connection_proves_nothing() {
        let lost = std::io::Error::other("reset");
        let mut status = Status::new(Code::Unavailable, "transport");
        status.set_source(std::sync::Arc::new(lost));
        assert_eq!(failed(&status, false).outcome, Outcome::Unknown);
    }
}
