//! The Debian package, installed as an administrator installs it: on a fresh server beside an Asterisk, run by its unit's command line as
//! its own user, told on like any service, upgraded, and purged without a trace. And what may not be packaged is not.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fed_tests::eventually;
use fed_tests::lab::{Daemon, Server, Version, available, checkout, fed_node_binary, finish};

/// For anything to become true.
const PATIENCE: Duration = Duration::from_secs(30);

/// Says loudly that nothing was tested, and fails where that is not allowed.
fn skipped() -> bool {
    let tools = ["dpkg-deb", "dpkg-shlibdeps", "strip"];
    let there = |tool: &&str| {
        std::env::var_os("PATH").is_some_and(|paths| std::env::split_paths(&paths).any(|p| p.join(tool).exists()))
    };
    let why = match (available(), tools.iter().find(|tool| !there(tool))) {
        (Err(why), _) => format!("{why:#}"),
        (Ok(()), Some(tool)) => format!("{tool} is missing: apt-get install dpkg-dev binutils"),
        (Ok(()), None) => return false,
    };
    eprintln!("!! SKIPPED: the package was NOT tested: {why}");
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "CI=true: a skipped test is a failure"
    );
    true
}

/// A folder of this test, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("fedlab-package-{}-{name}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The package: the one that `FED_PACKAGE` names, else one made of the fed-node beside this test.
fn package(folder: &Path) -> Result<PathBuf> {
    if let Some(made) = std::env::var_os("FED_PACKAGE") {
        return Ok(made.into());
    }
    let script = checkout().join("scripts/package");
    let printed = finish(
        Command::new(script)
            .arg(fed_node_binary()?)
            .arg(folder)
            .env("COMPRESSION", "gzip"),
    )?;
    Ok(printed.trim().into())
}

/// A key of the unit that is there once.
fn unit_key(unit: &str, key: &str) -> Result<String> {
    let value = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    Ok(value.with_context(|| format!("the unit has no {key}"))?.to_owned())
}

/// A key of the unit that says yes or no; no where it is not there.
fn unit_switch(unit: &str, key: &str) -> bool {
    unit_key(unit, key).is_ok_and(|value| ["yes", "true", "on", "1"].contains(&value.as_str()))
}

/// What the unit takes from the service, as `setpriv` is told it: only what stands in the unit.
fn privileges(unit: &str) -> Result<Vec<String>> {
    let mut flags = Vec::new();
    if unit_switch(unit, "NoNewPrivileges") {
        flags.push("--no-new-privs".to_owned());
    }
    // Without this key a service keeps all of them; empty, none.
    if let Ok(kept) = unit_key(unit, "CapabilityBoundingSet") {
        let mut set = "-all".to_owned();
        for capability in kept.split_whitespace() {
            let name = capability.strip_prefix("CAP_").context("a capability's name")?;
            set.push_str(&format!(",+{}", name.to_lowercase()));
        }
        flags.extend(["--bounding-set".to_owned(), set]);
    }
    let ambient = unit_key(unit, "AmbientCapabilities").unwrap_or_default();
    ensure!(ambient.is_empty(), "the service is given {ambient}");
    Ok(flags)
}

/// What docs/installing.md says of the unit, in tenths: `systemd-analyze security` finds no more to be had.
const EXPOSURE: u32 = 14;

/// The sandbox as systemd itself judges it.
fn is_sandboxed(server: &Server) -> Result<()> {
    let documented = fs::read_to_string(checkout().join("docs/installing.md"))?;
    let words = format!(
        "`systemd-analyze security fed-node`: {}.{}",
        EXPOSURE / 10,
        EXPOSURE % 10
    );
    ensure!(documented.contains(&words), "docs/installing.md says another figure");
    let unit = "/usr/lib/systemd/system/fed-node.service";
    let threshold = format!("--threshold={EXPOSURE}");
    let flags = ["security", "--offline=true", "--no-pager", &threshold];
    // The server's own, if its Debian has one; this machine's otherwise.
    let said = if server.file("/usr/bin/systemd-analyze").exists() {
        server.run("systemd-analyze", &[&flags[..], &[unit]].concat())?
    } else if Path::new("/usr/bin/systemd-analyze").exists() {
        finish(Command::new("systemd-analyze").args(flags).arg(server.file(unit)))?
    } else {
        eprintln!("!! systemd-analyze is missing (apt-get install systemd): the exposure of the unit was NOT measured");
        return Ok(());
    };
    eprintln!("{}", said.lines().last().unwrap_or_default());
    Ok(())
}

/// The service manager's end of the conversation.
struct ServiceManager(UnixDatagram);

