//! The wires: one bridge in a namespace of its own, a pair of virtual interfaces to each host, and faults by nftables.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;

use super::namespace::Namespace;
use super::run_id::RunId;

/// A bridge and the namespaces attached to it.
#[derive(Debug)]
pub struct Network {
    switch: Namespace,
    run: RunId,
    /// Ways on which nothing passes: from, to.
    cut: BTreeSet<(String, String)>,
}

impl Network {
    /// Makes the bridge.
    pub(super) fn make(run: &RunId) -> Result<Self> {
        let switch = Namespace::make(run.name("sw"))?;
        switch.ip(&[
            "link",
            "add",
            "br0",
            "type",
            "bridge",
            "stp_state",
            "0",
            "forward_delay",
            "0",
        ])?;
        switch.ip(&["link", "set", "br0", "up"])?;
        let mut network = Self {
            switch,
            run: run.clone(),
            cut: BTreeSet::new(),
        };
        network.apply_cuts()?;
        Ok(network)
    }

    /// A new namespace on the bridge with the address 10.77.0.`last`/24. `port` names it and its place on the bridge.
    pub(super) fn attach(&self, port: &str, last: u8) -> Result<(Namespace, IpAddr)> {
        let namespace = Namespace::make(self.run.name(port))?;
        let ip = IpAddr::V4(Ipv4Addr::new(10, 77, 0, last));
        namespace.ip(&[
            "link",
            "add",
            "eth0",
            "type",
            "veth",
            "peer",
            "name",
            port,
            "netns",
            self.switch.name(),
        ])?;
        namespace.ip(&["addr", "add", &format!("{ip}/24"), "dev", "eth0"])?;
        namespace.ip(&["link", "set", "eth0", "up"])?;
        self.switch.ip(&["link", "set", port, "master", "br0"])?;
        self.switch.ip(&["link", "set", port, "up"])?;
        Ok((namespace, ip))
    }

    /// Nothing passes between these two any more, in either direction. Others are not touched.
    ///
    /// # Errors
    /// When nft fails.
    pub fn cut(&mut self, a: &str, b: &str) -> Result<()> {
        self.block(&[(a, b), (b, a)])
    }

    /// Nothing passes on these ways any more, each from the first place to the second. All of them at one moment.
    ///
    /// # Errors
    /// When nft fails.
    pub fn block(&mut self, ways: &[(&str, &str)]) -> Result<()> {
        self.cut
            .extend(ways.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())));
        self.apply_cuts()
    }

    /// Takes every cut away.
    ///
    /// # Errors
    /// When nft fails.
    pub fn heal(&mut self) -> Result<()> {
        self.cut.clear();
        self.apply_cuts()
    }

    /// Pulls the plug of one place, or puts it back.
    ///
    /// # Errors
    /// When there is no such place.
    pub fn plug(&self, port: &str, connected: bool) -> Result<()> {
        self.switch
            .ip(&["link", "set", port, if connected { "up" } else { "down" }])
            .map(drop)
    }

    /// The whole table in one transaction, so that a change of several cuts happens at one moment.
    fn apply_cuts(&mut self) -> Result<()> {
        let mut script =
            String::from("add table bridge fedlab\ndelete table bridge fedlab\ntable bridge fedlab {\n chain cut {\n");
        script.push_str("  type filter hook forward priority 0;\n");
        for (from, to) in &self.cut {
            script.push_str(&format!("  iifname \"{from}\" oifname \"{to}\" drop;\n"));
        }
        script.push_str(" }\n}\n");
        super::command::finish(self.switch.command("nft").arg(script)).map(drop)
    }
}
