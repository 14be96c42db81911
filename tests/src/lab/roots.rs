//! Where the Asterisks come from: Debian root folders in a cache outside the checkout, made by `scripts/lab-roots`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::command;

/// A version of Asterisk that the lab can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 16.28, from Debian bullseye.
    V16,
    /// 22.10, from Debian forky.
    V22,
}

impl Version {
    /// The major number.
    pub fn number(self) -> u8 {
        match self {
            Self::V16 => 16,
            Self::V22 => 22,
        }
    }

    /// The whole version.
    pub fn release(self) -> &'static str {
        match self {
            Self::V16 => "16.28.0",
            Self::V22 => "22.10.1",
        }
    }

    /// The root folder, made now when it is missing (a minute or two, needs root and a Debian mirror).
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn root(self) -> Result<PathBuf> {
        let script = checkout().join("scripts/lab-roots");
        let printed = command::finish(Command::new(&script).arg(self.number().to_string()))?;
        Ok(PathBuf::from(
            printed.lines().last().context("lab-roots printed no folder")?,
        ))
    }
}

/// The top folder of the checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the checkout")
        .to_owned()
}

/// Why no lab can run on this machine; `Ok` when it can.
///
/// # Errors
/// The reason, in words for the person who runs the tests.
pub fn available() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("not root: network namespaces and Debian root folders need it");
    }
    for (program, package) in [
        ("ip", "iproute2"),
        ("nft", "nftables"),
        ("nsenter", "util-linux"),
        ("unshare", "util-linux"),
        ("sipp", "sip-tester"),
    ] {
        let found = std::env::var_os("PATH").is_some_and(|paths| {
            std::env::split_paths(&paths)
                .chain(["/usr/sbin".into()])
                .any(|p| p.join(program).exists())
        });
        if !found {
            bail!("{program} is missing: apt-get install {package} (scripts/prerequisites lab does it)");
        }
    }
    command::run("ip", &["netns", "list"]).context("network namespaces cannot be used here")?;
    Version::V16.root().and(Version::V22.root()).map(drop)
}
