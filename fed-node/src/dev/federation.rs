//! All nodes of a `dev` federation.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use fed_ari::sim::{CallOutcome, RegisterOutcome, SimVersion};
use fed_proto::client as pb;
use fed_raft::security::Connector;

use super::console::{HELP, Line};
use super::node::DevNode;
use crate::cli::{Bearer, Client, Failure, Outcome, ha1, realm};
use crate::config::Secret;

/// Users of a fresh `dev` federation, each with a device of the same name.
const USERS: [(&str, &str); 3] = [("alice", "1001"), ("bob", "1002"), ("carol", "1003")];

/// Longest wait for a simulated call, or for users to be pushed.
const CALL_WITHIN: Duration = Duration::from_secs(30);

/// A running federation; its folder is removed when it is dropped.
pub(super) struct DevFederation {
    nodes: Vec<DevNode>,
    root: Folder,
}

impl DevFederation {
    pub(super) async fn start(count: u8) -> Outcome<Self> {
        let root = Folder::new()?;
        let mut nodes: Vec<DevNode> = Vec::new();
        for index in 0..count {
            // Two of the newest for each old one: versions are always mixed.
            let version = if index % 3 == 2 {
                SimVersion::V16
            } else {
                SimVersion::V22
            };
            let mut node = DevNode::new(&root.0, format!("n{}", index + 1), version).await?;
            match nodes.first() {
                None => node.setup(&["init"]).await?,
                Some(first) => node.setup(&["join", &first.peer_address()]).await?,
            }
            node.start().await?;
            node.ready(|status| status.quorum).await?;
            nodes.push(node);
        }
        let mut federation = Self { nodes, root };
        federation.settle().await?;
        Ok(federation)
    }

    /// Waits until every node says that all nodes and their Asterisks are up.
    async fn settle(&mut self) -> Outcome {
        let count = self.nodes.len();
        for node in &mut self.nodes {
            node.ready(|status| status.quorum && status.members.iter().filter(|member| member.up).count() == count)
                .await?;
        }
        Ok(())
    }

    async fn client(&self) -> Outcome<Client> {
        let mut failed = Failure::failed("no node is running");
        for node in &self.nodes {
            match Client::connect(&node.client_address(), Connector::plain(), Bearer::default()).await {
                Ok(client) => return Ok(client),
                Err(failure) => failed = failure,
            }
        }
        Err(failed)
    }

    pub(super) async fn add_users(&self) -> Outcome {
        let client = self.client().await?;
        let realm = realm(&client).await?;
        let mut changes = Vec::new();
        for (id, number) in USERS {
            let user = pb::User {
                id: id.to_owned(),
                numbers: vec![number.to_owned()],
                ring: "all".to_owned(),
                ring_timeout_s: 30,
                ..pb::User::default()
            };
            let device = pb::Device {
                id: id.to_owned(),
                user: id.to_owned(),
                realm: realm.clone(),
                md5_ha1: ha1(id, &realm, &Secret::new(id)),
                max_contacts: 1,
                ..pb::Device::default()
            };
            use pb::change::What;
            changes.push(What::PutUser(pb::PutUserRequest {
                user: Some(user),
                expect: None,
            }));
            changes.push(What::PutDevice(pb::PutDeviceRequest {
                device: Some(device),
                expect: None,
            }));
        }
        let changes = changes
            .into_iter()
            .map(|what| pb::Change { what: Some(what) })
            .collect();
        client
            .api
            .clone()
            .write(pb::WriteManyRequest {
                changes,
                all_or_nothing: true,
                dry_run: false,
            })
            .await?;
        self.ready_to_register().await
    }

