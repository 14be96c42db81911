//! What was done and seen, and what follows from it.

use std::time::{Duration, Instant};

use anyhow::Error;
use fed_chaos::registration::{RegistrationReport, Sighting, What, check};
use parking_lot::Mutex;

/// Within this a move is known everywhere, while nothing is broken and nothing has just been.
const CALM: Duration = Duration::from_secs(1);

/// Within this it is around a fault: silence until an election, the election, and the end of the sessions of the dead.
const BOUND: Duration = Duration::from_secs(4);

/// For so long after a cut or its healing the longer bound counts.
const UNREST: Duration = Duration::from_secs(5);

/// A fault of the network.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Hosts that may be cut off by it: what they say may be old, and what registers there may be known there only, until it is over.
    pub hosts: Vec<usize>,
    /// The others have a majority and hear nothing of these hosts, so they must notice that they are gone.
    pub lost: bool,
    /// Since when.
    pub since: Instant,
    /// Until when; `None` while it lasts.
    pub until: Option<Instant>,
}

impl Fault {
    fn lasts_at(&self, moment: Instant) -> bool {
        self.since <= moment && self.until.is_none_or(|until| moment < until)
    }
}

struct Registration {
    device: String,
    host: usize,
    sent: Instant,
    ok: Instant,
}

struct Lookup {
    asked_at: usize,
    device: String,
    found: Vec<usize>,
    from: Instant,
    to: Instant,
}

struct Failed {
    at: usize,
    device: Option<String>,
    from: Instant,
    to: Instant,
    why: String,
}

#[derive(Default)]
struct Notes {
    faults: Vec<Fault>,
    registrations: Vec<Registration>,
    lookups: Vec<Lookup>,
    failed: Vec<Failed>,
    calls: usize,
    local_calls: usize,
    unanswered: usize,
}

/// Notes of everybody.
pub struct Journal {
    began: Instant,
    notes: Mutex<Notes>,
}

/// What the notes come to.
#[derive(Debug)]
pub struct Judgement {
    /// Whether every lookup and every ringing phone was where it may have been.
    pub places: RegistrationReport,
    /// Calls that had to be answered and were not.
    pub failed_calls: Vec<String>,
    /// Calls to movers, and to neighbours at the same host.
    pub calls: (usize, usize),
    /// Registrations.
    pub registrations: usize,
    /// Questions that a redirect server did not answer, or with 503.
    pub unanswered: usize,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            notes: Mutex::default(),
        }
    }

    /// Notes that these hosts are about to be cut off; `lost`: for certain, from a majority.
    pub fn cut(&self, hosts: &[usize], lost: bool) {
        self.notes.lock().faults.push(Fault {
            hosts: hosts.to_vec(),
            lost,
            since: Instant::now(),
            until: None,
        });
    }

    /// Notes that nothing is cut off any more.
    pub fn healed(&self) {
        if let Some(last) = self.notes.lock().faults.last_mut() {
            last.until = Some(Instant::now());
        }
    }

    /// The cut that lasts.
    pub(super) fn cut_off(&self) -> Option<Fault> {
        self.notes
            .lock()
            .faults
            .last()
            .cloned()
            .filter(|fault| fault.until.is_none())
    }

    pub(super) fn moved_since(&self, device: &str, since: Instant) -> bool {
        let notes = self.notes.lock();
        notes.registrations.iter().any(|r| r.device == device && r.ok >= since)
    }

    pub(super) fn registered(&self, device: &str, host: usize, sent: Instant, ok: Instant) {
        self.notes.lock().registrations.push(Registration {
            device: device.to_owned(),
            host,
            sent,
            ok,
        });
    }

    pub(super) fn found(&self, asked_at: usize, device: &str, found: Vec<usize>, from: Instant, to: Instant) {
        self.notes.lock().lookups.push(Lookup {
            asked_at,
            device: device.to_owned(),
            found,
            from,
            to,
        });
    }

    pub(super) fn unanswered(&self) {
        self.notes.lock().unanswered += 1;
    }

    pub(super) fn local_call(&self, at: usize, from: Instant, outcome: Result<(), Error>) {
        let mut notes = self.notes.lock();
        notes.local_calls += 1;
        if let Err(why) = outcome {
            notes.failed.push(Failed {
                at,
                device: None,
                from,
                to: Instant::now(),
                why: format!("{why:#}"),
            });
        }
    }

    /// Each phone that rang was taken for the place where the user is, whether it answered or a later one did.
    pub(super) fn call(
        &self,
        at: usize,
        device: &str,
        rang: Vec<usize>,
        from: Instant,
        outcome: Result<Instant, Error>,
    ) {
        let mut notes = self.notes.lock();
        notes.calls += 1;
        let to = *outcome.as_ref().unwrap_or(&Instant::now());
        for place in rang {
            notes.lookups.push(Lookup {
                asked_at: at,
                device: device.to_owned(),
                found: vec![place],
                from,
                to,
            });
        }
        if let Err(why) = outcome {
            notes.failed.push(Failed {
                at,
                device: Some(device.to_owned()),
                from,
                to,
                why: format!("{why:#}"),
            });
        }
    }

    /// What all of it comes to, once everybody is quiet and everything is healed.
    pub fn judge(&self, hosts: &[String]) -> Judgement {
        let notes = self.notes.lock();
        let failed = notes.failed.iter().filter(|failed| notes.had_to_work(failed));
        Judgement {
            places: check(&notes.sightings(self.began, hosts)),
            failed_calls: failed
                .map(|failed| {
                    format!(
                        "{:.1} s: {} called {}: {}",
                        (failed.from - self.began).as_secs_f64(),
                        hosts[failed.at],
                        failed.device.as_deref().unwrap_or("its neighbour"),
                        failed.why
                    )
                })
                .collect(),
            calls: (notes.calls, notes.local_calls),
            registrations: notes.registrations.len(),
            unanswered: notes.unanswered,
        }
    }
}

