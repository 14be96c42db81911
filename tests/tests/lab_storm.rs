//! Ten thousand registrations at once through three real Asterisks, nearly all of them moves: in peace, while one host is cut off, and while the
//! leader is killed and comes back. Nothing acknowledged is lost, nobody is elected because of the load, and what waits is bounded.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fed_chaos::seeded::Seeded;
use fed_tests::eventually;
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Host, Lab, Version, leader, password_of};
use fed_tests::machine::memory_kib;
use fed_tests::sampler::Sampler;
use fed_tests::storm::{Progress, Step, Storm, User, Wave};
use parking_lot::Mutex;

const USERS: usize = 1_000;
/// REGISTERs under way at once; each worker's users are at all three hosts.
const WORKERS: usize = 24;
/// Registrations of each user in the three waves.
const ROUNDS: [usize; 3] = [3, 3, 4];
/// A fault comes when so many of the wave's registrations are acknowledged.
const UNDER_WAY: usize = USERS / 2;
/// How long the cut lasts, and how long the fed-node of the leader is gone.
const CUT: Duration = Duration::from_secs(6);
const GONE: Duration = Duration::from_secs(4);
/// No promise of the product: how long a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a fed-node may take more of memory, in KiB.
const GROWTH_KIB: u64 = 96 * 1024;
/// `queue_requests` of fed-raft's configuration: what may wait at a node to be proposed.
const QUEUE: u64 = 16_384;

fn main() -> ExitCode {
    cases::main(
        || Lab::start_federated(&[Version::V22, Version::V22, Version::V16]),
        &[Case {
            name: "ten_thousand_registrations_at_once_lose_nothing_elect_nobody_and_stay_within_bounds",
            body: storm,
        }],
    )
}

fn storm(lab: &mut Lab) -> Result<()> {
    let names = users(lab)?;
    let first = leader(&lab.hosts, PATIENCE)?;
    let cut = (first + 1) % 3;
    let mut storm = Storm::new(lab, names, WORKERS)?;
    let mut nodes = Vec::new();
    for host in &mut lab.hosts {
        nodes.push((host.namespace.clone(), host.node_mut()?.process()?.pid()));
    }
    let memory: Vec<u64> = nodes.iter().map(|(_, pid)| memory_kib(*pid)).collect::<Result<_>>()?;
    let sampler = Sampler::start(nodes);
    let before = term(lab)?;

    let calm = storm.wave(ROUNDS[0], anywhere, |_| Ok(()))?;
    report(lab, "in peace", &calm, &storm)?;
    ensure!(calm.moves() > USERS, "hardly anybody moved");
    nobody_was_elected(lab, &sampler, (first, before))?;

    let cut_off = cut_off(lab, &mut storm, cut)?;
    report(lab, &format!("{} cut off", lab.hosts[cut].name), &cut_off, &storm)?;
    nobody_was_elected(lab, &sampler, (first, before)).context("a follower was cut off and came back")?;

    settled(&lab.hosts[first], revision(&lab.hosts[first])?)?;
    let killed = leader_killed(lab, &mut storm, &sampler, first)?;
    report(lab, &format!("{} killed", lab.hosts[first].name), &killed, &storm)?;
    let after = term(lab)?;
    let led = led(&sampler);
    println!("    terms with their leaders: {led:?}; {} terms began", after - before);
    ensure!(
        led.len() == 2 && led.contains(&(before, first)) && led.last().is_some_and(|(term, _)| *term == after),
        "more than the one election that the kill explains: {led:?}, term {after}"
    );

    let waves = [calm, cut_off, killed];
    let acknowledged: usize = waves.iter().map(|wave| wave.steps.len()).sum();
    let planned = USERS * ROUNDS.iter().sum::<usize>();
    ensure!(acknowledged >= planned, "{acknowledged} of {planned} were acknowledged");
    for ((host, seen), before) in lab.hosts.iter().zip(sampler.stop()?).zip(memory) {
        println!(
            "    {}: {before} KiB before, {} at most; {} requests waited at most ({} looks)",
            host.name, seen.memory_kib, seen.queue_requests, seen.answers
        );
        ensure!(
            seen.memory_kib < before + GROWTH_KIB,
            "{}: {before} KiB became {} KiB",
            host.name,
            seen.memory_kib
        );
        ensure!(
            seen.queue_requests <= QUEUE,
            "{} waited at {}",
            seen.queue_requests,
            host.name
        );
    }
    eventually(PATIENCE, || lab.expect_no_drift(3))
}

