//! The compose file and the containers' entry point: no Docker here, but the same script with the same environment, on loopback.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{Program, free_port, until};
use fed_node::config::KEYS;

fn docker() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("packaging/docker")
}

/// The environment of each service, as the file has it.
fn services() -> BTreeMap<String, BTreeMap<String, String>> {
    let text = std::fs::read_to_string(docker().join("compose.yml")).unwrap();
    let (_, services) = text.split_once("\nservices:\n").unwrap();
    let (services, _) = services.split_once("\nvolumes:\n").unwrap();
    let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut name = String::new();
    for line in services.lines() {
        let depth = line.len() - line.trim_start().len();
        match (depth, line.trim().split_once(':')) {
            (2, Some((service, ""))) => name = service.to_owned(),
            (6, Some((key, value))) => {
                let value = value.trim().trim_matches('"').to_owned();
                found.entry(name.clone()).or_default().insert(key.to_owned(), value);
            }
            _ => {}
        }
    }
    found
}

/// Words that begin like a variable of the configuration.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("FED_"))
}

#[test]
fn every_variable_of_the_containers_is_a_key() {
    let mut count = 0;
    for file in ["compose.yml", "entrypoint", "Dockerfile"] {
        let text = std::fs::read_to_string(docker().join(file)).unwrap();
        for variable in variables(&text) {
            count += 1;
            assert!(
                KEYS.iter().any(|key| key.env() == variable),
                "{file}: {variable} is no key"
            );
        }
    }
    assert!(count >= 12, "{count}");
}

#[test]
fn what_the_image_is_made_of_is_there() {
    use std::os::unix::fs::PermissionsExt;
    let root = docker().join("../..");
    let text = std::fs::read_to_string(docker().join("Dockerfile"))
        .unwrap()
        .replace("\\\n", " ");
    let lines = |word: &'static str| {
        text.lines()
            .filter_map(move |line| line.strip_prefix(word))
            .map(str::trim)
    };
    let mut programs = Vec::new();
    for copied in lines("COPY ").filter(|copied| !copied.starts_with("--from") && *copied != ". .") {
        let (source, target) = copied.split_once(' ').unwrap();
        let mode = std::fs::metadata(root.join(source)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{source} is run");
        programs.push(format!("[\"{}\"]", Path::new(target).file_name().unwrap().display()));
    }
    assert_eq!(
        programs,
        lines("ENTRYPOINT").collect::<Vec<_>>(),
        "it is what was copied"
    );
    let port = KEYS
        .iter()
        .find(|key| key.name == "peer.listen")
        .unwrap()
        .default
        .rsplit(':')
        .next();
    assert_eq!(lines("EXPOSE").next(), port, "nodes are found at the default port");
    let data = KEYS.iter().find(|key| key.name == "data_dir").unwrap().default;
    assert_eq!(lines("VOLUME").next(), Some(data));
    for script in text.split_whitespace().filter(|word| word.starts_with("scripts/")) {
        assert!(root.join(script).exists(), "{script}");
    }
    let makefile = std::fs::read_to_string(root.join("Makefile")).unwrap();
    assert!(text.contains("make package OUT=") && makefile.contains("\npackage: "));
}

#[test]
fn the_compose_file_names_what_is_there() {
    let text = std::fs::read_to_string(docker().join("compose.yml")).unwrap();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key));
        line.unwrap_or_else(|| panic!("{key}")).trim().to_owned()
    };
    let context = docker().join(value("context:"));
    assert!(context.join(value("dockerfile:")).exists());
    let (_, declared) = text.split_once("\nvolumes:\n").unwrap();
    let declared: Vec<&str> = declared.lines().map(|line| line.trim().trim_end_matches(':')).collect();
    for mounts in text.lines().filter_map(|line| line.trim().strip_prefix("volumes: [")) {
        for mount in mounts.trim_end_matches(']').split(", ") {
            let (volume, _) = mount.trim_matches('"').split_once(':').unwrap();
            assert!(declared.contains(&volume), "{volume} is declared");
        }
    }
    // Each node is told where the others find it, at a name of its own.
    for (name, environment) in services() {
        assert_eq!(environment["FED_NODE_NAME"], name);
        assert_eq!(environment["FED_PEER_ADVERTISE"], format!("{name}:7401"));
    }
}

/// A container, as far as one is a process with an environment.
struct Container {
    child: Child,
    client: u16,
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Container {
    fn start(folder: &Path, environment: &BTreeMap<String, String>) -> Self {
        let client = free_port();
        let name = &environment["FED_NODE_NAME"];
        let loopback = |port: u16| format!("127.0.0.1:{port}");
        let peer = loopback(free_port());
        let program = PathBuf::from(Program::default().command().get_program());
        let mut folders = vec![program.parent().unwrap().to_owned()];
        folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        let mut command = Command::new(docker().join("entrypoint"));
        for (variable, _) in std::env::vars().filter(|(variable, _)| variable.starts_with("FED_")) {
            command.env_remove(variable);
        }
        command
            .arg("run")
            .envs(environment)
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env("FED_CONFIG", "/dev/null")
            .env("FEDERATION_SHARED", folder)
            .env("FED_DATA_DIR", folder.join(name).join("data"))
            .env("FED_PEER_LISTEN", &peer)
            .env("FED_PEER_ADVERTISE", &peer)
            .env("FED_CLIENT_LISTEN", loopback(client))
            .env("FED_REDIRECT_LISTEN", loopback(free_port()))
            .env("FED_AGI_LISTEN", loopback(free_port()))
            .env("FED_METRICS_LISTEN", loopback(free_port()))
            .stdin(Stdio::null());
        Self {
            child: command.spawn().unwrap(),
            client,
        }
    }

    /// How many nodes it sees up.
    fn sees(&self, folder: &Path, name: &str) -> Option<usize> {
        let mut command = Program::default().command();
        command
            .env("FED_DATA_DIR", folder.join(name).join("data"))
            .env("FED_CLIENT_LISTEN", format!("127.0.0.1:{}", self.client))
            .args(["-o", "json", "status"]);
        let said = command.stdin(Stdio::null()).output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&said.stdout).ok()?;
        Some(
            status["members"]
                .as_array()?
                .iter()
                .filter(|member| member["up"] == true)
                .count(),
        )
    }
}

#[test]
fn the_containers_of_the_compose_file_become_one_federation() {
    let services = services();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["n1", "n2", "n3"]);
    let root = tempfile::tempdir().unwrap();
    for name in services.keys() {
        std::fs::create_dir_all(root.path().join(name)).unwrap();
    }
    let containers: Vec<(&String, Container)> = services
        .iter()
        .map(|(name, environment)| (name, Container::start(root.path(), environment)))
        .collect();
    for (name, container) in &containers {
        until(&format!("{name} sees three nodes up"), || {
            (container.sees(root.path(), name)? == 3).then_some(())
        });
    }
    let left = std::fs::read_dir(root.path()).unwrap().flatten();
    let tokens: Vec<_> = left
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().ends_with(".token"))
        .collect();
    assert!(tokens.is_empty(), "tokens are used up: {tokens:?}");
}