impl Notes {
    fn cut_at(&self, host: usize, moment: Instant) -> Option<&Fault> {
        self.faults
            .iter()
            .find(|fault| fault.hosts.contains(&host) && fault.lasts_at(moment))
    }

    /// How long something that happened then may take to be known.
    fn bound(&self, moment: Instant) -> Duration {
        let unrest = |edge: Instant| edge <= moment + CALM && moment <= edge + UNREST;
        let restless = self
            .faults
            .iter()
            .any(|fault| unrest(fault.since) || fault.until.is_some_and(unrest));
        if restless { BOUND } else { CALM }
    }

    /// Where the device was registered last before a moment.
    fn place_at(&self, device: &str, moment: Instant) -> Option<usize> {
        let earlier = self
            .registrations
            .iter()
            .filter(|r| r.device == device && r.ok <= moment);
        earlier.max_by_key(|r| r.ok).map(|r| r.host)
    }

    fn sightings(&self, began: Instant, hosts: &[String]) -> Vec<Sighting> {
        let mut sightings = self.registered(began, hosts);
        sightings.extend(self.cut_away(began, hosts));
        sightings.extend(self.seen(began, hosts));
        sightings
    }

    fn registered(&self, began: Instant, hosts: &[String]) -> Vec<Sighting> {
        self.registrations
            .iter()
            .map(|r| {
                // At a host that is cut off it may count only there, until the cut is healed.
                let cut = self.cut_at(r.host, r.ok).or_else(|| self.cut_at(r.host, r.ok + CALM));
                Sighting {
                    device: r.device.clone(),
                    start_ns: ns(began, r.sent),
                    end_ns: cut.is_none().then(|| ns(began, r.ok + self.bound(r.ok))),
                    what: What::Registered(hosts[r.host].clone()),
                }
            })
            .collect()
    }

    /// What a cut does to those who are registered behind it: they are gone for the others, and come back.
    fn cut_away(&self, began: Instant, hosts: &[String]) -> Vec<Sighting> {
        let mut devices: Vec<&str> = self.registrations.iter().map(|r| r.device.as_str()).collect();
        devices.sort_unstable();
        devices.dedup();
        let mut sightings = Vec::new();
        let each = |fault: &Fault| {
            fault
                .hosts
                .iter()
                .map(|host| (fault.clone(), *host))
                .collect::<Vec<_>>()
        };
        for (fault, host) in self.faults.iter().flat_map(each) {
            let here = |moment: Instant| {
                let place = move |device: &&&str| self.place_at(device, moment) == Some(host);
                devices.iter().filter(place).map(|device| (*device).to_owned())
            };
            let healed = fault.until.map(|until| ns(began, until));
            // Where the others need not notice, they may, at any moment before it is over.
            let gone = match fault.lost {
                true => Some(ns(began, fault.since + BOUND + CALM)),
                false => healed.map(|healed| healed - 1),
            };
            // Whoever arrives at the very moment may be on either side; whoever arrives later is known to the others only if they hear of it.
            let later = fault.until.filter(|_| !fault.lost);
            for device in here(fault.since + CALM)
                .chain(here(fault.since))
                .chain(later.into_iter().flat_map(here))
            {
                sightings.push(Sighting {
                    device,
                    start_ns: ns(began, fault.since - CALM),
                    end_ns: gone,
                    what: What::Left(hosts[host].clone()),
                });
            }
            for device in fault.until.into_iter().flat_map(here) {
                sightings.push(Sighting {
                    device,
                    start_ns: ns(began, fault.until.unwrap_or(fault.since)),
                    end_ns: fault.until.map(|healed| ns(began, healed + BOUND)),
                    what: What::Registered(hosts[host].clone()),
                });
            }
        }
        sightings
    }

