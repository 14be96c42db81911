//! Who is connected over TCP: counted in all and by source, and sent away for others while it has said nothing.
//!
//! Whoever has something to ask does so at once, and whoever only holds places loses them. Some places are for this node's own
//! Asterisk alone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::config::RedirectConfig;
use super::stats::{Stats, add};

/// The open connections of all listeners.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    open: Arc<Mutex<Open>>,
    most: usize,
    most_per_source: usize,
    reserved: usize,
    stats: Arc<Stats>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// By number: the oldest first.
    guests: BTreeMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    source: IpAddr,
    own: bool,
    spoke: Arc<AtomicBool>,
    cut: CancellationToken,
}

/// One connection's place among those allowed; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Connections,
    number: u64,
    spoke: Arc<AtomicBool>,
    /// Cancelled when it has to give way.
    pub(super) cut: CancellationToken,
}

impl Open {
    fn count(&self, of: impl Fn(&Guest) -> bool) -> usize {
        self.guests.values().filter(|guest| of(guest)).count()
    }

    /// Sends the oldest of these away that has said nothing; false when there is none.
    fn replace(&mut self, of: impl Fn(&Guest) -> bool) -> bool {
        let silent = |guest: &Guest| !guest.spoke.load(Ordering::Relaxed);
        let oldest = self.guests.iter().find(|(_, guest)| silent(guest) && of(guest));
        let Some(number) = oldest.map(|(number, _)| *number) else {
            return false;
        };
        if let Some(guest) = self.guests.remove(&number) {
            guest.cut.cancel();
        }
        true
    }
}

impl Connections {
    pub(super) fn new(config: &RedirectConfig, stats: Arc<Stats>) -> Self {
        Self {
            open: Arc::default(),
            most: config.connections,
            most_per_source: config.connections_per_source,
            reserved: config.connections_reserved.min(config.connections),
            stats,
        }
    }

    /// A place for a connection from there, `own` where this node's own Asterisk connects from; none while all that it may
    /// have are held by connections that have asked something.
    pub(super) fn admit(&self, source: IpAddr, own: bool) -> Option<Place> {
        let place = self.find(source.to_canonical(), own);
        if place.is_none() {
            add(&self.stats.connections_refused);
        }
        place
    }

    fn find(&self, source: IpAddr, own: bool) -> Option<Place> {
        let mut open = self.open.lock();
        let make_room = |open: &mut Open, most: usize, of: &dyn Fn(&Guest) -> bool| {
            let has_room = open.count(of) < most;
            if !has_room && open.replace(of) {
                add(&self.stats.connections_displaced);
                return true;
            }
            has_room
        };
        let fits = make_room(&mut open, self.most_per_source, &|guest| guest.source == source)
            && (own || make_room(&mut open, self.most - self.reserved, &|guest| !guest.own))
            && make_room(&mut open, self.most, &|_| true);
        if !fits {
            return None;
        }
        let number = open.next;
        open.next += 1;
        let (spoke, cut) = (Arc::<AtomicBool>::default(), CancellationToken::new());
        let guest = Guest {
            source,
            own,
            spoke: spoke.clone(),
            cut: cut.clone(),
        };
        open.guests.insert(number, guest);
        Some(Place {
            connections: self.clone(),
            number,
            spoke,
            cut,
        })
    }
}

impl Place {
    /// Takes note of a whole request: from now on it keeps its place.
    pub(super) fn has_spoken(&self) {
        self.spoke.store(true, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.lock().guests.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections() -> Connections {
        let config = RedirectConfig {
            connections: 6,
            connections_per_source: 2,
            connections_reserved: 2,
            ..RedirectConfig::default()
        };
        Connections::new(&config, Arc::default())
    }

    fn at(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn the_oldest_of_its_source_that_has_said_nothing_gives_way() {
        let connections = connections();
        let [first, second] = [(); 2].map(|()| connections.admit(at(1), false).expect("a place"));
        let other = connections.admit(at(2), false).expect("a place");
        first.has_spoken();
        let third = connections.admit(at(1), false).expect("a place");
        assert!(second.cut.is_cancelled() && [&first, &other, &third].iter().all(|p| !p.cut.is_cancelled()));
        third.has_spoken();
        assert!(connections.admit(at(1), false).is_none(), "both have asked");
        let counts = connections.stats.counts();
        assert_eq!((counts.connections_displaced, counts.connections_refused), (1, 1));
        drop(first);
        assert!(connections.admit(at(1), false).is_some(), "a place is given back");
    }

    #[test]
    fn others_that_hold_all_their_places_leave_some_to_the_own_asterisk() {
        let connections = connections();
        let others: Vec<Place> = [1, 1, 2, 2]
            .map(|last| connections.admit(at(last), false).expect("a place"))
            .into();
        others.iter().for_each(Place::has_spoken);
        assert!(connections.admit(at(3), false).is_none(), "the rest is reserved");
        let own = [(); 2].map(|()| connections.admit(at(9), true).expect("a reserved place"));
        assert!(
            connections.admit(at(9), true).is_some(),
            "a silent one of its own gives way"
        );
        assert!(own[0].cut.is_cancelled() && others.iter().all(|p| !p.cut.is_cancelled()));
    }
}
