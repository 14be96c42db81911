//! Who is meant by a selector, and who is on which side of a split: decided from what the nodes last said, and chance.

use super::journal::Sample;
use crate::plan::{Selector, Shape};
use crate::seeded::Seeded;

/// What is known of the members at one moment. Nodes are counted from 0.
#[derive(Clone, Debug)]
pub(super) struct Roles {
    pub(super) members: Vec<usize>,
    /// Who leads, and in which term.
    pub(super) leader: Option<(usize, u64)>,
}

impl Roles {
    /// From the members, and recent samples of theirs. Of several that say they lead, the highest term is right.
    pub(super) fn new(members: Vec<usize>, recent: &[Sample]) -> Self {
        let leading = recent
            .iter()
            .filter(|sample| sample.leads && members.contains(&(sample.node - 1)));
        let leader = leading.max_by_key(|sample| (sample.term, sample.quorum));
        Roles {
            leader: leader.map(|sample| (sample.node - 1, sample.term)),
            members,
        }
    }

    /// The number of members, and how many of them are more than half.
    pub(super) fn majority(&self) -> usize {
        self.members.len() / 2 + 1
    }

    /// Who is meant. Without a leader, somebody is taken for it.
    pub(super) fn select(&self, who: Selector, random: &mut Seeded) -> Vec<usize> {
        let order = self.leader_first(random);
        let Some(first) = order.first() else { return Vec::new() };
        match who {
            Selector::Leader => vec![*first],
            Selector::Follower => order.get(1).copied().into_iter().collect(),
            Selector::Any => vec![order[random.below(order.len() as u64) as usize]],
            Selector::Majority => order[..self.majority()].to_vec(),
            Selector::Minority => order[self.majority()..].to_vec(),
            Selector::Others => order[1..].to_vec(),
            Selector::All => self.members.clone(),
            Selector::Node(number) => self
                .members
                .iter()
                .copied()
                .filter(|node| *node + 1 == number)
                .collect(),
        }
    }

    /// Who hears whom in a split.
    pub(super) fn split(&self, shape: Shape, random: &mut Seeded) -> Split {
        let order = self.leader_first(random);
        let count = order.len();
        let minority = count - self.majority();
        let sides = |first: usize| {
            let (a, b) = order.split_at(first.min(count));
            Split::of_sides(vec![a.to_vec(), b.to_vec()])
        };
        match shape {
            Shape::LeaderAlone => sides(1),
            Shape::LeaderInMinority => sides(minority.max(1)),
            Shape::LeaderInMajority => sides(self.majority()),
            Shape::Halves => {
                let mut by_chance = order.clone();
                shuffle(&mut by_chance, random);
                let (a, b) = by_chance.split_at(minority.max(1).min(count));
                Split::of_sides(vec![a.to_vec(), b.to_vec()])
            }
            Shape::AllApart => Split::of_sides(order.into_iter().map(|node| vec![node]).collect()),
            Shape::Ring => {
                let mut pairs = Vec::new();
                for (place, node) in order.iter().enumerate() {
                    pairs.push((*node, order[(place + 1) % count]));
                }
                Split { sides: None, pairs }
            }
            Shape::Bridge => {
                // The middle one hears all; the others only their own half.
                let mut by_chance = order.clone();
                shuffle(&mut by_chance, random);
                let (bridge, halves) = by_chance.split_first().map_or((0, &[][..]), |(one, rest)| (*one, rest));
                let (a, b) = halves.split_at(halves.len() / 2);
                let mut split = Split::of_sides(vec![a.to_vec(), b.to_vec()]);
                split.pairs.extend(halves.iter().map(|node| (bridge, *node)));
                split.sides = None;
                split
            }
        }
    }

    /// All members by chance, but the leader first.
    fn leader_first(&self, random: &mut Seeded) -> Vec<usize> {
        let mut order = self.members.clone();
        shuffle(&mut order, random);
        if let Some((leader, _)) = self.leader {
            order.sort_by_key(|node| *node != leader);
        }
        order
    }
}

/// Who hears whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// The sides, if everybody of a side hears just that side.
    pub(super) sides: Option<Vec<Vec<usize>>>,
    pairs: Vec<(usize, usize)>,
}

impl Split {
    fn of_sides(sides: Vec<Vec<usize>>) -> Self {
        let mut pairs = Vec::new();
        for side in &sides {
            pairs.extend(side.iter().flat_map(|a| side.iter().map(move |b| (*a, *b))));
        }
        Split {
            sides: Some(sides),
            pairs,
        }
    }

    pub(super) fn together(&self, a: usize, b: usize) -> bool {
        self.pairs.iter().any(|pair| *pair == (a, b) || *pair == (b, a))
    }

    /// The side that this node is on.
    pub(super) fn side_of(&self, node: usize) -> Option<&Vec<usize>> {
        self.sides.as_ref()?.iter().find(|side| side.contains(&node))
    }
}

fn shuffle(things: &mut [usize], random: &mut Seeded) {
    for last in (1..things.len()).rev() {
        things.swap(last, random.below(last as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn five() -> Roles {
        Roles {
            members: (0..5).collect(),
            leader: Some((3, 7)),
        }
    }

    #[test]
    fn the_leader_is_on_the_side_that_the_shape_says() {
        for seed in 0..20 {
            let split = |shape| five().split(shape, &mut Seeded::new(seed));
            assert_eq!(split(Shape::LeaderAlone).side_of(3).map(Vec::len), Some(1));
            assert_eq!(split(Shape::LeaderInMinority).side_of(3).map(Vec::len), Some(2));
            assert_eq!(split(Shape::LeaderInMajority).side_of(3).map(Vec::len), Some(3));
            assert_eq!(split(Shape::AllApart).side_of(3).map(Vec::len), Some(1));
        }
    }

    #[test]
    fn in_a_ring_everybody_hears_two_and_over_a_bridge_one_hears_all() {
        let heard = |shape| {
            let split = five().split(shape, &mut Seeded::new(5));
            let mut counts: Vec<usize> = (0..5)
                .map(|a| (0..5).filter(|b| *b != a && split.together(a, *b)).count())
                .collect();
            counts.sort_unstable();
            counts
        };
        assert_eq!(heard(Shape::Ring), [2, 2, 2, 2, 2]);
        assert_eq!(heard(Shape::Bridge), [2, 2, 2, 2, 4]);
    }

    #[test]
    fn selectors_follow_the_roles() {
        let select = |who| five().select(who, &mut Seeded::new(9));
        assert_eq!(select(Selector::Leader), [3]);
        assert!(!select(Selector::Follower).contains(&3));
        assert_eq!(select(Selector::Majority).len(), 3);
        assert!(select(Selector::Majority).contains(&3) && !select(Selector::Minority).contains(&3));
        assert_eq!(select(Selector::Node(2)), [1]);
        assert_eq!(select(Selector::Node(9)), Vec::<usize>::new());
    }
}
