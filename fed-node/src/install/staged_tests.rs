use std::collections::BTreeMap;

use fed_ari::stanzas::Stanza;

use super::*;

fn change(path: PathBuf, before: Option<&str>, after: &str) -> Change {
    Change {
        path,
        stanza: Stanza {
            file: "ari.conf",
            text: after.to_owned(),
            reload: None,
        },
        before: before.map(str::to_owned),
        after: after.to_owned(),
    }
}

fn stage(changes: Vec<Change>) -> Result<Staged, InstallError> {
    let mut staged = Staged::default();
    for change in changes {
        let prepared = prepare(&change.path, change.before.as_deref(), &change.after)?;
        staged.add(change, prepared);
    }
    Ok(staged)
}

fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

#[test]
fn a_file_that_cannot_be_written_leaves_every_other_one_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("http.conf"), folder.path().join("extensions.conf"));
    std::fs::write(&first, "a=1\n").unwrap();
    // Nobody makes a file there, whoever runs this.
    std::os::unix::fs::symlink("/proc/version", &second).unwrap();
    let before = everything(folder.path());
    let said = stage(vec![
        change(first, Some("a=1\n"), "a=2\n"),
        change(second, Some("Linux\n"), "more\n"),
    ]);
    let why = said.err().unwrap().to_string();
    assert!(
        why.contains("extensions.conf") && why.contains("/proc/version") && why.contains("no file was changed"),
        "{why}"
    );
    assert!(why.contains("without --write"), "the remedy: {why}");
    assert_eq!(everything(folder.path()), before);
}

#[test]
fn a_file_that_cannot_be_put_in_its_place_takes_the_others_back() {
    let folder = tempfile::tempdir().unwrap();
    let [first, made, second] = ["http.conf", "ari.conf", "extensions.conf"].map(|name| folder.path().join(name));
    std::fs::write(&first, "a=1\n").unwrap();
    let before = everything(folder.path());
    let staged = stage(vec![
        change(first, Some("a=1\n"), "a=2\n"),
        change(made, None, "b=2\n"),
        change(second.clone(), None, "c=2\n"),
    ])
    .unwrap();
    // No file takes the place of a folder.
    std::fs::create_dir(&second).unwrap();
    let why = staged.commit().unwrap_err().to_string();
    assert!(why.contains("extensions.conf"), "{why}");
    assert_eq!(everything(folder.path()), before);
}

#[test]
fn a_password_is_taken_from_everybody_or_the_administrator_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ari.conf");
    std::fs::write(&path, "a=1\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let run = |before: &str, after: &str| {
        let staged = stage(vec![change(path.clone(), Some(before), after)]).unwrap();
        let warning = staged.commit().unwrap().remove(0).warning;
        (std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, warning)
    };
    if !is_somebodys(&std::fs::metadata(&path).unwrap()) {
        // Asterisk may be able to read it only so, and who it runs as is not known here.
        let before = everything(folder.path());
        let why = stage(vec![change(path.clone(), Some("a=1\n"), "a=2\n")]).err().unwrap();
        assert!(
            why.to_string().contains("chmod 640") && why.to_string().contains("chgrp"),
            "{why}"
        );
        assert_eq!(everything(folder.path()), before);
        chown(&path, Some(65_534), Some(65_534)).unwrap();
    }
    let owner = |path: &Path| std::fs::metadata(path).map(|file| (file.uid(), file.gid())).unwrap();
    let before = owner(&path);
    assert_eq!(run("a=1\n", "a=3\n"), (0o640, None));
    assert_eq!(owner(&path), before);
    let copy = std::fs::metadata(folder.path().join("ari.conf.before-fed-node")).unwrap();
    assert_eq!(copy.permissions().mode() & 0o007, 0, "a copy may hold one too");
}
