//! How failures of the domain and of consensus become gRPC codes; `proto/federation.proto` documents them for clients.

use fed_core::command::{Expect, Refusal};
use fed_core::kv::StoreError;
use fed_raft::{AskError, MembersError, ProposeError, ReadError};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use super::convert::BadRequest;
use crate::explain::{self, Coded};

impl From<BadRequest> for Status {
    fn from(bad: BadRequest) -> Self {
        explain::attach(Self::invalid_argument(bad.to_string()), explain::Code::Malformed)
    }
}

/// The code of a refusal by the map; the text is the refusal's own.
pub(crate) fn refused(refusal: &Refusal) -> Status {
    explain::attach(Status::new(refusal_code(refusal), refusal.to_string()), refusal.code())
}

/// The answer to several changes of which one was refused: its own text, since the object is in it.
pub(crate) fn refused_together(refusal: &Refusal) -> Status {
    let Refusal::InBatch { index, why } = refusal else {
        return refused(refusal);
    };
    let mut metadata = MetadataMap::new();
    metadata.insert("refused-change", MetadataValue::from(*index));
    let status = Status::with_metadata(refusal_code(why), format!("{why}; nothing was changed"), metadata);
    explain::attach(status, why.code())
}

fn refusal_code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::Conflict {
            expected: Expect::Absent,
            ..
        }
        | Refusal::NumberTaken { .. }
        | Refusal::InUse { .. } => Code::AlreadyExists,
        Refusal::Conflict { actual: None, .. } | Refusal::NotFound { .. } => Code::NotFound,
        Refusal::Conflict { .. } => Code::Aborted,
        Refusal::Invalid { .. } => Code::InvalidArgument,
        Refusal::InBatch { why, .. } => refusal_code(why),
        Refusal::UserMissing { .. }
        | Refusal::SessionEnded { .. }
        | Refusal::BoundElsewhere { .. }
        | Refusal::RealmBound { .. }
        | Refusal::Forgotten => Code::FailedPrecondition,
    }
}

/// A write that was not acknowledged.
pub(crate) fn not_proposed(error: &ProposeError) -> Status {
    let code = match error {
        ProposeError::OutcomeUnknown { .. } => Code::DeadlineExceeded,
        ProposeError::NoLeader | ProposeError::Stopped(_) => Code::Unavailable,
        ProposeError::Overloaded { .. } | ProposeError::LowSpace { .. } => Code::ResourceExhausted,
        ProposeError::TooLarge { .. } => Code::InvalidArgument,
        ProposeError::Refused(_) | ProposeError::FeatureLevel { .. } => Code::FailedPrecondition,
    };
    explain::attach(Status::new(code, error.to_string()), error.code())
}

/// A read that could not be as fresh as asked.
pub(crate) fn not_read(error: &ReadError) -> Status {
    match error {
        ReadError::Store(error) => damaged(error),
        ReadError::Overloaded { .. } => Status::resource_exhausted(error.to_string()),
        ReadError::NoQuorum | ReadError::Behind { .. } | ReadError::Stopped(_) => {
            explain::attach(Status::unavailable(error.to_string()), error.code())
        }
    }
}

/// The members were not changed.
pub(crate) fn not_changed(error: &MembersError) -> Status {
    let code = match error {
        MembersError::Refused(_) => Code::FailedPrecondition,
        MembersError::NoLeader | MembersError::Stopped(_) => Code::Unavailable,
        MembersError::OutcomeUnknown(_) => Code::DeadlineExceeded,
    };
    explain::attach(Status::new(code, error.to_string()), error.code())
}

/// Another member did not answer.
pub(crate) fn not_answered(error: &AskError) -> Status {
    let code = match error {
        AskError::NotAMember(_) => Code::NotFound,
        AskError::Unreachable(_) => Code::Unavailable,
        AskError::Removed(_) | AskError::Lost(_) => Code::PermissionDenied,
        AskError::NotUnderstood | AskError::Failed(_) => Code::FailedPrecondition,
    };
    explain::attach(Status::new(code, error.to_string()), error.code())
}

/// The store failed; the text says what to do.
pub(crate) fn damaged(error: &StoreError) -> Status {
    if let StoreError::Sealed { .. } = error {
        return explain::attach(Status::failed_precondition(error.to_string()), error.code());
    }
    explain::attach(Status::data_loss(error.to_string()), error.code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fed_core::command::Object;
    use fed_core::ids::{Revision, UserId};

    #[test]
    fn a_refusal_of_several_changes_speaks_of_the_one_that_was_refused() {
        let why = Refusal::NotFound {
            object: Object::User(UserId::new("alice").unwrap()),
        };
        let status = refused_together(&Refusal::InBatch {
            index: 1,
            why: Box::new(why),
        });
        assert!(status.message().starts_with("user alice does not exist"), "{status}");
        assert!(status.message().ends_with("nothing was changed"), "{status}");
        assert_eq!(status.metadata().get("refused-change").unwrap(), "1");
    }

    #[test]
    fn each_kind_of_refusal_has_its_own_code() {
        let alice = Object::User(UserId::new("alice").unwrap());
        let conflict = |expected, actual| Refusal::Conflict {
            object: alice.clone(),
            expected,
            actual,
        };
        for (refusal, code) in [
            (conflict(Expect::Absent, Some(Revision(3))), Code::AlreadyExists),
            (
                conflict(Expect::Revision(Revision(2)), Some(Revision(3))),
                Code::Aborted,
            ),
            (conflict(Expect::Revision(Revision(2)), None), Code::NotFound),
            (Refusal::NotFound { object: alice.clone() }, Code::NotFound),
            (
                Refusal::InBatch {
                    index: 1,
                    why: Box::new(Refusal::NotFound { object: alice.clone() }),
                },
                Code::NotFound,
            ),
        ] {
            let status = refused(&refusal);
            assert_eq!(status.code(), code);
            assert!(status.message().contains("alice"), "{status}");
        }
    }
}
