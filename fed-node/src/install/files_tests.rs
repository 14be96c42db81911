use fed_ari::stanzas::Asking;

use super::*;

fn options() -> StanzaOptions {
    StanzaOptions {
        ari_user: "fed".to_owned(),
        ari_password: "canary".to_owned(),
        http: "127.0.0.1:8088".parse().unwrap(),
        http_prefix: String::new(),
        app: "fed".to_owned(),
        agi: "127.0.0.1:4573".to_owned(),
        asking: Asking::FastAgi,
        refresh_events: true,
    }
}

const EXTENSIONS: &str = "[general]\nstatic=yes ; mine\n\n[office]\nexten => 1,1,Dial(PJSIP/alice)\n";

fn asterisk() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("extensions.conf"), EXTENSIONS).unwrap();
    std::fs::write(
        folder.path().join("http.conf"),
        "[general]\nenabled=no\n#include \"http_more.conf\"\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("http_more.conf"), "[general]\nbindaddr=192.0.2.7\n").unwrap();
    folder
}

#[test]
fn every_line_of_the_administrator_stays_and_a_copy_is_kept() {
    let folder = asterisk();
    let installed = plan(folder.path(), &options())
        .unwrap()
        .stage()
        .unwrap()
        .commit()
        .unwrap();
    assert!(installed.iter().all(|file| file.changed));
    let after = std::fs::read_to_string(folder.path().join("extensions.conf")).unwrap();
    assert!(
        after.starts_with(EXTENSIONS) && after.contains("[fed-users]"),
        "{after}"
    );
    let copy = std::fs::read_to_string(folder.path().join("extensions.conf.before-fed-node")).unwrap();
    assert_eq!(copy, EXTENSIONS);
    assert!(
        !folder.path().join("sorcery.conf.before-fed-node").exists(),
        "there was no sorcery.conf"
    );
}

#[test]
fn a_second_run_changes_nothing() {
    let folder = asterisk();
    plan(folder.path(), &options())
        .unwrap()
        .stage()
        .unwrap()
        .commit()
        .unwrap();
    let snapshot = || {
        let mut files: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                (
                    std::fs::read(&path).unwrap(),
                    std::fs::metadata(&path).unwrap().modified().unwrap(),
                    path,
                )
            })
            .collect();
        files.sort();
        files
    };
    let before = snapshot();
    let again = plan(folder.path(), &options())
        .unwrap()
        .stage()
        .unwrap()
        .commit()
        .unwrap();
    assert!(again.iter().all(|file| !file.changed && file.backup.is_none()));
    assert_eq!(snapshot(), before);
}

#[test]
fn what_an_included_file_says_is_respected() {
    let folder = asterisk();
    let shown = plan(folder.path(), &options()).unwrap().shown();
    let http = &shown["http.conf"];
    assert!(
        http.contains("enabled=yes") && http.contains("bindaddr=127.0.0.1"),
        "it is off there: {http}"
    );
    std::fs::write(
        folder.path().join("http_more.conf"),
        "[general]\nenabled=yes\nbindaddr=192.0.2.7\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("http.conf"), "#include \"http_m*.conf\"\n").unwrap();
    let shown = plan(folder.path(), &options()).unwrap().shown();
    let http = &shown["http.conf"];
    assert!(
        !http.contains("enabled") && !http.contains("bindaddr"),
        "it is on there: {http}"
    );
    let mut latin1 = b"; the box of J\xf6rg\n".to_vec();
    latin1.extend(b"[general]\nenabled=yes\nbindaddr=192.0.2.7\n");
    std::fs::write(folder.path().join("http_more.conf"), latin1).unwrap();
    assert_eq!(
        &plan(folder.path(), &options()).unwrap().shown()["http.conf"],
        http,
        "its text is no UTF-8"
    );
    std::fs::remove_file(folder.path().join("http_more.conf")).unwrap();
    std::fs::create_dir(folder.path().join("http_more.conf")).unwrap();
    let unread = plan(folder.path(), &options()).unwrap_err().to_string();
    assert!(
        unread.contains("http_more.conf") && unread.contains("#include http_m*.conf"),
        "{unread}"
    );
}

#[test]
fn a_context_of_the_same_name_written_by_somebody_else_stops_everything_before_the_first_write() {
    let folder = asterisk();
    std::fs::write(
        folder.path().join("extensions.conf"),
        "[fed-users]\nexten => 1,1,Hangup()\n",
    )
    .unwrap();
    let error = plan(folder.path(), &options()).unwrap_err().to_string();
    assert!(
        error.contains("fed-users") && error.contains("extensions.conf"),
        "{error}"
    );
    assert!(!folder.path().join("ari.conf").exists());
}

#[test]
fn a_file_made_here_is_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt;
    let folder = asterisk();
    plan(folder.path(), &options())
        .unwrap()
        .stage()
        .unwrap()
        .commit()
        .unwrap();
    let mode = std::fs::metadata(folder.path().join("ari.conf"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o007, 0);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = plan(Path::new("/nowhere/asterisk"), &options())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/nowhere/asterisk") && error.contains("asterisk.config_dir"),
        "{error}"
    );
}

#[test]
fn a_link_to_a_file_that_is_not_there_is_named_and_stays() {
    let folder = asterisk();
    let link = folder.path().join("ari.conf");
    std::os::unix::fs::symlink("elsewhere/ari.conf", &link).unwrap();
    let error = plan(folder.path(), &options()).unwrap_err().to_string();
    assert!(
        error.contains("ari.conf") && error.contains("elsewhere/ari.conf"),
        "{error}"
    );
    assert!(link.is_symlink());
}
