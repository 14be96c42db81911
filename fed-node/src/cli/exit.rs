//! How a command ends: what went wrong in words, and the exit code for scripts.

use std::fmt;

use tonic::{Code, Status};

use crate::address::Address;
use crate::explain::{self, Coded};

/// Shown by `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed for another reason
  2  usage, configuration or input is wrong; nothing was tried
  3  refused by a rule of the federation, or for want of a token with the right role; nothing was changed
  4  there is no such object
  5  no quorum, or the node cannot be reached; nothing was changed
  6  outcome unknown: the change may or may not have happened; look before repeating it
  7  drift was found
  8  no drift was found, but not every node could be compared
  9  doctor, check: something should be mended
 10  doctor, check: something is broken
 70  run: the disk or the log failed, and the node stopped before it could acknowledge what is not safe; start it again

Errors end with a code such as [FED-0080]: `fed-node explain FED-0080` says what it means, what causes it and what mends it.
With -o json, stdout holds nothing but JSON. What went wrong is always text on stderr, and the exit code says which kind.";

/// The exit codes, by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 1
    Failed,
    /// 2
    Usage,
    /// 3
    Refused,
    /// 4
    NotFound,
    /// 5
    Unavailable,
    /// 6
    Unknown,
    /// 7
    Drift,
    /// 8
    Incomplete,
    /// 9
    Warned,
    /// 10
    Broken,
}

impl Exit {
    /// The number for the system.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::NotFound => 4,
            Self::Unavailable => 5,
            Self::Unknown => 6,
            Self::Drift => 7,
            Self::Incomplete => 8,
            Self::Warned => 9,
            Self::Broken => 10,
        }
    }

    /// What is said where nothing more exact is known.
    fn explained(self) -> explain::Code {
        match self {
            Self::Failed => explain::Code::Failed,
            Self::Usage => explain::Code::Usage,
            Self::Refused => explain::Code::Refused,
            Self::NotFound => explain::Code::NotFound,
            Self::Unavailable => explain::Code::Unavailable,
            Self::Unknown => explain::Code::OutcomeUnknown,
            Self::Drift => explain::Code::DriftFound,
            Self::Incomplete => explain::Code::NotAllCompared,
            Self::Warned => explain::Code::CheckWarned,
            Self::Broken => explain::Code::CheckFailed,
        }
    }
}

/// A command that did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// Its exit code.
    pub exit: Exit,
    /// Which kind of error it is; `fed-node explain` has more.
    pub code: explain::Code,
    /// What went wrong, with what and what to do. Empty: it has been said already.
    pub message: String,
}

/// What a command gives back.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with its words.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self {
            exit,
            code: exit.explained(),
            message: message.to_string(),
        }
    }

    /// The same, of a more exact kind than its exit code tells.
    #[must_use]
    pub fn coded(self, code: explain::Code) -> Self {
        Self { code, ..self }
    }

    /// A failure with the words and the code of an error.
    pub fn of(exit: Exit, error: &(impl fmt::Display + Coded)) -> Self {
        Self::new(exit, error).coded(error.code())
    }

    /// Wrong usage, configuration or input.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Any other failure.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }
}

impl Failure {
    /// What a call that only reads met: its outcome is never unknown, there was nothing to happen.
    pub(crate) fn of_read(status: Status) -> Self {
        let failure = Self::from(status);
        match failure.exit {
            Exit::Unknown => {
                let code = match failure.code {
                    explain::Code::OutcomeUnknown => explain::Code::Unavailable,
                    code => code,
                };
                Self::new(Exit::Unavailable, failure.message).coded(code)
            }
            _ => failure,
        }
    }
}

impl fmt::Display for Failure {
    /// The words with the code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.code)
    }
}

