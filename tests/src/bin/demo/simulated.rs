//! The demo without root: the same steps, each with its time, on the simulated Asterisks of `fed-node dev`.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fed_tests::eventually;
use fed_tests::lab::fed_node_binary;

use super::done;

/// Longest wait for the start, and for the answer to a line.
const ANSWERED: Duration = Duration::from_secs(60);
/// Longest wait until a dead host is noticed.
const NOTICED: Duration = Duration::from_secs(30);
/// The last line of its welcome.
const WELCOMED: &str = "help, quit";

/// Starts a federation, shows every step, and stays for the lines of a person or ends it.
pub(crate) fn show(wait: bool) -> Result<()> {
    let clock = Instant::now();
    println!(
        "Starting three nodes: n1 and n2 with a simulated Asterisk 22, n3 with a simulated 16, a fed-node beside each ..."
    );
    let mut federation = Federation::start()?;
    done(
        clock,
        "three nodes are one federation of alice (1001), bob (1002) and carol (1003)",
    );
    federation.steps()?;
    println!("\nAll of it took {:.1} s.", clock.elapsed().as_secs_f64());
    if wait {
        federation.stay()?;
    }
    Ok(())
}

/// A `fed-node dev` that is told lines; told to end when dropped.
struct Federation {
    process: Child,
    input: ChildStdin,
    said: Receiver<Said>,
    welcome: Vec<String>,
}

/// A line of its: what was done, or why it could not be.
enum Said {
    Done(String),
    Failed(String),
}

impl Drop for Federation {
    fn drop(&mut self) {
        // Its nodes and its folder go with it.
        let told = self.input.write_all(b"quit\n").and_then(|()| self.input.flush());
        if told.is_err() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

impl Federation {
    fn start() -> Result<Self> {
        let mut process = Command::new(fed_node_binary()?)
            .arg("dev")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("fed-node dev")?;
        let (sender, said) = channel();
        read(
            process.stdout.take().context("no standard output")?,
            sender.clone(),
            Said::Done,
        );
        read(
            process.stderr.take().context("no standard error")?,
            sender,
            Said::Failed,
        );
        let input = process.stdin.take().context("no standard input")?;
        let mut federation = Self {
            process,
            input,
            said,
            welcome: Vec::new(),
        };
        loop {
            match federation.said.recv_timeout(ANSWERED) {
                Ok(Said::Failed(line) | Said::Done(line)) => {
                    let last = line.trim() == WELCOMED;
                    federation.welcome.push(line);
                    if last {
                        return Ok(federation);
                    }
                }
                Err(_) => bail!("fed-node dev did not start:\n{}", federation.welcome.join("\n")),
            }
        }
    }

    fn steps(&mut self) -> Result<()> {
        println!("\nPhones register at different hosts");
        for line in ["register alice n1", "register bob n2", "register carol n3"] {
            self.step(line)?;
        }

        println!("\nCalls between them");
        self.call("alice", "1003", "n3")?;
        self.call("carol", "1002", "n2")?;
        self.call("bob", "1001", "n1")?;

        println!("\nAlice moves from n1 to n3");
        self.step("register alice n3")?;
        self.call("bob", "1001", "n3")?;

        println!("\nThe host n3 dies (kill -9 of its fed-node, its Asterisk is gone)");
        let died = Instant::now();
        self.step("kill n3")?;
        self.step("kill-asterisk n3")?;
        self.step("register alice n2")?;
        self.call("bob", "1001", "n2")?;
        eventually(NOTICED, || {
            let said = self.ask("call bob 1003")?;
            ensure!(said.contains("failed with SIP 480"), "{said}");
            Ok(())
        })?;
        done(
            died,
            "from the death of n3 until calls for carol (last seen there) are refused at once",
        );

        println!("\nThe host n3 comes back");
        let back = Instant::now();
        self.step("start-asterisk n3")?;
        self.step("start n3")?;
        eventually(NOTICED, || self.ask("register carol n3"))?;
        done(back, "carol registered at n3 again, every node finds her there");
        self.call("alice", "1003", "n3")
    }

    /// Tells a line and prints its answer with the time it took.
    fn step(&mut self, line: &str) -> Result<()> {
        let clock = Instant::now();
        let said = self.ask(line)?;
        done(clock, &said);
        Ok(())
    }

    /// A call that a phone at that node has to answer.
    fn call(&mut self, caller: &str, number: &str, node: &str) -> Result<()> {
        let clock = Instant::now();
        let said = self.ask(&format!("call {caller} {number}"))?;
        let (what, by) = said.split_once(": answered by ").with_context(|| said.clone())?;
        let there = self
            .addresses(node)?
            .iter()
            .any(|address| by.contains(address.as_str()));
        ensure!(there, "{said}, which is not at {node}");
        done(clock, &format!("{what}: answered at {node}"));
        Ok(())
    }

    /// Where the node's Asterisk and the node's phones are, as the welcome tells it.
    fn addresses(&self, node: &str) -> Result<Vec<String>> {
        let line = self
            .welcome
            .iter()
            .find(|line| line.trim_start().starts_with(&format!("{node} ")));
        let words = line.with_context(|| format!("no {node}"))?.split([' ', ')']);
        Ok(words.filter(|word| word.contains(':')).map(str::to_owned).collect())
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        // What an earlier line said late is no answer to this one.
        while self.said.try_recv().is_ok() {}
        writeln!(self.input, "{line}")
            .and_then(|()| self.input.flush())
            .context("fed-node dev ended")?;
        match self.said.recv_timeout(ANSWERED) {
            Ok(Said::Done(said)) => Ok(said),
            Ok(Said::Failed(why)) => bail!("{line}: {why}"),
            Err(_) => bail!("{line}: fed-node dev says nothing"),
        }
    }

    fn stay(mut self) -> Result<()> {
        println!("\n{}\n", self.welcome.join("\n"));
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            if ["quit", "exit"].contains(&line.trim()) {
                return Ok(());
            }
            if line.trim().is_empty() {
                continue;
            }
            match self.ask(&line) {
                Ok(said) => println!("{said}"),
                Err(why) => println!("{why:#}"),
            }
            // The rest of an answer of several lines.
            while let Ok(Said::Done(more) | Said::Failed(more)) = self.said.recv_timeout(Duration::from_millis(50)) {
                println!("{more}");
            }
        }
        // No terminal to read from: stay until a signal comes.
        loop {
            std::thread::park();
        }
    }
}

/// Sends on each line, on a thread of its own that ends with the stream.
fn read(stream: impl Read + Send + 'static, to: Sender<Said>, kind: fn(String) -> Said) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if to.send(kind(line)).is_err() {
                return;
            }
        }
    });
}
