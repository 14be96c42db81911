//! Secrets that cannot be printed by accident.

use std::fmt;
use std::path::Path;

/// A password. `Debug` prints `***`; there is no `Display`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// True when none was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Refuses a file with a secret in it that everybody may read or change.
///
/// # Errors
/// When that is so, or cannot be told; the text says what to do.
pub(super) fn refuse_open_file(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    let mode = std::fs::metadata(path)
        .map_err(|why| format!("{shown}: {why}"))?
        .permissions()
        .mode();
    if mode & 0o007 == 0 {
        return Ok(());
    }
    Err(format!(
        "{shown} holds a secret and everybody may read or change it: chmod o-rwx {shown}"
    ))
}

/// The first line of a file that only its owner (and perhaps its group) may read.
///
/// # Errors
/// When the file cannot be read, is empty, or everybody may read it; the text says what to do.
pub fn read_secret_file(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    refuse_open_file(path)?;
    let text = std::fs::read_to_string(path).map_err(|why| format!("{shown}: {why}"))?;
    match text.lines().next().map(str::trim_end) {
        Some(line) if !line.is_empty() => Ok(Secret::new(line)),
        _ => Err(format!("{shown} is empty: write the secret into its first line")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("canary")), "***");
    }

    #[test]
    fn a_secret_file_everybody_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "canary\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = read_secret_file(&file).unwrap_err();
        assert!(error.contains("chmod") && !error.contains("canary"), "{error}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(read_secret_file(&file).unwrap().reveal(), "canary");
    }
}
