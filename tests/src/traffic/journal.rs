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

/// One host cut off from the others.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Which.
    pub host: usize,
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

    /// Notes that a host is about to be cut off.
    pub fn cut(&self, host: usize) {
        self.notes.lock().faults.push(Fault {
            host,
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
            .copied()
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

    /// The phone that answers is the last that rang: one that was left a moment before may have rung first.
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
        match outcome {
            Ok(answered) if rang.len() == 1 => notes.lookups.push(Lookup {
                asked_at: at,
                device: device.to_owned(),
                found: rang,
                from,
                to: answered,
            }),
            Ok(_) => {}
            Err(why) => notes.failed.push(Failed {
                at,
                device: Some(device.to_owned()),
                from,
                to: Instant::now(),
                why: format!("{why:#}"),
            }),
        }
    }

    /// What all of it comes to, once everybody is quiet and everything is healed.
    pub fn judge(&self, hosts: &[String]) -> Judgement {
        let notes = self.notes.lock();
        let mut sightings = notes.registered(self.began, hosts);
        sightings.extend(notes.cut_away(self.began, hosts));
        sightings.extend(notes.seen(self.began, hosts));
        let failed = notes.failed.iter().filter(|failed| notes.had_to_work(failed));
        Judgement {
            places: check(&sightings),
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
            .find(|fault| fault.host == host && fault.lasts_at(moment))
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

    fn registered(&self, began: Instant, hosts: &[String]) -> Vec<Sighting> {
        self.registrations
            .iter()
            .map(|r| {
                // At a host that is cut off it counts only there, until the cut is healed.
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
        for fault in &self.faults {
            let here = |moment| {
                let place = move |device: &&&str| self.place_at(device, moment) == Some(fault.host);
                devices.iter().filter(place).map(|device| (*device).to_owned())
            };
            // Whoever arrives at the very moment may be on either side.
            for device in here(fault.since + CALM).chain(here(fault.since)) {
                sightings.push(Sighting {
                    device,
                    start_ns: ns(began, fault.since - CALM),
                    end_ns: Some(ns(began, fault.since + BOUND + CALM)),
                    what: What::Left(hosts[fault.host].clone()),
                });
            }
            let Some(healed) = fault.until else { continue };
            for device in here(healed) {
                sightings.push(Sighting {
                    device,
                    start_ns: ns(began, healed),
                    end_ns: Some(ns(began, healed + BOUND)),
                    what: What::Registered(hosts[fault.host].clone()),
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
                .any(|fault| fault.host == lookup.asked_at && fault.since <= lookup.to && !caught_up(fault))
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
