//! Nodes that reach each other by IPv6 and by name: real Asterisks 22 and 16 at IPv6 addresses, and 22 and 16 whose addresses are names.
//! A node is known by the address it is reached at, so calls are tried within each kind.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fed_tests::both_hear;
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Lab, Located, Reached, Version};
use fed_tests::phone::Transport;

const SOON: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    cases::main(
        || {
            let hosts = [
                (Version::V22, Reached::V6),
                (Version::V16, Reached::V6),
                (Version::V22, Reached::Name),
                (Version::V16, Reached::Name),
            ];
            Lab::start_reached(&hosts, &[])
        },
        &[Case {
            name: "calls_connect_both_ways_between_nodes_reached_by_ipv6_and_by_name",
            body: all_ways,
        }],
    )
}

fn all_ways(lab: &mut Lab) -> Result<()> {
    let mut phones = Vec::new();
    for at in 0..lab.hosts.len() {
        let user = format!("user{at}");
        lab.add_user(at, &user, &["--number", &format!("100{at}")])?;
        phones.push(lab.registered(&user, Transport::Udp, at)?);
    }
    for (from, caller) in phones.iter().enumerate() {
        // The other one of its kind.
        for (to, callee) in phones.iter().enumerate().filter(|(to, _)| *to == from ^ 1) {
            let host = &lab.hosts[to];
            let located = lab.hosts[from].locate(callee.id())?;
            ensure!(
                matches!(&located, Located::At { address, .. } if *address == host.advertised),
                "{} says {located:?}, not {}",
                lab.hosts[from].name,
                host.advertised
            );
            // By the federation, and by the customer's own `Dial(PJSIP/..)`.
            for dialled in [format!("100{to}"), format!("7{}", callee.id())] {
                let what = || {
                    let from = &lab.hosts[from];
                    format!(
                        "{dialled} at {} ({:?}), at {}",
                        from.name,
                        from.asterisk.version(),
                        host.advertised
                    )
                };
                let mut call = caller.call(lab.hosts[from].sip(), &dialled).with_context(what)?;
                call.wait_answer(SOON).with_context(what)?;
                let incoming = callee.incoming(SOON).with_context(what)?;
                both_hear(&call, caller, &incoming, callee).with_context(what)?;
                call.hang_up().with_context(what)?;
                incoming.wait_hang_up(SOON).with_context(what)?;
                println!("    {}: answered and heard", what());
            }
        }
    }
    lab.expect_no_drift(lab.hosts.len())
}
