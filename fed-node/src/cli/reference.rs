//! What packages and the book are made of, from the command tree and the table of keys themselves: completions, man pages, and the
//! reference pages. They cannot go stale: whoever packages a program asks that program.

use std::fmt::Write;
use std::path::Path;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;

use super::args::Cli;
use super::exit::Outcome;
use crate::config::{FLAGS_HEADING, KEYS, Key};

/// `generate`
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// What to write
    #[arg(value_enum)]
    pub what: Generated,
    /// Folder to write into
    pub folder: std::path::PathBuf,
}

/// What can be generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Generated {
    /// Completions for bash, zsh and fish.
    Completions,
    /// Man pages: one for each command, and one of the configuration file.
    Man,
    /// Pages of the book: every command, every key.
    Reference,
}

/// Options that every command has; the reference shows them once.
const EVERYWHERE: [&str; 7] = ["config", "server", "ca", "token_file", "output", "dry_run", "yes"];

/// Writes it.
///
/// # Errors
/// When the folder or a file in it cannot be written.
pub(super) fn generate(args: &GenerateArgs) -> Outcome {
    let folder = &args.folder;
    std::fs::create_dir_all(folder)?;
    match args.what {
        Generated::Completions => {
            for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
                clap_complete::generate_to(shell, &mut Cli::command(), "fed-node", folder)?;
            }
        }
        Generated::Man => {
            clap_mangen::generate_to(Cli::command(), folder)?;
            write(folder, "fed-node.toml.5", &keys_man())?;
        }
        Generated::Reference => {
            write(folder, "commands.md", &commands_page())?;
            write(folder, "keys.md", &keys_page())?;
        }
    }
    Ok(())
}

fn write(folder: &Path, name: &str, text: &str) -> std::io::Result<()> {
    std::fs::write(folder.join(name), text)
}

/// Every command with its own help; what all of them share, once.
fn commands_page() -> String {
    let mut root = Cli::command();
    root.build();
    let mut text = String::from(
        "# Commands\n\nWritten by the program itself (`fed-node generate reference docs`): what each command says for `--help`, without the \
         options that all commands have (they stand under `fed-node`) and without the keys of the configuration, each of which is also \
         a flag of the commands that say so ([keys](keys.md)).\n",
    );
    section(&mut text, root, true);
    text
}

/// One command, then those below it.
fn section(text: &mut String, mut command: clap::Command, is_root: bool) {
    let takes_keys = command.get_arguments().any(is_key);
    if !is_root {
        command = command.mut_args(|argument| {
            let shared = EVERYWHERE.contains(&argument.get_id().as_str()) || is_key(&argument);
            argument.hide(shared)
        });
    }
    let name = command.get_bin_name().unwrap_or("fed-node").to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    let _ = write!(text, "\n## {name}\n\n```text\n{}\n```\n", lines.join("\n"));
    if takes_keys {
        text.push_str("\nEvery [key](keys.md) is a flag as well.\n");
    }
    for below in command.get_subcommands() {
        if !below.is_hide_set() && below.get_name() != "help" {
            section(text, below.clone(), false);
        }
    }
}

fn is_key(argument: &clap::Arg) -> bool {
    argument.get_help_heading() == Some(FLAGS_HEADING)
}

fn default(key: &Key) -> &str {
    if key.default.is_empty() { "not set" } else { key.default }
}

/// Every key, by section.
fn keys_page() -> String {
    let mut text = String::from(
        "# Keys\n\nWritten by the program itself (`fed-node generate reference docs`). Each key of the file is also an environment variable and a \
         flag: `peer.listen` is `FED_PEER_LISTEN` and `--peer-listen`. A flag wins over the environment, the environment over the file. \
         `fed-node example-config` prints a file with all of them.\n",
    );
    let mut section = None;
    for key in KEYS {
        let here = key.name.split_once('.').map(|(section, _)| section);
        if section != Some(here) {
            section = Some(here);
            let title = here.map_or_else(|| "Without a section".to_owned(), |here| format!("`[{here}]`"));
            let _ = write!(
                text,
                "\n## {title}\n\n| key | values | default | |\n| --- | --- | --- | --- |\n"
            );
        }
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            key.name,
            cell(key.value),
            cell(default(key)),
            cell(key.help)
        );
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

/// The man page of the configuration file.
fn keys_man() -> String {
    let mut text = String::from(
        ".TH fed\\-node.toml 5\n.SH NAME\nfed\\-node.toml \\- configuration of fed\\-node\n.SH DESCRIPTION\n\
         TOML. Each key is also an environment variable (FED_PEER_LISTEN) and a flag (\\-\\-peer\\-listen); a flag wins over the \
         environment, the environment over the file. Keys that nobody knows and bad values are errors.\n.SH KEYS\n",
    );
    for key in KEYS {
        let _ = write!(
            text,
            ".TP\n\\fB{}\\fR = {} (default: {})\n{}\n",
            roff(key.name),
            roff(key.value),
            roff(default(key)),
            roff(key.help)
        );
    }
    text.push_str(".SH SEE ALSO\n.BR fed\\-node (1)\n");
    text
}

/// Text that roff takes for nothing but text.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_every_key_has_its_place_in_the_reference() {
        let page = commands_page();
        fn names(command: &clap::Command, found: &mut Vec<String>) {
            for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
                if below.get_name() != "help" {
                    found.push(below.get_bin_name().unwrap().to_owned());
                    names(below, found);
                }
            }
        }
        let (mut root, mut found) = (Cli::command(), Vec::new());
        root.build();
        names(&root, &mut found);
        assert!(found.contains(&"fed-node user add".to_owned()), "{found:?}");
        for name in found {
            assert!(page.contains(&format!("\n## {name}\n")), "{name}");
        }
        let (page, man) = (keys_page(), keys_man());
        for key in KEYS {
            assert!(page.contains(&format!("| `{}` |", key.name)), "{}", key.name);
            assert!(man.contains(&format!("\\fB{}\\fR", roff(key.name))), "{}", key.name);
        }
    }

    #[test]
    fn text_is_only_text_to_roff() {
        assert_eq!(roff(".so /etc/x"), "\\&.so /etc/x");
        assert_eq!(roff("a-b\\c"), "a\\-b\\ec");
    }
}
