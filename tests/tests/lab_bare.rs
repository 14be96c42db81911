//! Asterisks as just installed, with no phone and no trunk of their own: what the federation writes is the first that they know of PJSIP.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use fed_tests::both_hear;
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Lab, Version};
use fed_tests::phone::{Phone, Transport};

const SOON: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    cases::main(
        || Lab::start_bare(&[Version::V22, Version::V16]),
        &[
            Case {
                name: "the_first_users_of_servers_without_any_are_found_and_move",
                body: first_users,
            },
            Case {
                name: "after_a_restart_of_their_asterisks_they_move_on",
                body: restarted,
            },
        ],
    )
}

fn first_users(lab: &mut Lab) -> Result<()> {
    lab.add_user(0, "alice", &["--number", "1001"])?;
    lab.add_user(1, "bob", &["--number", "1002"])?;
    let (alice, bob) = (
        lab.phone_of("alice", Transport::Udp)?,
        lab.phone_of("bob", Transport::Udp)?,
    );
    wander(lab, &alice, &bob)
}

fn restarted(lab: &mut Lab) -> Result<()> {
    lab.add_user(0, "carol", &["--number", "1003"])?;
    lab.add_user(1, "dave", &["--number", "1004"])?;
    for host in &mut lab.hosts {
        host.asterisk.kill()?;
        host.restart_asterisk()?;
    }
    lab.wait_healthy(SOON * 4)?;
    let (carol, dave) = (
        lab.phone_of("carol", Transport::Udp)?,
        lab.phone_of("dave", Transport::Udp)?,
    );
    wander(lab, &carol, &dave)?;
    lab.expect_no_drift(2)
}

/// Each is at each server in turn. A comparison finds the first registration; the others have to be told of.
fn wander(lab: &Lab, one: &Phone, other: &Phone) -> Result<()> {
    for round in 0..4 {
        let at = round % 2;
        lab.register(one, at)?;
        lab.register(other, 1 - at)?;
        let number = match other.id() {
            "bob" => "1002",
            _ => "1004",
        };
        let mut call = one.call(lab.hosts[at].sip(), number)?;
        call.wait_answer(SOON)?;
        let incoming = other.incoming(SOON)?;
        both_hear(&call, one, &incoming, other)?;
        call.hang_up()?;
        incoming.wait_hang_up(SOON)?;
    }
    Ok(())
}