/// Whether the node fell silent after the request had gone out: neither was there no connection, nor did the node turn it away.
fn broke_under_way(status: &Status) -> bool {
    let mut behind = std::iter::successors(std::error::Error::source(status), |error| error.source()).peekable();
    let turned_away = status.message().starts_with("h2 protocol error");
    behind.peek().is_some() && !turned_away && !behind.any(|error| error.is::<tonic::ConnectError>())
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let exit = match status.code() {
            Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => Exit::Usage,
            Code::AlreadyExists
            | Code::Aborted
            | Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::Unauthenticated => Exit::Refused,
            Code::NotFound => Exit::NotFound,
            Code::Unavailable if broke_under_way(&status) => Exit::Unknown,
            Code::Unavailable | Code::ResourceExhausted => Exit::Unavailable,
            // The connection broke, or the time was up, after the request had gone out.
            Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => Exit::Unknown,
            _ => Exit::Failed,
        };
        let innermost = std::iter::successors(std::error::Error::source(&status), |error| error.source()).last();
        let message = match innermost {
            _ if status.code() == Code::Unimplemented => {
                format!("what answers there does not know this call (its peer port, or an older fed-node?): {WHERE}")
            }
            Some(why) => format!("the connection broke: {why}; if it always does, {WHERE}"),
            None if status.message().is_empty() => format!("the node answered {:?} without a word", status.code()),
            None => status.message().to_owned(),
        };
        Self::new(exit, message).coded(explain::of_status(&status))
    }
}

impl Failure {
    /// Nobody answers at a client API's address, or nobody who speaks as a node does.
    #[must_use]
    pub fn unreachable(address: &Address, why: impl std::fmt::Display) -> Self {
        let text = format!(
            "no fed-node answers at {address}: {why}; start it with `fed-node run`, or name the client API of another (client.listen) with --server"
        );
        Self::new(Exit::Unavailable, text).coded(explain::Code::NoNodeThere)
    }
}

/// The remedy where something else than the client API answers.
const WHERE: &str = "name the client API with --server: the address of client.listen, port 7400 by default";

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_an_outage_and_an_unknown_outcome_are_told_apart() {
        let exit = |status: Status| Failure::from(status).exit.code();
        assert_eq!(exit(Status::already_exists("")), 3);
        assert_eq!(exit(Status::unavailable("")), 5);
        assert_eq!(exit(Status::deadline_exceeded("")), 6);
        let read = Failure::of_read(Status::deadline_exceeded("")).exit.code();
        assert_eq!(read, 5, "a read has no outcome to be unknown");
        for code in 1..=10 {
            assert!(EXIT_CODES.contains(&format!("\n{code:>3}  ")), "{code} is documented");
        }
    }

    #[test]
    fn a_node_that_fell_silent_may_have_made_the_change() {
        use std::sync::Arc;
        let behind = |source: Arc<dyn std::error::Error + Send + Sync>, words: &str| {
            let mut status = Status::unavailable(words);
            status.set_source(source);
            status
        };
        let silence = || Arc::new(std::io::Error::other("keep-alive timed out"));
        let exit = |status: Status| Failure::from(status).exit;
        assert_eq!(exit(behind(silence(), "http2 error")), Exit::Unknown);
        assert_eq!(
            Failure::of_read(behind(silence(), "http2 error")).exit,
            Exit::Unavailable
        );
        let turned_away = behind(silence(), "h2 protocol error: http2 error");
        assert_eq!(exit(turned_away), Exit::Unavailable, "the node has not begun with it");
        let nobody = Arc::new(tonic::ConnectError("refused".into()));
        assert_eq!(exit(behind(nobody, "tcp connect error")), Exit::Unavailable);
    }

    #[test]
    fn every_failure_is_shown_with_a_code() {
        let plain = Failure::usage("no such flag");
        assert_eq!(plain.to_string(), "no such flag [FED-0002]");
        let exact = Failure::of(Exit::Unavailable, &fed_raft::ProposeError::NoLeader);
        assert!(exact.to_string().ends_with("[FED-0080]"), "{exact}");
        let sent = explain::attach(Status::unavailable("nobody leads"), explain::Code::NoLeader);
        assert_eq!(Failure::from(sent).to_string(), "nobody leads [FED-0080]");
        let read = Failure::of_read(Status::deadline_exceeded("slow"));
        assert_eq!(read.to_string(), "slow [FED-0005]", "a read changes nothing");
    }
}
