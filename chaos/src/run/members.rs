//! Changes of the members: nodes come, leave, die for good, and are interrupted while they leave.

use std::time::{Duration, Instant};

use fed_proto::client as pb;

use super::RunFailure;
use super::client::connect;
use super::director::Director;
use super::done::{Done, names};
use super::journal::Entry;
use super::roles::Roles;
use crate::plan::{Cover, Selector};
use crate::process::Access;

/// How long a change of the members may take.
const PATIENCE: Duration = Duration::from_secs(20);

impl Director<'_> {
    pub(super) fn add(&mut self) -> Result<Done, RunFailure> {
        let node = self.arena.add(self.runtime)?;
        let mut done = Done::of(format!("n{} joined", node + 1));
        done.cover.push(Cover::Joined);
        Ok(done)
    }

    /// The node itself is asked to leave, as its administrator would.
    pub(super) fn remove(&mut self, who: Selector, roles: &Roles) -> Result<Done, RunFailure> {
        let node = self.hit_one(who, roles)?;
        let mut done = Done::of(format!("n{} left", node + 1));
        done.at_ns = Some(self.journal.now_ns());
        if roles.leader.is_some_and(|(leader, _)| leader == node) {
            done.cover.push(Cover::LeaderRemoved);
            done.words.push_str(", and led until then");
        }
        self.leave(node)?;
        Ok(done)
    }

    pub(super) fn replace(&mut self, who: Selector, roles: &Roles) -> Result<Done, RunFailure> {
        let node = self.hit_one(who, roles)?;
        let at_ns = self.journal.now_ns();
        let new = self.take_the_place_of(node)?;
        let mut done = Done::of(format!("n{} died and was replaced by n{}", node + 1, new + 1));
        done.at_ns = Some(at_ns);
        done.cover.push(Cover::Joined);
        if roles.leader.is_some_and(|(leader, _)| leader == node) {
            done.cover.push(Cover::LeaderKilled);
        }
        Ok(done)
    }

    /// Kills a node for good, has it taken out by another, and lets a new one join; the new one.
    pub(super) fn take_the_place_of(&mut self, node: usize) -> Result<usize, RunFailure> {
        self.take_out(node)?;
        self.arena.add(self.runtime)
    }

    /// Kills a node for good and has it taken out by another.
    pub(super) fn take_out(&mut self, node: usize) -> Result<(), RunFailure> {
        let id = self.id_of(node);
        self.arena.kill(node);
        self.arena.nodes[node].member = false;
        let deadline = Instant::now() + PATIENCE;
        // Others refuse while its session lives, and while they have no leader.
        while let Err(why) = self.ask_any_to_remove(id) {
            if Instant::now() > deadline {
                self.broken(format!(
                    "n{} died and could not be taken out within {PATIENCE:?}: {why}",
                    node + 1
                ));
                break;
            }
            self.wait_until(Instant::now() + Duration::from_millis(200))?;
        }
        Ok(())
    }

    /// A node begins to leave, the leader dies meanwhile and comes back, and the node is told again until it has left.
    pub(super) fn interrupted_remove(
        &mut self,
        who: Selector,
        after_ms: u64,
        roles: &Roles,
    ) -> Result<Done, RunFailure> {
        let node = self.hit_one(who, roles)?;
        let Some((leader, _)) = roles.leader else {
            return Err(RunFailure::Plan(
                "a change is to be interrupted, and nobody leads".into(),
            ));
        };
        let at_ns = self.journal.now_ns();
        let address = self.arena.nodes[node].process.access();
        self.arena.nodes[node].wanted = false;
        let leaving = self.runtime.spawn(ask_to_remove(address.clone(), 0));
        std::thread::sleep(Duration::from_millis(after_ms));
        // The answer may come from the next leader, so what counts is that there is none yet.
        let interrupted = node != leader && !leaving.is_finished();
        self.arena.kill(leader);
        let first = self.runtime.block_on(leaving);
        let first = match first {
            Ok(Ok(())) if interrupted => "and then was told that it had left".to_owned(),
            Ok(Ok(())) => "it had left by then".to_owned(),
            Ok(Err(why)) => why,
            Err(error) => error.to_string(),
        };
        self.wait_until(Instant::now() + Duration::from_millis(800))?;
        self.arena.start_node(leader)?;
        if node != leader {
            self.leave(node)?;
        }
        let mut done = Done::of(format!(
            "n{} began to leave, {} was killed after {after_ms} ms ({first}), then it left",
            node + 1,
            names(&[leader])
        ));
        done.at_ns = Some(at_ns);
        done.cover.push(Cover::LeaderKilled);
        if interrupted {
            done.cover.push(Cover::ChangeInterrupted);
        }
        Ok(done)
    }

    /// Tells a node to leave until its process has ended.
    fn leave(&mut self, node: usize) -> Result<(), RunFailure> {
        let address = self.arena.nodes[node].process.access();
        self.arena.nodes[node].wanted = false;
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::new();
        loop {
            if self.arena.nodes[node].process.process().check().is_err() {
                self.arena.kill(node);
                self.arena.nodes[node].member = false;
                return Ok(());
            }
            if Instant::now() > deadline {
                self.broken(format!("n{} could not leave within {PATIENCE:?}: {last}", node + 1));
                self.arena.nodes[node].wanted = true;
                return Ok(());
            }
            if let Err(why) = self.runtime.block_on(ask_to_remove(address.clone(), 0)) {
                last = why;
            }
            self.wait_until(Instant::now() + Duration::from_millis(100))?;
        }
    }

    fn ask_any_to_remove(&mut self, id: u64) -> Result<(), String> {
        let mut last = "nobody runs".to_owned();
        for (_, address) in self.arena.clients_addresses() {
            match self.runtime.block_on(ask_to_remove(address, id)) {
                Ok(()) => return Ok(()),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    fn id_of(&self, node: usize) -> u64 {
        let recent = self.journal.recent(i64::MAX);
        recent
            .iter()
            .find(|sample| sample.node == node + 1)
            .map_or(0, |sample| sample.id)
    }

    fn broken(&self, words: String) {
        self.journal.write(Entry::Broken {
            at_ns: self.journal.now_ns(),
            words,
        });
    }
}

async fn ask_to_remove(address: Access, id: u64) -> Result<(), String> {
    let mut connection = connect(&address).await.ok_or("no connection")?;
    let request = pb::RemoveNodeRequest {
        id,
        ..pb::RemoveNodeRequest::default()
    };
    let asked = connection.remove_node(request);
    match tokio::time::timeout(Duration::from_secs(8), asked).await {
        Ok(Ok(_)) => Ok(()),
        // Taken out already, by a try whose answer was lost.
        Ok(Err(status)) if status.code() == tonic::Code::NotFound => Ok(()),
        Ok(Err(status)) => Err(format!("{:?}: {}", status.code(), status.message())),
        Err(_) => Err("no answer within 8 s".to_owned()),
    }
}
