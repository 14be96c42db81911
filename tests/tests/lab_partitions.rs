//! The whole product under partitions: three real Asterisks, users who register, move and call all the while, and a network that falls apart in
//! every way that three hosts have.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use fed_chaos::Verdict;
use fed_tests::eventually;
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Asker, Lab, Version, leader};
use fed_tests::phone::{Phone, Transport};
use fed_tests::traffic::{Caller, Mover, Place, Traffic};

/// How long a fault lasts: long enough for elections, for the end of a session, and for moves on both sides.
const CUT: Duration = Duration::from_secs(8);

/// How long everything is whole in between.
const WHOLE: Duration = Duration::from_secs(8);

/// How long the federation may take to agree again.
const AGREED: Duration = Duration::from_secs(15);

/// Lookups that could have contradicted a registration; fewer would prove little.
const TESTED: usize = 100;

fn main() -> ExitCode {
    cases::main(
        || Lab::start_federated(&[Version::V22, Version::V22, Version::V16]),
        &[Case {
            name: "the_network_falls_apart_in_every_way_while_users_register_move_and_call",
            body: partitions,
        }],
    )
}

fn partitions(lab: &mut Lab) -> Result<()> {
    let traffic = traffic(lab)?;
    let names: Vec<String> = lab.hosts.iter().map(|host| host.name.clone()).collect();
    let Lab { network, hosts, .. } = lab;
    let (journal, movers) = traffic.during(|journal| {
        sleep(WHOLE);
        for fault in FAULTS {
            let cut = fault.of(leader(hosts, AGREED)?);
            println!("    {}", cut.words(&names));
            let ways: Vec<(&str, &str)> = cut
                .ways
                .iter()
                .map(|(from, to)| (&*names[*from], &*names[*to]))
                .collect();
            journal.cut(&cut.hosts, cut.lost);
            network.block(&ways)?;
            sleep(CUT);
            network.heal()?;
            journal.healed();
            sleep(WHOLE);
        }
        Ok(())
    })?;

    lab.wait_healthy(AGREED)?;
    for mover in &movers {
        let place = &lab.hosts[mover.at()];
        for host in &lab.hosts {
            eventually(AGREED, || host.expect_located(mover.device(), place))?;
        }
    }
    let nodes = lab.hosts.len();
    eventually(AGREED, || lab.expect_no_drift(nodes))?;

    let judged = journal.judge(&names);
    println!(
        "    {} registrations, {} calls to users on the move, {} between neighbours, {} lookups of which {} could fail, {} unanswered",
        judged.registrations,
        judged.calls.0,
        judged.calls.1,
        judged.places.lookups,
        judged.places.tested,
        judged.unanswered
    );
    for fault in judged.places.faults.iter().take(5) {
        println!("    {fault}");
    }
    ensure!(
        judged.failed_calls.is_empty(),
        "calls that had to work: {:?}",
        judged.failed_calls
    );
    ensure!(
        judged.places.verdict == Verdict::True && judged.places.tested >= TESTED,
        "{:?}: {} wrong places, {} lookups that could fail",
        judged.places.verdict,
        judged.places.faults.len(),
        judged.places.tested
    );
    Ok(())
}

/// A way in which three hosts can lose each other.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The leader is alone, the others have the majority.
    LeaderAlone,
    /// One of the others is alone; the leader keeps the majority.
    FollowerAlone,
    /// And the other of them.
    OtherFollowerAlone,
    /// Nobody hears anybody.
    AllApart,
    /// The leader and one other do not hear each other, and both hear the third: two majorities that overlap.
    Bridge,
    /// The leader is heard and hears nobody.
    DeafLeader,
}

const FAULTS: [Fault; 6] = [
    Fault::LeaderAlone,
    Fault::FollowerAlone,
    Fault::OtherFollowerAlone,
    Fault::AllApart,
    Fault::Bridge,
    Fault::DeafLeader,
];

/// What is done to the wires.
struct Cut {
    fault: Fault,
    /// From, to.
    ways: Vec<(usize, usize)>,
    /// Those that may be cut off from the leader.
    hosts: Vec<usize>,
    /// They are, and the others have a leader.
    lost: bool,
}

impl Fault {
    /// The cut while this one of three leads.
    fn of(self, leader: usize) -> Cut {
        let (follower, other) = ((leader + 1) % 3, (leader + 2) % 3);
        let both = |a: usize, b: usize| [(a, b), (b, a)];
        let alone = |host: usize| [both(host, (host + 1) % 3), both(host, (host + 2) % 3)].concat();
        let (ways, hosts) = match self {
            Fault::LeaderAlone => (alone(leader), vec![leader]),
            Fault::FollowerAlone => (alone(follower), vec![follower]),
            Fault::OtherFollowerAlone => (alone(other), vec![other]),
            Fault::AllApart => (
                [alone(leader), both(follower, other).to_vec()].concat(),
                vec![leader, follower, other],
            ),
            Fault::Bridge => (both(leader, follower).to_vec(), vec![leader, follower]),
            Fault::DeafLeader => (vec![(follower, leader), (other, leader)], vec![leader]),
        };
        let lost = matches!(
            self,
            Fault::LeaderAlone | Fault::FollowerAlone | Fault::OtherFollowerAlone
        );
        Cut {
            fault: self,
            ways,
            hosts,
            lost,
        }
    }
}

impl Cut {
    fn words(&self, names: &[String]) -> String {
        let ways: Vec<String> = self
            .ways
            .iter()
            .map(|(from, to)| format!("{} to {}", names[*from], names[*to]))
            .collect();
        format!("{:?}: nothing passes from {}", self.fault, ways.join(", "))
    }
}

/// Four users on the move, and at each host a phone that calls one of them and a neighbour of its own.
fn traffic(lab: &Lab) -> Result<Traffic> {
    let mut movers = Vec::new();
    for number in 0..=lab.hosts.len() {
        let user = format!("mover{number}");
        lab.add_user(0, &user, &[])?;
        let phones: Vec<Phone> = lab
            .hosts
            .iter()
            .map(|_| lab.phone_of(&user, Transport::Udp))
            .collect::<Result<_>>()?;
        let at = number % lab.hosts.len();
        lab.register(&phones[at], at)?;
        movers.push(Mover::new(phones, at));
    }
    let mut callers = Vec::new();
    for at in 0..lab.hosts.len() {
        let (caller, neighbour) = (format!("caller{at}"), format!("neighbour{at}"));
        for user in [&caller, &neighbour] {
            lab.add_user(0, user, &[])?;
        }
        callers.push(Caller::new(
            lab.registered(&caller, Transport::Udp, at)?,
            lab.registered(&neighbour, Transport::Udp, at)?,
        ));
    }
    Ok(Traffic {
        places: lab.hosts.iter().map(Place::of).collect(),
        askers: lab
            .hosts
            .iter()
            .map(|host| Asker::open(&host.namespace))
            .collect::<Result<_>>()?,
        movers,
        callers,
    })
}
