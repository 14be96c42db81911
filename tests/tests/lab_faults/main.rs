//! What dies and what goes on: fed-node, Asterisk and whole hosts killed, the network cut, a thousand users at once. Real Asterisks
//! 22, 22 (whose dialplan asks by Stasis) and 16, phones over UDP and TCP; each case leaves the federation healed.

mod asterisk;
mod fed_node;
mod host;
mod import;
mod partition;
mod pause;
mod talk;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Asker, Lab, Located, Version};
use fed_tests::machine::Stolen;
use fed_tests::phone::{Phone, Transport};
use fed_tests::{both_hear, eventually};

/// What is no promise of its own may take this long; other work may have the machine.
const SOON: Duration = Duration::from_secs(15);
/// A dead node is not routed to after this time.
const NOT_LOOKED_FOR: Duration = Duration::from_secs(3);
/// How long a healed federation may take to agree with all its Asterisks.
const AGREED: Duration = Duration::from_secs(30);
/// A refusal that needs nobody's finger is quick.
const AT_ONCE: Duration = Duration::from_secs(2);

/// One user for each host, with a device of the same name and the number 1000, 1001 and 1002.
const USERS: [&str; 3] = ["ann", "ben", "cleo"];

fn main() -> ExitCode {
    cases::main(
        || {
            let lab = Lab::start_asking(&[Version::V22, Version::V22, Version::V16], &[1])?;
            for (at, user) in USERS.into_iter().enumerate() {
                lab.add_user(at, user, &["--number", &format!("100{at}")])?;
                let neighbour = Neighbour::of(at);
                let add = [
                    "user",
                    "add",
                    &neighbour.user,
                    "--number",
                    &neighbour.number,
                    "--no-device",
                ];
                lab.hosts[at].node()?.run(&add)?;
                for device in [&neighbour.desk, &neighbour.mobile] {
                    lab.add_device(at, device, &neighbour.user)?;
                }
            }
            Ok(lab)
        },
        &[
            Case {
                name: "calls_and_registrations_survive_kill_9_of_fed_node_beside_22",
                body: |lab| fed_node::killed(lab, 0),
            },
            Case {
                name: "calls_and_registrations_survive_kill_9_of_fed_node_beside_22_asked_by_stasis",
                body: |lab| fed_node::killed(lab, 1),
            },
            Case {
                name: "calls_and_registrations_survive_kill_9_of_fed_node_beside_16",
                body: |lab| fed_node::killed(lab, 2),
            },
            Case {
                name: "who_came_or_left_while_fed_node_beside_22_was_dead_is_found_where_she_went",
                body: |lab| fed_node::moved_meanwhile(lab, 0),
            },
            Case {
                name: "who_came_or_left_while_fed_node_beside_16_was_dead_is_found_where_she_went",
                body: |lab| fed_node::moved_meanwhile(lab, 2),
            },
            Case {
                name: "a_stopped_fed_node_beside_22_holds_calls_up_for_three_seconds_at_most_and_goes_on",
                body: |lab| pause::paused(lab, 0),
            },
            Case {
                name: "a_stopped_fed_node_beside_22_asked_by_stasis_holds_calls_up_for_three_seconds_at_most_and_goes_on",
                body: |lab| pause::paused(lab, 1),
            },
            Case {
                name: "a_stopped_fed_node_beside_16_holds_calls_up_for_three_seconds_at_most_and_goes_on",
                body: |lab| pause::paused(lab, 2),
            },
            Case {
                name: "users_of_a_killed_asterisk_22_are_not_looked_for_and_come_back",
                body: |lab| asterisk::killed(lab, 0),
            },
            Case {
                name: "users_of_a_killed_asterisk_16_are_not_looked_for_and_come_back",
                body: |lab| asterisk::killed(lab, 2),
            },
            Case {
                name: "users_of_a_killed_host_with_22_register_elsewhere_and_are_reachable_at_once",
                body: |lab| host::killed(lab, 0, host::Role::Follower),
            },
            Case {
                name: "users_of_a_killed_host_with_16_register_elsewhere_and_are_reachable_at_once",
                body: |lab| host::killed(lab, 2, host::Role::Follower),
            },
            Case {
                name: "users_of_a_killed_host_with_22_are_reachable_elsewhere_when_it_was_the_leader",
                body: |lab| host::killed(lab, 1, host::Role::Leader),
            },
            Case {
                name: "users_of_a_killed_host_with_16_are_reachable_elsewhere_when_it_was_the_leader",
                body: |lab| host::killed(lab, 2, host::Role::Leader),
            },
            Case {
                name: "a_user_whose_host_with_22_stays_dead_is_refused_quickly_and_reachable_where_she_registers_later",
                body: |lab| host::stays_dead(lab, 0),
            },
            Case {
                name: "a_user_whose_host_with_16_stays_dead_is_refused_quickly_and_reachable_where_she_registers_later",
                body: |lab| host::stays_dead(lab, 2),
            },
            Case {
                name: "a_partition_leaves_local_calls_and_the_majority_working_and_heals",
                body: partition::partition,
            },
            Case {
                name: "calls_in_progress_survive_a_partition_and_its_healing",
                body: partition::calls_in_progress,
            },
            Case {
                name: "a_thousand_users_are_imported_and_ready_at_every_asterisk",
                body: import::import,
            },
        ],
    )
}

