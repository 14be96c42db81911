//! The help texts, as files beside this one: a change of the command line is seen in review. `UPDATE_HELP=1` writes them anew.

use std::path::Path;

#[test]
fn the_help_texts_are_the_committed_ones() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help");
    for command in [
        "",
        "init",
        "join",
        "leave",
        "recover",
        "node",
        "user",
        "user add",
        "user import",
        "device add",
        "plan",
        "plan replace",
        "apply",
        "route",
        "watch",
        "drift",
        "explain",
        "check",
        "check perf",
        "check replicas",
        "doctor",
        "debug",
        "debug bundle",
        "top",
        "events",
        "logs",
        "backup",
        "backup create",
        "backup restore",
        "asterisk-config",
        "token",
        "token create",
        "token join",
        "audit",
        "audit verify",
        "dev",
    ] {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let help = crate::support::says(&words).ok().out;
        let file = folder.join(format!(
            "{}.txt",
            if command.is_empty() {
                "fed-node".to_owned()
            } else {
                command.replace(' ', "-")
            }
        ));
        if std::env::var_os("UPDATE_HELP").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &help).unwrap();
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            help,
            committed,
            "{}: run with UPDATE_HELP=1 and review the difference",
            file.display()
        );
    }
}

/// The book's pages of commands and keys are what the program itself writes.
#[test]
fn the_reference_pages_of_the_book_are_current() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs");
    let folder = tempfile::tempdir().unwrap();
    crate::support::says(&["generate", "reference", &folder.path().display().to_string()]).ok();
    for page in ["commands.md", "keys.md"] {
        let now = std::fs::read_to_string(folder.path().join(page)).unwrap();
        if std::env::var_os("UPDATE_HELP").is_some() {
            std::fs::write(docs.join(page), &now).unwrap();
        }
        let committed = std::fs::read_to_string(docs.join(page)).unwrap_or_default();
        assert!(
            now == committed,
            "docs/{page}: run with UPDATE_HELP=1 and review the difference"
        );
    }
}
