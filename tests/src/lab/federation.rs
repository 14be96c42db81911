//! The lab's hosts as one federation: founded, joined, installed and populated as the README tells an administrator to.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::node::REDIRECT_PORT;
use super::{CONTEXT, FedNode, Host, Lab, password_of};
use crate::eventually;
use crate::phone::{Phone, Registered, Transport};

/// How long a fed-node may take to answer after its start.
const READY: Duration = Duration::from_secs(30);

/// How long a registration may take to be accepted and known everywhere, where that is not what is tested.
const SETTLED: Duration = Duration::from_secs(15);

impl Host {
    /// Its fed-node.
    ///
    /// # Errors
    /// When the lab is not federated.
    pub fn node(&self) -> Result<&FedNode> {
        self.node
            .as_ref()
            .with_context(|| format!("{} has no fed-node", self.name))
    }

    /// As [`Host::node`], to start and stop it.
    ///
    /// # Errors
    /// When the lab is not federated.
    pub fn node_mut(&mut self) -> Result<&mut FedNode> {
        self.node
            .as_mut()
            .with_context(|| format!("{} has no fed-node", self.name))
    }

    /// One more fed-node on this host, configured but not started: all its ports are `shift` higher, its Asterisk is the same.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn prepare_node(&self, name: &str, shift: u16) -> Result<FedNode> {
        FedNode::prepare(
            name,
            self.ip,
            &self.advertised,
            &self.namespace,
            &self.folder,
            &self.asterisk.etc(),
            shift,
        )
    }

    /// Where its redirect server listens for other SIP software.
    pub fn redirect(&self) -> SocketAddr {
        SocketAddr::new(self.ip, REDIRECT_PORT)
    }

    /// Starts fed-node again after a kill and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn restart_node(&mut self) -> Result<()> {
        let node = self.node_mut()?;
        node.start()?;
        node.wait_ready(READY)
    }

    /// Starts Asterisk again after a kill and waits until it has booted.
    ///
    /// # Errors
    /// When it does not.
    pub fn restart_asterisk(&mut self) -> Result<()> {
        self.asterisk.start()?;
        self.asterisk.wait_ready(super::BOOT)
    }
}

impl Lab {
    /// Founds the federation at the first host, joins the others, and installs the stanzas into each Asterisk's configuration.
    /// Asterisks are not running yet when this is called by [`Lab::start_federated`].
    pub(super) fn federate(&mut self, by_stasis: &[usize]) -> Result<()> {
        for host in &mut self.hosts {
            host.node = Some(host.prepare_node(&host.name, 0)?);
        }
        for number in 0..self.hosts.len() {
            // In the README's order.
            let invitation = match number {
                0 => None,
                _ => Some(self.hosts[0].node()?.invitation()?),
            };
            let host = &mut self.hosts[number];
            let version = host.asterisk.version().release();
            let node = host.node_mut()?;
            match invitation {
                None => node.run(&["init"]).context("init")?,
                Some(token) => node.run(&["join", &token]).context("join")?,
            };
            // No ARI user yet, so nobody tells the version; on a customer's host the installed Asterisk does.
            let ask = if by_stasis.contains(&number) {
                "stasis"
            } else {
                "fastagi"
            };
            node.run(&[
                "asterisk-config",
                "--write",
                "--asterisk-version",
                version,
                "--ask",
                ask,
            ])
            .context("installing the stanzas")?;
            node.start()?;
            node.wait_ready(READY)?;
        }
        // The customer's context includes the federation's, so his own extensions work for federated phones too.
        self.hosts[0]
            .node()?
            .run(&["setting", "set", "dialplan_context", CONTEXT])?;
        Ok(())
    }

