//! What the documents point at exists, and the commands in them are commands.

use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::ErrorKind;
use fed_node::cli::Cli;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Markdown file of the repository's own folders.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in [
        "", "docs", "fed-core", "fed-raft", "fed-ari", "fed-node", "proto", "tests", "chaos",
    ] {
        for entry in std::fs::read_dir(root().join(folder)).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "md") {
                found.push(entry.path());
            }
        }
    }
    found
}

/// The targets of `[text](target)`, without those elsewhere on the network and without code.
fn links(text: &str) -> Vec<String> {
    let prose: String = text.split('`').step_by(2).collect();
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// Code spans that are paths into a crate's source, up to the first wildcard.
fn sources(text: &str) -> Vec<&str> {
    let spans = text.split('`').skip(1).step_by(2);
    let paths = spans.filter(|span| span.contains("/src/") && !span.contains(char::is_whitespace));
    paths.map(|span| span.split('*').next().unwrap_or_default()).collect()
}

#[test]
fn every_link_of_every_document_leads_somewhere() {
    let documents = documents();
    for must in ["README.md", "ARCHITECTURE.md", "fed-node/DESIGN.md"] {
        assert!(documents.contains(&root().join(must)), "{must} is looked at");
    }
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            let file = link.split('#').next().unwrap_or_default();
            let target = document.parent().unwrap().join(file);
            assert!(target.exists(), "{}: {link} leads nowhere", document.display());
        }
    }
}

#[test]
fn every_design_says_why_each_dependency_is_there_and_names_no_other() {
    for part in ["fed-core", "fed-raft", "fed-ari", "fed-node", "chaos", "proto", "tests"] {
        let read = |name: &str| std::fs::read_to_string(root().join(part).join(name)).unwrap();
        let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
        let of = |section: &str| {
            manifest
                .get(section)
                .and_then(toml::Value::as_table)
                .cloned()
                .unwrap_or_default()
        };
        let ours = [
            "fed-core",
            "fed-raft",
            "fed-ari",
            "fed-node",
            "fed-chaos",
            "fed-proto",
            "fed-tests",
        ];
        let mut used: Vec<String> = of("dependencies").keys().cloned().collect();
        if part == "proto" {
            used.extend(of("build-dependencies").keys().cloned());
        }
        used.retain(|name| !ours.contains(&name.as_str()));
        used.sort();
        used.dedup();
        let design = read("DESIGN.md");
        let (_, table) = design.split_once("\n## Dependencies\n").expect(part);
        let rows = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let told: Vec<String> = rows
            .filter(|(_, why)| why.len() > 5)
            .map(|(name, _)| name.to_owned())
            .collect();
        assert_eq!(told, used, "{part}/DESIGN.md, its table of dependencies");
    }
}

#[test]
fn the_sources_that_the_architecture_names_are_there() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let named = sources(&text);
    assert!(named.len() >= 4, "{named:?}");
    for path in named {
        let path = root().join(path);
        let (folder, begin) = (
            path.parent().unwrap(),
            path.file_name().unwrap().to_string_lossy().into_owned(),
        );
        let mut there = std::fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .flatten();
        assert!(
            there.any(|entry| entry.file_name().to_string_lossy().starts_with(&begin)),
            "{} is not there",
            path.display()
        );
    }
}

#[test]
fn links_and_sources_are_found_in_a_text() {
    let text = "See [a](b.md#c), not `x](+)`, [x](https://example.org) and `fed-raft/src/session*`, `fed_core::route`.";
    assert_eq!(links(text), ["b.md#c"]);
    assert_eq!(sources(text), ["fed-raft/src/session"]);
}

/// The commands of this program in a text: in lines of blocks, and in code spans. Whether it is a span is said, for those may leave
/// out what is required.
fn commands(text: &str) -> Vec<(bool, String)> {
    let (mut found, mut fenced, mut prose) = (Vec::new(), false, String::new());
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            found.extend(in_line(line).map(|command| (false, command)));
        } else {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    let spans = prose.split('`').skip(1).step_by(2);
    found.extend(spans.flat_map(in_line).map(|command| (true, command)));
    found
}

/// The commands of a line of shell, without what the shell does about them.
fn in_line(line: &str) -> impl Iterator<Item = String> {
    let line = line.split(" #").next().unwrap_or_default();
    let parts = line
        .split(['|', ';', '>', '<', '(', ')'])
        .flat_map(|part| part.split("&&"));
    // A drawing is none, and what a variable holds is known when it is run.
    let is_one = |part: &&str| part.starts_with("fed-node ") && !part.contains("==") && !part.contains('$');
    let commands = parts.map(str::trim).filter(is_one);
    commands
        .map(|command| command.replace(['"', '\''], ""))
        .collect::<Vec<_>>()
        .into_iter()
}

#[test]
fn every_command_of_every_document_is_one() {
    let (mut count, mut wrong) = (0, Vec::new());
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for (is_span, command) in commands(&text) {
            count += 1;
            let Err(error) = Cli::try_parse_from(command.split_whitespace()) else {
                continue;
            };
            let fine = match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
                ErrorKind::InvalidSubcommand => command == "fed-node help COMMAND",
                ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => is_span,
                _ => false,
            };
            if !fine {
                wrong.push(format!("{}: {command}: {error}", document.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "{count} commands were found");
}

#[test]
fn commands_are_found_in_blocks_and_spans() {
    let text = "Say `fed-node leave NODE`, not `fed-node`.\n\n    x | fed-node user add a --number 1 >f   # why\n\n```sh\na=$(fed-node status); fed-node drift && fed-node run\n```\n";
    let found: Vec<(bool, String)> = commands(text);
    let expected = [
        (false, "fed-node user add a --number 1"),
        (false, "fed-node status"),
        (false, "fed-node drift"),
        (false, "fed-node run"),
        (true, "fed-node leave NODE"),
    ];
    assert_eq!(found, expected.map(|(span, command)| (span, command.to_owned())));
}
