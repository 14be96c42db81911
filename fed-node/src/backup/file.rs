//! A backup as a file: written beside its place, synced, checked, and only then given its name; and opened again.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use fed_raft::Backup;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::archive::Unpacker;
use super::head::{self, Head};
use super::scratch::Scratch;
use super::seal::{Sealing, Unsealing};
use crate::cli::{Exit, Failure, Outcome};
use crate::config::Secret;
use crate::{leftovers, talk};

/// The first file in it: a [`Head`] as JSON.
pub(super) const HEAD: &str = "head.json";
/// The federation's key that seals credentials.
pub(super) const CLUSTER_KEY: &str = "cluster.key";
/// Longest head and key that are read into memory.
const SMALL: u64 = 64 << 10;

/// A backup on its way to the disk.
pub(super) struct Writing {
    temporary: PathBuf,
    out: GzEncoder<Sealing<BufWriter<File>>>,
}

impl Writing {
    /// Whether a backup may have that name.
    ///
    /// # Errors
    /// When something is there already, or the folder for it is not.
    pub(super) fn may_begin(path: &Path) -> Outcome {
        if path.exists() {
            return Err(Failure::usage(format!(
                "{} exists already: choose another name, or remove it first",
                path.display()
            )));
        }
        let folder = folder_of(path);
        if !folder.is_dir() {
            return Err(Failure::usage(format!(
                "{} cannot be made: there is no folder {}; make it, or choose another name",
                path.display(),
                folder.display()
            )));
        }
        Ok(())
    }

    /// Begins a file that will be `path`, which must not be there.
    pub(super) fn begin(path: &Path, key: &Secret) -> Outcome<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        Self::may_begin(path)?;
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".part");
        let temporary = PathBuf::from(temporary);
        leftovers::note(&temporary);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary);
        let file = file.map_err(|error| {
            leftovers::forget(&temporary);
            at(&temporary, &error)
        })?;
        let sealing = Sealing::new(BufWriter::new(file), key).map_err(|error| at(&temporary, &error))?;
        Ok(Self {
            temporary,
            out: GzEncoder::new(sealing, Compression::fast()),
        })
    }

    /// Ends the file, reads all of it again, opens the state in it and compares hash and counts; then it gets its name.
    pub(super) fn keep(self, path: &Path, key: &Secret) -> Outcome<Head> {
        let written = self.out.finish().and_then(Sealing::finish);
        let synced = written
            .and_then(|buffer| buffer.into_inner().map_err(io::IntoInnerError::into_error))
            .and_then(|file| file.sync_all());
        let kept = synced.map_err(|error| at(&self.temporary, &error)).and_then(|()| {
            let opened = Opened::unpack(&self.temporary, key, folder_of(path))?;
            opened.verify(&self.temporary)?;
            Ok(opened.head.clone())
        });
        let named = kept.and_then(|head| {
            let rename = std::fs::rename(&self.temporary, path).and_then(|()| File::open(folder_of(path))?.sync_all());
            rename.map(|()| head).map_err(|error| at(path, &error))
        });
        match &named {
            Ok(_) => leftovers::forget(&self.temporary),
            Err(_) => discard(&self.temporary),
        }
        named
    }

    /// Gives it up.
    pub(super) fn discard(self) {
        discard(&self.temporary);
    }
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn discard(temporary: &Path) {
    leftovers::forget(temporary);
    if let Err(error) = std::fs::remove_file(temporary) {
        talk!("{}: {error}; remove it, it is no backup", temporary.display());
    }
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|above| !above.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

pub(super) fn at(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {error}", path.display()))
}

type Contents = Unpacker<GzDecoder<Unsealing<BufReader<File>>>>;

/// Opens the file up to its head.
fn open(path: &Path, key: &Secret) -> Outcome<(Head, Contents)> {
    let file = File::open(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let unsealed = Unsealing::new(BufReader::new(file), key)
        .map_err(|error| Failure::usage(format!("{} {error}", path.display())))?;
    let mut contents = Unpacker::new(GzDecoder::new(unsealed));
    let head = read_head(&mut contents).map_err(|error| broken(path, &error))?;
    if head.format > head::FORMAT {
        return Err(Failure::usage(format!(
            "{} has contents of format {}, made by fed-node {}; this program reads up to {}: use that version, or a later one",
            path.display(),
            head.format,
            head.program,
            head::FORMAT
        )));
    }
    Ok((head, contents))
}

/// What is said in the first file of what was packed.
pub(super) fn read_head(contents: &mut Unpacker<impl Read>) -> io::Result<Head> {
    let strange = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "does not say what is in it: take another copy",
        )
    };
    match contents.next_file()? {
        Some((name, size)) if name == HEAD && size <= SMALL => {
            let mut bytes = Vec::new();
            contents.content(&mut bytes)?;
            serde_json::from_slice(&bytes).map_err(|_| strange())
        }
        _ => Err(strange()),
    }
}

