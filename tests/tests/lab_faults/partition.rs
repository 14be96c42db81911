//! The network cut in two, and healed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fed_tests::eventually;
use fed_tests::lab::Lab;
use fed_tests::phone::Transport;

use crate::{SOON, call, everyone, healed};

pub(crate) fn partition(lab: &mut Lab) -> Result<()> {
    let phones = everyone(lab)?;
    let ann2 = lab.registered("ann2-desk", Transport::Udp, 0)?;
    let ben2 = lab.registered("ben2-desk", Transport::Udp, 1)?;
    lab.network.cut("h1", "h2")?;
    lab.network.cut("h1", "h3")?;

    call(lab, &phones[0], 0, &ann2).context("a local call in the minority")?;
    call(lab, &phones[1], 1, &ben2).context("a local call in the majority")?;
    call(lab, &phones[1], 1, &phones[2]).context("a call across the majority")?;
    call(lab, &phones[2], 2, &phones[1]).context("a call across the majority")?;
    eventually(Duration::from_secs(10), || lab.add_user(1, "newcomer", &[])).context("a change in the majority")?;
    let newcomer = lab.phone_of("newcomer", Transport::Udp)?;
    eventually(SOON, || newcomer.register(lab.hosts[2].sip()))?;
    eventually(SOON, || lab.hosts[1].expect_located("newcomer", &lab.hosts[2]))?;
    let refusal = lab
        .add_user(0, "refused", &[])
        .expect_err("a change in the minority must be refused");
    println!("    the minority refuses a change: {refusal:#}");
    ensure!(
        format!("{refusal:#}").contains("no quorum"),
        "refused for another reason: {refusal:#}"
    );

    // A phone of the majority turns up at the cut-off host: it registers, and rings there.
    ben2.register(lab.hosts[0].sip())
        .context("a registration in the minority")?;
    call(lab, &phones[0], 0, &ben2).context("a call to a phone that registered in the minority")?;

    lab.network.heal()?;
    healed(lab)?;
    for host in &lab.hosts {
        eventually(SOON, || host.expect_located("ben2-desk", &lab.hosts[0]))?;
    }
    call(lab, &phones[2], 2, &ben2).context("a call to her new place after healing")?;
    ensure!(
        lab.hosts[0].node()?.run(&["user", "show", "refused"]).is_err(),
        "the refused change came through after all"
    );
    eventually(SOON, || newcomer.register(lab.hosts[0].sip()))
        .context("what the majority changed works at the healed node")?;
    Ok(())
}