/// A thousand users, and their names once every Asterisk has them.
fn users(lab: &mut Lab) -> Result<Vec<String>> {
    let names: Vec<String> = (0..USERS).map(|number| format!("storm{number}")).collect();
    let row = |name: &String| format!("{name},{name},{}\n", password_of(name));
    let file = lab.folder().join("storm.csv");
    let rows: String = names.iter().map(row).collect();
    std::fs::write(&file, format!("user,device,password\n{rows}"))?;
    lab.hosts[0].node()?.run(&["user", "import", &file.to_string_lossy()])?;
    eventually(PATIENCE, || lab.expect_no_drift(3))?;
    Ok(names)
}

/// Nine of ten go on to another host; for the others it is another contact at the same one.
fn anywhere(user: &User, chance: &mut Seeded) -> Option<usize> {
    let Some(at) = user.at() else {
        return Some(user.number % 3);
    };
    let other = (at + 1 + usize::from(chance.chance(50))) % 3;
    known_at(if chance.chance(10) { at } else { other }, user)
}

/// As [`anywhere`], of the two hosts that are not `without`.
fn other_than(without: usize, user: &User, chance: &mut Seeded) -> Option<usize> {
    let at = user.at()?;
    known_at(if chance.chance(10) { at } else { 3 - without - at }, user)
}

/// Whoever goes on waits until the node there knows where she is: of two registrations that reach the map in another order than the phones sent
/// them, no clock says which was the later (docs/faults.md).
fn known_at(host: usize, user: &User) -> Option<usize> {
    user.known[host].then_some(host)
}

/// The second wave. Nobody goes to the host that is cut off and nobody leaves it: no clock would say which of two registrations was the later
/// (docs/faults.md).
fn cut_off(lab: &mut Lab, storm: &mut Storm, cut: usize) -> Result<Wave> {
    let course = |user: &User, chance: &mut Seeded| match user.at()? {
        at if at == cut => Some(cut),
        _ => other_than(cut, user, chance),
    };
    let mut lasted = None;
    let wave = storm.wave(ROUNDS[1], course, |progress| {
        under_way(progress)?;
        let name = |host: usize| lab.hosts[host].name.as_str();
        let others = [(cut + 1) % 3, (cut + 2) % 3];
        let ways = others.map(|other| [(name(cut), name(other)), (name(other), name(cut))]);
        let since = Instant::now();
        lab.network.block(&ways.concat())?;
        // It says so itself, so it really was alone; the others go on.
        eventually(PATIENCE, || quorum(&lab.hosts[cut], false))?;
        for other in others {
            eventually(PATIENCE, || quorum(&lab.hosts[other], true))?;
        }
        // How long the cut lasts at least: a slower machine only has a longer one.
        sleep(CUT.saturating_sub(since.elapsed()));
        lasted = Some((since, Instant::now()));
        lab.network.heal()
    })?;
    let lasted = lasted.context("nobody was cut off")?;
    let during: Vec<usize> = (0..3).map(|host| wave.within(host, lasted)).collect();
    println!("    registrations at each host during the cut: {during:?}");
    ensure!(during.iter().all(|count| *count > 0), "nobody registered: {during:?}");
    Ok(wave)
}

