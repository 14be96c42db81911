//! The first node's part: an authority and a certificate.

use fed_raft::Identity;
use fed_raft::security::{Authority, NodeName, Signing, request_key};

use super::folder::{FileError, write};
use super::hosts::Claims;
use super::{SecurityFolder, Source, files, lifetime};
use crate::config::Config;
use crate::talk;

/// Makes what the first node of a federation proves itself with; also for one that was restored or recovered, so that nobody of the
/// old one is believed.
pub(crate) fn found(config: &Config, identity: &Identity) -> Result<(), FileError> {
    let Some(source) = Source::of(config) else {
        return Ok(());
    };
    files::folder(&config.data_dir).map_err(FileError)?;
    match source {
        Source::BuiltIn(folder) => make_authority(&folder, config, identity.name()),
        Source::Own { .. } => write_request(&SecurityFolder::of(&config.data_dir), config, identity.name()),
    }
}

fn make_authority(folder: &SecurityFolder, config: &Config, name: NodeName) -> Result<(), FileError> {
    let failed = |error: fed_raft::security::CredentialsError| FileError(error.to_string());
    let authority = Authority::make(name.cluster).map_err(failed)?;
    let made = request_key(None).map_err(failed)?;
    let signing = Signing {
        name,
        hosts: &own_hosts(config, name),
        lifetime: lifetime::DEFAULT,
    };
    let certificate = authority.sign(&made.public_key, &signing).map_err(failed)?;
    write(&folder.authority_key(), authority.key_pem())?;
    write(&folder.key(), &made.key)?;
    write(&folder.authority(), authority.certificate_pem())?;
    write(&folder.certificate(), &certificate)
}

/// A key, and a request that another authority can answer.
pub(super) fn write_request(folder: &SecurityFolder, config: &Config, name: NodeName) -> Result<(), FileError> {
    let hosts = own_hosts(config, name);
    let made = request_key(Some((name, &hosts))).map_err(|error| FileError(error.to_string()))?;
    write(&folder.key(), &made.key)?;
    write(&folder.request(), &made.request)?;
    talk!(
        "have your authority sign {} (keep its URI {name}), put the certificate at tls.cert, and {} at tls.key",
        folder.request().display(),
        folder.key().display()
    );
    Ok(())
}

/// The hosts that this node's certificate holds, as its configuration says where it is.
fn own_hosts(config: &Config, name: NodeName) -> Vec<String> {
    let mut claims = Claims::default();
    for address in [config.peer_advertised(), config.client_advertised()] {
        claims.add(name.node, &address.to_string());
    }
    claims.hosts_of(name.node)
}
