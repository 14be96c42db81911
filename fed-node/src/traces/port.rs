//! The map's port with a clock beside it: when a registration was seen, proposed and committed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use fed_ari::port::{MapPort, MapSnapshot, MapWatch, PortError, Proposed, seen_at};
use fed_core::command::Command;
use fed_core::ids::{NodeId, Revision, SessionId};
use tokio::sync::mpsc;

use super::story::{Committed, Subject};

/// A port that tells what was committed through it.
pub(super) struct Traced {
    port: Arc<dyn MapPort>,
    committed: mpsc::Sender<Committed>,
}

impl Traced {
    pub(super) fn new(port: Arc<dyn MapPort>, committed: mpsc::Sender<Committed>) -> Self {
        Self { port, committed }
    }

    fn tell(&self, subject: Option<Subject>, proposed: SystemTime, answer: &Proposed) {
        let Some(subject) = subject else { return };
        let committed = Committed {
            revision: answer.revision,
            subject,
            seen: seen_at(),
            proposed,
            committed: SystemTime::now(),
        };
        // A trace is missing then, and nothing else.
        let _ = self.committed.try_send(committed);
    }
}

#[async_trait]
impl MapPort for Traced {
    fn here(&self) -> NodeId {
        self.port.here()
    }

    fn applied(&self) -> Revision {
        self.port.applied()
    }

    fn local(&self) -> MapSnapshot {
        self.port.local()
    }

    async fn linearizable(&self, budget: Duration) -> Result<MapSnapshot, PortError> {
        self.port.linearizable(budget).await
    }

    async fn propose(&self, command: Command) -> Result<Proposed, PortError> {
        let (subject, proposed) = (Subject::of(&command), SystemTime::now());
        let answer = self.port.propose(command).await?;
        self.tell(subject, proposed, &answer);
        Ok(answer)
    }

    async fn propose_many(&self, commands: Vec<Command>) -> Result<Vec<Proposed>, PortError> {
        let subjects: Vec<Option<Subject>> = commands.iter().map(Subject::of).collect();
        let proposed = SystemTime::now();
        let answers = self.port.propose_many(commands).await?;
        for (subject, answer) in subjects.into_iter().zip(&answers) {
            self.tell(subject, proposed, answer);
        }
        Ok(answers)
    }

    fn watch(&self, from: Revision) -> Box<dyn MapWatch> {
        self.port.watch(from)
    }

    async fn keep_alive(&self, session: SessionId) -> Result<(), PortError> {
        self.port.keep_alive(session).await
    }
}
