//! The nodes that a call for one device has passed.

use std::fmt;

use crate::ids::NodeId;

/// The nodes that sent a call on, by number: the last [`Path::LENGTH`] of them.
///
/// A capability is for one device, so a node that is in the path has sent a call *for this device* on before: it may ring the device, but not
/// send the call on once more ([`Path::holds`]). With the hop limit at most [`Path::LENGTH`], the path is complete.
///
/// It takes the place that once held the issuer alone. Nodes of that release write their id there, which reads as a path of one node, and take a
/// longer path for an id: with them, only hops are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Path(u64);

/// Bits of a node.
const NODE: u32 = 10;
/// Bits of the whole.
const WHOLE: u32 = 40;

impl Path {
    /// How many nodes it holds.
    pub const LENGTH: usize = (WHOLE / NODE) as usize;

    /// The path of a call that `node` sends on after it came by this path.
    #[must_use]
    pub fn then(self, node: NodeId) -> Self {
        Self((self.0 << NODE | number(node)) & ((1 << WHOLE) - 1))
    }

    /// True where `node` sent the call on before. Two nodes of more than a thousand ids apart may be taken for each other.
    #[must_use]
    pub fn holds(self, node: NodeId) -> bool {
        self.nodes().any(|there| there == number(node))
    }

    /// The nodes' numbers, oldest first.
    fn nodes(self) -> impl Iterator<Item = u64> {
        (0..WHOLE / NODE)
            .rev()
            .map(move |place| self.0 >> (place * NODE) & mask())
            .filter(|&number| number != 0)
    }

    /// What travels: five bytes.
    pub(super) fn to_bits(self) -> u64 {
        self.0
    }

    /// What came, of which five bytes count.
    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits & ((1 << WHOLE) - 1))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, node) in self.nodes().enumerate() {
            let before = if place == 0 { "" } else { " -> " };
            write!(f, "{before}{node}")?;
        }
        Ok(())
    }
}

const fn mask() -> u64 {
    (1 << NODE) - 1
}

/// A node in its bits; never 0, and its id as long as that fits.
fn number(node: NodeId) -> u64 {
    node.0.saturating_sub(1) % mask() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(nodes: &[u64]) -> Path {
        nodes
            .iter()
            .fold(Path::default(), |path, &node| path.then(NodeId(node)))
    }

    #[test]
    fn it_holds_the_last_four_nodes_in_order() {
        for (nodes, holds, shown) in [
            (&[][..], &[][..], ""),
            (&[1], &[1], "1"),
            (&[3, 1023], &[3, 1023], "3 -> 1023"),
            (&[1, 2, 1, 2], &[1, 2], "1 -> 2 -> 1 -> 2"),
            (&[1, 2, 3, 4, 5], &[2, 3, 4, 5], "2 -> 3 -> 4 -> 5"),
        ] {
            let path = path(nodes);
            assert_eq!(path.to_string(), shown);
            for node in 1..=1023 {
                assert_eq!(path.holds(NodeId(node)), holds.contains(&node), "{shown}: {node}");
            }
            assert_eq!(Path::from_bits(path.to_bits()), path);
        }
    }

    #[test]
    fn large_ids_are_told_apart_within_a_thousand() {
        for node in [1_024, 5_000, u64::MAX] {
            assert!(path(&[node]).holds(NodeId(node)));
            assert!(!path(&[node]).holds(NodeId(node - 1)));
        }
    }

    #[test]
    fn an_issuer_of_the_previous_release_is_a_path_of_one() {
        assert_eq!(Path::from_bits(7), path(&[7]));
    }
}
