//! Several nodes that are one federation.

use super::{Node, until};

/// Several nodes of one federation.
pub(crate) struct Federation {
    pub(crate) nodes: Vec<Node>,
    root: tempfile::TempDir,
}

impl Federation {
    /// The same without certificates and roles.
    pub(crate) fn start_plain(count: usize) -> Self {
        Self::start_with(count, |_, node| node.plaintext = true)
    }

    /// A running federation of `count` nodes without Asterisks.
    pub(crate) fn start(count: usize) -> Self {
        Self::start_with(count, |_, _| {})
    }

    /// The same, each node prepared before its first start.
    pub(crate) fn start_with(count: usize, mut prepare: impl FnMut(usize, &mut Node)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut federation = Self {
            nodes: Vec::new(),
            root,
        };
        for index in 0..count {
            // The first three vote, however quick the others are.
            if index == 3 {
                federation.settle(index);
            }
            let mut node = Node::new(federation.root.path(), &format!("n{}", index + 1));
            prepare(index, &mut node);
            match federation.nodes.first() {
                None => node.setup(&["init"]).ok(),
                Some(first) => node.setup(&["join", &first.invitation()]).ok(),
            };
            node.run();
            federation.nodes.push(node);
        }
        federation.settle(count);
        federation
    }

    /// Waits until every running node sees `count` members, a quorum and the founding settings.
    pub(crate) fn settle(&self, count: usize) {
        for node in self.nodes.iter().filter(|node| node.serves()) {
            until(&format!("{} sees {count} nodes up", node.name), || {
                let said = node.asks(&["-o", "json", "status"]);
                let status = (said.code == 0).then(|| said.json())?;
                let up = status["members"]
                    .as_array()?
                    .iter()
                    .filter(|m| m["up"] == true && m["role"] != "learner")
                    .count();
                (status["quorum"] == true && up == count.min(3)).then_some(())
            });
        }
        until("the federation is founded", || {
            let key = self.nodes.iter().find(|node| node.serves())?.json(&["setting", "list"]);
            let founded = key
                .as_array()?
                .iter()
                .any(|s| s["key"] == "capability_key" && s["set"] == true);
            founded.then_some(())
        });
    }

    /// The state's hash at every running node, once all are at the same revision.
    pub(crate) fn hashes_agree(&self) {
        until("equal hashes", || {
            let mut states = self.nodes.iter().filter(|node| node.serves()).map(|node| {
                let status = node.json(&["status"]);
                (status["revision"].clone(), status["state_hash"].clone())
            });
            let first = states.next()?;
            states.all(|state| state == first).then_some(())
        });
    }
}
