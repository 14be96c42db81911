//! Which numbers' variables Asterisk holds, kept in Asterisk itself.
//!
//! ARI lists no variables, and a number that was taken away while fed-node was down would ring in every later time without it. So the names stand in variables of their own,
//! in lists by a hash of the name: a change writes one, and they are gone when the Asterisk is. A name is in its list before its variable is set, and until after that was
//! emptied.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};

use crate::client::{AriClient, AriError, IN_BULK};

/// Lists. Never changed: those of an earlier version must be found.
const LISTS: u32 = 256;

/// Characters of one list on their way to Asterisk, which reads lines of at most 4,096. Names beyond it are left out: of 100,000 users with a number each.
const LONGEST: usize = 3_000;

/// The lists as they are in Asterisk, by number.
pub(super) type Lists = BTreeMap<u32, String>;

fn variable(list: u32) -> String {
    format!("FED_TOLD_{list:02X}")
}

/// The list of a name (FNV-1a).
fn list_of(name: &str) -> u32 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash % LISTS
}

/// The lists that hold any of `changed`, of all these names.
pub(super) fn lists<'a>(names: impl Iterator<Item = &'a str>, changed: &BTreeSet<&str>) -> Lists {
    let mut lists: BTreeMap<u32, (String, usize)> = BTreeMap::new();
    for name in changed {
        lists.entry(list_of(name)).or_default();
    }
    for name in names {
        let Some((list, length)) = lists.get_mut(&list_of(name)) else {
            continue;
        };
        // A comma takes three characters on its way.
        if *length + 3 + name.len() > LONGEST {
            continue;
        }
        *length += 3 + name.len();
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(name);
    }
    lists.into_iter().map(|(list, (names, _))| (list, names)).collect()
}

/// What is in Asterisk: the lists that are not empty.
///
/// # Errors
/// What an ARI call met.
pub(super) async fn read(client: &AriClient) -> Result<Lists, AriError> {
    stream::iter(0..LISTS)
        .map(|list| async move { Ok::<_, AriError>((list, client.get_global(&variable(list)).await?)) })
        .buffer_unordered(IN_BULK)
        .try_filter(|(_, names)| std::future::ready(!names.is_empty()))
        .try_collect()
        .await
}

/// The names in lists.
pub(super) fn names(lists: &Lists) -> BTreeSet<String> {
    let all = lists.values().flat_map(|list| list.split(','));
    all.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Writes one list.
///
/// # Errors
/// As every call.
pub(super) async fn write(client: &AriClient, list: u32, names: &str) -> Result<(), AriError> {
    client.set_global(&variable(list), names).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again_and_only_lists_with_changes_are_made() {
        let numbers: Vec<String> = (0..20_000).map(|n| format!("N_{n}")).collect();
        let all: BTreeSet<&str> = numbers.iter().map(String::as_str).collect();
        let whole = lists(all.iter().copied(), &all);
        assert_eq!(names(&whole), numbers.iter().cloned().collect());
        assert!(
            whole
                .values()
                .all(|list| list.len() + 2 * list.matches(',').count() <= LONGEST)
        );
        let one = lists(all.iter().copied(), &BTreeSet::from(["N_7"]));
        assert_eq!(one.len(), 1);
        assert!(one.values().all(|list| list.split(',').any(|name| name == "N_7")));
        let last = lists([].into_iter(), &BTreeSet::from(["N_7"]));
        assert_eq!(last.values().collect::<Vec<_>>(), [""], "an emptied list is written");
    }

    #[test]
    fn more_names_than_a_list_takes_are_left_out() {
        let many: Vec<String> = (0..400_000).map(|n| format!("N_{n}")).collect();
        let all: BTreeSet<&str> = many.iter().map(String::as_str).collect();
        let whole = lists(all.iter().copied(), &all);
        assert!(
            whole
                .values()
                .all(|list| list.len() + 2 * list.matches(',').count() <= LONGEST)
        );
    }
}
