//! Times and durations for people.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Local, SecondsFormat};

/// A duration in its largest fitting unit: `4 h`, `12 min`.
#[must_use]
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A moment on this host's clock: `12:04` today, else with its date.
#[must_use]
pub(crate) fn moment(at: SystemTime, now: SystemTime) -> String {
    let (at, now): (DateTime<Local>, DateTime<Local>) = (at.into(), now.into());
    if at.date_naive() == now.date_naive() {
        at.format("%H:%M").to_string()
    } else {
        at.format("%Y-%m-%d %H:%M").to_string()
    }
}

/// The moment that lies so long before now.
#[must_use]
pub(crate) fn ago(time: Duration) -> SystemTime {
    SystemTime::now().checked_sub(time).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A moment to the millisecond, for lists: `2026-11-22 12:04:05.678`.
#[must_use]
pub(crate) fn stamp(at: SystemTime) -> String {
    DateTime::<Local>::from(at).format("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// Seconds since 1970.
#[must_use]
pub(crate) fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

/// Seconds since 1970, by this host's clock.
#[must_use]
pub(crate) fn unix_now() -> u64 {
    unix_seconds(SystemTime::now())
}

/// Seconds since 1970 as a date and a time of day, the same at every host: `2026-11-22T03:10:00Z`. Empty where no calendar reaches.
#[must_use]
pub(crate) fn utc(unix_s: u64) -> String {
    let at = i64::try_from(unix_s)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_in_their_largest_unit() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (4 * 3_600 + 5, "4 h"),
            (3 * 86_400, "3 days"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_moment_of_another_day_has_its_date() {
        let now = SystemTime::now();
        assert_eq!(moment(now, now).len(), "12:04".len());
        assert_eq!(
            moment(now - Duration::from_secs(3 * 86_400), now).len(),
            "2026-11-22 12:04".len()
        );
    }

    #[test]
    fn utc_is_the_same_everywhere() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
            (u64::MAX, ""),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }
}
