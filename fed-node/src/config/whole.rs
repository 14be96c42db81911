//! What no single key can tell: keys that contradict each other, each named with the place its value came from.

use super::file::Found;
use super::load::GENERATED_PASSWORD;
use super::secret::refuse_open_file;
use super::{Config, ConfigError, Origin, read_secret_file};
use crate::address::Address;

/// Everything that does not fit together; reads the files of secrets on the way.
pub(super) fn check(config: &mut Config, found: &[Found]) -> Vec<ConfigError> {
    let mut whole = Whole {
        found,
        errors: Vec::new(),
    };
    whole.raft(config);
    whole.listeners(config);
    whole.asterisk(config);
    whole.backup(config);
    whole.tls(config);
    whole.password(config);
    whole.own_file();
    whole.errors
}

struct Whole<'a> {
    found: &'a [Found],
    errors: Vec<ConfigError>,
}

impl Whole<'_> {
    /// These keys do not fit together.
    fn contradict(&mut self, keys: &[&'static str], why: String) {
        let places = keys.iter().map(|key| {
            let last = self.found.iter().rfind(|found| found.key.name == *key);
            (*key, last.map_or(Origin::Default, |found| found.origin.clone()))
        });
        self.errors.push(ConfigError::Contradiction {
            places: places.collect(),
            why,
        });
    }

    fn raft(&mut self, config: &Config) {
        let raft = &config.raft;
        if raft.election_min_ms >= raft.election_max_ms {
            self.contradict(
                &["raft.election_min_ms", "raft.election_max_ms"],
                format!(
                    "raft.election_min_ms ({}) must be less than raft.election_max_ms ({})",
                    raft.election_min_ms, raft.election_max_ms
                ),
            );
        }
        if raft.heartbeat_ms * 3 > raft.election_min_ms {
            self.contradict(
                &["raft.heartbeat_ms", "raft.election_min_ms"],
                format!(
                    "raft.heartbeat_ms ({}) must be at most a third of raft.election_min_ms ({})",
                    raft.heartbeat_ms, raft.election_min_ms
                ),
            );
        }
    }

    fn listeners(&mut self, config: &Config) {
        let listeners = listeners(config);
        for (index, (name, address)) in listeners.iter().enumerate() {
            for (other_name, other) in &listeners[index + 1..] {
                let same_host = address.host() == other.host() || address.is_wildcard() || other.is_wildcard();
                if address.port() != 0 && address.port() == other.port() && same_host {
                    self.contradict(
                        &[name, other_name],
                        format!("{name} ({address}) and {other_name} ({other}) are the same port: change one"),
                    );
                }
            }
        }
        if !config.agi.listen.is_loopback() {
            self.contradict(
                &["agi.listen"],
                format!(
                    "agi.listen ({}) can be reached from elsewhere: FastAGI is plain text and asks nobody who they are, and the answer is the way into a call; listen on 127.0.0.1 or ::1, where its Asterisk is",
                    config.agi.listen
                ),
            );
        }
        let open = listeners
            .into_iter()
            .filter(|(_, address)| config.security.plaintext && !address.is_loopback());
        for (name, address) in open {
            self.contradict(
                &["security.plaintext", name],
                format!(
                    "security.plaintext asks nobody who they are, and {name} ({address}) can be reached from elsewhere: listen on 127.0.0.1 or ::1, or leave security.plaintext out"
                ),
            );
        }
    }

    fn asterisk(&mut self, config: &Config) {
        let host = config.asterisk.host();
        let here = Address::new(&host, 0).is_ok_and(|address| address.is_loopback());
        if !here {
            self.contradict(
                &["asterisk.url"],
                format!(
                    "asterisk.url ({}) leads away from this machine: ARI is plain text, and its password and every user's digest go over it; \
                     run fed-node beside its Asterisk and write http://127.0.0.1:8088 or http://[::1]:8088",
                    config.asterisk.url
                ),
            );
        }
    }

    fn backup(&mut self, config: &mut Config) {
        if config.backup.every.is_zero() {
            return;
        }
        match config.backup.key_file.as_deref().map(read_secret_file) {
            Some(Ok(key)) => config.backup.key = Some(key),
            Some(Err(why)) => self.contradict(&["backup.key_file"], format!("backup.key_file: {why}")),
            None => self.contradict(
                &["backup.every"],
                "backup.every is set, but no backup.key_file: write a secret into a file that only fed-node can read, and name it".to_owned(),
            ),
        }
    }

    fn tls(&mut self, config: &Config) {
        let keys = [
            ("tls.ca", &config.tls.ca),
            ("tls.cert", &config.tls.cert),
            ("tls.key", &config.tls.key),
        ];
        let (set, unset): (Vec<_>, Vec<_>) = keys.iter().partition(|(_, path)| path.is_some());
        let set: Vec<&'static str> = set.iter().map(|(key, _)| *key).collect();
        if let ([one, ..], [(missing, _), ..]) = (&set[..], &unset[..]) {
            self.contradict(
                &set,
                format!(
                    "{one} is set and {missing} is not: an authority of your own needs tls.ca, tls.cert and tls.key; leave all three out for the built-in one"
                ),
            );
        }
        if let Some(one) = set.first().filter(|_| config.security.plaintext) {
            self.contradict(
                &["security.plaintext", one],
                format!("security.plaintext and {one} are both set: leave one out"),
            );
        }
    }

    /// A secret in the configuration file itself: that file is then one of the secret ones.
    fn own_file(&mut self) {
        let secrets = self
            .found
            .iter()
            .filter(|found| SECRET.contains(&found.key.name) && !found.value.is_empty());
        let mut open = Vec::new();
        for found in secrets {
            if let Origin::File { path, .. } = &found.origin
                && let Err(why) = refuse_open_file(path)
            {
                open.push((found.key.name, why));
            }
        }
        for (key, why) in open {
            self.contradict(
                &[key],
                format!("{why}, or keep the secret in a file of its own (asterisk.password_file)"),
            );
        }
    }

    fn password(&mut self, config: &mut Config) {
        let generated = config.data_dir.join(GENERATED_PASSWORD);
        if config.asterisk.password.is_empty() && config.asterisk.password_file.is_none() && generated.exists() {
            config.asterisk.password_file = Some(generated);
        }
        let Some(file) = config.asterisk.password_file.clone() else {
            return;
        };
        if !config.asterisk.password.is_empty() {
            return self.contradict(
                &["asterisk.password", "asterisk.password_file"],
                "asterisk.password and asterisk.password_file are both set: keep the file".to_owned(),
            );
        }
        match read_secret_file(&file) {
            Ok(secret) => config.asterisk.password = secret,
            Err(why) => self.contradict(&["asterisk.password_file"], format!("asterisk.password_file: {why}")),
        }
    }
}

/// Keys whose values are secret.
const SECRET: [&str; 1] = ["asterisk.password"];

/// What listens, with its key.
fn listeners(config: &Config) -> Vec<(&'static str, &Address)> {
    let always = [
        ("peer.listen", &config.peer.listen),
        ("client.listen", &config.client.listen),
        ("redirect.listen", &config.redirect.listen),
        ("agi.listen", &config.agi.listen),
    ];
    let metrics = config.metrics.listen.as_ref();
    let metrics = metrics.map(|address| ("metrics.listen", address));
    always.into_iter().chain(metrics).collect()
}
