//! Which Asterisk will read the stanzas, and so how its dialplan asks best.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fed_ari::client::{AriClient, AriConfig, AsteriskVersion, Capabilities, Feature};
use fed_ari::stanzas::Asking;

use crate::cli::{AsteriskConfigArgs, Failure, Outcome};
use crate::config::Config;

/// Longest wait for an Asterisk to tell its version.
const TELL_WITHIN: Duration = Duration::from_secs(2);

/// What depends on the version.
#[derive(Debug)]
pub(super) struct Chosen {
    /// The way to ask.
    pub(super) asking: Asking,
    /// Why, in words.
    pub(super) because: String,
    /// It is known to tell of refreshes where it is asked to.
    pub(super) refresh_events: bool,
}

/// What suits the Asterisk that will read the stanzas. The version is the one given, else what a running Asterisk says, else that
/// of the program installed beside the configuration folder: at the first installation nobody answers ARI yet.
///
/// # Errors
/// Where that version is too old for the stanzas, or for the way that was asked for.
pub(super) async fn choose(config: &Config, args: &AsteriskConfigArgs) -> Outcome<Chosen> {
    let known = match args.asterisk_version {
        Some(version) => Some((version, "as --asterisk-version says".to_owned())),
        None => match running(config).await {
            Some(version) => Some((version, "as ARI says".to_owned())),
            None => installed(&config.asterisk.config_dir).await,
        },
    };
    decide(known, args.ask.map(Asking::from))
}

fn decide(known: Option<(AsteriskVersion, String)>, wanted: Option<Asking>) -> Outcome<Chosen> {
    let asking = wanted.unwrap_or_default();
    let way = match asking {
        Asking::Stasis => "Stasis",
        Asking::FastAgi => "FastAGI",
    };
    let because = match wanted {
        Some(_) => "as --ask says",
        None => "the quickest way",
    };
    let Some((version, source)) = known else {
        let slow = match asking {
            Asking::Stasis => ": before Asterisk 18 every call waits 200 ms for it",
            Asking::FastAgi => "",
        };
        return Ok(Chosen {
            asking,
            because: format!(
                "the dialplan asks by {way}, {because}; the version is not known, for neither ARI nor an installed Asterisk \
                 tells it (give --asterisk-version){slow}"
            ),
            refresh_events: false,
        });
    };
    if version < AsteriskVersion::OLDEST {
        return Err(Failure::usage(format!(
            "Asterisk {version} ({source}) is too old: fed-node needs {} or later; upgrade it",
            AsteriskVersion::OLDEST
        )));
    }
    let capabilities = Capabilities::of_version(version);
    if !asking.suits(&capabilities) {
        return Err(Failure::usage(format!(
            "--ask stasis: in Asterisk {version} ({source}) every call would wait 200 ms for its answer; use --ask fastagi"
        )));
    }
    Ok(Chosen {
        asking,
        because: format!("the dialplan of Asterisk {version} ({source}) asks by {way}, {because}"),
        refresh_events: capabilities.has(Feature::RefreshEvents),
    })
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
    fn the_way_is_the_quickest_or_the_one_asked_for_and_says_why() {
        let known = |major| Some((AsteriskVersion::new(major, 0, 0), "as told".to_owned()));
        for major in [16, 22] {
            let Chosen {
                asking, because: why, ..
            } = decide(known(major), None).unwrap();
            assert!(asking == Asking::FastAgi && why.contains("(as told)"), "{why}");
        }
        let stasis = Some(Asking::Stasis);
        let Chosen {
            asking, because: why, ..
        } = decide(known(22), stasis).unwrap();
        assert!(asking == Asking::Stasis && why.contains("as --ask says"), "{why}");
        let slow = decide(known(16), stasis).unwrap_err().to_string();
        assert!(slow.contains("16.0.0") && slow.contains("--ask fastagi"), "{slow}");
        let Chosen {
            asking, because: why, ..
        } = decide(None, None).unwrap();
        assert!(
            asking == Asking::FastAgi && why.contains("--asterisk-version") && !why.contains("200 ms"),
            "{why}"
        );
        let Chosen {
            asking, because: why, ..
        } = decide(None, stasis).unwrap();
        assert!(asking == Asking::Stasis && why.contains("200 ms"), "{why}");
        for (version, tells) in [((16, 1, 0), false), ((16, 2, 0), true), ((22, 10, 1), true)] {
            let known = Some((
                AsteriskVersion::new(version.0, version.1, version.2),
                "as told".to_owned(),
            ));
            assert_eq!(decide(known, None).unwrap().refresh_events, tells, "{version:?}");
        }
        assert!(
            !decide(None, None).unwrap().refresh_events,
            "a version that is not known"
        );
        let refused = decide(known(12), None).unwrap_err().to_string();
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
