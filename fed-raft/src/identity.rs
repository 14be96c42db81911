//! Whose data folder this is, and the files that say so.
//!
//! ```text
//! FORMAT                 read first; a newer one is refused
//! identity               cluster, node, incarnation, where the others were at the time of joining
//! LOCK                   held while a process has the folder open
//! log/                   RocksDB: entries, vote
//! state/CURRENT          which generation is valid
//! state/<generation>/    RocksDB: the machine's state
//! snapshots/             the last snapshot, as files
//! incoming/              a snapshot on its way in
//! probe                  written again and again, to see how the disk is
//! recovery               only while a recovery is under way: who the folder will belong to
//! ```

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use fed_core::ids::NodeId;

use crate::error::StartError;
use crate::platform::fs;
use crate::security::NodeName;

/// The newest format that this program reads and the one it writes.
pub(crate) const FORMAT: u32 = 1;
/// The first program version that reads [`FORMAT`].
const FORMAT_NEEDS: &str = "0.1.0";

/// A cluster's name: drawn at random when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Who a data folder belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node, given by the cluster and never given again.
    pub node: NodeId,
    /// Drawn when the folder was made: tells two folders of one id apart.
    pub incarnation: u64,
    /// Whether this node made the cluster.
    pub founder: bool,
    /// Where the other nodes were when this one joined.
    pub seeds: Vec<String>,
}

impl Identity {
    /// What the node's certificate must say.
    #[must_use]
    pub fn name(&self) -> NodeName {
        NodeName {
            cluster: self.cluster,
            node: self.node,
        }
    }
}

/// Who the folder belongs to; `None` when it is missing or empty. Opens no database and takes no lock.
///
/// # Errors
/// [`StartError`] when the folder is of a newer format, or holds something else.
pub fn inspect(data_dir: &Path) -> Result<Option<Identity>, StartError> {
    if is_empty(data_dir)? {
        return Ok(None);
    }
    check_format(data_dir)?;
    let path = data_dir.join("identity");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StartError::Damaged {
                path,
                what: "the folder has data but does not say whose it is".to_owned(),
            });
        }
        Err(source) => return Err(StartError::Io { path, source }),
    };
    parse(&text).map(Some).ok_or_else(|| StartError::Damaged {
        path,
        what: "the identity cannot be read".to_owned(),
    })
}

/// Writes FORMAT and identity into an empty folder, durably.
pub(crate) fn create(data_dir: &Path, identity: &Identity) -> Result<(), StartError> {
    if let Some(owner) = inspect(data_dir)? {
        return Err(StartError::Occupied {
            path: data_dir.to_owned(),
            node: owner.node,
        });
    }
    make_durably(data_dir).map_err(|e| at(data_dir, e))?;
    seal(data_dir, identity)
}

/// Writes FORMAT and identity: from then on the folder is a node's.
pub(crate) fn seal(data_dir: &Path, identity: &Identity) -> Result<(), StartError> {
    let format = format!("fed-raft {FORMAT}\nneeds {FORMAT_NEEDS}\n");
    write_durably(&data_dir.join("FORMAT"), format.as_bytes())?;
    write_durably(&data_dir.join("identity"), render(identity).as_bytes())
}

/// Gives the folder to another.
pub(crate) fn replace(data_dir: &Path, identity: &Identity) -> Result<(), StartError> {
    write_durably(&data_dir.join("identity"), render(identity).as_bytes())
}

/// Makes a folder, and those above it that are missing, so that a power cut does not take their names away with all that is in
/// them.
pub(crate) fn make_durably(folder: &Path) -> io::Result<()> {
    let named = folder.ancestors().filter(|path| !path.as_os_str().is_empty());
    let missing: Vec<&Path> = named.take_while(|path| !fs::exists(path)).collect();
    fs::create_dir_all(folder)?;
    for above in missing.into_iter().filter_map(Path::parent) {
        let here = above.as_os_str().is_empty();
        fs::sync(if here { Path::new(".") } else { above })?;
    }
    Ok(())
}

/// Holds the folder for this process until dropped.
pub(crate) fn lock(data_dir: &Path) -> Result<fs::Lock, StartError> {
    let path = data_dir.join("LOCK");
    let held = fs::lock(&path).map_err(|e| at(&path, e))?;
    held.ok_or_else(|| StartError::InUse(data_dir.to_owned()))
}

