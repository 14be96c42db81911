//! A Debian server of its own, fresh from the installer: a cached root folder with a memory file system laid over it, in namespaces of
//! its own. Packages are installed into it as into any other; nothing is written into the cached folder, and when the server is dropped
//! nothing of it is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::command;
use super::daemon::Daemon;
use super::roots::Version;
use crate::eventually;

/// A server with an Asterisk installed, nothing running.
#[derive(Debug)]
pub struct Server {
    /// Keeps the namespaces.
    holder: Daemon,
    folder: PathBuf,
}

impl Server {
    /// Lays one out.
    ///
    /// # Errors
    /// When there is no root folder for that version, or no right to mount (not root).
    pub fn start(version: Version) -> Result<Self> {
        let lower = version.root()?;
        let name = format!("fedlab-server-{}-{}", std::process::id(), version.number());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder)?;
        let here = folder.display();
        let script = format!(
            "set -e\n\
             mount -t tmpfs -o mode=755 tmpfs {here}\n\
             mkdir {here}/upper {here}/work {here}/root\n\
             mount -t overlay overlay -o lowerdir={lower},upperdir={here}/upper,workdir={here}/work {here}/root\n\
             mount -t proc proc {here}/root/proc\n\
             mount --rbind /dev {here}/root/dev\n\
             mount -t tmpfs -o mode=755 tmpfs {here}/root/run\n\
             echo server >/proc/sys/kernel/hostname\n\
             printf '127.0.0.1 localhost server\\n' >{here}/root/etc/hosts\n\
             ip link set lo up\n\
             touch {here}/laid-out\n\
             exec sleep infinity\n",
            lower = lower.display()
        );
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--mount",
            "--net",
            "--uts",
            "--propagation",
            "private",
            "--",
            "sh",
            "-c",
            &script,
        ]);
        let log = folder.with_extension("log");
        let mut holder = Daemon::start("the fresh server", &mut unshare, &log)?;
        let outside = PathBuf::from(format!("/proc/{}/root{here}", holder.pid()));
        eventually(Duration::from_secs(10), || {
            holder.check()?;
            if !outside.join("laid-out").exists() {
                bail!("the server is not laid out yet");
            }
            Ok(())
        })?;
        let _ = fs::remove_file(log);
        Ok(Self { holder, folder })
    }

    /// A command that runs in the server, as root.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.holder.pid()))
            .args(["--mount", "--net", "--uts", "--", "chroot"])
            .arg(self.folder.join("root"))
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C.UTF-8");
        command
    }

    /// Runs one to its end and gives what it printed.
    ///
    /// # Errors
    /// When it fails; the text holds what it said.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        command::finish(self.command(program).args(args))
    }

    /// A file of the server, for this process.
    pub fn file(&self, path: &str) -> PathBuf {
        let inside = self.folder.join("root").join(path.trim_start_matches('/'));
        PathBuf::from(format!("/proc/{}/root{}", self.holder.pid(), inside.display()))
    }

    /// Copies a file of this machine into the server.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn bring(&self, from: &Path, to: &str) -> Result<()> {
        fs::copy(from, self.file(to)).with_context(|| format!("{} to {to}", from.display()))?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = fs::remove_dir(&self.folder);
    }
}
