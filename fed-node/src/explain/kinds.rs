//! Which code each kind of error has. No match has a rest: whoever adds a kind of error is told here to give it a code.

use fed_ari::bridge::BridgeFault;
use fed_ari::client::AriError;
use fed_ari::stanzas::StanzaError;
use fed_core::command::{Expect, Refusal};
use fed_core::kv::StoreError;
use fed_raft::{AskError, MembersError, ProposeError, ReadError, StartError};
use tonic::Status;
use tonic::codegen::http::{HeaderMap, HeaderValue};
use tonic::metadata::MetadataValue;

use super::Code;
use crate::config::{ConfigError, ConfigErrors};
use crate::install::InstallError;
use crate::redirect;
use crate::run::RunError;
use crate::security::{BadToken, FileError};

/// An error with a code.
pub trait Coded {
    /// The code of its kind.
    fn code(&self) -> Code;
}

/// Where a gRPC status carries its code.
const METADATA: &str = "fed-code";

/// The status with a code, for clients to show.
#[must_use]
pub fn attach(mut status: Status, code: Code) -> Status {
    if let Ok(value) = MetadataValue::try_from(code.to_string()) {
        status.metadata_mut().insert(METADATA, value);
    }
    status
}

/// Gives the answer that refuses a call without a code the one that its gRPC code stands for: whoever is refused can look up why.
pub fn complete(headers: &mut HeaderMap) {
    if headers.contains_key(METADATA) {
        return;
    }
    let refused = Status::from_header_map(headers).filter(|status| status.code() != tonic::Code::Ok);
    if let Some(code) = refused.map(|status| of_status(&status))
        && let Ok(value) = HeaderValue::try_from(code.to_string())
    {
        headers.insert(METADATA, value);
    }
}

/// The code that the node gave a status, or that its gRPC code stands for.
#[must_use]
pub fn of_status(status: &Status) -> Code {
    let given = status.metadata().get(METADATA).and_then(|value| value.to_str().ok());
    if let Some(code) = given.and_then(|text| text.parse().ok()) {
        return code;
    }
    let broke = std::error::Error::source(status).is_some();
    match status.code() {
        tonic::Code::Unimplemented => Code::NotAClientApi,
        _ if broke => Code::ConnectionBroke,
        tonic::Code::InvalidArgument | tonic::Code::OutOfRange => Code::Malformed,
        tonic::Code::NotFound => Code::NotFound,
        tonic::Code::AlreadyExists => Code::AlreadyThere,
        tonic::Code::Aborted => Code::ChangedMeanwhile,
        tonic::Code::FailedPrecondition => Code::Refused,
        tonic::Code::ResourceExhausted => Code::Overloaded,
        tonic::Code::Unavailable => Code::Unavailable,
        tonic::Code::DeadlineExceeded | tonic::Code::Cancelled | tonic::Code::Unknown => Code::OutcomeUnknown,
        tonic::Code::DataLoss => Code::StoreDamaged,
        tonic::Code::Unauthenticated => Code::NotAuthenticated,
        tonic::Code::PermissionDenied => Code::RoleTooSmall,
        _ => Code::Failed,
    }
}

impl Coded for Refusal {
    fn code(&self) -> Code {
        match self {
            Self::Conflict {
                expected: Expect::Absent,
                ..
            } => Code::AlreadyThere,
            Self::Conflict { actual: None, .. } | Self::NotFound { .. } => Code::ObjectMissing,
            Self::Conflict { .. } => Code::ChangedMeanwhile,
            Self::NumberTaken { .. } => Code::NumberTaken,
            Self::UserMissing { .. } => Code::UserMissing,
            Self::SessionEnded { .. } => Code::SessionEnded,
            Self::Invalid { .. } => Code::FieldInvalid,
            Self::InUse { .. } => Code::NameInUse,
            Self::BoundElsewhere { .. } => Code::BoundElsewhere,
            Self::InBatch { why, .. } => why.code(),
            Self::Forgotten => Code::RequestForgotten,
            Self::RealmBound { .. } => Code::RealmBound,
        }
    }
}

