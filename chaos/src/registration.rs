//! Is every device where it is? A device with a limit of one contact has exactly one place while it is registered, none before its
//! first registration was made, and none after its end.
//!
//! The checker compares lookups with what was done to the device. Each lookup is judged by what must be true and what may be true
//! during it: something that was over before the lookup began is true, something that overlaps it may be.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::verdict::Verdict;
use crate::words::{Origin, duration};

/// Something that was done to a device, or seen of it. Times as in [`crate::Operation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The device.
    pub device: String,
    /// Not later than its beginning.
    pub start_ns: i64,
    /// Not earlier than its end; `None` if nobody knows whether and when it took effect.
    pub end_ns: Option<i64>,
    /// What it was.
    pub what: What,
}

/// What can be done to a device, or seen of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It registered at this place, and left every earlier one.
    Registered(String),
    /// It is no longer registered at this place: it went, its registration ran out, or the place died. Where the moment is not
    /// known, `start_ns` is the earliest and `end_ns` the latest possible one.
    Left(String),
    /// The device itself was deleted.
    Deleted,
    /// A lookup that has to be up to date found it at these places.
    Found(Vec<String>),
}

/// What the check found.
#[derive(Clone, Debug, Serialize)]
pub struct RegistrationReport {
    /// Unknown if no lookup could have contradicted a registration.
    pub verdict: Verdict,
    /// Lookups with a known answer.
    pub lookups: usize,
    /// Lookups that began after a registration of the device had been acknowledged.
    pub tested: usize,
    /// One sentence for each wrong lookup, the earliest first.
    pub faults: Vec<String>,
}

/// Checks every lookup.
pub fn check(sightings: &[Sighting]) -> RegistrationReport {
    let origin = Origin(sightings.iter().map(|sighting| sighting.start_ns).min().unwrap_or(0));
    let mut devices: BTreeMap<&str, Vec<&Sighting>> = BTreeMap::new();
    for sighting in sightings {
        devices.entry(&sighting.device).or_default().push(sighting);
    }
    let mut report = RegistrationReport {
        verdict: Verdict::True,
        lookups: 0,
        tested: 0,
        faults: Vec::new(),
    };
    let mut faults = Vec::new();
    for sightings in devices.values() {
        for lookup in sightings {
            let (What::Found(places), Some(end)) = (&lookup.what, lookup.end_ns) else {
                continue;
            };
            let moment = Moment {
                sightings,
                start: lookup.start_ns,
                end,
            };
            report.lookups += 1;
            report.tested += usize::from(moment.tests_something());
            if let Some(fault) = moment.fault(places) {
                faults.push((
                    end,
                    format!("at {} device {} {fault}", origin.moment(end), lookup.device),
                ));
            }
        }
    }
    faults.sort();
    report.faults = faults.into_iter().map(|(_, fault)| fault).collect();
    report.verdict = match (report.faults.is_empty(), report.tested) {
        (false, _) => Verdict::False,
        (true, 0) => Verdict::Unknown,
        (true, _) => Verdict::True,
    };
    report
}

/// One lookup of one device, between start and end, and all that is known of the device.
struct Moment<'a> {
    sightings: &'a [&'a Sighting],
    start: i64,
    end: i64,
}

impl<'a> Moment<'a> {
    fn fault(&self, places: &[String]) -> Option<String> {
        match places {
            [] => self.missing(),
            [place] => self.misplaced(place),
            several => Some(format!(
                "was at {} places at once: {}",
                several.len(),
                several.join(", ")
            )),
        }
    }

    /// Nothing was found: wrong if some registration certainly stood.
    fn missing(&self) -> Option<String> {
        let (registration, place) = self.registrations().find(|(registration, place)| {
            self.over(registration)
                && !self.can_have_ended(registration, place)
                && self.no_move_can_have_ended(registration)
        })?;
        let ago = duration(registration.end_ns?, self.start);
        Some(format!(
            "was found nowhere, by a lookup that began {ago} after its registration at {place} was acknowledged"
        ))
    }

    fn can_have_ended(&self, registration: &Sighting, place: &str) -> bool {
        self.ends(place).any(|end| self.may_follow(end, registration))
    }

    /// A later registration elsewhere only moves the device, unless that one can have ended in its turn.
    fn no_move_can_have_ended(&self, registration: &Sighting) -> bool {
        let mut later = self
            .registrations()
            .filter(|(later, _)| self.may_follow(later, registration));
        later.all(|(later, elsewhere)| !self.can_have_ended(later, elsewhere))
    }

