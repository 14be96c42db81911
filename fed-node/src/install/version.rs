//! Which Asterisk will read the stanzas, and so how its dialplan asks best.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fed_ari::client::{AriClient, AriConfig, AsteriskVersion, Capabilities};
use fed_ari::stanzas::Asking;

use crate::cli::{Failure, Outcome};
use crate::config::Config;

/// Longest wait for an Asterisk to tell its version.
const TELL_WITHIN: Duration = Duration::from_secs(2);

/// The quicker way to ask, with the reason in words. The version is the one given, else what a running Asterisk says, else that
/// of the program installed beside the configuration folder: at the first installation nobody answers ARI yet.
///
/// # Errors
/// Where that version is too old for the stanzas.
pub(super) async fn asking(config: &Config, given: Option<AsteriskVersion>) -> Outcome<(Asking, String)> {
    let known = match given {
        Some(version) => Some((version, "as --asterisk-version says".to_owned())),
        None => match running(config).await {
            Some(version) => Some((version, "as ARI says".to_owned())),
            None => installed(&config.asterisk.config_dir).await,
        },
    };
    decide(known)
}

fn decide(known: Option<(AsteriskVersion, String)>) -> Outcome<(Asking, String)> {
    let Some((version, source)) = known else {
        let text = "the dialplan asks by FastAGI, which every Asterisk has: the version is not known, for neither ARI nor an installed Asterisk tells it; give --asterisk-version to have the quickest way";
        return Ok((Asking::FastAgi, text.to_owned()));
    };
    if version < AsteriskVersion::OLDEST {
        return Err(Failure::usage(format!(
            "Asterisk {version} ({source}) is too old: fed-node needs {} or later; upgrade it",
            AsteriskVersion::OLDEST
        )));
    }
    let asking = Asking::best(&Capabilities::of_version(version));
    let way = match asking {
        Asking::Stasis => "Stasis",
        Asking::FastAgi => "FastAGI",
    };
    Ok((
        asking,
        format!("the dialplan asks by {way}, the quickest way of Asterisk {version} ({source})"),
    ))
}

async fn running(config: &Config) -> Option<AsteriskVersion> {
    let asterisk = &config.asterisk;
    let ari = AriConfig::new(
        &asterisk.url,
        &asterisk.username,
        asterisk.password.reveal(),
        &asterisk.app,
    );
    let client = AriClient::new(ari).ok()?;
    let info = tokio::time::timeout(TELL_WITHIN, client.info()).await.ok()?.ok()?;
    Some(info.version)
}

/// `ROOT/usr/sbin/asterisk` of a configuration folder `ROOT/etc/asterisk`; other folders do not say whose they are.
fn program(config_dir: &Path) -> Option<PathBuf> {
    let etc = config_dir.parent().filter(|_| config_dir.ends_with("etc/asterisk"))?;
    Some(etc.parent()?.join("usr/sbin/asterisk"))
}

async fn installed(config_dir: &Path) -> Option<(AsteriskVersion, String)> {
    let program = program(config_dir)?;
    let mut command = tokio::process::Command::new(&program);
    command.arg("-V").stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(TELL_WITHIN, command.output()).await.ok()?.ok()?;
    let version = String::from_utf8_lossy(&output.stdout).trim().parse().ok()?;
    Some((version, format!("as {} -V says", program.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_way_follows_the_version_and_says_why() {
        let known = |major| Some((AsteriskVersion::new(major, 0, 0), "as told".to_owned()));
        let (asking, why) = decide(known(22)).unwrap();
        assert!(asking == Asking::Stasis && why.contains("22.0.0 (as told)"), "{why}");
        assert_eq!(decide(known(16)).unwrap().0, Asking::FastAgi);
        let (asking, why) = decide(None).unwrap();
        assert!(asking == Asking::FastAgi && why.contains("--asterisk-version"), "{why}");
        let refused = decide(known(12)).unwrap_err().to_string();
        assert!(refused.contains("12.0.0") && refused.contains("upgrade"), "{refused}");
    }

    #[tokio::test]
    async fn the_program_beside_the_configuration_tells_its_version() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc/asterisk");
        assert!(installed(&etc).await.is_none(), "there is none");
        let sbin = root.path().join("usr/sbin");
        std::fs::create_dir_all(&sbin).unwrap();
        let program = sbin.join("asterisk");
        std::fs::write(
            &program,
            "#!/bin/sh\n[ \"$1\" = -V ] && echo 'Asterisk 22.10.1~dfsg+~cs6'\n",
        )
        .unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let (version, why) = installed(&etc).await.unwrap();
        assert_eq!(version, AsteriskVersion::new(22, 10, 1));
        assert!(why.contains("usr/sbin/asterisk -V"), "{why}");
        assert!(
            installed(&root.path().join("copy")).await.is_none(),
            "a copy of a folder says nothing"
        );
    }
}
