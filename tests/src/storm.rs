//! A storm of registrations: many users, each with one phone that registers here and there, as fast as some workers send, and what was
//! acknowledged to each.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, ensure};
use fed_chaos::seeded::Seeded;
use parking_lot::Mutex;

use crate::figures::Figures;
use crate::lab::{Following, Host, Lab};
use crate::load::{Accepted, RegisterClient};

/// How long a phone tries to register. No promise of the product: an Asterisk that nobody stopped answers in the end.
const PATIENCE: Duration = Duration::from_secs(60);
/// How nice those are who send.
const GIVES_WAY: i32 = 10;
/// A worker whose users must all wait looks again after this.
const PAUSE: Duration = Duration::from_millis(5);

/// A registration that was acknowledged with 200.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// The host at which it is.
    pub host: usize,
    /// Its contact: each registration has another one.
    pub contact: String,
    /// When it was sent and answered.
    pub accepted: Accepted,
}

/// The contacts that the nodes' watches have told as bound.
#[derive(Debug)]
pub struct Bound {
    /// By host, each contact with the moment at which its node told it first.
    told: Vec<Mutex<HashMap<String, Instant>>>,
    over: AtomicBool,
    failed: Mutex<Option<Error>>,
}

impl Bound {
    /// When the first node told it; `None`: none has yet.
    pub fn when(&self, contact: &str) -> Option<Instant> {
        let told = self.told.iter().filter_map(|told| told.lock().get(contact).copied());
        told.min()
    }

    /// Whether the node of that host has told it.
    fn is_known(&self, host: usize, contact: &str) -> bool {
        self.told[host].lock().contains_key(contact)
    }

    /// What it is told goes into `log` too, for whoever looks for why somebody is not where she should be.
    fn follow(&self, host: usize, watch: &Following, mut log: File) {
        while !self.over.load(Ordering::Relaxed) {
            // A node that was killed tells nothing any more, and has nothing that would have to be waited for.
            let Ok((at, line)) = watch.next(PAUSE) else {
                // A poll: one whose watch has ended is not asked again at once, and `over` ends it.
                thread::sleep(PAUSE);
                continue;
            };
            if let Err(error) = writeln!(log, "{line}") {
                *self.failed.lock() = Some(Error::new(error).context("the log of a watch"));
            }
            match serde_json::from_str::<serde_json::Value>(&line) {
                Ok(told) if told["event"] == "bound" => {
                    let contact = told["binding"]["contact"].as_str().unwrap_or_default();
                    self.told[host].lock().entry(contact.to_owned()).or_insert(at);
                }
                Ok(_) => {}
                Err(error) => *self.failed.lock() = Some(Error::new(error).context(line)),
            }
        }
    }
}

/// A user, whose device has the same name.
#[derive(Debug)]
pub struct User {
    /// Her name.
    pub name: String,
    /// Which of all users.
    pub number: usize,
    /// Where she registered last.
    pub last: Option<Acknowledged>,
    /// At which hosts the node knows of that.
    pub known: Vec<bool>,
    /// Registrations in all, and in this wave.
    pub registrations: (u32, usize),
}

/// All users and those who send for them.
pub struct Storm {
    servers: Vec<SocketAddr>,
    workers: Vec<Worker>,
    bound: Arc<Bound>,
}

struct Worker {
    client: RegisterClient,
    chance: Seeded,
    users: Vec<User>,
}

/// What goes on in a wave.
#[derive(Debug, Default)]
pub struct Progress {
    acknowledged: AtomicUsize,
    over: AtomicBool,
    failed: AtomicBool,
}

impl Progress {
    /// Registrations acknowledged in this wave so far.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }
}

/// One registration of a wave.
#[derive(Debug, Clone)]
pub struct Step {
    /// Where she was before; `None`: nowhere.
    pub from: Option<usize>,
    /// What was acknowledged.
    pub to: Acknowledged,
}

/// What a wave came to.
#[derive(Debug)]
pub struct Wave {
    /// Its registrations.
    pub steps: Vec<Step>,
    /// How long it took.
    pub took: Duration,
}

impl Wave {
    /// Those that took a user to another host.
    pub fn moves(&self) -> usize {
        let moved = |step: &&Step| step.from.is_some_and(|from| from != step.to.host);
        self.steps.iter().filter(moved).count()
    }

    /// REGISTERs that were sent again.
    pub fn retries(&self) -> u32 {
        self.steps.iter().map(|step| step.to.accepted.retries).sum()
    }

    /// From the 200 until the map had it, of those that it ever had: one that the next followed at once may never be told.
    pub fn until_bound(&self, bound: &Bound) -> Figures {
        let mut figures = Figures::default();
        for step in &self.steps {
            if let Some(at) = bound.when(&step.to.contact) {
                figures.add(at.saturating_duration_since(step.to.accepted.at));
            }
        }
        figures
    }

    /// Those at a host, sent and acknowledged within a time.
    pub fn within(&self, host: usize, (since, until): (Instant, Instant)) -> usize {
        let inside =
            |step: &&Step| step.to.host == host && step.to.accepted.sent >= since && step.to.accepted.at <= until;
        self.steps.iter().filter(inside).count()
    }
}

