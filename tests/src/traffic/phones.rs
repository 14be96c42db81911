//! Who moves, and who calls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fed_chaos::seeded::Seeded;

use super::{Journal, Place};
use crate::phone::Phone;

/// Patience with a call: ringing and answer come within milliseconds, an election may be in between.
const PATIENCE: Duration = Duration::from_secs(5);

/// A user who carries one device from host to host: a socket of its own for each.
pub struct Mover {
    phones: Vec<Phone>,
    at: usize,
}

impl Mover {
    /// One that is registered at that host now.
    pub fn new(phones: Vec<Phone>, at: usize) -> Self {
        Self { phones, at }
    }

    /// Its device.
    pub fn device(&self) -> &str {
        self.phones[0].id()
    }

    /// Where it registered last.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Its phones, by host.
    pub fn phones(&self) -> Vec<Phone> {
        self.phones.clone()
    }

    /// Registers here and there.
    ///
    /// The first mover also goes to a host that is cut off, once, and stays there until the cut is healed: a phone that had moved elsewhere in the
    /// majority meanwhile would have to give way, since no clock says which was later. Where nobody has a majority it moves once all the same.
    pub(super) fn move_about(
        &mut self,
        number: usize,
        places: &[Place],
        journal: &Journal,
        over: &AtomicBool,
    ) -> Result<()> {
        let mut chance = Seeded::new(100 + number as u64);
        let device = self.device().to_owned();
        journal.registered(&device, self.at, Instant::now(), Instant::now());
        while !over.load(Ordering::Relaxed) {
            pause(Duration::from_millis(1_500 + chance.below(2_000)), over);
            let cut = journal.cut_off();
            let to = match cut {
                Some(cut) if number == 0 => {
                    let all = cut.hosts.len() == places.len();
                    let free = (all || !cut.hosts.contains(&self.at)) && !journal.moved_since(&device, cut.since);
                    let mut there = cut.hosts.into_iter().filter(|host| *host != self.at);
                    match there.next() {
                        Some(there) if free => there,
                        _ => continue,
                    }
                }
                // Whoever was caught at a host that is cut off may come away from it, nobody else goes there.
                cut => {
                    let cut_off = cut.map(|cut| cut.hosts).unwrap_or_default();
                    let mut others = (0..places.len()).collect::<Vec<_>>();
                    others.retain(|place| *place != self.at && !cut_off.contains(place));
                    if others.is_empty() {
                        continue;
                    }
                    others[usize::try_from(chance.below(others.len() as u64))?]
                }
            };
            let registered = self.phones[to]
                .register(places[to].sip)
                .with_context(|| format!("{device} registers at {}", places[to].name))?;
            self.at = to;
            journal.registered(&device, to, registered.sent, registered.ok);
        }
        Ok(())
    }
}

/// A phone that stays where it is and calls: its neighbour at the same host, which must always work, and one mover.
pub struct Caller {
    phone: Phone,
    neighbour: Phone,
}

impl Caller {
    /// Both are registered at the same host.
    pub fn new(phone: Phone, neighbour: Phone) -> Self {
        Self { phone, neighbour }
    }

    pub(super) fn call_on(
        &mut self,
        at: usize,
        called: &[Phone],
        places: &[Place],
        journal: &Journal,
        over: &AtomicBool,
    ) -> Result<()> {
        let mut chance = Seeded::new(200 + at as u64);
        while !over.load(Ordering::Relaxed) {
            pause(Duration::from_millis(300 + chance.below(500)), over);
            let began = Instant::now();
            let local = self.call(&places[at], self.neighbour.id());
            self.neighbour.forget_incoming();
            journal.local_call(at, began, local.map(drop));

            let before: Vec<u64> = called.iter().map(Phone::invites).collect();
            let began = Instant::now();
            let outcome = self.call(&places[at], called[0].id());
            let rang = called
                .iter()
                .zip(&before)
                .enumerate()
                .filter(|(_, (phone, before))| phone.invites() > **before)
                .map(|(place, _)| place)
                .collect();
            called.iter().for_each(Phone::forget_incoming);
            journal.call(at, called[0].id(), rang, began, outcome);
        }
        Ok(())
    }

    /// One call until its answer, which is ended at once. Answers when it was answered.
    fn call(&self, place: &Place, callee: &str) -> Result<Instant> {
        let mut call = self.phone.call(place.sip, callee)?;
        let answered = call.wait_answer(PATIENCE)?;
        call.hang_up()?;
        Ok(answered)
    }
}

fn pause(how_long: Duration, over: &AtomicBool) {
    let until = Instant::now() + how_long;
    while Instant::now() < until && !over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(20));
    }
}
