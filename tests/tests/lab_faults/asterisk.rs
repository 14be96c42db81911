//! Asterisk killed beside its fed-node.

use std::time::Instant;

use anyhow::{Context, Result};
use fed_tests::eventually;
use fed_tests::lab::{Lab, Located};
use fed_tests::machine::Stolen;
use fed_tests::phone::Transport;

use crate::{AGREED, NOT_LOOKED_FOR, Neighbour, SOON, call, everyone, healed, how_long, in_time, others, refused};

pub(crate) fn killed(lab: &mut Lab, at: usize) -> Result<()> {
    let phones = everyone(lab)?;
    let mobile = lab.registered(&Neighbour::of(at).mobile, Transport::Tcp, at)?;
    let (first, second) = others(at);
    let gone = &phones[at];
    let stolen = Stolen::from_now();
    lab.hosts[at].asterisk.kill()?;
    for asker in [first, second] {
        let host = lab.hosts[asker].name.clone();
        let took = how_long(lab, asker, gone.id(), stolen.since(), |l| {
            matches!(l, Located::Refused(_))
        })?;
        println!(
            "    {host} stopped looking for {} {:.0} ms after kill -9 of her Asterisk",
            gone.id(),
            took.as_secs_f64() * 1e3
        );
        in_time(
            &format!("{host} looking for {}", gone.id()),
            took,
            NOT_LOOKED_FOR,
            &stolen,
        )?;
    }
    for unreachable in [gone.id().to_owned(), format!("100{at}"), mobile.id().to_owned()] {
        refused(lab, &phones[first], first, &unreachable, 480)?;
    }
    call(lab, &phones[first], first, &phones[second]).context("a call between the others")?;

    lab.hosts[at].restart_asterisk()?;
    let back = Instant::now();
    for phone in [gone, &mobile] {
        eventually(AGREED, || phone.register(lab.hosts[at].sip()))?;
    }
    println!(
        "    the objects were back {:.1} s after its Asterisk had booted",
        back.elapsed().as_secs_f64()
    );
    for phone in [gone, &mobile] {
        eventually(SOON, || lab.hosts[first].expect_located(phone.id(), &lab.hosts[at]))?;
        call(lab, &phones[first], first, phone).context("a call to the restarted Asterisk")?;
    }
    healed(lab)
}
