//! Traffic while things break: phones that register, move and call all the while, and what was seen of them.
//!
//! What happened is noted as it happens ([`journal`]); what must have been true at each moment follows from that afterwards, once all faults
//! are known, and is judged by the registration checker of the fault harness.

pub mod journal;
mod phones;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use fed_chaos::seeded::Seeded;

pub use journal::{Fault, Journal};
pub use phones::{Caller, Mover};

use crate::lab::{Asker, Host, Located};

/// A host as the traffic sees it.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Where its Asterisk takes SIP.
    pub sip: SocketAddr,
}

impl Place {
    /// Of a host of the lab.
    pub fn of(host: &Host) -> Self {
        Self {
            name: host.name.clone(),
            sip: host.sip(),
        }
    }
}

/// Everything that goes on while the network breaks.
pub struct Traffic {
    /// The hosts.
    pub places: Vec<Place>,
    /// One for each host.
    pub askers: Vec<Asker>,
    /// Users on the move.
    pub movers: Vec<Mover>,
    /// One at each host.
    pub callers: Vec<Caller>,
}

impl Traffic {
    /// Keeps everybody busy while `faults` runs, and gives back what was noted, the movers with the places where they are now.
    ///
    /// # Errors
    /// What `faults` failed with, or a phone that Asterisk did not answer as a phone must be answered.
    pub fn during(self, faults: impl FnOnce(&Journal) -> Result<()>) -> Result<(Journal, Vec<Mover>)> {
        let Self {
            places,
            askers,
            mut movers,
            mut callers,
        } = self;
        let (journal, over) = (Journal::new(), AtomicBool::new(false));
        let devices: Vec<String> = movers.iter().map(|mover| mover.device().to_owned()).collect();
        let phones: Vec<_> = movers.iter().map(Mover::phones).collect();
        thread::scope(|scope| {
            let (journal, over, places, devices) = (&journal, &over, &places, &devices);
            let mut busy = Vec::new();
            for (number, mover) in movers.iter_mut().enumerate() {
                busy.push(scope.spawn(move || mover.move_about(number, places, journal, over)));
            }
            for (at, mut asker) in askers.into_iter().enumerate() {
                busy.push(scope.spawn(move || ask_about(at, &mut asker, devices, places, journal, over)));
            }
            for (at, (caller, called)) in callers.iter_mut().zip(phones).enumerate() {
                busy.push(scope.spawn(move || caller.call_on(at, &called, places, journal, over)));
            }
            let done = faults(journal);
            over.store(true, Ordering::Relaxed);
            for thread in busy {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            done
        })?;
        Ok((journal, movers))
    }
}

/// Asks one host where the movers are, again and again.
fn ask_about(
    at: usize,
    asker: &mut Asker,
    devices: &[String],
    places: &[Place],
    journal: &Journal,
    over: &AtomicBool,
) -> Result<()> {
    let mut chance = Seeded::new(at as u64 + 1);
    while !over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(60 + chance.below(80)));
        let device = &devices[usize::try_from(chance.below(devices.len() as u64))?];
        let asked = Instant::now();
        let Ok((located, answered)) = asker.ask(device) else {
            journal.unanswered();
            continue;
        };
        let found = match located {
            Located::Here => vec![at],
            Located::At { address, .. } => places
                .iter()
                .position(|place| place.sip.to_string() == address)
                .into_iter()
                .collect(),
            Located::Refused(480 | 404) => Vec::new(),
            Located::Refused(_) => {
                journal.unanswered();
                continue;
            }
        };
        journal.found(at, device, found, asked, answered);
    }
    Ok(())
}
