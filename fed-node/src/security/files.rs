//! The folder of secrets in the data folder, and files in it that only their owner may read.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fed_core::sealing::SealKey;

/// The file of the key that seals the map's secrets: 64 hexadecimal digits.
pub const CLUSTER_KEY: &str = "cluster.key";

/// The folder of secrets, made if it is not there; nobody but its owner may look into it.
///
/// # Errors
/// When it cannot be made, or others may look into it.
pub fn folder(data_dir: &Path) -> Result<PathBuf, String> {
    let folder = data_dir.join("security");
    let shown = folder.display();
    match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => sync(data_dir).map_err(|why| format!("{shown}: {why}"))?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(why) => return Err(format!("{shown}: {why}")),
    }
    refuse_loose(&folder, 0o077)?;
    Ok(folder)
}

/// The first line of a file that only its owner may read; `None` where there is no file.
///
/// # Errors
/// When it cannot be read, or others may read or change it: the text says what to do, and nothing of what is in it.
pub fn read_private(file: &Path) -> Result<Option<String>, String> {
    let shown = file.display();
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(format!("{shown}: {why}")),
    };
    refuse_loose(file, 0o077)?;
    Ok(Some(text.lines().next().unwrap_or_default().trim().to_owned()))
}

/// Writes a file that only its owner may read; whole and durable, or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    let beside = file.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    let mut new = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    std::fs::rename(&beside, file)?;
    sync(file.parent().unwrap_or(Path::new(".")))
}

/// Makes the key of a new federation, unless there is one; its id.
///
/// # Errors
/// When it cannot be written, or the one that is there cannot be read.
pub fn make_cluster_key(data_dir: &Path) -> Result<String, String> {
    let file = folder(data_dir)?.join(CLUSTER_KEY);
    if let Some(key) = read_key(&file)? {
        return Ok(key.id().to_owned());
    }
    let key = SealKey::new(rand::random());
    write_private(&file, &format!("{}\n", key.to_hex())).map_err(|why| format!("{}: {why}", file.display()))?;
    Ok(key.id().to_owned())
}

/// The key in that file, if there is one.
pub(super) fn read_key(file: &Path) -> Result<Option<SealKey>, String> {
    let Some(text) = read_private(file)? else {
        return Ok(None);
    };
    let key = SealKey::from_hex(&text).ok_or_else(|| {
        format!(
            "{} is no key of 64 hexadecimal digits: copy it from another node, or restore it",
            file.display()
        )
    })?;
    Ok(Some(key))
}

/// Refuses what has one of the `forbidden` permissions.
pub(super) fn refuse_loose(path: &Path, forbidden: u32) -> Result<(), String> {
    let (shown, right) = (path.display(), if path.is_dir() { "700" } else { "600" });
    let mode = std::fs::metadata(path)
        .map_err(|why| format!("{shown}: {why}"))?
        .permissions()
        .mode();
    if mode & forbidden == 0 {
        return Ok(());
    }
    Err(format!(
        "{shown} holds secrets, and others may read or change it: chmod {right} {shown}"
    ))
}

fn sync(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_only_its_owner_may_read_it() {
        let data = tempfile::tempdir().unwrap();
        let id = make_cluster_key(data.path()).unwrap();
        assert_eq!(make_cluster_key(data.path()).unwrap(), id);
        let file = data.path().join("security").join(CLUSTER_KEY);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(read_key(&file).unwrap().unwrap().id(), id);
    }

    #[test]
    fn loose_permissions_are_refused_without_a_word_of_the_secret() {
        let data = tempfile::tempdir().unwrap();
        make_cluster_key(data.path()).unwrap();
        let folder = data.path().join("security");
        let file = folder.join(CLUSTER_KEY);
        let secret = std::fs::read_to_string(&file).unwrap();
        for (path, mode) in [(&file, 0o640), (&file, 0o604), (&folder, 0o750)] {
            let before = std::fs::metadata(path).unwrap().permissions();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = make_cluster_key(data.path()).unwrap_err();
            assert!(error.contains("chmod") && !error.contains(secret.trim()), "{error}");
            std::fs::set_permissions(path, before).unwrap();
        }
    }

    #[test]
    fn a_damaged_key_is_named_and_not_made_anew() {
        let data = tempfile::tempdir().unwrap();
        let file = folder(data.path()).unwrap().join(CLUSTER_KEY);
        write_private(&file, "canary\n").unwrap();
        let error = make_cluster_key(data.path()).unwrap_err();
        assert!(error.contains("64 hexadecimal") && !error.contains("canary"), "{error}");
    }
}
