//! How a node comes to be: `init` makes a federation of one, `join` a further member. Both only write the data folder;
//! `run` does the rest.

use std::path::{Path, PathBuf};

use fed_core::map::FederationMap;
use fed_raft::{Cluster, Identity, StartError};
use serde::Serialize;

use crate::address::Address;
use crate::cli::{Exit, Failure, Outcome, Output, emit, tell_made};
use crate::config::Config;
use crate::explain::Code;
use crate::security;
use crate::talk;
use crate::workplace::Workplace;

/// The consensus folder inside the data folder.
#[must_use]
pub fn cluster_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("cluster")
}

/// The capabilities that were used at this node and are still good.
pub(crate) fn used_capabilities(data_dir: &Path) -> PathBuf {
    data_dir.join("used-capabilities")
}

/// Up to where this node's Asterisk and the map agreed.
pub(crate) fn settled(data_dir: &Path) -> PathBuf {
    data_dir.join("settled")
}

/// The realm chosen at `init`, until the first node has written it into the map.
fn realm_file(data_dir: &Path) -> PathBuf {
    data_dir.join("founding-realm")
}

/// The realm that `init` was given; `None` on a node that did not found the federation.
///
/// # Errors
/// When the file cannot be read.
pub fn founding_realm(data_dir: &Path) -> std::io::Result<Option<String>> {
    match std::fs::read_to_string(realm_file(data_dir)) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What fed-raft needs to know, from the configuration.
#[must_use]
pub fn raft_config(config: &Config) -> fed_raft::Config {
    use std::time::Duration;
    let millis = Duration::from_millis;
    let mut raft = fed_raft::Config::new(cluster_dir(&config.data_dir), config.peer.listen.to_string());
    // Port 0 is known only once it is bound: then fed-raft tells the others what it got.
    raft.advertise = match &config.peer.advertise {
        Some(address) => address.to_string(),
        None if config.peer.listen.port() == 0 => String::new(),
        None => config.peer_advertised().to_string(),
    };
    raft.expect_node = config.node.id.map(fed_core::ids::NodeId);
    raft.heartbeat = millis(config.raft.heartbeat_ms);
    raft.election_min = millis(config.raft.election_min_ms);
    raft.election_max = millis(config.raft.election_max_ms);
    raft.session_ttl = millis(config.raft.session_ttl_ms);
    raft.propose_timeout = millis(config.raft.write_timeout_ms);
    raft.target_voters = config.raft.voters;
    raft.replace_dead_after = Duration::from_secs(config.raft.replace_dead_after_s);
    raft.min_free_bytes = config.disk.min_free_mb << 20;
    raft.snapshot_entries = config.raft.snapshot_entries;
    raft.keep_entries = config.raft.keep_entries;
    raft
}

/// `init`
///
/// # Errors
/// When the folder is taken, cannot be written, or the realm cannot be one.
pub fn init(config: &Config, realm: &str, output: Output) -> Outcome {
    crate::api::check_realm(realm).map_err(Failure::usage)?;
    refuse_occupied(config)?;
    let folder_made = NewFolder::make(&config.data_dir)?;
    let workplace = begin(&config.data_dir)?;
    let identity = Cluster::<FederationMap>::init(&workplace.raft_config(config));
    let identity = identity.map_err(|error| start_failure(&error))?;
    let key = security::make_cluster_key(&config.data_dir).map_err(Failure::usage)?;
    security::found(config, &identity).map_err(|error| Failure::of(Exit::Usage, &error))?;
    let file = realm_file(&config.data_dir);
    write_durably(&file, &format!("{realm}\n")).map_err(|error| folder(&file, &error))?;
    finish(workplace, &config.data_dir)?;
    folder_made.stays();
    talk!(
        "made federation {} with node {} in {}; start it with `fed-node run`",
        identity.cluster,
        identity.node,
        config.data_dir.display()
    );
    talk!(
        "security/cluster.key in it (key {key}) seals all credentials: keep a copy in a safe place, for without it no credential opens"
    );
    talk!("further nodes: {}", how_to_join(config));
    made(config, &identity, output)
}

/// What brings further nodes into the federation of this one.
pub(crate) fn how_to_join(config: &Config) -> String {
    if config.security.plaintext {
        format!("`fed-node join {}` on each", config.peer_advertised())
    } else {
        "once it runs, `fed-node token join` here, for each of them, prints a token; there, `fed-node join TOKEN`"
            .to_owned()
    }
}

/// `join`
///
/// # Errors
/// When the folder is taken, or nobody takes this node in.
pub async fn join(config: &Config, with: &str, output: Output) -> Outcome {
    let with = match with {
        "-" => std::io::read_to_string(std::io::stdin().lock())?,
        with => with.to_owned(),
    };
    let folder_made = NewFolder::make(&config.data_dir)?;
    let raft = raft_config(config);
    let identity = if config.security.plaintext {
        let seed: Address = with.trim().parse().map_err(Failure::usage)?;
        let joined = Cluster::<FederationMap>::join(&raft, &seed.to_string()).await;
        joined.map_err(|error| start_failure(&error))?
    } else {
        let token: security::JoinToken = with.parse().map_err(|error| Failure::of(Exit::Usage, &error))?;
        security::join(config, &raft, &token)
            .await
            .map_err(|error| match error {
                security::JoinError::File(error) => Failure::of(Exit::Usage, &error),
                security::JoinError::Refused(error) => start_failure(&error),
            })?
    };
    folder_made.stays();
    talk!(
        "this is node {} of federation {}, in {}; start it with `fed-node run`",
        identity.node,
        identity.cluster,
        config.data_dir.display()
    );
    made(config, &identity, output)
}

/// A node that was made, for a script.
#[derive(Debug, Serialize)]
struct Made {
    federation: String,
    node: u64,
    data_dir: PathBuf,
}

/// Prints the node that was made as data; people have been told in words.
fn made(config: &Config, identity: &Identity, output: Output) -> Outcome {
    if output != Output::Json {
        return Ok(());
    }
    let made = Made {
        federation: identity.cluster.to_string(),
        node: identity.node.0,
        data_dir: config.data_dir.clone(),
    };
    emit(&serde_json::to_string_pretty(&made).map_err(Failure::failed)?)
}

/// Begins a node's folder in its data folder, which is there.
///
/// # Errors
/// When nothing can be made in it.
pub(crate) fn begin(data_dir: &Path) -> Outcome<Workplace> {
    Workplace::begin(data_dir).map_err(|error| folder(data_dir, &error))
}

/// Makes the data folder a node's.
///
/// # Errors
/// When that cannot be done; it is nobody's then.
pub(crate) fn finish(workplace: Workplace, data_dir: &Path) -> Outcome {
    workplace.finish().map_err(|error| folder(data_dir, &error))
}

/// Puts the key that seals credentials, which a backup brought along, where the new federation's first node finds it.
///
/// # Errors
/// When it cannot be written.
pub fn adopt_cluster_key(data_dir: &Path, key: Option<&[u8]>) -> Outcome {
    use std::io::Write;
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let Some(key) = key else { return Ok(()) };
    let (security, file) = (data_dir.join("security"), data_dir.join("security/cluster.key"));
    let write = || -> std::io::Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&security)?;
        let mut out = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)?;
        out.write_all(key)?;
        out.sync_all()?;
        sync_names(&file)?;
        sync_names(&security)
    };
    write().map_err(|error| folder(&file, &error))
}