impl Coded for ProposeError {
    fn code(&self) -> Code {
        match self {
            Self::OutcomeUnknown { .. } => Code::WriteUnknown,
            Self::NoLeader => Code::NoLeader,
            Self::Overloaded { .. } => Code::Overloaded,
            Self::LowSpace { .. } => Code::LowSpace,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::FeatureLevel { .. } => Code::LevelTooLow,
            Self::Refused(_) => Code::CommandUnreadable,
            Self::Stopped(_) => Code::Stopping,
        }
    }
}

impl Coded for ReadError {
    fn code(&self) -> Code {
        match self {
            Self::NoQuorum => Code::ReadNoQuorum,
            Self::Behind { .. } => Code::ReadBehind,
            Self::Overloaded { .. } => Code::Overloaded,
            Self::Store(error) => error.code(),
            Self::Stopped(_) => Code::Stopping,
        }
    }
}

impl Coded for StoreError {
    fn code(&self) -> Code {
        match self {
            Self::Sealed { .. } => Code::CredentialSealed,
            _ => Code::StoreDamaged,
        }
    }
}

impl Coded for MembersError {
    fn code(&self) -> Code {
        match self {
            Self::Refused(_) => Code::MembersRefused,
            Self::NoLeader => Code::MembersNoLeader,
            Self::OutcomeUnknown(_) => Code::MembersUnknown,
            Self::Stopped(_) => Code::Stopping,
        }
    }
}

impl Coded for AskError {
    fn code(&self) -> Code {
        match self {
            Self::NotAMember(_) => Code::NoMember,
            Self::Unreachable(_) => Code::MemberUnreachable,
            Self::Removed(_) => Code::NodeRemoved,
            Self::Lost(_) => Code::FolderOutOfDate,
            Self::NotUnderstood => Code::MemberTooOld,
            Self::Failed(_) => Code::MemberFailed,
        }
    }
}

impl Coded for StartError {
    fn code(&self) -> Code {
        match self {
            Self::Config(_) => Code::SettingUnusable,
            Self::Empty(_) => Code::FolderEmpty,
            Self::Occupied { .. } => Code::FolderOccupied,
            Self::OtherNode { .. } => Code::FolderOfOtherNode,
            Self::OtherName { .. } => Code::CertificateOfOther,
            Self::Mixed { .. } => Code::FolderMixed,
            Self::Wiped { .. } => Code::FolderWiped,
            Self::InUse(_) => Code::FolderInUse,
            Self::NewerFormat { .. } => Code::FormatNewer,
            Self::NewerLevel { .. } => Code::LevelNewer,
            Self::Damaged { .. } => Code::FolderDamaged,
            Self::Listen { .. } => Code::PeerAddressTaken,
            Self::Io { .. } => Code::FolderUnusable,
            Self::Join { .. } => Code::JoinRefused,
            Self::Unfinished(_) => Code::RecoveryUnfinished,
            Self::NothingToRecover(_) => Code::NothingToRecover,
            Self::Core(_) => Code::CoreFailed,
        }
    }
}

impl Coded for RunError {
    fn code(&self) -> Code {
        match self {
            Self::Cluster(error) => error.code(),
            Self::Api(_) => Code::ClientAddressTaken,
            Self::Redirect(error) => match error {
                redirect::StartError::Address { .. } | redirect::StartError::Bind { .. } => Code::RedirectAddressTaken,
            },
            Self::Agi { .. } => Code::AgiAddressTaken,
            Self::Asterisk(error) => error.code(),
            Self::NoPassword { .. } => Code::AriPasswordMissing,
            Self::Security(error) => error.code(),
            Self::File { .. } => Code::FolderUnusable,
            Self::Secret(_) => Code::SecretsUnusable,
        }
    }
}

impl Coded for FileError {
    fn code(&self) -> Code {
        Code::CertificateUnusable
    }
}

