//! The key that seals what the map holds of passwords, as this node has it, and sealing with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fed_core::command::Command;
use fed_core::map::MapView;
use fed_core::records::{Device, setting};
use fed_core::sealing::{Place, SealKey, is_sealed};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::Instant;

use super::files::{CLUSTER_KEY, folder, read_key, write_private};

/// Changes wait for so long after a start until this node knows with which key the federation seals, and whether all its
/// nodes know how to.
const SETTLING: Duration = Duration::from_secs(5);

/// How far the federation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not all nodes know sealed values and the audit log, or this one has not heard yet.
    Unknown,
    /// All know them, but this node has no key that is the federation's.
    Named,
    /// And this node has the key.
    Sealing,
}

/// What becomes of a digest that is what the map holds already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameDigest {
    /// It stays as it was sealed, so that putting it again changes nothing: for whoever may read digests.
    Stays,
    /// It is sealed anew, and a change like every other one: nobody learns from the answer that it was right.
    IsSealedAnew,
}

/// The key, its file, and whether it is the federation's.
pub struct Vault {
    file: PathBuf,
    key: RwLock<Option<Arc<SealKey>>>,
    stage: watch::Sender<Stage>,
    settled_at: Instant,
}

impl Vault {
    /// The vault of a data folder, with the key where there is one.
    ///
    /// # Errors
    /// When the folder or the key may be read by others, or the file holds no key.
    pub fn open(data_dir: &Path) -> Result<Self, String> {
        let file = folder(data_dir)?.join(CLUSTER_KEY);
        let key = read_key(&file)?.map(Arc::new);
        Ok(Self {
            file,
            key: RwLock::new(key),
            stage: watch::Sender::new(Stage::Unknown),
            settled_at: Instant::now() + SETTLING,
        })
    }

    /// The key to open with.
    #[must_use]
    pub fn key(&self) -> Option<Arc<SealKey>> {
        self.key.read().clone()
    }

    /// The key to seal with: only once the federation has agreed on it.
    #[must_use]
    pub fn sealing_key(&self) -> Option<Arc<SealKey>> {
        self.key().filter(|_| *self.stage.borrow() == Stage::Sealing)
    }

    /// Whether every member knows changes in somebody's name.
    #[must_use]
    pub fn names_changes(&self) -> bool {
        *self.stage.borrow() != Stage::Unknown
    }

    /// Waits until this node seals, but not long after a start: in a federation of which some nodes are older it does not.
    pub async fn settled(&self) {
        if *self.stage.borrow() == Stage::Sealing || Instant::now() >= self.settled_at {
            return;
        }
        let mut stage = self.stage.subscribe();
        // Either way the change goes on.
        let _ = tokio::time::timeout_at(self.settled_at, stage.wait_for(|stage| *stage == Stage::Sealing)).await;
    }

    /// All members know sealed values; `agreed`: and the key here is the federation's.
    pub(super) fn reached(&self, agreed: bool) {
        let stage = if agreed { Stage::Sealing } else { Stage::Named };
        self.stage
            .send_if_modified(|now| std::mem::replace(now, stage) != stage);
    }

    /// Takes a key, and keeps it in its file.
    pub(super) fn install(&self, key: SealKey) -> std::io::Result<()> {
        write_private(&self.file, &format!("{}\n", key.to_hex()))?;
        *self.key.write() = Some(Arc::new(key));
        Ok(())
    }

    /// The command with every secret in it sealed, as far as this node seals. `view` is any state of the map: `same` says what
    /// becomes of a digest that is there already.
    #[must_use]
    pub fn seal(&self, mut command: Command, view: &MapView<'_>, same: SameDigest) -> Command {
        if let Some(key) = self.sealing_key() {
            seal(&mut command, &key, view, same);
        }
        command
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault")
            .field("key", &self.key())
            .finish_non_exhaustive()
    }
}

fn seal(command: &mut Command, key: &SealKey, view: &MapView<'_>, same: SameDigest) {
    match command {
        Command::Batch(commands) => commands.iter_mut().for_each(|command| seal(command, key, view, same)),
        Command::By { command, .. } => seal(command, key, view, same),
        Command::PutDevice { device, .. } if !device.credentials.is_sealed() => seal_device(device, key, view, same),
        Command::PutSetting { key: name, value, .. } if is_secret(name) && !is_sealed(value.as_str()) => {
            *value = key
                .seal(Place::Setting(name), value.as_str().as_bytes(), rand::random())
                .into();
        }
        _ => {}
    }
}

/// Whether a secret in clear text is in the command.
#[must_use]
pub fn carries_secret(command: &Command) -> bool {
    match command {
        Command::Batch(commands) => commands.iter().any(carries_secret),
        Command::By { command, .. } => carries_secret(command),
        Command::PutDevice { device, .. } => !device.credentials.is_sealed(),
        Command::PutSetting { key, value, .. } => is_secret(key) && !is_sealed(value.as_str()),
        _ => false,
    }
}

fn seal_device(device: &mut Device, key: &SealKey, view: &MapView<'_>, same: SameDigest) {
    let there = view.device(&device.id).ok().flatten().map(|record| record.value);
    if let Some(there) = there.filter(|_| same == SameDigest::Stays)
        && there.credentials.is_sealed()
        && there.credentials.realm == device.credentials.realm
        && view
            .with_key(Some(key))
            .ha1(&there)
            .is_ok_and(|ha1| ha1 == device.credentials.md5_ha1)
    {
        device.credentials = there.credentials;
        return;
    }
    device.credentials = device.credentials.sealed(key, &device.id, rand::random());
}

/// Settings whose values are secret.
pub(super) fn is_secret(key: &str) -> bool {
    key == setting::CAPABILITY_KEY
}

#[cfg(test)]
mod tests {
    use super::*;
    use fed_core::command::Expect;
    use fed_core::ids::{DeviceId, UserId};
    use fed_core::kv::MemStore;
    use fed_core::records::DigestCredentials;

    fn put(ha1: &str) -> Command {
        let credentials = DigestCredentials {
            realm: "federated".to_owned(),
            md5_ha1: ha1.to_owned(),
        };
        Command::PutDevice {
            device: Device::new(
                DeviceId::new("alice").unwrap(),
                UserId::new("alice").unwrap(),
                credentials,
            ),
            expect: Expect::Any,
        }
    }

    #[test]
    fn nothing_is_sealed_before_the_federation_agreed_on_the_key() {
        let data = tempfile::tempdir().unwrap();
        super::super::files::make_cluster_key(data.path()).unwrap();
        let vault = Vault::open(data.path()).unwrap();
        let (store, ha1) = (MemStore::new(), "a".repeat(32));
        let view = MapView::new(&store);
        assert_eq!(vault.seal(put(&ha1), &view, SameDigest::Stays), put(&ha1));
        vault.reached(false);
        assert!(vault.names_changes());
        assert_eq!(vault.seal(put(&ha1), &view, SameDigest::Stays), put(&ha1));
        vault.reached(true);
        let sealed = vault.seal(Command::Batch(vec![put(&ha1)]), &view, SameDigest::Stays);
        assert!(!format!("{sealed:?}").contains(&ha1) && sealed != Command::Batch(vec![put(&ha1)]));
        assert_ne!(
            vault.seal(put(&ha1), &view, SameDigest::Stays),
            vault.seal(put(&ha1), &view, SameDigest::Stays),
            "each time another nonce"
        );
    }
}