    /// One place was found: wrong if no registration there can stand.
    fn misplaced(&self, place: &str) -> Option<String> {
        let here = || {
            self.registrations()
                .filter(|(_, at)| *at == place)
                .map(|(registration, _)| registration)
        };
        let begun: Vec<_> = here()
            .filter(|registration| registration.start_ns <= self.end)
            .collect();
        if begun.is_empty() {
            return Some(match here().map(|registration| registration.start_ns).min() {
                Some(start) => format!(
                    "was at {place}, {} before it began to register there",
                    duration(self.end, start)
                ),
                None => format!("was at {place}, where it never registered"),
            });
        }
        let ended = begun
            .iter()
            .map(|registration| self.certain_end(registration, place))
            .collect::<Option<Vec<_>>>()?;
        let end = ended.into_iter().max_by_key(|end| end.end_ns)?;
        let ago = duration(end.end_ns?, self.start);
        let after = match &end.what {
            What::Registered(to) => format!("its registration at {to} was acknowledged"),
            What::Deleted => "it was deleted".into(),
            What::Left(_) | What::Found(_) => "its registration there had ended".into(),
        };
        Some(format!(
            "was still at {place}, by a lookup that began {ago} after {after}"
        ))
    }

    /// What certainly ended this registration before the lookup began.
    fn certain_end(&self, registration: &Sighting, place: &str) -> Option<&'a Sighting> {
        let after = |event: &&&Sighting| {
            self.over(event)
                && registration
                    .end_ns
                    .is_some_and(|registered| registered < event.start_ns)
        };
        let ends = |event: &&&Sighting| match &event.what {
            What::Registered(to) => to != place,
            What::Left(from) => from == place,
            What::Deleted => true,
            What::Found(_) => false,
        };
        self.sightings.iter().filter(after).find(ends).copied()
    }

    fn registrations(&self) -> impl Iterator<Item = (&'a Sighting, &'a str)> {
        self.sightings.iter().filter_map(|event| match &event.what {
            What::Registered(place) => Some((*event, place.as_str())),
            _ => None,
        })
    }

    /// What can have ended a registration at this place without making another.
    fn ends(&self, place: &str) -> impl Iterator<Item = &'a Sighting> {
        self.sightings.iter().copied().filter(move |event| match &event.what {
            What::Left(from) => from == place,
            What::Deleted => true,
            What::Registered(_) | What::Found(_) => false,
        })
    }

    /// It had taken effect before the lookup began.
    fn over(&self, event: &Sighting) -> bool {
        event.end_ns.is_some_and(|end| end < self.start)
    }

    /// It may have taken effect after the registration and before the lookup was over.
    fn may_follow(&self, event: &Sighting, registration: &Sighting) -> bool {
        event.start_ns <= self.end && event.end_ns.is_none_or(|end| end >= registration.start_ns)
    }

    /// Some registration was made for certain before it.
    fn tests_something(&self) -> bool {
        self.registrations().any(|(registration, _)| self.over(registration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn sighting(start_ms: i64, end_ms: i64, what: What) -> Sighting {
        Sighting {
            device: "alice".into(),
            start_ns: start_ms * MS,
            end_ns: Some(end_ms * MS),
            what,
        }
    }

    fn registered(start: i64, end: i64, place: &str) -> Sighting {
        sighting(start, end, What::Registered(place.into()))
    }

    fn left(start: i64, end: i64, place: &str) -> Sighting {
        sighting(start, end, What::Left(place.into()))
    }

    fn found(start: i64, end: i64, places: &[&str]) -> Sighting {
        sighting(
            start,
            end,
            What::Found(places.iter().map(ToString::to_string).collect()),
        )
    }

    fn faults(sightings: &[Sighting]) -> Vec<String> {
        check(sightings).faults
    }

    #[test]
    fn a_device_that_moves_and_goes_is_where_it_is() {
        let sightings = [
            found(0, 1, &[]),
            registered(10, 20, "A"),
            found(15, 16, &[]),
            found(15, 17, &["A"]),
            found(30, 31, &["A"]),
            registered(40, 50, "B"),
            found(45, 46, &["A"]),
            found(45, 47, &["B"]),
            found(60, 61, &["B"]),
            left(65, 66, "A"),
            found(68, 69, &["B"]),
            left(70, 80, "B"),
            found(75, 76, &[]),
            found(90, 91, &[]),
            registered(95, 96, "B"),
            found(97, 98, &["B"]),
            sighting(100, 110, What::Deleted),
            found(120, 121, &[]),
        ];
        let report = check(&sightings);
        assert_eq!(report.faults, [""; 0]);
        assert_eq!((report.verdict, report.lookups, report.tested), (Verdict::True, 12, 9));
    }

    #[test]
    fn a_live_device_that_is_found_nowhere_is_a_fault() {
        assert_eq!(
            faults(&[registered(0, 10, "A"), found(320, 330, &[])]),
            [
                "at 330 ms device alice was found nowhere, by a lookup that began 310 ms after its registration at A was \
              acknowledged"
            ]
        );
        // The end of an older registration elsewhere is no excuse.
        assert_eq!(
            faults(&[
                registered(0, 10, "A"),
                registered(20, 30, "B"),
                left(40, 50, "A"),
                found(60, 61, &[])
            ])
            .len(),
            1
        );
    }

    #[test]
    fn a_device_at_two_places_is_a_fault() {
        assert_eq!(
            faults(&[
                registered(0, 10, "A"),
                registered(20, 30, "B"),
                found(25, 26, &["A", "B"])
            ]),
            ["at 26 ms device alice was at 2 places at once: A, B"]
        );
    }

    #[test]
    fn a_device_is_nowhere_before_it_was_made_and_not_where_it_never_was() {
        assert_eq!(
            faults(&[found(0, 5, &["A"]), registered(10, 20, "A")]),
            ["at 5 ms device alice was at A, 5 ms before it began to register there"]
        );
        assert_eq!(
            faults(&[registered(0, 10, "A"), found(11, 12, &["C"])]),
            ["at 12 ms device alice was at C, where it never registered"]
        );
    }

    #[test]
    fn a_device_is_not_where_it_moved_away_from_nor_anywhere_after_its_end() {
        assert_eq!(
            faults(&[registered(0, 10, "A"), registered(20, 30, "B"), found(35, 36, &["A"])]),
            [
                "at 36 ms device alice was still at A, by a lookup that began 5 ms after its registration at B was acknowledged"
            ]
        );
        assert_eq!(
            faults(&[registered(0, 10, "A"), left(20, 30, "A"), found(35, 36, &["A"])]),
            [
                "at 36 ms device alice was still at A, by a lookup that began 5 ms after its registration there had ended"
            ]
        );
        assert_eq!(
            faults(&[
                registered(0, 10, "A"),
                sighting(20, 30, What::Deleted),
                found(35, 36, &["A"])
            ]),
            ["at 36 ms device alice was still at A, by a lookup that began 5 ms after it was deleted"]
        );
    }

    #[test]
    fn what_may_have_happened_excuses_both_answers_until_it_certainly_happened() {
        let unknown = |what| Sighting {
            end_ns: None,
            ..sighting(20, 20, what)
        };
        let dies = unknown(What::Left("A".into()));
        assert_eq!(
            faults(&[
                registered(0, 10, "A"),
                dies.clone(),
                found(30, 31, &[]),
                found(32, 33, &["A"])
            ]),
            [""; 0]
        );
        let moves = unknown(What::Registered("B".into()));
        assert_eq!(
            faults(&[
                registered(0, 10, "A"),
                moves.clone(),
                found(30, 31, &["B"]),
                found(32, 33, &["A"])
            ]),
            [""; 0]
        );
        assert_eq!(
            faults(&[registered(0, 10, "A"), moves, found(30, 31, &[])]).len(),
            1,
            "it is at A or at B"
        );
        // A dead place has a bound.
        assert_eq!(
            faults(&[registered(0, 10, "A"), left(20, 3020, "A"), found(3000, 3001, &["A"])]),
            [""; 0]
        );
        assert_eq!(
            faults(&[registered(0, 10, "A"), left(20, 3020, "A"), found(3030, 3031, &["A"])]).len(),
            1
        );
    }

    #[test]
    fn devices_are_judged_apart_and_lookups_without_registrations_prove_nothing() {
        let bob = Sighting {
            device: "bob".into(),
            ..found(30, 31, &[])
        };
        assert_eq!(
            check(&[registered(0, 10, "A"), bob.clone(), found(30, 31, &["A"])]).verdict,
            Verdict::True
        );
        assert_eq!(check(&[registered(0, 10, "A"), bob]).verdict, Verdict::Unknown);
        assert_eq!(check(&[]).verdict, Verdict::Unknown);
    }
}
