//! Applying: log entries become one write to the state, then a view, then events, then answers.

use std::io;
use std::sync::Arc;

use fed_core::kv::Overlay;
use fed_core::machine::{Machine, Outcome, apply_batch};
use openraft::storage::ApplyResponder;

use super::{State, View};
use crate::batch::{self, Content, Proposed};
use crate::raft::stored::StoredMembers;
use crate::raft::{Applied, Entry, Membership, Payload, TypeConfig};

/// An entry with whoever waits for it.
pub(super) type Item = (Entry, Option<ApplyResponder<TypeConfig>>);

impl<M: Machine> State<M> {
    /// Applies the entries in one write. Nothing of them is visible before all of them are.
    pub(super) fn apply(&self, items: Vec<Item>) -> io::Result<()> {
        let failed = |what: String| io::Error::other(what);
        let _turn = self.turn.lock();
        let generation = self.generation.read().clone();
        let mut new_meta = self.meta.lock().clone();
        let mut overlay = Overlay::new(&*generation);
        let mut happened = Vec::new();
        let mut answers = Vec::with_capacity(items.len());
        #[cfg(feature = "simulation")]
        let seen = items.iter().map(|(entry, _)| crate::witness::Note::of(entry)).collect();
        for (entry, responder) in items {
            let index = entry.log_id.index;
            let answer = match entry.payload {
                Payload::Blank => Applied::Nothing,
                Payload::Membership(members) => {
                    retire(&mut new_meta.retired, new_meta.members.take(), &members);
                    new_meta.members_at = Some(entry.log_id.into());
                    new_meta.members = Some(StoredMembers::from(&members));
                    Applied::Nothing
                }
                Payload::Normal(requests) => {
                    let content = batch::split::<M>(&requests);
                    let requests = match content.map_err(|e| failed(format!("log entry {index}: {e}")))? {
                        Content::Requests(requests) => requests,
                        Content::RaiseLevel(level) => {
                            self.check_level(level).map_err(failed)?;
                            new_meta.feature_level = new_meta.feature_level.max(level);
                            Vec::new()
                        }
                    };
                    #[cfg(feature = "planted-bugs")]
                    let requests = renamed(index, requests);
                    let outcomes = apply_batch(&*self.machine, &mut overlay, requests)
                        .map_err(|e| failed(format!("applying log entry {index}: {e}")))?;
                    let mut replies = Vec::with_capacity(outcomes.len());
                    for outcome in outcomes {
                        let Outcome {
                            reply,
                            revision,
                            events,
                            duplicate,
                        } = outcome;
                        if !events.is_empty() {
                            happened.push((revision, events));
                        }
                        replies.push(Proposed {
                            reply,
                            revision,
                            duplicate,
                        });
                    }
                    Applied::Answers(Box::new(replies))
                }
            };
            new_meta.applied = Some(entry.log_id.into());
            if let Some(responder) = responder {
                answers.push((responder, answer));
            }
        }
        let changes = overlay.into_changes();
        generation.write(changes, &new_meta).map_err(failed)?;
        *self.meta.lock() = new_meta.clone();
        self.publish(generation, &new_meta)?;
        #[cfg(feature = "simulation")]
        self.tell_applied(seen)?;
        self.hub.push(happened, self.revision());
        for (responder, answer) in answers {
            responder.send(answer);
        }
        Ok(())
    }

    #[cfg(feature = "simulation")]
    fn tell_applied(&self, entries: Vec<crate::witness::Note>) -> io::Result<()> {
        let view = self.view();
        let hash = fed_core::machine::state_hash(&*view).map_err(io::Error::other)?;
        let revision = view.revision().0;
        let applied = crate::witness::Happened::Applied {
            entries,
            revision,
            hash,
        };
        crate::witness::saw(self.identity.node.0, applied);
        Ok(())
    }

    /// Lets readers see what was written.
    pub(super) fn publish(&self, generation: Arc<super::Generation>, meta: &super::StoredMeta) -> io::Result<()> {
        let view = View::take(generation, meta).map_err(io::Error::other)?;
        self.view.send_replace(Arc::new(view));
        Ok(())
    }
}

/// The planted bug: no request has the name of another, not even of itself.
#[cfg(feature = "planted-bugs")]
fn renamed<C>(index: u64, mut requests: Vec<fed_core::machine::Request<C>>) -> Vec<fed_core::machine::Request<C>> {
    if crate::planted::is("no-dedup") {
        for (number, request) in requests.iter_mut().enumerate() {
            request.client = fed_core::ids::ClientId(u128::from(index));
            request.sequence = number as u64 + 1;
        }
    }
    requests
}

/// Remembers the members that are no longer there.
fn retire(retired: &mut std::collections::BTreeSet<u64>, before: Option<StoredMembers>, now: &Membership) {
    let Some(Ok(before)) = before.map(StoredMembers::membership) else {
        return;
    };
    retired.extend(
        before
            .nodes()
            .map(|(&id, _)| id)
            .filter(|id| now.get_node(id).is_none()),
    );
}

#[cfg(all(test, not(feature = "simulation")))]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::time::Duration;

    use fed_core::ids::{ClientId, NodeId, Revision, SessionId};
    use fed_core::kv::{ReadStore, StoreError, WriteStore};
    use parking_lot::Mutex;

    use super::*;
    use crate::identity::{ClusterId, Identity};
    use crate::metrics::Metrics;
    use crate::raft::log_id;

    /// Says that it applies, and waits for a word.
    struct Held {
        applying: SyncSender<()>,
        go_on: Mutex<Receiver<()>>,
    }

    impl Machine for Held {
        type Command = ();
        type Reply = ();
        type Event = ();

        fn apply(&self, _: Revision, (): (), _: &mut dyn WriteStore, _: &mut Vec<()>) -> Result<(), StoreError> {
            self.applying.send(()).expect("the test listens");
            self.go_on.lock().recv().expect("the test says so");
            Ok(())
        }

        fn forgotten(&self) {}

        fn open_sessions(&self, _: &dyn ReadStore) -> Result<Vec<SessionId>, StoreError> {
            Ok(Vec::new())
        }

        fn end_session(&self, _: SessionId) {}
    }

    #[test]
    fn what_peers_and_proposals_ask_does_not_wait_for_an_apply() {
        let folder = tempfile::tempdir().expect("a folder");
        let identity = Identity {
            cluster: ClusterId(1),
            node: NodeId(0),
            incarnation: 1,
            founder: true,
            seeds: Vec::new(),
        };
        crate::state::create(folder.path(), &identity).expect("a new state");
        let (applying, applies) = sync_channel(1);
        let (go_on, told) = sync_channel(1);
        let machine = Held {
            applying,
            go_on: Mutex::new(told),
        };
        let state = State::open(folder.path(), &identity, machine, 16, Arc::new(Metrics::new())).expect("opens");
        let request = batch::encode_request::<Held>(ClientId(1), 1, ()).expect("encodes");
        let entry = Entry {
            log_id: log_id(1, 0, 1),
            payload: Payload::Normal(batch::join([request].iter())),
        };
        std::thread::scope(|scope| {
            let applied = scope.spawn(|| state.apply(vec![(entry, None)]));
            applies.recv().expect("it applies");
            let (answer, answers) = sync_channel(1);
            scope.spawn({
                let state = &state;
                move || answer.send((state.is_retired(7), state.feature_level()))
            });
            let answered = answers.recv_timeout(Duration::from_secs(10));
            go_on.send(()).expect("it waits");
            assert_eq!(answered, Ok((false, 1)), "answered while the apply went on");
            applied.join().expect("no panic").expect("applied");
        });
    }
}