impl ServiceManager {
    fn listen(server: &Server) -> Result<Self> {
        let path = server.file("/run/notify");
        let socket = UnixDatagram::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(socket))
    }

    /// Waits for a message that has this line.
    fn hears(&self, wanted: &str) -> Result<()> {
        for _ in 0..1_000 {
            let mut buffer = [0; 4096];
            let length = self
                .0
                .recv(&mut buffer)
                .with_context(|| format!("{wanted:?} was not said"))?;
            if String::from_utf8_lossy(&buffer[..length])
                .lines()
                .any(|line| line == wanted)
            {
                return Ok(());
            }
        }
        bail!("{wanted:?} was not said in a thousand messages")
    }
}

/// The unit's command, started as systemd starts it, as far as that can be done without systemd.
fn start_service(server: &Server, log: &Path) -> Result<Daemon> {
    let unit = fs::read_to_string(server.file("/usr/lib/systemd/system/fed-node.service"))?;
    let (user, group) = (unit_key(&unit, "User")?, unit_key(&unit, "Group")?);
    ensure!(unit_key(&unit, "Type")? == "notify" && unit_key(&unit, "WatchdogSec")? == "30");
    let line = unit_key(&unit, "ExecStart")?;
    let mut command = server.command("setpriv");
    command
        .args([
            "--reuid",
            &user,
            "--regid",
            &group,
            "--init-groups",
            "--inh-caps",
            "-all",
        ])
        .args(privileges(&unit)?)
        .args(line.split_whitespace())
        .env("NOTIFY_SOCKET", "/run/notify")
        .env("WATCHDOG_USEC", "3000000");
    Daemon::start("the service", &mut command, log)
}

fn with_input(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no stdin")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Every path of the server that speaks of fed-node, its Asterisk's own folder aside.
fn traces(server: &Server) -> Result<BTreeSet<String>> {
    let found = server.run(
        "find",
        &[
            "/",
            "-xdev",
            "(",
            "-path",
            "/proc",
            "-o",
            "-path",
            "/etc/asterisk",
            "-o",
            "-path",
            "/dev",
            ")",
            "-prune",
            "-o",
            "-name",
            "*fed-node*",
            "-print",
        ],
    )?;
    Ok(found.lines().map(str::to_owned).collect())
}

fn installs_runs_and_goes() -> Result<()> {
    let folder = Folder::new("install")?;
    let package = package(&folder.0)?;
    let server = Server::start(Version::V22)?;
    ensure!(traces(&server)?.is_empty(), "the server is not fresh");
    server.bring(&package, "/root/fed-node.deb")?;
    let said = server.run("dpkg", &["--install", "/root/fed-node.deb"])?;
    ensure!(said.contains("fed-node init"), "what comes next is said: {said}");

    // Who may read what.
    let ids = server.run(
        "sh",
        &[
            "-c",
            "id -u fed-node; getent group fed-node | cut -d: -f3; id -nG fed-node",
        ],
    )?;
    let mut ids = ids.lines();
    let (user, group): (u32, u32) = (
        ids.next().context("user")?.parse()?,
        ids.next().context("group")?.parse()?,
    );
    ensure!(
        ids.next()
            .context("groups")?
            .split(' ')
            .any(|group| group == "asterisk"),
        "reads Asterisk's configuration"
    );
    let configuration = fs::metadata(server.file("/etc/fed-node/fed-node.toml"))?;
    ensure!(
        (configuration.uid(), configuration.gid(), configuration.mode() & 0o7777) == (0, group, 0o640),
        "{configuration:?}"
    );
    let data = fs::metadata(server.file("/var/lib/fed-node"))?;
    ensure!(
        (data.uid(), data.gid(), data.mode() & 0o7777) == (user, group, 0o700),
        "{data:?}"
    );
    for page in ["man1/fed-node.1", "man1/fed-node-user-add.1", "man5/fed-node.toml.5"] {
        ensure!(server.file(&format!("/usr/share/man/{page}.gz")).exists(), "{page}");
    }
    server.run(
        "bash",
        &[
            "-c",
            ". /usr/share/bash-completion/completions/fed-node; complete -p fed-node",
        ],
    )?;

    // As the message says, by root; what is made belongs to the service all the same.
    server.run("fed-node", &["init"])?;
    server.run("fed-node", &["asterisk-config", "--write"])?;
    let others = server.run("find", &["/var/lib/fed-node", "!", "-user", "fed-node"])?;
    ensure!(others.is_empty(), "not the service's own: {others}");
    let refused = server.command("fed-node").arg("run").output()?;
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        refused.status.code() == Some(2) && words.contains("systemctl start fed-node"),
        "root serves: {words}"
    );

    is_sandboxed(&server)?;
    let manager = ServiceManager::listen(&server)?;
    fs::create_dir_all(server.file("/run/asterisk"))?;
    server.run("chown", &["asterisk:asterisk", "/run/asterisk"])?;
    let mut asterisk = server.command("/usr/sbin/asterisk");
    let _asterisk = Daemon::start(
        "Asterisk",
        asterisk.args(["-f", "-n", "-U", "asterisk", "-G", "asterisk"]),
        &folder.0.join("asterisk.log"),
    )?;
    let log = folder.0.join("log");
    let mut service = start_service(&server, &log)?;
    let spoken = || format!("the service said: {}", fs::read_to_string(&log).unwrap_or_default());
    manager.hears("READY=1").with_context(spoken)?;
    manager.hears("WATCHDOG=1").with_context(spoken)?;
    let status = fs::read_to_string(format!("/proc/{}/status", service.pid()))?;
    for line in [
        format!("Uid:\t{user}\t{user}\t{user}\t{user}"),
        "CapBnd:\t0000000000000000".to_owned(),
        "NoNewPrivs:\t1".to_owned(),
    ] {
        ensure!(status.contains(&line), "no {line:?} in {status}");
    }

    // It works: a user reaches the Asterisk beside it.
    eventually(PATIENCE, || server.run("fed-node", &["status"])).with_context(spoken)?;
    let mut add = server.command("fed-node");
    eventually(PATIENCE, || {
        with_input(
            add.args(["user", "add", "alice", "--number", "1001", "--password-stdin"]),
            "secret\n",
        )
    })
    .or_else(|why| {
        if why.to_string().contains("exists") {
            Ok(String::new())
        } else {
            Err(why)
        }
    })
    .with_context(spoken)?;
    eventually(PATIENCE, || {
        let endpoint = server.run("/usr/sbin/asterisk", &["-rx", "pjsip show endpoint alice"])?;
        ensure!(endpoint.contains("Endpoint:  alice"), "{endpoint}");
        Ok(())
    })
    .with_context(spoken)?;
    manager.hears("WATCHDOG=1").with_context(spoken)?;

    service.stop(Duration::from_secs(10))?;
    manager.hears("STOPPING=1").with_context(spoken)?;

    // An upgrade keeps the configuration as it was edited, and the data.
    let edited = server.run("sh", &["-c", "echo '# mine' >>/etc/fed-node/fed-node.toml; chmod 600 /etc/fed-node/fed-node.toml; chown fed-node: /etc/fed-node/fed-node.toml"]);
    edited?;
    server.run("dpkg", &["--install", "/root/fed-node.deb"])?;
    let kept = fs::read_to_string(server.file("/etc/fed-node/fed-node.toml"))?;
    let metadata = fs::metadata(server.file("/etc/fed-node/fed-node.toml"))?;
    ensure!(
        kept.ends_with("# mine\n") && (metadata.uid(), metadata.mode() & 0o777) == (user, 0o600),
        "{metadata:?}"
    );
    let mut service = start_service(&server, &log)?;
    manager.hears("READY=1").with_context(spoken)?;
    eventually(PATIENCE, || server.run("fed-node", &["user", "show", "alice"])).with_context(spoken)?;
    service.stop(Duration::from_secs(10))?;

    // Removed, it leaves configuration and data; purged, nothing.
    fs::remove_file(server.file("/root/fed-node.deb"))?;
    server.run("dpkg", &["--remove", "fed-node"])?;
    ensure!(server.file("/var/lib/fed-node/cluster").exists() && !server.file("/usr/bin/fed-node").exists());
    server.run("dpkg", &["--purge", "fed-node"])?;
    let left = traces(&server)?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    let gone = server.command("getent").args(["passwd", "fed-node"]).status()?;
    ensure!(!gone.success(), "the user is left behind");
    Ok(())
}