impl Storm {
    /// Users of these names, who exist already and are registered nowhere, and that many workers, each of whom has always the same users. What is bound
    /// is told by every node.
    ///
    /// # Errors
    /// When a socket cannot be opened, or a node cannot be watched.
    pub fn new(lab: &Lab, names: Vec<String>, workers: usize) -> Result<Self> {
        let bound = Arc::new(Bound {
            told: lab.hosts.iter().map(|_| Mutex::default()).collect(),
            over: AtomicBool::new(false),
            failed: Mutex::new(None),
        });
        for (number, host) in lab.hosts.iter().enumerate() {
            let node = host.node()?;
            // From what it has now: a watch that began with what comes next would begin whenever it is let in.
            let after = node.json(&["status"])?["revision"].to_string();
            let watch = node.follow(&["watch", "-o", "json", "--after", &after])?;
            let bound = bound.clone();
            let log = host.folder.join("watch.jsonl");
            let log = File::create(&log).with_context(|| log.display().to_string())?;
            thread::spawn(move || bound.follow(number, &watch, log));
        }
        let mut workers: Vec<Worker> = (0..workers)
            .map(|worker| {
                Ok(Worker {
                    client: RegisterClient::open(lab)?,
                    chance: Seeded::new(worker as u64 + 1),
                    users: Vec::new(),
                })
            })
            .collect::<Result<_>>()?;
        let count = workers.len();
        for (number, name) in names.into_iter().enumerate() {
            workers[number % count].users.push(User {
                name,
                number,
                last: None,
                known: Vec::new(),
                registrations: (0, 0),
            });
        }
        Ok(Self {
            servers: lab.hosts.iter().map(Host::sip).collect(),
            workers,
            bound,
        })
    }

    /// All users.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.workers.iter().flat_map(|worker| &worker.users)
    }

    /// What is bound so far.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Everybody registers that many times, and goes on until `meanwhile` has come to its end too. `course` says at which host a user registers next;
    /// `None`: not now.
    ///
    /// # Errors
    /// What `meanwhile` failed with, or a registration that was never acknowledged.
    pub fn wave(
        &mut self,
        rounds: usize,
        course: impl Fn(&User, &mut Seeded) -> Option<usize> + Sync,
        meanwhile: impl FnOnce(&Progress) -> Result<()>,
    ) -> Result<Wave> {
        let (progress, began) = (Progress::default(), Instant::now());
        let (servers, bound) = (&self.servers, &self.bound);
        let steps = thread::scope(|scope| {
            let (progress, course) = (&progress, &course);
            let busy: Vec<_> = self
                .workers
                .iter_mut()
                .map(|worker| scope.spawn(move || worker.register_all(servers, rounds, course, bound, progress)))
                .collect();
            let done = meanwhile(progress);
            progress.failed.store(done.is_err(), Ordering::Relaxed);
            progress.over.store(true, Ordering::Relaxed);
            let mut steps = Vec::new();
            for thread in busy {
                steps.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            done.map(|()| steps)
        })?;
        let took = began.elapsed();
        if let Some(why) = self.bound.failed.lock().take() {
            return Err(why.context("what a watch told"));
        }
        Ok(Wave { steps, took })
    }
}

impl Worker {
    fn register_all(
        &mut self,
        servers: &[SocketAddr],
        rounds: usize,
        course: &impl Fn(&User, &mut Seeded) -> Option<usize>,
        bound: &Bound,
        progress: &Progress,
    ) -> Result<Vec<Step>> {
        // Phones have machines of their own: these here give way to the servers that they load. For this thread alone, as Linux has it.
        rustix::process::setpriority_process(None, GIVES_WAY).context("the phones cannot give way")?;
        let mut steps = Vec::new();
        for user in &mut self.users {
            user.registrations.1 = 0;
        }
        let mut busy = Instant::now();
        while !progress.failed.load(Ordering::Relaxed) {
            let over = progress.over.load(Ordering::Relaxed);
            let (mut done, mut idle) = (true, true);
            for user in &mut self.users {
                if over && user.registrations.1 >= rounds {
                    continue;
                }
                done = false;
                user.look_up(bound, servers.len());
                if let Some(host) = course(user, &mut self.chance) {
                    idle = false;
                    steps.push(user.register(&self.client, servers, host)?);
                    progress.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            }
            if done {
                break;
            }
            if idle {
                ensure!(
                    busy.elapsed() < PATIENCE,
                    "nobody could go on for {PATIENCE:?}, such as {:?}",
                    self.users.iter().find(|user| user.registrations.1 < rounds)
                );
                // A poll, with its end above.
                thread::sleep(PAUSE);
            } else {
                busy = Instant::now();
            }
        }
        Ok(steps)
    }
}

impl User {
    /// The host where she registered last.
    pub fn at(&self) -> Option<usize> {
        self.last.as_ref().map(|last| last.host)
    }

    fn look_up(&mut self, bound: &Bound, hosts: usize) {
        let known = |host| (self.last.as_ref()).is_some_and(|last| bound.is_known(host, &last.contact));
        self.known = (0..hosts).map(known).collect();
    }

    fn register(&mut self, client: &RegisterClient, servers: &[SocketAddr], host: usize) -> Result<Step> {
        let instance = self.registrations.0;
        let accepted = client.register_until_accepted(servers[host], &self.name, instance, PATIENCE)?;
        let contact = client.contact(&self.name, instance);
        let from = self.at();
        let to = Acknowledged {
            host,
            contact,
            accepted,
        };
        self.last = Some(to.clone());
        self.registrations.0 += 1;
        self.registrations.1 += 1;
        Ok(Step { from, to })
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.bound.over.store(true, Ordering::Relaxed);
    }
}