/// Where a user goes while `dead`, the leader's host, loses its fed-node at `killed`, keeping clear of what no clock orders (docs/faults.md): a
/// tenth come to it once it is dead, who have been elsewhere in peace; a tenth of those there leave it after they have registered there
/// unseen, and do not return; everybody else stays with it or with the other two.
fn around_a_kill(dead: usize, killed: Option<Instant>, user: &User, chance: &mut Seeded) -> Option<usize> {
    let last = user.last.as_ref()?;
    if last.host == dead {
        let unseen = killed.is_some_and(|killed| last.accepted.sent > killed);
        let leaves = user.number % 10 == 1 && unseen;
        return Some(if leaves {
            (dead + 1 + usize::from(chance.chance(50))) % 3
        } else {
            dead
        });
    }
    if user.number.is_multiple_of(10) {
        return killed.map(|_| dead);
    }
    other_than(dead, user, chance)
}

fn leader_killed(lab: &mut Lab, storm: &mut Storm, sampler: &Sampler, dead: usize) -> Result<Wave> {
    let killed = Mutex::new(None);
    let mut gone = None;
    let wave = storm.wave(
        ROUNDS[2],
        |user, chance| around_a_kill(dead, *killed.lock(), user, chance),
        |progress| {
            under_way(progress)?;
            ensure!(leader(&lab.hosts, PATIENCE)? == dead, "it does not lead any more");
            lab.hosts[dead].node_mut()?.kill()?;
            let since = Instant::now();
            *killed.lock() = Some(since);
            sampler.replaced(dead, None);
            let next = leader(&lab.hosts, PATIENCE)?;
            println!(
                "    {} leads {:.1} s after the kill of {}",
                lab.hosts[next].name,
                since.elapsed().as_secs_f64(),
                lab.hosts[dead].name
            );
            // How long it is gone at least: a slower machine only has it gone longer.
            sleep(GONE.saturating_sub(since.elapsed()));
            gone = Some((since, Instant::now()));
            let host = &mut lab.hosts[dead];
            host.node_mut()?.start()?;
            sampler.replaced(dead, Some(host.node_mut()?.process()?.pid()));
            host.node_mut()?.wait_ready(PATIENCE)
        },
    )?;
    let gone = gone.context("nobody was killed")?;
    let during: Vec<usize> = (0..3).map(|host| wave.within(host, gone)).collect();
    println!("    registrations at each host while the fed-node was gone: {during:?}");
    ensure!(during.iter().all(|count| *count > 0), "nobody registered: {during:?}");
    let moved = |from: bool| {
        let across = |step: &&Step| {
            step.from
                .is_some_and(|at| at != step.to.host && if from { at } else { step.to.host } == dead)
        };
        wave.steps.iter().filter(across).count()
    };
    let (came, left) = (moved(false), moved(true));
    println!("    {came} came to its host once it was gone, {left} left it");
    ensure!(came > 0 && left > 0, "nobody came to it, or nobody left it");
    Ok(wave)
}

fn under_way(progress: &Progress) -> Result<()> {
    eventually(PATIENCE, || {
        let acknowledged = progress.acknowledged();
        ensure!(acknowledged >= UNDER_WAY, "{acknowledged} are acknowledged");
        Ok(())
    })
}

/// Says what a wave came to, and waits until everybody is where she registered last.
fn report(lab: &Lab, what: &str, wave: &Wave, storm: &Storm) -> Result<()> {
    println!(
        "    {what}: {} registrations acknowledged, {:.0} a second, {} of them moves, {} REGISTERs retried",
        wave.steps.len(),
        wave.steps.len() as f64 / wave.took.as_secs_f64(),
        wave.moves(),
        wave.retries()
    );
    println!(
        "    from the 200 until the map has it: {}",
        wave.until_bound(storm.bound()).words()
    );
    let over = Instant::now();
    eventually(PATIENCE, || asterisks_agree(lab, storm)).with_context(|| format!("after the wave: {what}"))?;
    let asterisks = over.elapsed();
    eventually(PATIENCE, || nodes_agree(lab, storm)).with_context(|| format!("after the wave: {what}"))?;
    println!(
        "    all Asterisks agree {:.1} s after it; all nodes were asked of all users {:.1} s later",
        asterisks.as_secs_f64(),
        (over.elapsed() - asterisks).as_secs_f64()
    );
    Ok(())
}

