//! The commands in the book are run: a page is a script. Blocks after `<!-- run: WHERE -->` are; the others are only shown.
//!
//! `dev`: against a `fed-node dev` of the page's own. `console`: typed into that. `server N`: on a server of the page's own, a folder with
//! a simulated Asterisk, where `systemctl` starts the program; what a page takes for granted there stands in `<!-- before: server N: COMMANDS -->`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::support::{PATIENCE, Program, free_port};
use fed_ari::sim::{SimAsterisk, SimConfig, SimVersion};
use rustix::process::{Pid, Signal, kill_process};

/// A block to run: where, and its lines.
#[derive(Debug, PartialEq)]
struct Block {
    place: String,
    text: String,
    line: usize,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let (mut wanted, mut open) = (None, false);
    for (number, line) in (1..).zip(page.lines()) {
        let trimmed = line.trim();
        if let Some(place) = trimmed
            .strip_prefix("<!-- run: ")
            .and_then(|rest| rest.strip_suffix(" -->"))
        {
            assert!(wanted.is_none(), "line {number}: no block follows the mark before");
            wanted = Some(place.to_owned());
        } else if let Some((place, text)) = trimmed
            .strip_prefix("<!-- before: ")
            .and_then(|rest| rest.strip_suffix(" -->")?.split_once(": "))
        {
            let (place, text, line) = (place.to_owned(), format!("{text}\n"), number);
            found.push(Block { place, text, line });
        } else if trimmed.starts_with("```") {
            if open {
                open = false;
            } else if wanted.is_none() && trimmed == "```sh" {
                panic!("line {number}: nobody runs this block: say where (`<!-- run: WHERE -->`)");
            } else if let Some(place) = wanted.take() {
                let (text, line) = (String::new(), number);
                found.push(Block { place, text, line });
                open = true;
            }
        } else if let (true, Some(block)) = (open, found.last_mut()) {
            block.text += trimmed;
            block.text.push('\n');
        }
    }
    assert!(wanted.is_none() && !open, "the last block is not there, or not closed");
    found
}

/// Runs a script with the built program first in its path; fails the test with what it said.
fn run(script: &str, folder: &Path, environment: &BTreeMap<String, String>, place: &str) -> String {
    let mut command = Program::default().command();
    let program = PathBuf::from(command.get_program());
    let mut folders = vec![folder.join("bin")];
    folders.push(program.parent().unwrap().to_owned());
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut shell = Command::new("bash");
    for (name, value) in command
        .env("PATH", std::env::join_paths(folders).unwrap())
        .envs(environment)
        .get_envs()
    {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let output = shell
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{place} ended with {}:\n{script}\n{out}{err}",
        output.status
    );
    out.into_owned()
}

/// A running `fed-node dev`.
struct Dev {
    child: Child,
    server: String,
    answers: Receiver<String>,
}

impl Dev {
    fn start() -> Self {
        let mut command = Program::default().command();
        let mut child = command
            .arg("dev")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, talk) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let (sender, answers) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        // One that does not come up is ended too.
        let mut dev = Self {
            child,
            server: String::new(),
            answers,
        };
        dev.server = loop {
            let line = talk.recv_timeout(PATIENCE * 3).expect("dev comes up");
            if let Some((_, server)) = line.split_once("export FED_SERVER=") {
                break server.to_owned();
            }
        };
        // What is said later is read, so that nobody waits for it to be.
        std::thread::spawn(move || talk.iter().for_each(|line| eprintln!("dev: {line}")));
        dev
    }

    fn type_in(&mut self, lines: &str, place: &str) {
        for line in lines.lines() {
            writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
            let said = self
                .answers
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("{place}: no answer to {line:?}"));
            assert!(
                !said.contains("failed") && !said.contains("nothing happened"),
                "{place}: {line}: {said}"
            );
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = writeln!(self.child.stdin.as_mut().unwrap(), "quit");
        let _ = self.child.wait();
    }
}

/// What stands in for systemd on a server: starts and stops the one service, waits until it answers.
const SYSTEMCTL: &str = r#"#!/bin/bash
set -eu
case "$*" in
  "start fed-node")
    fed-node run >>"$SERVER/log" 2>&1 </dev/null & echo $! >"$SERVER/pid"
    for _ in $(seq 200); do fed-node status >/dev/null 2>&1 && exit 0; sleep 0.1; done
    cat "$SERVER/log" >&2; exit 1 ;;
  "stop fed-node") kill "$(cat "$SERVER/pid")"; rm "$SERVER/pid" ;;
  "restart asterisk") ;;
  *) echo "systemctl $*: not on this server" >&2; exit 1 ;;
esac
"#;

/// One server of a page.
struct Server {
    folder: PathBuf,
    environment: BTreeMap<String, String>,
    _asterisk: SimAsterisk,
}