#[test]
fn the_package_installs_runs_as_its_own_user_beside_an_asterisk_and_leaves_nothing_when_purged() {
    if !skipped() {
        installs_runs_and_goes().unwrap_or_else(|why| panic!("{why:#}"));
    }
}

#[test]
fn a_program_with_planted_bugs_is_not_packaged() {
    // What the script looks for is what such a program cannot be without.
    let mark = "FED_PLANTED_BUG";
    let source = fs::read_to_string(checkout().join("fed-raft/src/planted.rs")).expect("the planted bugs");
    assert!(
        source.contains(&format!("std::env::var(\"{mark}\")")),
        "another variable chooses the bug now"
    );
    assert!(
        source.contains("compile_error!") && source.contains("not(debug_assertions)"),
        "a release could have them"
    );
    let folder = Folder::new("planted").expect("a folder");
    let program = folder.0.join("fed-node");
    let mut bytes = fs::read(fed_node_binary().expect("fed-node is built")).expect("readable");
    bytes.extend_from_slice(mark.as_bytes());
    fs::write(&program, bytes).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
    let refused = Command::new(checkout().join("scripts/package"))
        .arg(&program)
        .arg(&folder.0)
        .output()
        .expect("runs");
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("planted bugs"), "{words}");
    let made = fs::read_dir(&folder.0)
        .expect("readable")
        .flatten()
        .any(|entry| entry.path().extension().is_some_and(|e| e == "deb"));
    assert!(!made, "a package was made all the same");
}
