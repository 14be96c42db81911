//! One network namespace, made and removed by the harness; its name says whose it is.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::NetworkError;
use super::command::run;

/// A network namespace. Clones name the same one; it is removed with the last of them.
#[derive(Debug, Clone)]
pub struct Namespace(Arc<Owned>);

#[derive(Debug)]
struct Owned {
    name: String,
}

impl Namespace {
    /// Makes a namespace with its loopback up.
    ///
    /// # Errors
    /// When `ip` fails (this is not root).
    pub fn make(name: String) -> Result<Self, NetworkError> {
        run("ip", &["netns", "add", &name])?;
        let namespace = Namespace(Arc::new(Owned { name }));
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Runs `ip` inside, and gives what it printed.
    ///
    /// # Errors
    /// What it complained about.
    pub fn ip(&self, args: &[&str]) -> Result<String, NetworkError> {
        let mut all = vec!["-n", self.name()];
        all.extend(args);
        run("ip", &all)
    }

    /// Words before a command that make it run inside, with its own process id.
    pub fn through(&self) -> Vec<String> {
        vec!["nsenter".into(), format!("--net={}", self.path()), "--".into()]
    }

    /// Does something on a thread of its own inside the namespace. Sockets and devices opened there stay there, wherever they
    /// are used.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or what was done failed.
    pub fn enter<T: Send>(&self, what: impl FnOnce() -> std::io::Result<T> + Send) -> Result<T, NetworkError> {
        let failed = |error| NetworkError::io(format!("inside the namespace {}", self.name()), error);
        let file = self.open()?;
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                what()
            });
            inside
                .join()
                .unwrap_or_else(|_| Err(std::io::Error::other("it panicked")))
        })
        .map_err(failed)
    }

    /// Moves the calling thread inside; threads that it makes from then on begin there.
    pub(super) fn enter_for_good(&self) -> Result<(), NetworkError> {
        move_into_link_name_space(self.open()?.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| NetworkError::io(format!("the namespace {}", self.name()), error))
    }

    fn open(&self) -> Result<File, NetworkError> {
        let path = self.path();
        File::open(&path).map_err(|error| NetworkError::io(path, error))
    }

    fn path(&self) -> String {
        format!("/run/netns/{}", self.name())
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = run("ip", &["netns", "del", &self.name]);
    }
}