    /// What the side with the majority said; the other may be behind, and says so.
    fn seen(&self, began: Instant, hosts: &[String]) -> Vec<Sighting> {
        let behind = |lookup: &Lookup| {
            let caught_up = |fault: &Fault| fault.until.is_some_and(|until| until + BOUND < lookup.from);
            self.faults
                .iter()
                .any(|fault| fault.hosts.contains(&lookup.asked_at) && fault.since <= lookup.to && !caught_up(fault))
        };
        self.lookups
            .iter()
            .filter(|lookup| !behind(lookup))
            .map(|lookup| Sighting {
                device: lookup.device.clone(),
                start_ns: ns(began, lookup.from),
                end_ns: Some(ns(began, lookup.to)),
                what: What::Found(lookup.found.iter().map(|host| hosts[*host].clone()).collect()),
            })
            .collect()
    }

    /// A call between neighbours has to work always; one to a mover in calm times, when it did not move just now.
    fn had_to_work(&self, failed: &Failed) -> bool {
        let Some(device) = &failed.device else { return true };
        let unrest = self.faults.iter().any(|fault| {
            let calm_again = fault.until.is_some_and(|until| until + UNREST < failed.from);
            fault.since <= failed.to && !calm_again
        });
        let moving = self
            .registrations
            .iter()
            .any(|r| r.device == *device && r.sent <= failed.to && failed.from <= r.ok + CALM);
        !unrest && !moving
    }
}

fn ns(began: Instant, moment: Instant) -> i64 {
    i64::try_from(moment.saturating_duration_since(began).as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device registers at 0 at first and at the hosts and seconds given, the hosts given are cut off from the 10th to the 18th second,
    /// and host 2 looks for it once. Whether that is wrong.
    fn is_wrong(moves: &[(usize, f64)], cut: &[usize], lost: bool, looked: f64, found: &[usize]) -> bool {
        let began = Instant::now();
        let at = |seconds: f64| began + Duration::from_secs(100) + Duration::from_secs_f64(seconds);
        let mut notes = Notes::default();
        for (host, seconds) in [(0, 0.0)].iter().chain(moves) {
            notes.registrations.push(Registration {
                device: "d".into(),
                host: *host,
                sent: at(*seconds),
                ok: at(*seconds),
            });
        }
        if !cut.is_empty() {
            notes.faults.push(Fault {
                hosts: cut.to_vec(),
                lost,
                since: at(10.0),
                until: Some(at(18.0)),
            });
        }
        notes.lookups.push(Lookup {
            asked_at: 2,
            device: "d".into(),
            found: found.to_vec(),
            from: at(looked),
            to: at(looked),
        });
        let hosts: Vec<String> = (0..3).map(|host| format!("h{host}")).collect();
        !check(&notes.sightings(began, &hosts)).faults.is_empty()
    }

    #[test]
    fn a_place_that_was_left_is_wrong_after_the_bound() {
        let moved = [(1, 2.0)];
        assert!(!is_wrong(&moved, &[], false, 2.5, &[0]));
        assert!(is_wrong(&moved, &[], false, 4.0, &[0]));
        assert!(!is_wrong(&moved, &[], false, 4.0, &[1]));
        assert!(is_wrong(&moved, &[], false, 4.0, &[]), "she is registered");
    }

    #[test]
    fn a_host_that_a_majority_lost_is_gone_for_it_and_back_after_healing() {
        assert!(!is_wrong(&[], &[0], true, 12.0, &[0]));
        assert!(is_wrong(&[], &[0], true, 17.0, &[0]));
        assert!(!is_wrong(&[], &[0], true, 17.0, &[]));
        assert!(is_wrong(&[], &[0], true, 24.0, &[]));
        assert!(!is_wrong(&[], &[0], true, 24.0, &[0]));
    }

    #[test]
    fn a_host_that_may_be_heard_may_be_found_or_not_and_must_be_found_after_healing() {
        for found in [&[0][..], &[]] {
            assert!(!is_wrong(&[], &[0, 1], false, 17.0, found));
        }
        assert!(is_wrong(&[], &[0, 1], false, 24.0, &[]));
        assert!(is_wrong(&[], &[0, 1], false, 17.0, &[1]), "she never was there");
    }

    #[test]
    fn who_asks_where_nobody_has_a_majority_may_be_told_anything() {
        assert!(!is_wrong(&[(1, 12.0)], &[0, 1, 2], false, 17.0, &[0]));
        assert!(is_wrong(&[(1, 12.0)], &[0, 1, 2], false, 24.0, &[0]));
    }

    #[test]
    fn a_registration_behind_a_cut_is_not_lost_when_it_is_healed() {
        let moved = [(1, 5.0), (0, 12.0)];
        for lost in [true, false] {
            assert!(!is_wrong(&moved, &[0], lost, 17.0, &[1]));
            assert!(is_wrong(&moved, &[0], lost, 24.0, &[1]));
            assert!(!is_wrong(&moved, &[0], lost, 24.0, &[0]));
        }
        assert!(is_wrong(&moved, &[0], true, 24.0, &[]));
    }
}
