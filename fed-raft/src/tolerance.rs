//! How much a cluster bears.

use std::collections::BTreeSet;

use fed_core::ids::NodeId;

/// How many more voters may be lost, whichever they are, before there is no quorum; `None`: there is none already.
///
/// `groups` are those of [`Status::voters`](crate::Status): two while a change of voters is under way, and then each needs a majority of
/// its own, so that the weaker one counts. `up` says of a voter whether it is up.
pub fn can_lose(groups: &[BTreeSet<NodeId>], up: impl Fn(NodeId) -> bool) -> Option<usize> {
    let of_group = |group: &BTreeSet<NodeId>| {
        let up = group.iter().filter(|id| up(**id)).count();
        up.checked_sub(group.len() / 2 + 1)
    };
    // No group at all has no quorum either; `None` is the least.
    groups.iter().map(of_group).min().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of voters, who is up, and how many more may be lost.
    type Row = (&'static [&'static [u64]], &'static [u64], Option<usize>);

    const TABLE: &[Row] = &[
        (&[], &[1], None),
        (&[&[1]], &[1], Some(0)),
        (&[&[1, 2]], &[1, 2], Some(0)),
        (&[&[1, 2, 3]], &[1, 2, 3], Some(1)),
        (&[&[1, 2, 3]], &[1, 2], Some(0)),
        (&[&[1, 2, 3]], &[1], None),
        (&[&[1, 2, 3, 4]], &[1, 2, 3, 4], Some(1)),
        (&[&[1, 2, 3, 4, 5]], &[1, 2, 3, 4, 5], Some(2)),
        // Who is up and does not vote counts nowhere.
        (&[&[1, 2]], &[1, 2, 3], Some(0)),
        // Half promoted: of the old two none may be lost, although three vote.
        (&[&[1, 2], &[1, 2, 3]], &[1, 2, 3], Some(0)),
        (&[&[1], &[1, 2]], &[1, 2], Some(0)),
        (&[&[1, 2, 3], &[1, 2, 3, 4]], &[1, 2, 3, 4], Some(1)),
        // Half removed.
        (&[&[1, 2, 3], &[1, 2]], &[1, 2, 3], Some(0)),
        // Half replaced: the dead one counts in the old group only, the new one in the new one only.
        (&[&[1, 2, 3], &[1, 2, 4]], &[1, 2, 4], Some(0)),
        (&[&[1, 2, 3], &[1, 2, 4]], &[1, 3, 4], Some(0)),
        (&[&[1, 2, 3], &[1, 4, 5]], &[1, 4, 5], None),
    ];

    #[test]
    fn the_weaker_group_of_voters_says_what_may_still_be_lost() {
        for (groups, up, expected) in TABLE {
            let group = |ids: &&[u64]| ids.iter().copied().map(NodeId).collect();
            let voters: Vec<BTreeSet<NodeId>> = groups.iter().map(group).collect();
            let seen = can_lose(&voters, |id| up.contains(&id.0));
            assert_eq!(seen, *expected, "{groups:?} with {up:?} up");
        }
    }
}
