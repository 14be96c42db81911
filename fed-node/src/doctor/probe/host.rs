//! The host: folder, disk, names, memory, clock.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fed_raft::Identity;

use super::ports;
use crate::api::perf;
use crate::config::{Config, GENERATED_PASSWORD};
use crate::doctor::{CertificateFacts, Folder, Host};
use crate::founding::cluster_dir;
use crate::security;

/// Longest wait for a program of the system, or for a name.
const WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn look(config: &Config) -> Host {
    let folder = config.data_dir.clone();
    let there = folder.is_dir();
    let measured = async {
        if !there {
            return None;
        }
        let folder = folder.clone();
        let measured = tokio::task::spawn_blocking(move || perf::fsync(&folder)).await.ok()?;
        Some(match measured {
            Ok(times) => perf::latency(times).ok_or_else(|| "nothing could be measured".to_owned()),
            Err(error) => Err(format!("{}: {error}", config.data_dir.display())),
        })
    };
    let advertised = config.peer_advertised();
    let (fsync, ports, redirect_answers, advertised_leads_to, rest) = tokio::join!(
        measured,
        ports::listeners(config),
        ports::redirect_answers(config),
        resolve(advertised.host().to_owned()),
        nothing_but_the_host()
    );
    let (space, inodes) = measure_space(&folder);
    Host {
        folder: Folder {
            mode: mode(&folder),
            identity: fed_raft::inspect(&cluster_dir(&folder))
                .map(|identity| identity.map(|identity| identity.node.0))
                .map_err(|error| error.to_string()),
        },
        secrets: secrets(config),
        space,
        inodes,
        fsync,
        ports,
        redirect_answers,
        advertised_leads_to,
        certificate: certificate(config),
        ..rest
    }
}

/// The node that the data folder belongs to.
pub(super) fn identity(config: &Config) -> Option<Identity> {
    fed_raft::inspect(&cluster_dir(&config.data_dir)).ok().flatten()
}

/// What can be said without a configuration.
pub(super) async fn nothing_but_the_host() -> Host {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim().to_owned();
    let (name_leads_to, time_synced) = tokio::join!(resolve(name.clone()), time_synced());
    Host {
        name,
        name_leads_to,
        time_synced,
        memory: memory(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        ..Host::default()
    }
}

fn mode(path: &Path) -> Option<u32> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(metadata.permissions().mode() & 0o777)
}

/// The node's certificate as it is on the disk.
fn certificate(config: &Config) -> Option<Result<CertificateFacts, String>> {
    let expires = security::certificate_expires(config)?;
    let now = SystemTime::now();
    Some(expires.map_err(|error| error.to_string()).map(|expires| {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let left_s = match expires.duration_since(now) {
            Ok(left) => seconds(left),
            Err(over) => -seconds(over.duration()),
        };
        let own_authority = config.tls.ca.is_some();
        CertificateFacts { left_s, own_authority }
    }))
}

/// The files that hold a secret, of those that are there.
fn secrets(config: &Config) -> Vec<(String, u32)> {
    let security = config.data_dir.join("security");
    let mut files: Vec<PathBuf> = vec![config.data_dir.join(GENERATED_PASSWORD)];
    files.extend(config.asterisk.password_file.clone());
    files.extend(["ca.key", "node.key", "cluster.key", "local-token"].map(|name| security.join(name)));
    files.sort();
    files.dedup();
    files
        .into_iter()
        .filter_map(|file| Some((file.display().to_string(), mode(&file)?)))
        .collect()
}

type Measured = Option<(u64, u64)>;

/// Free and in all: bytes, file names; of the folder, or of the nearest one above it that is there.
fn measure_space(folder: &Path) -> (Measured, Measured) {
    let there = folder.ancestors().find(|path| path.exists());
    let Some(found) = there.and_then(|path| rustix::fs::statvfs(path).ok()) else {
        return (None, None);
    };
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    (
        Some((bytes(found.f_bavail), bytes(found.f_blocks))),
        Some((found.f_favail, found.f_files)),
    )
}

async fn resolve(host: String) -> Result<Vec<IpAddr>, String> {
    let found = tokio::time::timeout(WITHIN, tokio::net::lookup_host((host.as_str(), 0))).await;
    match found {
        Err(_) => Err(format!("no answer in {} s", WITHIN.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(addresses)) => {
            let mut addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
            addresses.sort();
            addresses.dedup();
            Ok(addresses)
        }
    }
}

/// As systemd knows it; none where there is no systemd.
async fn time_synced() -> Option<bool> {
    let mut command = tokio::process::Command::new("timedatectl");
    command
        .args(["show", "-p", "NTPSynchronized", "--value"])
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(WITHIN, command.output()).await.ok()?.ok()?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Available and in all, from `/proc/meminfo`.
fn memory(text: &str) -> Measured {
    let value = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib * 1024)
    };
    Some((value("MemAvailable:")?, value("MemTotal:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_words() {
        let text = "MemTotal:        2048 kB\nMemFree:   1 kB\nMemAvailable:    1024 kB\n";
        assert_eq!(memory(text), Some((1 << 20, 2 << 20)));
        assert_eq!(memory(""), None);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_measured_where_it_will_be() {
        let root = tempfile::tempdir().unwrap();
        let (space, _) = measure_space(&root.path().join("a/b/c"));
        assert!(space.is_some_and(|(free, total)| free <= total && total > 0));
    }

    #[tokio::test]
    async fn names_are_resolved_or_said_to_lead_nowhere() {
        assert_eq!(
            resolve("127.0.0.1".to_owned()).await.unwrap(),
            [IpAddr::from([127, 0, 0, 1])]
        );
        assert!(resolve("no-such-host.invalid".to_owned()).await.is_err());
    }
}