/// What reading met. Behind the seal everything is authenticated, so an early end of the packed stream is damage too.
fn broken(path: &Path, error: &io::Error) -> Failure {
    let words = match error.kind() {
        io::ErrorKind::UnexpectedEof => "is damaged, or its end is missing: take another copy".to_owned(),
        io::ErrorKind::InvalidData => error.to_string(),
        _ => format!("cannot be read: {error}"),
    };
    Failure::new(Exit::Usage, format!("{} {words}", path.display()))
}

/// What the file says that is in it; the rest is neither read nor checked.
pub(super) fn head_of(path: &Path, key: &Secret) -> Outcome<Head> {
    Ok(open(path, key)?.0)
}

/// A backup, unpacked into a folder that goes with it.
pub(super) struct Opened {
    pub(super) head: Head,
    pub(super) cluster_key: Option<Vec<u8>>,
    pub(super) backup: Backup,
    _scratch: Scratch,
}

impl Opened {
    /// Reads the whole file and puts what is in it into a folder inside `parent`.
    pub(super) fn unpack(path: &Path, key: &Secret, parent: &Path) -> Outcome<Self> {
        let (head, mut contents) = open(path, key)?;
        let scratch = Scratch::new(parent).map_err(|error| at(parent, &error))?;
        let mut cluster_key = None;
        while let Some((name, size)) = contents.next_file().map_err(|error| broken(path, &error))? {
            if name == CLUSTER_KEY && size <= SMALL {
                let mut bytes = Vec::new();
                contents.content(&mut bytes).map_err(|error| broken(path, &error))?;
                cluster_key = Some(bytes);
                continue;
            }
            let to = scratch.path().join(&name);
            let mut out = BufWriter::new(File::create(&to).map_err(|error| at(&to, &error))?);
            contents.content(&mut out).map_err(|error| broken(path, &error))?;
            out.flush().map_err(|error| at(&to, &error))?;
        }
        contents.ends().map_err(|error| broken(path, &error))?;
        let backup = Backup::open(scratch.path()).map_err(|error| at(path, &error))?;
        Ok(Self {
            head,
            cluster_key,
            backup,
            _scratch: scratch,
        })
    }

    /// Reads every row; the hash of all of them, and how many there are, must be what the head says.
    pub(super) fn verify(&self, path: &Path) -> Outcome {
        self.backup.verify().map_err(|error| at(path, &error))?;
        let head = &self.head;
        let found = Head::of(&self.backup, &head.node_name, head.complete, self.cluster_key.is_some());
        let found = found.map_err(|error| at(path, &error))?;
        let told = Head {
            format: found.format,
            program: found.program.clone(),
            made_at: found.made_at.clone(),
            ..head.clone()
        };
        if told == found {
            Ok(())
        } else {
            Err(at(
                path,
                &format!(
                    "it says {} with hash {}, but holds {} with hash {}: take another backup",
                    told.summary(),
                    told.state_hash,
                    found.summary(),
                    found.state_hash
                ),
            ))
        }
    }
}