/// Every Asterisk has precisely the contacts that were acknowledged last: none is lost, and none is left where a user was before.
fn asterisks_agree(lab: &Lab, storm: &Storm) -> Result<()> {
    let mut wrong = Vec::new();
    for (at, host) in lab.hosts.iter().enumerate() {
        let acknowledged = storm
            .users()
            .filter_map(|user| Some((user.name.clone(), user.last.as_ref()?)));
        let wanted: BTreeSet<_> = acknowledged
            .filter(|(_, last)| last.host == at)
            .map(|(name, last)| (name, last.contact.clone()))
            .collect();
        let contacts: BTreeSet<_> = host.asterisk.contacts()?.into_iter().collect();
        for (what, these) in [("stale", &contacts - &wanted), ("lost", &wanted - &contacts)] {
            let some: Vec<_> = these.iter().take(3).collect();
            if !some.is_empty() {
                wrong.push(format!("{}: {} are {what}, such as {some:?}", host.name, these.len()));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}

/// Every node sends calls for every user to where she registered last.
fn nodes_agree(lab: &Lab, storm: &Storm) -> Result<()> {
    let users: Vec<_> = storm
        .users()
        .filter_map(|user| Some((user.name.as_str(), &lab.hosts[user.at()?])))
        .collect();
    thread::scope(|scope| {
        let users = &users;
        let mut asked = Vec::new();
        for host in &lab.hosts {
            asked.push(scope.spawn(move || host.expect_all_located(users.iter().copied())));
        }
        asked
            .into_iter()
            .try_for_each(|asked| asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn term(lab: &Lab) -> Result<u64> {
    eventually(PATIENCE, || {
        let mut terms = BTreeSet::new();
        for host in &lab.hosts {
            terms.insert(host.node()?.json(&["status"])?["term"].as_u64().context("no term")?);
        }
        ensure!(terms.len() == 1, "they are in the terms {terms:?}");
        terms.first().copied().context("no host")
    })
}

fn led(sampler: &Sampler) -> BTreeSet<(u64, usize)> {
    let seen = sampler.so_far().into_iter().enumerate();
    seen.flat_map(|(host, seen)| seen.led.into_iter().map(move |term| (term, host)))
        .collect()
}

fn nobody_was_elected(lab: &Lab, sampler: &Sampler, (leader, before): (usize, u64)) -> Result<()> {
    let (now, led) = (term(lab)?, led(sampler));
    ensure!(
        now == before && led == BTreeSet::from([(before, leader)]),
        "term {before} became {now}; terms with their leaders: {led:?}"
    );
    Ok(())
}

fn quorum(host: &Host, wanted: bool) -> Result<()> {
    let status = host.node()?.json(&["status"])?;
    ensure!(status["quorum"] == wanted, "{}: {status}", host.name);
    Ok(())
}

fn revision(host: &Host) -> Result<u64> {
    host.node()?.json(&["status"])?["revision"]
        .as_u64()
        .context("no revision")
}

/// Waits until a node has noted that map and Asterisk agreed up to a revision: who registers there unseen after that is known to be newer.
fn settled(host: &Host, revision: u64) -> Result<()> {
    let file = host.node()?.data_dir().join("settled");
    eventually(PATIENCE, || {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let noted: u64 = text.lines().last().context("an empty note")?.parse()?;
        ensure!(noted >= revision, "{} has noted {noted} of {revision}", host.name);
        Ok(())
    })
}
