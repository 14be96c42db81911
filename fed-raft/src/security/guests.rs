//! Who is connected: counted, and cut off when it is no member any more.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use fed_core::ids::NodeId;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Limits, NodeName};

/// The open connections of one listener.
#[derive(Debug, Default)]
pub(super) struct Guests {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    guests: HashMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    from: IpAddr,
    standing: Standing,
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
}

/// A place among the guests, given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    guests: Arc<Guests>,
    number: u64,
    pub(super) cut: CancellationToken,
}

impl Guests {
    /// A place for one that arrives, unless there are too many.
    pub(super) fn arrive(self: &Arc<Self>, from: IpAddr, limits: &Limits) -> Option<Seat> {
        let mut open = self.open.lock();
        let arriving = |guest: &&Guest| guest.standing == Standing::Arriving;
        let from_there = open.guests.values().filter(arriving).filter(|guest| guest.from == from);
        if from_there.count() >= limits.arriving_per_address
            || open.guests.values().filter(arriving).count() >= limits.arriving
            || open.guests.len() >= limits.connections
        {
            return None;
        }
        let (number, cut) = (open.next, CancellationToken::new());
        open.next += 1;
        let guest = Guest {
            from,
            standing: Standing::Arriving,
            cut: cut.clone(),
        };
        open.guests.insert(number, guest);
        drop(open);
        Some(Seat {
            guests: self.clone(),
            number,
            cut,
        })
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
        let Some(from) = open.guests.get(&self.number).map(|guest| guest.from) else {
            return false;
        };
        let alike = |guest: &&Guest| match (standing, guest.standing) {
            (Standing::Node(one), Standing::Node(other)) => one == other,
            (Standing::Stranger, Standing::Stranger) => guest.from == from,
            _ => false,
        };
        let most = match standing {
            Standing::Stranger => limits.strangers_per_address,
            _ => limits.connections_per_node,
        };
        if open.guests.values().filter(alike).count() >= most {
            return false;
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
            strangers_per_address: 1,
            arriving: 4,
            arriving_per_address: 2,
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

    #[test]
    fn arrivals_of_one_address_do_not_keep_others_out() {
        let guests = Arc::new(Guests::default());
        let first = guests.arrive(at(1), &limits()).expect("a seat");
        let second = guests.arrive(at(1), &limits()).expect("a seat");
        assert!(guests.arrive(at(1), &limits()).is_none());
        assert!(guests.arrive(at(2), &limits()).is_some());
        assert!(first.settle(node(7), &limits()));
        assert!(guests.arrive(at(1), &limits()).is_some(), "it has arrived");
        drop(second);
    }

    #[test]
    fn each_kind_of_guest_has_a_share() {
        let guests = Arc::new(Guests::default());
        let seats: Vec<Seat> = (1..=4).filter_map(|n| guests.arrive(at(n), &limits())).collect();
        let settled: Vec<bool> = seats.iter().map(|seat| seat.settle(node(7), &limits())).collect();
        assert_eq!(settled, [true, true, false, false]);
        assert!(seats[2].settle(node(8), &limits()), "another node has its own share");
        drop(seats);
        let one = guests.arrive(at(1), &limits()).expect("a seat");
        let two = guests.arrive(at(1), &limits()).expect("a seat");
        assert!(one.settle(Standing::Stranger, &limits()));
        assert!(!two.settle(Standing::Stranger, &limits()));
        drop(one);
        assert!(two.settle(Standing::Stranger, &limits()), "a seat is given back");
    }

    #[test]
    fn only_those_that_are_gone_are_cut_off() {
        let guests = Arc::new(Guests::default());
        let seats: Vec<Seat> = (1..=2).filter_map(|n| guests.arrive(at(n), &limits())).collect();
        for (seat, id) in seats.iter().zip([7, 8]) {
            assert!(seat.settle(node(id), &limits()));
        }
        guests.cut(|node| node == NodeId(7));
        assert!(seats[0].cut.is_cancelled() && !seats[1].cut.is_cancelled());
    }
}
