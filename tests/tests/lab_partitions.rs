//! The whole product under partitions: three real Asterisks, users who register, move and call all the while, and one host after another cut
//! off from the rest.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use fed_chaos::Verdict;
use fed_tests::eventually;
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Asker, Lab, Version};
use fed_tests::phone::{Phone, Transport};
use fed_tests::traffic::{Caller, Mover, Place, Traffic};

/// How long a host is cut off: long enough for elections, for the end of its session, and for moves on both sides.
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
            name: "one_host_after_another_is_cut_off_while_users_register_move_and_call",
            body: partitions,
        }],
    )
}

fn partitions(lab: &mut Lab) -> Result<()> {
    let traffic = traffic(lab)?;
    let names: Vec<String> = lab.hosts.iter().map(|host| host.name.clone()).collect();
    let network = &mut lab.network;
    let (journal, movers) = traffic.during(|journal| {
        sleep(WHOLE);
        for host in 0..names.len() {
            journal.cut(host);
            for other in (0..names.len()).filter(|other| *other != host) {
                network.cut(&names[host], &names[other])?;
            }
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
