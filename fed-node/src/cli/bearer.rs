//! The token that the command line shows.

use std::path::Path;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::access::is_here;
use super::exit::{Failure, Outcome};
use crate::address::Address;
use crate::config::Config;
use crate::security::{LocalToken, read_private};

/// Shows a token with every call, or none.
#[derive(Debug, Clone, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// The token in `file`, or of the node whose data folder this is. The node's own token opens that node alone, so it is sent to
    /// nobody but this machine, and left out where it cannot be read: a node that asks nobody needs none, and one that does says what to do.
    ///
    /// # Errors
    /// When a file was named and holds no token, or others may read it.
    pub fn find(file: Option<&Path>, config: Option<&Config>, address: &Address) -> Outcome<Self> {
        if let Some(file) = file {
            let shown = file.display();
            let text = read_private(file).map_err(Failure::usage)?;
            let text = text.ok_or_else(|| Failure::usage(format!("{shown}: there is no such file")))?;
            return Self::of(&text).ok_or_else(|| Failure::usage(format!("{shown} holds no token in its first line")));
        }
        let local = config
            .filter(|config| is_here(address, config))
            .map(|config| LocalToken::file(&config.data_dir))
            .and_then(|file| read_private(&file).ok().flatten());
        Ok(local.and_then(|text| Self::of(&text)).unwrap_or_default())
    }

    fn of(text: &str) -> Option<Self> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {text}").parse().ok().filter(|_| !text.is_empty())?;
        value.set_sensitive(true);
        Some(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigFlags, load_with};

    #[test]
    fn the_nodes_own_token_goes_to_no_other_machine() {
        let data = tempfile::tempdir().unwrap();
        LocalToken::make(data.path()).unwrap();
        let environment = [("FED_DATA_DIR".to_owned(), data.path().display().to_string())];
        let config = load_with(None, environment, &ConfigFlags::default()).unwrap();
        let shows = |address: &str| {
            let address = address.parse().unwrap();
            Bearer::find(None, Some(&config), &address).unwrap().0.is_some()
        };
        assert!(shows("127.0.0.1:7400") && shows("localhost:1") && shows("[::1]:7400"));
        assert!(!shows("192.0.2.1:7400") && !shows("elsewhere.example:7400"));
    }

    #[test]
    fn a_token_file_that_others_may_read_is_refused_without_its_secret() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "canary\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let address = "127.0.0.1:1".parse().unwrap();
        let said = Bearer::find(Some(&file), None, &address).unwrap_err().message;
        assert!(said.contains("chmod") && !said.contains("canary"), "{said}");
        assert!(Bearer::find(Some(&folder.path().join("none")), None, &address).is_err());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let bearer = Bearer::find(Some(&file), None, &address).unwrap();
        assert!(!format!("{bearer:?}").contains("canary"), "{bearer:?}");
    }
}