    /// Waits until every node sees every node up with its Asterisk.
    ///
    /// # Errors
    /// When it does not come to that.
    pub fn wait_healthy(&self, patience: Duration) -> Result<()> {
        for host in &self.hosts {
            eventually(patience, || {
                let nodes = host.node()?.json(&["node", "list"])?;
                let up = all_objects(&nodes)
                    .into_iter()
                    .filter(|n| n["state"].as_str().is_some_and(|s| s.eq_ignore_ascii_case("up")))
                    .count();
                ensure!(
                    up == self.hosts.len(),
                    "{} of {} nodes are up at {}: {nodes}",
                    up,
                    self.hosts.len(),
                    host.name
                );
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Adds a user with a device of the same name and the password [`password_of`] it, at that host.
    ///
    /// # Errors
    /// When the command refuses.
    pub fn add_user(&self, host: usize, id: &str, more: &[&str]) -> Result<()> {
        let mut args = vec!["user", "add", id, "--password-stdin"];
        args.extend(more);
        self.hosts[host]
            .node()?
            .run_with_input(&args, &password_of(id))
            .map(drop)
    }

    /// Adds one more device to a user.
    ///
    /// # Errors
    /// When the command refuses.
    pub fn add_device(&self, host: usize, id: &str, user: &str) -> Result<()> {
        let args = ["device", "add", id, "--user", user, "--password-stdin"];
        self.hosts[host]
            .node()?
            .run_with_input(&args, &password_of(id))
            .map(drop)
    }

    /// A phone for a device added with [`Lab::add_user`] or [`Lab::add_device`].
    ///
    /// # Errors
    /// When its sockets cannot be opened.
    pub fn phone_of(&self, device: &str, transport: Transport) -> Result<Phone> {
        self.phone(device, &password_of(device), transport)
    }

    /// A phone that is registered at a host, and known everywhere to be.
    ///
    /// # Errors
    /// When it goes on being refused (its objects may still be on their way), or is not routable then.
    pub fn registered(&self, device: &str, transport: Transport, host: usize) -> Result<Phone> {
        let phone = self.phone_of(device, transport)?;
        self.register(&phone, host)?;
        Ok(phone)
    }

    /// Registers a phone at a host and waits until every node whose fed-node runs sends calls there.
    ///
    /// # Errors
    /// As [`Lab::registered`].
    pub fn register(&self, phone: &Phone, host: usize) -> Result<Registered> {
        let at = &self.hosts[host];
        let when = eventually(SETTLED, || phone.register(at.sip()))?;
        for asker in &self.hosts {
            eventually(SETTLED, || asker.expect_located(phone.id(), at))?;
        }
        Ok(when)
    }

    /// Runs `fed-node drift` on every node that runs and fails with what it found, or when it was not exactly `nodes` that
    /// were compared: a node that nobody asked agrees with everything.
    ///
    /// # Errors
    /// When map and Asterisks differ, or somebody was not compared.
    pub fn expect_no_drift(&mut self, nodes: usize) -> Result<()> {
        let mut compared = 0;
        for host in &mut self.hosts {
            if !host.node_mut()?.is_running() {
                continue;
            }
            let output = host.node()?.try_run(&["-o", "json", "drift", "--here"])?;
            if !output.status.success() {
                let text = [output.stdout, output.stderr].concat();
                bail!("drift at {}: {}", host.name, String::from_utf8_lossy(&text).trim());
            }
            let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
            let here = report["nodes"].as_array().into_iter().flatten();
            compared += here
                .filter(|node| node["skipped"].is_null() && node["compared"].as_u64() > Some(0))
                .count();
        }
        ensure!(compared == nodes, "{compared} nodes were compared, not {nodes}");
        Ok(())
    }
}

/// Which of these hosts' fed-nodes leads, as it says itself.
///
/// # Errors
/// When none says so in time.
pub fn leader(hosts: &[Host], patience: Duration) -> Result<usize> {
    eventually(patience, || {
        let leads = |host: &Host| Ok::<bool, anyhow::Error>(host.node()?.json(&["status"])?["role"] == "leader");
        hosts
            .iter()
            .position(|host| leads(host).unwrap_or(false))
            .context("nobody leads")
    })
}

/// The objects of a JSON list, whether it stands alone or as the only list of an object.
pub fn all_objects(json: &serde_json::Value) -> Vec<&serde_json::Value> {
    match json {
        serde_json::Value::Array(list) => list.iter().collect(),
        serde_json::Value::Object(fields) => fields
            .values()
            .find_map(|v| v.as_array())
            .map(|l| l.iter().collect())
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}