/// Writes a small file so that after a crash it is there whole, or as before.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), StartError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let write = || -> io::Result<()> {
        fs::write(&temporary, bytes)?;
        fs::sync(&temporary)?;
        fs::rename(&temporary, path)?;
        fs::sync(path.parent().unwrap_or(Path::new(".")))
    };
    write().map_err(|e| at(path, e))
}

pub(crate) fn at(path: &Path, source: io::Error) -> StartError {
    StartError::Io {
        path: path.to_owned(),
        source,
    }
}

fn is_empty(data_dir: &Path) -> Result<bool, StartError> {
    match fs::list(data_dir) {
        Ok(names) => Ok(names.is_empty()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(at(data_dir, source)),
    }
}

fn check_format(data_dir: &Path) -> Result<(), StartError> {
    let path = data_dir.join("FORMAT");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StartError::Damaged {
                path: data_dir.to_owned(),
                what: "the folder is not empty and has no FORMAT file: it is no data folder of this program".to_owned(),
            });
        }
        Err(source) => return Err(at(&path, source)),
    };
    let mut lines = text.lines();
    let found = lines
        .next()
        .and_then(|line| line.strip_prefix("fed-raft "))
        .and_then(|number| number.trim().parse::<u32>().ok());
    let needs = lines
        .next()
        .and_then(|line| line.strip_prefix("needs "))
        .unwrap_or("a newer one")
        .trim();
    match found {
        Some(found) if found <= FORMAT => Ok(()),
        Some(found) => Err(StartError::NewerFormat {
            path: data_dir.to_owned(),
            found,
            known: FORMAT,
            needs: needs.to_owned(),
        }),
        None => Err(StartError::Damaged {
            path,
            what: "the format cannot be read".to_owned(),
        }),
    }
}

pub(crate) fn render(identity: &Identity) -> String {
    format!(
        "cluster {}\nnode {}\nincarnation {}\nfounder {}\nseeds {}\n",
        identity.cluster,
        identity.node,
        identity.incarnation,
        identity.founder,
        identity.seeds.join(",")
    )
}

pub(crate) fn parse(text: &str) -> Option<Identity> {
    let field = |name: &str| {
        text.lines().find_map(|line| {
            line.strip_prefix(name)
                .and_then(|rest| rest.strip_prefix(' ').or(rest.is_empty().then_some(rest)))
        })
    };
    Some(Identity {
        cluster: ClusterId(u128::from_str_radix(field("cluster")?, 16).ok()?),
        node: NodeId(field("node")?.parse().ok()?),
        incarnation: field("incarnation")?.parse().ok()?,
        founder: field("founder")?.parse().ok()?,
        seeds: field("seeds")?
            .split(',')
            .filter(|seed| !seed.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            cluster: ClusterId(0xfeed),
            node: NodeId(7),
            incarnation: 99,
            founder: false,
            seeds: vec!["127.0.0.1:7401".to_owned(), "[::1]:7401".to_owned()],
        }
    }

    #[test]
    fn a_folder_says_whose_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        assert_eq!(inspect(&data).expect("readable"), None);
        create(&data, &identity()).expect("created");
        assert_eq!(inspect(&data).expect("readable"), Some(identity()));
    }

    #[test]
    fn a_folder_is_given_away_once() {
        let folder = tempfile::tempdir().expect("a folder");
        create(folder.path(), &identity()).expect("created");
        let error = create(folder.path(), &identity()).expect_err("occupied");
        assert!(matches!(error, StartError::Occupied { node: NodeId(7), .. }), "{error}");
    }

    #[test]
    fn a_newer_format_is_refused_with_the_version_it_needs() {
        let folder = tempfile::tempdir().expect("a folder");
        create(folder.path(), &identity()).expect("created");
        fs::write(&folder.path().join("FORMAT"), b"fed-raft 2\nneeds 0.9.1\n").expect("written");
        let error = inspect(folder.path()).expect_err("newer").to_string();
        assert!(error.contains("0.9.1"), "{error}");
    }

    #[test]
    fn a_folder_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(&folder.path().join("holiday.jpg"), b"").expect("written");
        assert!(matches!(inspect(folder.path()), Err(StartError::Damaged { .. })));
    }

    #[test]
    fn two_processes_cannot_hold_one_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let held = lock(folder.path()).expect("free");
        assert!(matches!(lock(folder.path()), Err(StartError::InUse(_))));
        drop(held);
        lock(folder.path()).expect("free again");
    }
}