impl Server {
    fn new(root: &Path, number: &str, runtime: &tokio::runtime::Runtime) -> Self {
        let folder = root.join(number);
        for part in ["bin", "asterisk", "etc"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
        }
        std::fs::write(folder.join("bin/systemctl"), SYSTEMCTL).unwrap();
        std::fs::set_permissions(folder.join("bin/systemctl"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = SimConfig {
            password: "secret".to_owned(),
            ..SimConfig::new(SimVersion::V22)
        };
        let asterisk = runtime.block_on(SimAsterisk::start(config)).unwrap();
        let loopback = |port: u16| format!("127.0.0.1:{port}");
        let settings = [
            ("SERVER", folder.display().to_string()),
            ("FED_DATA_DIR", folder.join("data").display().to_string()),
            ("FED_NODE_NAME", format!("pbx{number}")),
            ("FED_PEER_LISTEN", loopback(free_port())),
            ("FED_CLIENT_LISTEN", loopback(free_port())),
            ("FED_REDIRECT_LISTEN", loopback(free_port())),
            ("FED_REDIRECT_TRANSPORT", "udp".to_owned()),
            ("FED_AGI_LISTEN", loopback(free_port())),
            ("FED_METRICS_LISTEN", loopback(free_port())),
            ("FED_SIP_ADVERTISE", asterisk.sip_address().to_string()),
            ("FED_ASTERISK_URL", asterisk.url()),
            ("FED_ASTERISK_PASSWORD", "secret".to_owned()),
            ("FED_ASTERISK_CONFIG_DIR", folder.join("asterisk").display().to_string()),
        ];
        Self {
            environment: settings
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            folder,
            _asterisk: asterisk,
        }
    }

    /// The lines with what a page cannot know: where this server's `/etc/fed-node` is, and the token that the block before printed.
    fn script(&self, text: &str, token: &str) -> String {
        let etc = self.folder.join("etc").display().to_string();
        text.replace("/etc/fed-node", &etc).replace(TOKEN, token)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(self.folder.join("pid")) {
            let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
            // It may have ended by itself.
            let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
        if std::thread::panicking() {
            eprintln!(
                "log: {}",
                std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
            );
        }
    }
}

/// Stands in a page for what `fed-node token join` printed in the block before.
const TOKEN: &str = "fed1j.TOKEN";

/// Runs a page from its top to its end; how many blocks that were.
fn run_page(name: &str) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("docs")
        .join(name);
    let blocks = blocks(&std::fs::read_to_string(path).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let root = tempfile::tempdir().unwrap();
    let (mut dev, mut token): (Option<Dev>, String) = (None, String::new());
    let mut servers: BTreeMap<String, Server> = BTreeMap::new();
    for block in &blocks {
        let place = format!("docs/{name}:{}", block.line);
        match block.place.split_once(' ') {
            Some(("server", number)) => {
                if !servers.contains_key(number) {
                    servers.insert(number.to_owned(), Server::new(root.path(), number, &runtime));
                }
                let server = &servers[number];
                let script = server.script(&block.text, &token);
                let printed = run(&script, &server.folder, &server.environment, &place);
                let found = printed.split_whitespace().rfind(|word| word.starts_with("fed1j."));
                token = found.unwrap_or_default().to_owned();
            }
            None if block.place == "console" => dev.get_or_insert_with(Dev::start).type_in(&block.text, &place),
            None if block.place == "dev" => {
                let server = dev.get_or_insert_with(Dev::start).server.clone();
                run(
                    &block.text,
                    root.path(),
                    &BTreeMap::from([("FED_SERVER".to_owned(), server)]),
                    &place,
                );
            }
            _ => panic!("{place}: {:?} is no place to run a block at", block.place),
        }
    }
    blocks.len()
}

#[test]
fn blocks_are_found_wherever_they_stand() {
    let page = "text\n\n<!-- run: dev -->\n```sh\nfed-node status\n```\n\n```ini\nnot this\n```\n\n<!-- before: server 2: c -->\n1. item\n\n   <!-- run: server 2 -->\n   ```sh\n   a\n   b\n   ```\n";
    let block = |place: &str, text: &str, line| Block {
        place: place.to_owned(),
        text: text.to_owned(),
        line,
    };
    assert_eq!(
        blocks(page),
        [
            block("dev", "fed-node status\n", 4),
            block("server 2", "c\n", 12),
            block("server 2", "a\nb\n", 16)
        ]
    );
}

#[test]
fn the_first_federation_comes_up_as_its_page_says() {
    assert!(run_page("first-federation.md") >= 7);
}

#[test]
fn the_commands_of_the_operations_page_work() {
    assert!(run_page("operations.md") >= 3);
}

#[test]
fn the_commands_of_the_security_page_work() {
    assert!(run_page("security.md") >= 3);
}

#[test]
fn a_federation_is_saved_and_restored_as_its_page_says() {
    assert!(run_page("backup.md") >= 4);
}

/// The pages that are run.
const RUN: [&str; 4] = ["first-federation.md", "operations.md", "security.md", "backup.md"];

#[test]
fn no_other_page_has_blocks_that_nobody_runs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs");
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") && !RUN.contains(&name.as_str()) {
            assert_eq!(
                blocks(&std::fs::read_to_string(entry.path()).unwrap()),
                [],
                "{name}: run it in a test"
            );
        }
    }
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs");
    let contents = std::fs::read_to_string(folder.join("SUMMARY.md")).unwrap();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") && name != "SUMMARY.md" {
            assert!(contents.contains(&format!("({name})")), "{name} is not in SUMMARY.md");
        }
    }
}