/// A second user of each host, with a number, and two devices whose ids are not the user's.
struct Neighbour {
    user: String,
    number: String,
    desk: String,
    mobile: String,
}

impl Neighbour {
    fn of(at: usize) -> Self {
        let user = format!("{}2", USERS[at]);
        Self {
            number: format!("200{at}"),
            desk: format!("{user}-desk"),
            mobile: format!("{user}-mobile"),
            user,
        }
    }
}

/// Ann at h1, Ben at h2, Cleo at h3. Ben's phone speaks TCP.
fn everyone(lab: &Lab) -> Result<Vec<Phone>> {
    USERS
        .into_iter()
        .enumerate()
        .map(|(at, user)| lab.registered(user, if at == 1 { Transport::Tcp } else { Transport::Udp }, at))
        .collect()
}

/// One call that is answered, heard and ended.
fn call(lab: &Lab, caller: &Phone, from: usize, callee: &Phone) -> Result<()> {
    let what = || format!("{} at {} calls {}", caller.id(), lab.hosts[from].name, callee.id());
    let mut call = caller.call(lab.hosts[from].sip(), callee.id()).with_context(what)?;
    call.wait_answer(SOON).with_context(what)?;
    let incoming = callee.incoming(SOON).with_context(what)?;
    both_hear(&call, caller, &incoming, callee).with_context(what)?;
    call.hang_up().with_context(what)?;
    incoming.wait_hang_up(SOON).with_context(what).map(drop)
}

/// One call that is refused at once with this status.
fn refused(lab: &Lab, caller: &Phone, from: usize, dialled: &str, status: u16) -> Result<()> {
    let what = || format!("{} at {} calls {dialled}", caller.id(), lab.hosts[from].name);
    let stolen = Stolen::from_now();
    let mut call = caller.call(lab.hosts[from].sip(), dialled).with_context(what)?;
    let ended = call.wait_refusal(SOON).with_context(what)?;
    let took = ended.at - stolen.since();
    println!(
        "    {}: {} after {:.0} ms",
        what(),
        ended.response.start,
        took.as_secs_f64() * 1e3
    );
    ensure!(ended.status == status, "{}: {}", what(), ended.response.start);
    in_time(&what(), took, AT_ONCE, &stolen)
}

/// Fails where something took longer than promised, and not because the machine was not there.
fn in_time(what: &str, took: Duration, promised: Duration, stolen: &Stolen) -> Result<()> {
    let gone = stolen.so_far();
    ensure!(
        took <= promised + gone,
        "{what}: took {took:?}, promised are {promised:?}, and the processors were gone for {gone:?}"
    );
    Ok(())
}

/// How long after `since` that host begins to answer as wanted.
fn how_long(
    lab: &Lab,
    asker: usize,
    device: &str,
    since: Instant,
    wanted: impl Fn(&Located) -> bool,
) -> Result<Duration> {
    let mut socket = Asker::open(&lab.hosts[asker].namespace)?;
    loop {
        let (located, at) = socket.ask(device)?;
        if wanted(&located) {
            return Ok(at.saturating_duration_since(since));
        }
        if at > since + Duration::from_secs(20) {
            bail!("{} still answers {located:?} for {device}", lab.hosts[asker].name);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The other two hosts.
fn others(at: usize) -> (usize, usize) {
    ((at + 1) % USERS.len(), (at + 2) % USERS.len())
}

fn healed(lab: &mut Lab) -> Result<()> {
    lab.wait_healthy(AGREED)?;
    let began = Instant::now();
    let nodes = lab.hosts.len();
    eventually(AGREED, || lab.expect_no_drift(nodes))?;
    println!(
        "    {nodes} nodes compared, no drift after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}
