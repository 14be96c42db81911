//! The tokens of the nodes under test: each node writes its own into its data folder at each start, and shows whoever can read
//! it to be at home there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Where the nodes that this process made keep their tokens, by the address of their client API.
static FILES: Mutex<BTreeMap<SocketAddr, PathBuf>> = Mutex::new(BTreeMap::new());

/// The file's number when it was read, and what was in it: a token is replaced by a new file.
type Read = (u64, MetadataValue<Ascii>);

/// Shows a node's own token with every call; the new one after a restart.
#[derive(Debug, Clone, Default)]
pub struct Bearer {
    file: Option<PathBuf>,
    read: Arc<Mutex<Option<Read>>>,
}

impl Bearer {
    /// That of the node at this address; none where this process made no such node.
    #[must_use]
    pub fn of(address: SocketAddr) -> Self {
        let files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            file: files.get(&address).cloned(),
            read: Arc::default(),
        }
    }

    /// Where a node keeps its token in its data folder.
    #[must_use]
    pub fn file(data_dir: &Path) -> PathBuf {
        data_dir.join("security/local-token")
    }

    pub(super) fn remember(address: SocketAddr, data_dir: &Path) {
        let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(address, Self::file(data_dir));
    }

    /// What is in the file now. A node that has not started yet has none; it says itself that it wants one.
    fn now(&self) -> Option<MetadataValue<Ascii>> {
        let file = self.file.as_ref()?;
        let number = std::fs::metadata(file).ok()?.ino();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = read.as_ref().filter(|(seen, _)| *seen == number) {
            return Some(value.clone());
        }
        let text = std::fs::read_to_string(file).ok()?;
        let value: MetadataValue<Ascii> = format!("Bearer {}", text.trim()).parse().ok()?;
        *read = Some((number, value.clone()));
        Some(value)
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = self.now() {
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_shown_is_that_of_the_last_start() {
        let data = tempfile::tempdir().unwrap();
        let address: SocketAddr = "192.0.2.77:7400".parse().unwrap();
        assert!(Bearer::of(address).now().is_none());
        Bearer::remember(address, data.path());
        let bearer = Bearer::of(address);
        assert!(bearer.now().is_none(), "not started yet");
        let file = Bearer::file(data.path());
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        for token in ["one", "two"] {
            let new = data.path().join("new");
            std::fs::write(&new, token).unwrap();
            std::fs::rename(&new, &file).unwrap();
            assert_eq!(bearer.now().unwrap(), format!("Bearer {token}"));
        }
    }
}
