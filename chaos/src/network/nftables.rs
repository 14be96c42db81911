//! Namespaces on a kernel bridge, cut by one nftables table, changed in one transaction.

use super::command;
use super::namespace::Namespace;
use super::run_id::RunId;
use super::switch::{addresses, ip};
use super::{NetworkError, Place, Wires};

/// The bridge of one run.
pub(super) struct Nftables {
    bridge: Namespace,
    /// One for each node, then the clients'.
    places: Vec<Namespace>,
}

impl Nftables {
    pub(super) fn make(run: &RunId, nodes: usize) -> Result<Self, NetworkError> {
        let bridge = Namespace::make(run.name("sw"))?;
        let options = "link add br0 type bridge stp_state 0 forward_delay 0";
        bridge.ip(&options.split(' ').collect::<Vec<_>>())?;
        bridge.ip(&["link", "set", "br0", "up"])?;
        let mut places = Vec::new();
        for place in 0..=nodes {
            let namespace = Namespace::make(run.name(&port(place)))?;
            let pair = format!(
                "link add eth0 type veth peer name {} netns {}",
                port(place),
                bridge.name()
            );
            namespace.ip(&pair.split(' ').collect::<Vec<_>>())?;
            namespace.ip(&["addr", "add", &format!("{}/24", ip(place)), "dev", "eth0"])?;
            namespace.ip(&["link", "set", "eth0", "up"])?;
            bridge.ip(&["link", "set", &port(place), "master", "br0"])?;
            bridge.ip(&["link", "set", &port(place), "up"])?;
            places.push(namespace);
        }
        Ok(Nftables { bridge, places })
    }

    pub(super) fn place(&self, node: usize) -> Place {
        Place {
            listen: addresses(node),
            advertised: addresses(node).peer,
            through: self.places[node].through(),
        }
    }

    pub(super) fn clients(&self) -> &Namespace {
        &self.places[self.places.len() - 1]
    }

    pub(super) fn set(&mut self, wires: &Wires) -> Result<(), NetworkError> {
        let words = self.bridge.through();
        let mut nft = std::process::Command::new(&words[0]);
        nft.args(&words[1..]).args(["nft", "-f", "-"]);
        command::finish(&mut nft, &table(wires)).map(drop)
    }
}

fn port(place: usize) -> String {
    format!("n{}", place + 1)
}

/// The whole table, new.
fn table(wires: &Wires) -> String {
    let mut script = String::from(
        "add table bridge fedchaos\ndelete table bridge fedchaos\ntable bridge fedchaos {\n chain cut {\n  \
         type filter hook forward priority 0;\n",
    );
    for (from, to) in Wires::pairs(wires.nodes()).filter(|(from, to)| wires.get(*from, *to).cut) {
        // Address resolution passes, so that a healed wire is whole at once.
        script.push_str(&format!(
            "  iifname \"{}\" oifname \"{}\" ether type ip drop;\n",
            port(from),
            port(to)
        ));
    }
    script.push_str(" }\n}\n");
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Wire;

    #[test]
    fn a_one_way_cut_is_one_rule() {
        let mut wires = Wires::whole(3);
        *wires.get_mut(0, 2) = Wire::cut();
        let rules = table(&wires);
        assert_eq!(rules.matches("drop").count(), 1);
        assert!(rules.contains("iifname \"n1\" oifname \"n3\""));
    }
}
