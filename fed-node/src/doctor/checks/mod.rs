//! The judgements, by what they look at. Each is pure, and tested over made-up facts.

mod asterisk;
mod federation;
mod host;
mod map;
mod node;

use super::Check;

/// Every check, in the order in which they are shown.
pub static CHECKS: [&[Check]; 5] = [
    host::CHECKS,
    node::CHECKS,
    federation::CHECKS,
    map::CHECKS,
    asterisk::CHECKS,
];

/// Bytes in the unit that people use.
fn bytes(bytes: u64) -> String {
    match bytes >> 20 {
        mib @ 0..10_240 => format!("{mib} MiB"),
        mib => format!("{} GiB", mib >> 10),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_enough_checks_and_each_has_a_name_of_its_own_and_a_reason() {
        let all: Vec<&Check> = CHECKS.iter().copied().flatten().collect();
        assert!(all.len() >= 25, "{}", all.len());
        let names: BTreeSet<&str> = all.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|check| check.why.len() > 20));
    }
}
