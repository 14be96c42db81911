//! Who is connected: counted, cut off when it is no member any more, and sent away for others while nobody knows it.
//!
//! Places are given to newcomers at the cost of the oldest connections that have not made themselves known: whoever has something to
//! ask does so at once, and whoever only holds places loses them. Known ones and members keep theirs.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fed_core::ids::NodeId;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Limits, NodeName, network_of};

/// The open connections of one listener.
#[derive(Debug, Default)]
pub(super) struct Guests {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// By number: the oldest first.
    guests: BTreeMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    from: IpAddr,
    standing: Standing,
    known: Known,
    cut: CancellationToken,
}

/// What a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its handshake is under way.
    Arriving,
    /// A node with a certificate.
    Node(NodeName),
    /// Somebody else.
    Stranger,
    /// Cut off, and not gone yet.
    Leaving,
}

/// Whether a service knows whose connection it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Arc<AtomicBool>);

impl Known {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A place among the guests, given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    guests: Arc<Guests>,
    number: u64,
    pub(super) known: Known,
    pub(super) cut: CancellationToken,
}

impl Guest {
    fn arrives(&self) -> bool {
        self.standing == Standing::Arriving
    }

    fn is_unknown_stranger(&self) -> bool {
        self.standing == Standing::Stranger && !self.known.is_set()
    }

    /// Whether others may have its place.
    fn can_be_replaced(&self) -> bool {
        self.arrives() || self.is_unknown_stranger()
    }
}

impl Open {
    fn count(&self, of: impl Fn(&Guest) -> bool) -> usize {
        self.guests.values().filter(|guest| of(guest)).count()
    }

    /// Sends the oldest of these away; false when there is none.
    fn replace_oldest(&mut self, of: impl Fn(&Guest) -> bool) -> bool {
        let Some(oldest) = self.guests.values_mut().find(|guest| of(guest)) else {
            return false;
        };
        oldest.standing = Standing::Leaving;
        oldest.cut.cancel();
        true
    }

    /// The same of the network that has the most of these.
    fn replace_in_the_crowd(&mut self, of: impl Fn(&Guest) -> bool) -> bool {
        let mut networks: HashMap<IpAddr, usize> = HashMap::new();
        for guest in self.guests.values().filter(|guest| of(guest)) {
            *networks.entry(guest.from).or_default() += 1;
        }
        let most = networks.into_iter().max_by_key(|(network, count)| (*count, *network));
        most.is_some_and(|(crowd, _)| self.replace_oldest(|guest| of(guest) && guest.from == crowd))
    }
}

impl Guests {
    /// A place for one that arrives, unless there are too many.
    pub(super) fn arrive(self: &Arc<Self>, from: IpAddr, limits: &Limits) -> Option<Seat> {
        let from = network_of(from);
        let mut open = self.open.lock();
        let from_there = |guest: &Guest| guest.arrives() && guest.from == from;
        if open.count(from_there) >= limits.arriving_per_network {
            open.replace_oldest(from_there);
        }
        if open.count(Guest::arrives) >= limits.arriving {
            open.replace_in_the_crowd(Guest::arrives);
        }
        let here = |guest: &Guest| guest.standing != Standing::Leaving;
        if open.count(here) >= limits.connections && !open.replace_in_the_crowd(Guest::can_be_replaced) {
            return None;
        }
        let number = open.next;
        open.next += 1;
        let guest = Guest {
            from,
            standing: Standing::Arriving,
            known: Known::default(),
            cut: CancellationToken::new(),
        };
        let seat = Seat {
            guests: self.clone(),
            number,
            known: guest.known.clone(),
            cut: guest.cut.clone(),
        };
        open.guests.insert(number, guest);
        Some(seat)
    }

    /// Cuts off the nodes of which this is true.
    pub(super) fn cut(&self, gone: impl Fn(NodeId) -> bool) {
        for guest in self.open.lock().guests.values() {
            if let Standing::Node(name) = guest.standing
                && gone(name.node)
            {
                guest.cut.cancel();
            }
        }
    }
}

