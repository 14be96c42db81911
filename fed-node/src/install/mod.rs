//! `asterisk-config`: the few stanzas that an existing Asterisk needs, printed or installed.
//!
//! fed-ari says what they are; this reads and writes the files. Every file keeps each line that is not ours, byte by byte;
//! a second run with the same answer changes nothing; before a change the file is copied beside itself; a file is whole or
//! as before, also after a crash.

mod files;
mod options;
mod staged;
mod transport;
mod version;

use fed_ari::stanzas::{Refreshes, http_warning};
use serde::Serialize;

use crate::cli::{AsteriskConfigArgs, Exit, Failure, Outcome, Output, Show, emit, print};
use crate::config::{Config, RedirectTransport};
use crate::talk;

pub use files::{InstallError, Plan, plan};
pub use staged::Installed;
pub use transport::{has_transport, redirect_transport};

/// `asterisk-config`
///
/// # Errors
/// What stands in the way, with the file and the remedy; none of Asterisk's files has been changed then.
pub async fn command(config: &Config, args: &AsteriskConfigArgs, output: Output) -> Outcome {
    let options = options::options(config, args).await?;
    let folder = &config.asterisk.config_dir;
    let plan = plan(folder, &options.stanzas).map_err(|error| Failure::of(Exit::Usage, &error))?;
    talk!("{}", options.asking_because);
    if has_transport(config) == Ok(false) {
        talk!("{NO_TRANSPORT}");
    }
    talk!("{}", transport_because(config));
    if let Some(warning) = plan
        .read("http.conf")
        .and_then(|file| http_warning(&options.stanzas, file))
    {
        talk!("{warning}");
    }
    if !args.write {
        return if output == Output::Json {
            print(output, &Shown(plan.shown()))
        } else {
            emit(shown(&plan, config).trim_end())
        };
    }
    let failed = |error| Failure::of(Exit::Failed, &error);
    let staged = plan.stage().map_err(failed)?;
    options.keep_password()?;
    let installed = staged.commit().map_err(failed)?;
    print(output, &Report(installed))
}

/// How Asterisk's files stand to what fed-node needs.
pub struct Wiring {
    /// Each file that fed-node adds to, and whether something is missing there.
    pub files: Vec<(String, bool)>,
    /// How `pjsip.conf` stands to telling of refreshed registrations; none where it was not read.
    pub refreshes: Option<Refreshes>,
    /// What is to be known of the HTTP server's address.
    pub http_warning: Option<String>,
}

/// Looks at Asterisk's files; changes nothing.
///
/// # Errors
/// When a file cannot be read, or stands against what is needed.
pub async fn wiring(config: &Config) -> Result<Wiring, String> {
    let options = options::options(config, &AsteriskConfigArgs::default()).await;
    let options = options.map_err(|failure| failure.to_string())?;
    let plan = plan(&config.asterisk.config_dir, &options.stanzas).map_err(|error| error.to_string())?;
    let http = plan.read("http.conf");
    Ok(Wiring {
        files: plan.missing(),
        refreshes: plan.read("pjsip.conf").map(Refreshes::of),
        http_warning: http.and_then(|file| http_warning(&options.stanzas, file)),
    })
}

/// Which transports somebody has is theirs to choose: they say who reaches the server.
const NO_TRANSPORT: &str = "pjsip.conf has no transport: PJSIP listens nowhere, and no phone can register. Add to it, for phones and other servers over IPv4:\n\n    \
     [transport-udp]\n    type=transport\n    protocol=udp\n    bind=0.0.0.0\n";

/// How the redirect server is reached, and what is missing where a dead one would be waited for.
fn transport_because(config: &Config) -> String {
    match redirect_transport(config) {
        (RedirectTransport::Tcp, why) => format!("the redirect server is asked over TCP: {why}"),
        (_, why) => format!(
            "the redirect server is asked over UDP: {why}. While fed-node is down, Dial(PJSIP/..) of somebody who is not registered here \
             then waits 32 s, not 0.1 s; to have TCP, add to pjsip.conf:\n\n    [transport-tcp]\n    type=transport\n    protocol=tcp\n    \
             bind=0.0.0.0\n"
        ),
    }
}

fn shown(plan: &Plan, config: &Config) -> String {
    let mut text = String::new();
    for (file, block) in plan.shown() {
        let path = config.asterisk.config_dir.join(file);
        if block.is_empty() {
            text.push_str(&format!("; {}: nothing is missing\n\n", path.display()));
        } else {
            text.push_str(&format!("; ---- {} ----\n{}\n\n", path.display(), block.trim_end()));
        }
    }
    text
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown(std::collections::BTreeMap<&'static str, String>);

impl Show for Shown {
    fn text(&self) -> String {
        self.0.values().cloned().collect()
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Report(Vec<Installed>);

impl Show for Report {
    fn text(&self) -> String {
        let mut lines: Vec<String> = self
            .0
            .iter()
            .map(|file| match (file.changed, &file.backup) {
                (false, _) => format!("{}: as it was", file.path),
                (true, Some(backup)) => format!("{}: written (before: {backup})", file.path),
                (true, None) => format!("{}: made", file.path),
            })
            .collect();
        lines.extend(self.0.iter().filter_map(|file| file.warning.clone()));
        if self.0.iter().any(|file| file.changed && file.restart) {
            lines.push("restart Asterisk for it to take effect".to_owned());
        } else if let modules @ [_, ..] = self.reloads().as_slice() {
            lines.push(format!("take effect with: asterisk -rx '{}'", modules.join("' -rx '")));
        }
        lines.join("\n")
    }
}

impl Report {
    fn reloads(&self) -> Vec<String> {
        let changed = self.0.iter().filter(|file| file.changed);
        changed
            .filter_map(|file| Some(format!("module reload {}", file.reload.as_ref()?)))
            .collect()
    }
}
