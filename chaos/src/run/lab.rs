//! A cluster for hand work: it stays up until it is told to go, and does what it is told over a socket of this machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::arena::{Arena, Setup};
use super::director::Director;
use super::journal::{Journal, Sample};
use super::{RunFailure, at};
use crate::network::Network;
use crate::plan::Action;

/// Ends the lab.
const DOWN: &str = "down";
/// Asks how everybody is.
const STATUS: &str = "status";
/// A fault of the lab ends when it is told to; until then it counts as long.
const ENDLESS_S: f64 = 3_600.0;

/// Where the lab of this user listens.
pub fn socket() -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("fedchaos-lab-{user}.sock"))
}

/// Brings a lab up and serves it until it is told to go, or interrupted, which ends it just as well.
///
/// # Errors
/// When it cannot be made, or another lab of this user is up.
pub fn serve(setup: Setup, said: impl Fn(&str) + Sync) -> Result<(), RunFailure> {
    let path = socket();
    if UnixStream::connect(&path).is_ok() {
        return Err(RunFailure::Plan("a lab is up already: `chaos lab down` ends it".into()));
    }
    // What a dead lab left behind.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(|error| at(&path, error))?;
    let served = std::thread::scope(|scope| {
        let inside = scope.spawn(|| serve_inside(&listener, setup, &said));
        inside
            .join()
            .unwrap_or_else(|_| Err(RunFailure::Broken("the lab panicked".into())))
    });
    let _ = std::fs::remove_file(&path);
    match served {
        Err(RunFailure::Interrupted) => Ok(()),
        served => served,
    }
}

fn serve_inside(listener: &UnixListener, setup: Setup, said: &dyn Fn(&str)) -> Result<(), RunFailure> {
    let network = Network::make(setup.backend, setup.nodes + setup.spare, setup.seed)?;
    network.enter_clients_place()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| RunFailure::Broken(error.to_string()))?;
    said(&format!("starting {} nodes", setup.nodes));
    let seed = setup.seed;
    let arena = Arena::start(network, setup, &runtime)?;
    let folder = arena.folder().to_owned();
    let file = folder.join(super::JOURNAL);
    let journal = Journal::create(&file, Instant::now()).map_err(|error| at(&file, error))?;
    let stop = CancellationToken::new();
    let mut director = Director::new(arena, journal, seed, &runtime, stop.clone(), said);
    said(&format!("up; logs in {}", folder.display()));
    for (number, through) in director.arena.ways_in().into_iter().enumerate() {
        said(&format!("  n{}: {through}", number + 1));
    }
    listener.set_nonblocking(true).map_err(|error| at(&socket(), error))?;
    let result = loop {
        if let Err(failure) = director.wait_until(Instant::now() + Duration::from_millis(100)) {
            break Err(failure);
        }
        if let Ok((stream, _)) = listener.accept()
            && answer(&stream, &mut director)
        {
            break Ok(());
        }
    };
    stop.cancel();
    drop(director);
    let _ = std::fs::remove_dir_all(&folder);
    result
}

/// Answers one question; true when the lab shall end. Somebody who asks and does not wait for the answer harms nobody.
fn answer(stream: &UnixStream, director: &mut Director<'_>) -> bool {
    let _ = (
        stream.set_nonblocking(false),
        stream.set_read_timeout(Some(Duration::from_secs(1))),
    );
    let mut line = String::new();
    let _ = BufReader::new(stream).read_line(&mut line);
    let line = line.trim();
    let said = match line {
        DOWN => "going down".to_owned(),
        STATUS => table(&director.journal.recent(1_000_000_000)),
        action => act(action, director).unwrap_or_else(|why| format!("error: {why}")),
    };
    let mut stream = stream;
    let _ = stream.write_all(said.as_bytes());
    line == DOWN
}

fn act(line: &str, director: &mut Director<'_>) -> Result<String, String> {
    let action = parse(line)?;
    director
        .act(&action, ENDLESS_S)
        .map_err(|failure| failure.to_string())?;
    Ok("done".to_owned())
}

/// An action as it is in a plan, its fields in one line: `do = "kill", who = "leader"`.
fn parse(line: &str) -> Result<Action, String> {
    #[derive(Deserialize)]
    struct One {
        one: Action,
    }
    let one: One = toml::from_str(&format!("one = {{ {line} }}")).map_err(|error| error.to_string())?;
    Ok(one.one)
}

fn table(recent: &[Sample]) -> String {
    let mut lines: Vec<String> = recent
        .iter()
        .map(|sample| {
            let role = match (sample.leads, sample.quorum) {
                (true, true) => "leads",
                (true, false) => "leads, without a quorum",
                (false, true) => "follows",
                (false, false) => "has no quorum",
            };
            format!(
                "n{}  id {}  term {}  applied {}  revision {}  {role}",
                sample.node, sample.id, sample.term, sample.applied, sample.revision
            )
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

/// Asks the lab that is up.
///
/// # Errors
/// When none is up, or it refuses.
pub fn ask(question: &str) -> Result<String, String> {
    let path: &Path = &socket();
    let mut stream =
        UnixStream::connect(path).map_err(|error| format!("no lab is up ({error}): `chaos lab up` brings one up"))?;
    let asked = stream.write_all(format!("{question}\n").as_bytes());
    let mut said = String::new();
    asked
        .and_then(|()| stream.read_to_string(&mut said))
        .map_err(|error| error.to_string())?;
    match said.strip_prefix("error: ") {
        Some(why) => Err(why.to_owned()),
        None => Ok(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Selector, Shape};

    #[test]
    fn a_line_is_an_action_of_a_plan() {
        let kill = Action::Kill { who: Selector::Leader };
        assert_eq!(parse("do = 'kill', who = 'leader'"), Ok(kill));
        let split = Action::Split { shape: Shape::Ring };
        assert_eq!(parse("do = \"split\", shape = \"ring\""), Ok(split));
        assert!(parse("do = 'kill', who = 'nobody'").is_err());
        assert!(parse("status").is_err());
    }
}
