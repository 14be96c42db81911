//! How long certificates last.

use std::time::{Duration, SystemTime};

/// A week, renewed at two thirds of it: whoever steals a node's key can use it for a few days, and a node that is switched off for a
/// long weekend (at least 56 hours are left at any time) comes back without anybody's help. Who is removed is cut off at once
/// anyway, by the membership, however long its certificate lasts; so shorter would gain little and cost every node that was
/// off for longer a visit by its administrator.
pub(super) const DEFAULT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Whether it is time for a new certificate: two thirds of the time between its making and its end are over.
pub(super) fn is_due(expires: SystemTime, lifetime: Duration, now: SystemTime) -> bool {
    expires.duration_since(now).unwrap_or_default() < lifetime / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
        let made = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let hours = |count: u64| Duration::from_secs(count * 3600);
        let expires = made + DEFAULT;
        assert!(!is_due(expires, DEFAULT, made));
        assert!(!is_due(expires, DEFAULT, made + hours(111)));
        assert!(is_due(expires, DEFAULT, made + hours(113)));
        assert!(is_due(expires, DEFAULT, expires + hours(1)), "also when it is over");
    }
}