impl Seat {
    /// Takes note of who it is; false when there are too many of its kind.
    pub(super) fn settle(&self, standing: Standing, limits: &Limits) -> bool {
        let mut open = self.guests.open.lock();
        let Some(own) = open.guests.get(&self.number) else {
            return false;
        };
        // Sent away in this moment.
        if own.standing == Standing::Leaving {
            return false;
        }
        let from = own.from;
        match standing {
            Standing::Stranger => {
                let strangers = |guest: &Guest| guest.standing == Standing::Stranger && guest.from == from;
                let unknown = |guest: &Guest| guest.is_unknown_stranger() && guest.from == from;
                if limits.stranger.is_none() {
                    self.known.set();
                } else if open.count(unknown) >= limits.unknown_per_network {
                    open.replace_oldest(unknown);
                }
                if open.count(strangers) >= limits.strangers_per_network && !open.replace_oldest(unknown) {
                    return false;
                }
            }
            _ => {
                if open.count(|guest| guest.standing == standing) >= limits.connections_per_node {
                    return false;
                }
            }
        }
        if let Some(guest) = open.guests.get_mut(&self.number) {
            guest.standing = standing;
        }
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.guests.open.lock().guests.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::identity::ClusterId;

    fn limits() -> Limits {
        Limits {
            connections: 10,
            connections_per_node: 2,
            strangers_per_network: 2,
            unknown_per_network: 1,
            arriving: 4,
            arriving_per_network: 2,
            ..Limits::default()
        }
    }

    fn at(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    fn node(id: u64) -> Standing {
        Standing::Node(NodeName {
            cluster: ClusterId(1),
            node: NodeId(id),
        })
    }

    fn arrived(guests: &Arc<Guests>, from: IpAddr) -> Seat {
        guests.arrive(from, &limits()).expect("a seat")
    }

    #[test]
    fn arrivals_of_one_network_take_the_places_of_their_own() {
        let guests = Arc::new(Guests::default());
        let [first, second] = [1, 1].map(|n| arrived(&guests, at(n)));
        let other = arrived(&guests, at(2));
        let third = arrived(&guests, at(1));
        assert!(first.cut.is_cancelled(), "the oldest of that network");
        assert!(!first.settle(node(7), &limits()), "it comes too late");
        assert!([&second, &other, &third].iter().all(|seat| !seat.cut.is_cancelled()));
        // One that has arrived takes no place of those under way.
        assert!(second.settle(node(7), &limits()));
        let _fourth = arrived(&guests, at(1));
        assert!(!third.cut.is_cancelled());
    }

    #[test]
    fn in_a_crowd_those_give_way_who_brought_it() {
        let guests = Arc::new(Guests::default());
        let few = arrived(&guests, at(1));
        let many = [2, 2, 3].map(|n| arrived(&guests, at(n)));
        let _newcomer = arrived(&guests, at(4));
        assert!(many[0].cut.is_cancelled() && !few.cut.is_cancelled() && !many[2].cut.is_cancelled());
    }

    #[test]
    fn each_kind_of_guest_has_a_share() {
        let guests = Arc::new(Guests::default());
        let seats: Vec<Seat> = (1..=4).map(|n| arrived(&guests, at(n))).collect();
        let settled: Vec<bool> = seats.iter().map(|seat| seat.settle(node(7), &limits())).collect();
        assert_eq!(settled, [true, true, false, false]);
        assert!(seats[2].settle(node(8), &limits()), "another node has its own share");
    }

    #[test]
    fn strangers_give_way_to_newer_ones_until_they_are_known() {
        let guests = Arc::new(Guests::default());
        let settled = |from: &str| {
            let seat = arrived(&guests, from.parse().expect("an address"));
            (seat.settle(Standing::Stranger, &limits()), seat)
        };
        let (_, first) = settled("2001:db8::1");
        // Of the same /64, and of another.
        let (_, second) = settled("2001:db8::2");
        let (_, elsewhere) = settled("2001:db8:0:1::1");
        assert!(first.cut.is_cancelled() && !elsewhere.cut.is_cancelled());
        drop(first);
        second.known.set();
        let (_, third) = settled("2001:db8::3");
        assert!(!second.cut.is_cancelled() && !third.cut.is_cancelled());
        third.known.set();
        let (let_in, _fourth) = settled("2001:db8::4");
        assert!(!let_in, "known ones keep their places");
        drop(second);
        assert!(settled("2001:db8::5").0, "a seat is given back");
    }

    #[test]
    fn whoever_holds_all_places_without_a_word_loses_them_to_others() {
        let guests = Arc::new(Guests::default());
        let wide = Limits {
            connections: 3,
            unknown_per_network: 100,
            strangers_per_network: 100,
            ..limits()
        };
        let settled = |from: u8| {
            let seat = guests.arrive(at(from), &wide).expect("a seat");
            assert!(seat.settle(Standing::Stranger, &wide));
            seat
        };
        let silent = [1, 1, 1].map(settled);
        let newcomer = settled(2);
        assert!(silent[0].cut.is_cancelled() && !newcomer.cut.is_cancelled());
        newcomer.known.set();
        for seat in &silent {
            seat.known.set();
        }
        let full = guests.arrive(at(3), &wide);
        assert!(full.is_none(), "all are known");
    }

    #[test]
    fn where_strangers_may_stay_they_are_known_at_once() {
        let guests = Arc::new(Guests::default());
        let free = Limits::without_certificates();
        let seats: Vec<Seat> = (0..100)
            .map(|_| guests.arrive(at(1), &free).expect("a seat"))
            .inspect(|seat| assert!(seat.settle(Standing::Stranger, &free)))
            .collect();
        assert!(seats.iter().all(|seat| !seat.cut.is_cancelled()));
    }

    #[test]
    fn only_those_that_are_gone_are_cut_off() {
        let guests = Arc::new(Guests::default());
        let seats: Vec<Seat> = (1..=2).map(|n| arrived(&guests, at(n))).collect();
        for (seat, id) in seats.iter().zip([7, 8]) {
            assert!(seat.settle(node(id), &limits()));
        }
        guests.cut(|node| node == NodeId(7));
        assert!(seats[0].cut.is_cancelled() && !seats[1].cut.is_cancelled());
    }
}