    /// Waits until every user can register at every node.
    async fn ready_to_register(&self) -> Outcome {
        let deadline = tokio::time::Instant::now() + CALL_WITHIN;
        let there = |node: &DevNode| {
            USERS
                .iter()
                .all(|(id, _)| node.asterisk.object("endpoint", id).is_some())
        };
        while let Some(node) = self.nodes.iter().find(|node| !there(node)) {
            if tokio::time::Instant::now() > deadline {
                return Err(Failure::failed(format!(
                    "the users did not reach the Asterisk of {}",
                    node.name
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// What runs, and what to try.
    pub(super) fn welcome(&self) -> String {
        let mut text = String::from("a federation is up:\n");
        for node in &self.nodes {
            let _ = writeln!(
                text,
                "  {}  Asterisk {} (simulated, SIP {})  --server {}",
                node.name,
                node.version.branch(),
                node.asterisk.sip_address(),
                node.client_address()
            );
        }
        let users: Vec<String> = USERS.iter().map(|(id, number)| format!("{id} ({number})")).collect();
        let _ = writeln!(text, "users: {}; logs in {}", users.join(", "), self.root.0.display());
        let server = self
            .nodes
            .last()
            .map(|node| node.client_address().to_string())
            .unwrap_or_default();
        let _ = write!(
            text,
            "try, in another terminal:\n\
             \x20 export FED_SERVER=http://{server}\n\
             \x20 fed-node status\n\
             \x20 fed-node watch\n\
             \x20 fed-node where alice\n\
             \x20 fed-node route 1001 --explain\n\
             \x20 fed-node drift\n\
             and here:\n{HELP}"
        );
        text
    }

    pub(super) async fn obey(&mut self, line: Line) -> Outcome<String> {
        match line {
            Line::Register { device, node } => {
                let node = self.node(&node)?;
                let (name, contact) = (node.name.clone(), node.contact(&device));
                let answer = node.asterisk.register(&device, &contact);
                if answer != RegisterOutcome::Ok {
                    return Err(Failure::failed(format!("{name} refused {device}: {answer:?}")));
                }
                self.found_at(&device, &name).await
            }
            Line::Unregister { device, node } => {
                let node = self.node(&node)?;
                for contact in node.asterisk.registrations(&device) {
                    node.asterisk.unregister(&device, &contact);
                }
                Ok(format!("{device} is no longer registered at {}", node.name))
            }
            Line::Call { device, number } => self.call(&device, &number).await,
            Line::Kill { node } => {
                self.node(&node)?.kill().await?;
                Ok(format!("{node} killed; calls at its Asterisk live on"))
            }
            Line::Start { node } => {
                self.node(&node)?.start().await?;
                Ok(format!("{node} runs again"))
            }
            Line::KillAsterisk { node } => {
                self.node(&node)?.asterisk.stop().await;
                Ok(format!("the Asterisk of {node} is gone"))
            }
            Line::StartAsterisk { node } => {
                self.node(&node)?.asterisk.start_again().await?;
                Ok(format!("the Asterisk of {node} runs again"))
            }
            Line::Help | Line::Quit => Ok(HELP.to_owned()),
        }
    }

    /// Waits until every running node finds the device there.
    async fn found_at(&self, device: &str, place: &str) -> Outcome<String> {
        let started = tokio::time::Instant::now();
        for node in &self.nodes {
            // One that was killed by hand is not asked.
            let Ok(client) = Client::connect(&node.client_address(), Connector::plain(), Bearer::default()).await
            else {
                continue;
            };
            loop {
                let request = pb::GetRequest {
                    id: device.to_owned(),
                    ..pb::GetRequest::default()
                };
                // Without a leader, as after a kill, nobody answers for a moment.
                if let Ok(there) = client.api.clone().r#where(request).await {
                    let devices = there.into_inner().devices;
                    let mut bindings = devices
                        .into_iter()
                        .filter(|d| device_id(d) == device)
                        .flat_map(|d| d.bindings);
                    if bindings.any(|binding| binding.live && binding.node_name == place) {
                        break;
                    }
                }
                if started.elapsed() > CALL_WITHIN {
                    return Err(Failure::failed(format!(
                        "{device} registered at {place}, but {} does not find it",
                        node.name
                    )));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let took = started.elapsed().as_millis();
        Ok(format!(
            "{device} registered at {place}; every node finds it there (asked and answered in {took} ms)"
        ))
    }

    /// A call from where the device is registered, until it is answered or has failed.
    async fn call(&self, device: &str, number: &str) -> Outcome<String> {
        let registered = |node: &&DevNode| !node.asterisk.registrations(device).is_empty();
        let node = self.nodes.iter().find(registered);
        let node = node.ok_or_else(|| Failure::usage(format!("{device} is registered nowhere: register it first")))?;
        let mut call = node.asterisk.call(device, number);
        Ok(match tokio::time::timeout(CALL_WITHIN, call.outcome()).await {
            Ok(CallOutcome::Answered { by }) => format!("{device} at {} called {number}: answered by {by}", node.name),
            Ok(CallOutcome::Failed { sip_status, q850 }) => {
                format!(
                    "{device} at {} called {number}: failed with SIP {sip_status} (cause {q850})",
                    node.name
                )
            }
            Err(_) => {
                let steps = call.steps().join("\n  ");
                format!(
                    "{device} at {} called {number}: nothing happened in {CALL_WITHIN:?}; the dialplan's steps:\n  {steps}",
                    node.name
                )
            }
        })
    }

    fn node(&mut self, name: &str) -> Outcome<&mut DevNode> {
        let names = self
            .nodes
            .iter()
            .map(|node| node.name.clone())
            .collect::<Vec<_>>()
            .join(", ");
        let found = self.nodes.iter_mut().find(|node| node.name == name);
        found.ok_or_else(|| Failure::usage(format!("there is no node {name:?}; there are {names}")))
    }

    /// Ends every process.
    pub(super) async fn stop(mut self) {
        for node in &mut self.nodes {
            // One that was killed by hand is gone already.
            let _ = node.kill().await;
        }
    }
}

fn device_id(record: &pb::DeviceRecord) -> &str {
    record.device.as_ref().map_or("", |device| &device.id)
}

/// A temporary folder, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Outcome<Self> {
        let name = format!("fed-node-dev-{}-{:08x}", std::process::id(), rand::random::<u32>());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
