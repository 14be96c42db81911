//! What the lab itself must do before anything of ours is in it: real Asterisks 22 and 16 register phones and connect calls over
//! static trunks, with RTP counted at both phones. When this fails, no other lab test says anything about the federation.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Lab, Version};
use fed_tests::phone::Transport;
use fed_tests::sipp::{SippPhone, place_call};

const SOON: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    cases::main(
        || Lab::start(&[Version::V22, Version::V16]),
        &[
            Case {
                name: "a_static_trunk_carries_calls_both_ways_between_22_and_16",
                body: static_trunk,
            },
            Case {
                name: "a_wrong_password_is_refused",
                body: wrong_password,
            },
            Case {
                name: "phones_played_by_sipp_register_answer_and_call",
                body: sipp_phones,
            },
        ],
    )
}

fn static_trunk(lab: &mut Lab) -> Result<()> {
    for transport in [Transport::Udp, Transport::Tcp] {
        let phones = [lab.phone_of("static1", transport)?, lab.phone_of("static2", transport)?];
        for (phone, host) in phones.iter().zip(&lab.hosts) {
            phone.register(host.sip())?;
            ensure!(
                host.asterisk.contacts()?.iter().any(|(device, _)| device == phone.id()),
                "{} is not in the registrar",
                phone.id()
            );
        }
        for (from, to) in [(0, 1), (1, 0)] {
            let mut call = phones[from].call(lab.hosts[from].sip(), &format!("8{}static{}", to + 1, to + 1))?;
            call.wait_ringing(SOON)?;
            call.wait_answer(SOON)?;
            let other = phones[to].incoming(SOON)?;
            fed_tests::both_hear(&call, &phones[from], &other, &phones[to])?;
            call.hang_up()?;
            other.wait_hang_up(SOON)?;
        }
    }
    Ok(())
}

fn wrong_password(lab: &mut Lab) -> Result<()> {
    let phone = lab.phone("static1", "not-it", Transport::Udp)?;
    let refusal = phone
        .register(lab.hosts[0].sip())
        .expect_err("a wrong password must be refused");
    ensure!(format!("{refusal:#}").contains("401"), "{refusal:#}");
    Ok(())
}

fn sipp_phones(lab: &mut Lab) -> Result<()> {
    for (port, transport) in [(6000, Transport::Udp), (6100, Transport::Tcp)] {
        let ours = lab.phone_of("static2", transport)?;
        ours.register(lab.hosts[1].sip())?;
        let _echo = SippPhone::answering(lab, "static1", lab.hosts[0].sip(), port, transport)?;
        let mut call = ours.call(lab.hosts[1].sip(), "81static1")?;
        call.wait_answer(SOON)?;
        fed_tests::eventually(SOON, || {
            let heard = call.rtp().heard_from(ours.voice());
            ensure!(heard >= 20, "only {heard} packets came back from the echo");
            Ok(())
        })?;
        call.hang_up()?;
        place_call(lab, "static1", lab.hosts[0].sip(), "82static2", port + 10, transport)?;
        ours.incoming(SOON)?;
    }
    Ok(())
}
