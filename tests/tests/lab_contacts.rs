//! What a phone writes into its Contact is text of its own choosing, and part of what its callers' `Dial` is given: it must never ring
//! anybody else, whether fed-node is there to look at it or the generated dialplan is alone. And where a phone may send its callers by a
//! 302: as the setting `locate` says. Real Asterisks 22 and 16.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fed_tests::eventually;
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Lab, Version};
use fed_tests::phone::{Behaviour, Phone, Transport};

/// No promise of the product: how long a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the phones may stay registered.
const REGISTERED_S: u32 = 600;

fn main() -> ExitCode {
    cases::main(
        || {
            let lab = Lab::start_federated(&[Version::V22, Version::V16])?;
            for (user, number) in [("ann", "1001"), ("mallory", "1002"), ("victim", "1003")] {
                lab.add_user(0, user, &["--number", number])?;
            }
            lab.add_device(0, "mallory-desk", "mallory")?;
            Ok(lab)
        },
        &[
            Case {
                name: "no_contact_makes_a_call_ring_anybody_else_while_fed_node_is_asked",
                body: |lab| everywhere(lab, false),
            },
            Case {
                name: "no_contact_makes_a_call_ring_anybody_else_without_fed_node",
                body: |lab| everywhere(lab, true),
            },
            Case {
                name: "a_phones_302_leads_to_any_address_or_into_the_dialplan_as_locate_says",
                body: redirecting,
            },
        ],
    )
}

fn everywhere(lab: &mut Lab, alone: bool) -> Result<()> {
    for at in 0..lab.hosts.len() {
        let ann = lab.registered("ann", Transport::Udp, at)?;
        let victim = lab.registered("victim", Transport::Udp, at)?;
        let mallory = lab.phone_of("mallory", Transport::Udp)?;
        let desk = lab.phone_of("mallory-desk", Transport::Udp)?;
        if alone {
            lab.hosts[at].node_mut()?.kill()?;
        }
        let name = lab.hosts[at].name.clone();
        refused(lab, at, &ann, &mallory, &victim).with_context(|| name.clone())?;
        // Her other phone has not written anything but its address: it rings, also beside the one that has.
        let server = lab.hosts[at].sip();
        mallory.register_contact(server, &contacts(&mallory, &victim)?[0], REGISTERED_S)?;
        if alone {
            desk.register(server)?;
        } else {
            lab.register(&desk, at)?;
        }
        rings(lab, at, &ann, "1002", &desk).with_context(|| format!("her other phone at {name}"))?;
        ensure!(
            victim.invites() == 0,
            "the victim rang beside mallory's other phone at {name}"
        );
        desk.unregister(server)?;
        if alone {
            mallory.register(server)?;
            for dialled in ["1002", "mallory"] {
                rings(lab, at, &ann, dialled, &mallory).with_context(|| format!("{dialled} at {name}"))?;
            }
            lab.hosts[at].restart_node()?;
        }
        mallory.unregister(server)?;
    }
    Ok(())
}

