//! The newcomer's part of a join: a key, a question to the node that the token names, and the answer put away.

use fed_core::map::FederationMap;
use fed_proto::security as pb;
use fed_raft::security::{Connector, Trust, fingerprint, request_key};
use fed_raft::{Application, Cluster, Identity, StartError};
use prost::Message;

use super::folder::{FileError, read, set_aside, write};
use super::founding::write_request;
use super::{JoinToken, SecurityFolder, Source, files};
use crate::config::Config;

/// Why a node could not join.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Refused(#[from] StartError),
}

/// Joins with a token; everything is on the disk when it returns.
pub(crate) async fn join(config: &Config, raft: &fed_raft::Config, token: &JoinToken) -> Result<Identity, JoinError> {
    let folder = SecurityFolder::of(&config.data_dir);
    files::folder(&config.data_dir).map_err(FileError)?;
    if let Some(Source::Own { authority, .. }) = Source::of(config) {
        let own =
            fingerprint(&read(&authority)?).map_err(|error| FileError(format!("{}: {error}", authority.display())))?;
        if own != token.authority {
            let shown = authority.display();
            return Err(FileError(format!(
                "the token is of a federation with another authority than {shown} (tls.ca)"
            ))
            .into());
        }
    }
    let trust = Trust::pinned(token.authority, token.node);
    let connector = Connector::tls(trust).map_err(|error| FileError(error.to_string()))?;
    let made = request_key(None).map_err(|error| FileError(error.to_string()))?;
    let payload = pb::Application {
        token: token.id.to_string(),
        secret: token.secret.reveal().to_owned(),
        public_key: made.public_key.clone(),
        node_name: config.node.name.clone(),
    };
    let application = Application {
        seed: token.address.to_string(),
        connector,
        payload: payload.encode_to_vec().into(),
    };
    let keep = |identity: &Identity, equipment: bytes::Bytes| -> Result<(), String> {
        let equipment = pb::Equipment::decode(equipment).map_err(|error| error.to_string())?;
        let put = || -> Result<(), FileError> {
            // A federation that is older than the key has none yet.
            if !equipment.cluster_key.is_empty() {
                write(&folder.cluster_key(), &format!("{}\n", equipment.cluster_key))?;
            }
            if matches!(Source::of(config), Some(Source::Own { .. })) {
                return write_request(&folder, config, identity.name());
            }
            let given = fingerprint(&equipment.authority).ok();
            if given != Some(token.authority) || equipment.certificate.is_empty() {
                return Err(FileError("what the node sent is no certificate of the token's authority: does it use one of its own (tls.ca)?".to_owned()));
            }
            // An `init` that broke off in this folder may have left another authority's: a voter asks only where there is none.
            set_aside(&folder.authority_key())?;
            write(&folder.key(), &made.key)?;
            write(&folder.authority(), &equipment.authority)?;
            write(&folder.certificate(), &equipment.certificate)
        };
        put().map_err(|error| error.to_string())
    };
    Ok(Cluster::<FederationMap>::apply(raft, application, keep).await?)
}
