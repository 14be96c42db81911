//! One network namespace: made and removed by the lab, its name saying whose it is, or the one this process is in.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::command::run;

/// A network namespace. Clones name the same one; one that the lab made is removed with the last of them.
#[derive(Debug, Clone)]
pub struct Namespace {
    /// None: this process's own.
    owned: Option<Arc<Owned>>,
}

#[derive(Debug)]
struct Owned {
    name: String,
}

impl Namespace {
    /// Makes a namespace with its loopback up.
    pub(super) fn make(name: String) -> Result<Self> {
        run("ip", &["netns", "add", &name])?;
        let namespace = Self {
            owned: Some(Arc::new(Owned { name })),
        };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// The one that this process is in. Phones for it need neither root nor a lab.
    pub fn here() -> Self {
        Self { owned: None }
    }

    /// Its name, as `ip netns` shows it; that of this process's own is empty.
    pub fn name(&self) -> &str {
        self.owned.as_ref().map_or("", |owned| &owned.name)
    }

    /// Runs `ip` inside.
    pub(super) fn ip(&self, args: &[&str]) -> Result<String> {
        let mut all = vec!["-n", self.name()];
        all.extend(args);
        run("ip", &all)
    }

    /// A command that will run inside.
    pub fn command(&self, program: &str) -> Command {
        let Some(path) = self.path() else {
            return Command::new(program);
        };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={path}")).arg("--").arg(program);
        command
    }

    /// Does something on a thread of its own inside the namespace. Sockets opened there stay there, wherever they are used.
    ///
    /// # Errors
    /// When the namespace cannot be entered (it is gone, or this is not root).
    pub fn enter<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let Some(path) = self.path() else {
            return Ok(what());
        };
        let file = File::open(&path).with_context(|| path.clone())?;
        thread::spawn(move || -> Result<T> {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(what())
        })
        .join()
        .map_err(|_| anyhow!("the thread inside {path} panicked"))?
    }

    fn path(&self) -> Option<String> {
        self.owned.as_ref().map(|owned| format!("/run/netns/{}", owned.name))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = run("ip", &["netns", "del", &self.name]);
    }
}