/// By default Asterisk calls whatever address a phone's 302 names: what the threat model says is not protected, and is told here should it
/// change. With `locate = ask` the 302 names somebody in the dialplan, and its address is nothing.
fn redirecting(lab: &mut Lab) -> Result<()> {
    lab.add_user(0, "moved", &[])?;
    for at in 0..lab.hosts.len() {
        let ann = lab.registered("ann", Transport::Udp, at)?;
        let mallory = lab.registered("mallory", Transport::Udp, at)?;
        let colleague = lab.registered("moved", Transport::Udp, at)?;
        let thief = lab.phone("thief", "registered nowhere", Transport::Udp)?;
        mallory.behave(Behaviour::Redirect(thief.address()));
        for (how, rung, spared) in [
            ("ask", &colleague, &thief),
            ("redirect", &thief, &colleague),
            ("ask", &colleague, &thief),
        ] {
            let what = format!("locate = {how} at {}", lab.hosts[at].name);
            lab.hosts[0].node()?.run(&["setting", "set", "locate", how])?;
            // Asterisk 16 does not tell what it goes by: a call does.
            eventually(PATIENCE, || {
                goes_to(lab, at, &ann, "1002", rung, Duration::from_secs(1))
            })
            .with_context(|| what.clone())?;
            for phone in [&mallory, rung, spared] {
                phone.forget_incoming();
            }
            let before = spared.invites();
            // As the federation's context dials, and as the customer's own `Dial(PJSIP/mallory)` does.
            for dialled in ["1002", "7mallory"] {
                goes_to(lab, at, &ann, dialled, rung, PATIENCE).with_context(|| format!("{dialled} with {what}"))?;
            }
            ensure!(
                spared.invites() == before,
                "{} rang with {what}, where mallory's phone had said 302",
                spared.id()
            );
        }
        lab.hosts[0].node()?.run(&["setting", "set", "locate", "redirect"])?;
        let server = lab.hosts[at].sip();
        for phone in [&ann, &mallory, &colleague] {
            phone.unregister(server)?;
        }
    }
    Ok(())
}

/// One call, which this phone answers.
fn goes_to(lab: &Lab, at: usize, ann: &Phone, dialled: &str, phone: &Phone, patience: Duration) -> Result<()> {
    let mut call = ann.call(lab.hosts[at].sip(), dialled)?;
    call.wait_answer(PATIENCE)?;
    let incoming = phone.incoming(patience)?;
    call.hang_up()?;
    incoming.wait_hang_up(PATIENCE).map(drop)
}

/// Contacts that say more than where a phone is.
fn contacts(mallory: &Phone, victim: &Phone) -> Result<Vec<String>> {
    let place = |phone: &Phone| -> Result<String> {
        let contact = phone.contact();
        let (_, place) = contact.split_once('@').context("a contact without @")?;
        Ok(place.to_owned())
    };
    let (own, other) = (place(mallory)?, place(victim)?);
    Ok(vec![
        format!("sip:x&PJSIP/victim@{own}"),
        format!("sip:x&PJSIP/victim/sip:victim@{other}"),
        format!("sip:x&PJSI&PJSIP/mallory/P/victim@{own}"),
        format!("sip:x,1&PJSIP/victim,30@{own}"),
        // Within a bracket that nobody closes no comma ends what was said.
        format!("sip:x@{own};x=["),
        format!("sip:x@{own};x=]["),
        format!("sip:x(@{own}"),
        format!("sip:x[@{own}"),
    ])
}

fn refused(lab: &Lab, at: usize, ann: &Phone, mallory: &Phone, victim: &Phone) -> Result<()> {
    let server = lab.hosts[at].sip();
    for contact in contacts(mallory, victim)? {
        // One that Asterisk itself refuses does no harm either.
        if let Err(error) = mallory.register_contact(server, &contact, REGISTERED_S) {
            println!("    {} refuses {contact}: {error:#}", lab.hosts[at].name);
            continue;
        }
        for dialled in ["1002", "mallory"] {
            let ended = ann.call(server, dialled)?.wait_refusal(PATIENCE);
            let ended = ended.with_context(|| format!("a call of {dialled}, registered as {contact}"))?;
            ensure!(
                victim.invites() == 0,
                "the victim rang ({}) when {dialled} was called, registered as {contact}",
                ended.status
            );
            ensure!(
                ended.status == 480,
                "{} for {dialled}, registered as {contact}",
                ended.status
            );
        }
        mallory.register_contact(server, &contact, 0)?;
    }
    Ok(())
}

/// A call that this phone answers.
fn rings(lab: &Lab, at: usize, ann: &Phone, dialled: &str, phone: &Phone) -> Result<()> {
    eventually(PATIENCE, || goes_to(lab, at, ann, dialled, phone, PATIENCE))
}