/// `init` and `join` with `--dry-run`.
///
/// # Errors
/// When the folder is taken.
pub fn would_make(config: &Config, what: &str, output: Output) -> Outcome {
    refuse_occupied(config)?;
    let data_dir = config.data_dir.display().to_string();
    tell_made(output, what.to_owned(), vec![("data_dir", data_dir)])
}

fn refuse_occupied(config: &Config) -> Outcome {
    let owner = fed_raft::inspect(&cluster_dir(&config.data_dir)).map_err(|error| start_failure(&error))?;
    let Some(owner) = owner else { return Ok(()) };
    Err(start_failure(&StartError::Occupied {
        path: config.data_dir.clone(),
        node: owner.node,
    }))
}

/// The exit code of a node that cannot be made or looked at.
#[must_use]
pub fn start_failure(error: &StartError) -> Failure {
    let exit = match error {
        StartError::Join { .. } => Exit::Unavailable,
        StartError::Config(_)
        | StartError::Empty(_)
        | StartError::Occupied { .. }
        | StartError::OtherNode { .. }
        | StartError::OtherName { .. }
        | StartError::Mixed { .. }
        | StartError::NewerFormat { .. }
        | StartError::InUse(_)
        | StartError::Listen { .. } => Exit::Usage,
        _ => Exit::Failed,
    };
    Failure::of(exit, error)
}

/// A data folder that goes again, with what was put into it, unless it is to stay. One that was there before is left as it is.
pub(crate) struct NewFolder {
    /// The uppermost folder that was made for it.
    made: Option<PathBuf>,
}

impl NewFolder {
    /// Makes it, if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn make(data_dir: &Path) -> Outcome<Self> {
        let missing = data_dir
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        let made = missing.last().map(Path::to_owned);
        let new = Self { made };
        make_durably(data_dir).map_err(|error| folder(data_dir, &error))?;
        Ok(new)
    }

    /// It is a node's.
    pub(crate) fn stays(mut self) {
        self.made = None;
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if let Some(made) = &self.made
            && let Err(error) = std::fs::remove_dir_all(made)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            talk!("{} was made and could not be removed again: {error}", made.display());
        }
    }
}

/// Makes a folder whose name a power cut does not take away, for its owner alone.
fn make_durably(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if folder.exists() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    sync_names(folder)
}

/// Writes a file that is there, whole, after a power cut.
fn write_durably(file: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(file, text)?;
    std::fs::File::open(file)?.sync_all()?;
    sync_names(file)
}

/// The names beside this one are on the disk when it returns.
fn sync_names(path: &Path) -> std::io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    std::fs::File::open(above.unwrap_or(Path::new(".")))?.sync_all()
}

fn folder(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!(
        "{}: {error}; make it writable, or choose another with --data-dir",
        path.display()
    ))
    .coded(Code::FolderUnusable)
}