impl Coded for BadToken {
    fn code(&self) -> Code {
        Code::TokenUnusable
    }
}

impl Coded for ConfigError {
    fn code(&self) -> Code {
        match self {
            Self::Unreadable { .. } | Self::Syntax { .. } => Code::ConfigUnreadable,
            Self::UnknownKey { .. } => Code::ConfigUnknownKey,
            Self::BadValue { .. } => Code::ConfigBadValue,
            Self::Contradiction { .. } => Code::ConfigContradiction,
        }
    }
}

impl Coded for ConfigErrors {
    /// That of the first: the text has them all.
    fn code(&self) -> Code {
        self.0.first().map_or(Code::ConfigUnreadable, Coded::code)
    }
}

impl Coded for AriError {
    fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } => Code::AriUnreachable,
            Self::Unauthorized { .. } => Code::AriUnauthorized,
            Self::NotFound { .. } => Code::AriMissing,
            Self::Refused { .. } => Code::AriRefused,
            Self::Timeout { .. } => Code::AriTimeout,
            Self::Malformed { .. } => Code::AriMalformed,
        }
    }
}

impl Coded for BridgeFault {
    fn code(&self) -> Code {
        match self {
            Self::NoAri(_) => Code::AriUnreachable,
            Self::Refused(_) => Code::AriUnauthorized,
            Self::MissingMapping { .. } => Code::MappingMissing,
            Self::NameTaken { .. } => Code::ObjectInFile,
            Self::Object { .. } => Code::ObjectRefused,
            Self::SecondFedNode { .. } => Code::SecondFedNode,
            Self::ApplicationTaken { .. } => Code::ApplicationTaken,
            Self::UnknownNode { .. } => Code::NodeNotInMap,
            Self::Map(_) => Code::MapTakesNoChange,
            Self::Unresponsive { .. } => Code::AsteriskSilent,
        }
    }
}

impl Coded for StanzaError {
    fn code(&self) -> Code {
        match self {
            Self::SectionTaken { .. } => Code::SectionTaken,
            Self::MappedElsewhere { .. } => Code::MappedElsewhere,
            Self::Unsafe { .. } => Code::UnsafeName,
            Self::OpenComment { .. } => Code::AsteriskFileUnusable,
            Self::BrokenMarkers { .. } => Code::BrokenMarkers,
        }
    }
}

impl Coded for InstallError {
    fn code(&self) -> Code {
        match self {
            Self::Stanza(error) => error.code(),
            Self::File { .. } => Code::AsteriskFileUnusable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_travels_with_a_status() {
        let status = attach(Status::unavailable("no leader"), ProposeError::NoLeader.code());
        assert_eq!(of_status(&status), Code::NoLeader);
        assert_eq!(status.code(), tonic::Code::Unavailable);
    }

    #[test]
    fn an_answer_that_refuses_is_given_a_code_and_keeps_one_that_it_has() {
        let completed = |status: Status| {
            let mut headers = status.into_http::<()>().headers().clone();
            complete(&mut headers);
            headers.get(METADATA).map(|value| value.to_str().unwrap().to_owned())
        };
        let code = |code: Code| Some(code.to_string());
        assert_eq!(completed(Status::unauthenticated("who?")), code(Code::NotAuthenticated));
        let lost = attach(Status::unavailable("no leader"), Code::NoLeader);
        assert_eq!(completed(lost), code(Code::NoLeader));
        assert_eq!(completed(Status::ok("done")), None);
        complete(&mut HeaderMap::new());
    }

    #[test]
    fn every_grpc_code_stands_for_a_code() {
        for number in 1..=16 {
            // Whatever a node says without a code of ours is explained too.
            let _ = of_status(&Status::new(tonic::Code::from_i32(number), "words"));
        }
        assert_eq!(of_status(&Status::not_found("")), Code::NotFound);
        assert_eq!(of_status(&Status::unimplemented("")), Code::NotAClientApi);
        assert_eq!(of_status(&Status::deadline_exceeded("")), Code::OutcomeUnknown);
    }
}
