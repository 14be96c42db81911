//! The first node's part: an authority and a certificate.

use fed_raft::Identity;
use fed_raft::security::{Authority, NodeName, Signing, request_key};

use super::folder::{FileError, write};
use super::{SecurityFolder, Source, files, lifetime};
use crate::address::Address;
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
        Source::Own { .. } => write_request(&SecurityFolder::of(&config.data_dir), identity.name()),
    }
}

fn make_authority(folder: &SecurityFolder, config: &Config, name: NodeName) -> Result<(), FileError> {
    let failed = |error: fed_raft::security::CredentialsError| FileError(error.to_string());
    let authority = Authority::make(name.cluster).map_err(failed)?;
    let made = request_key(None).map_err(failed)?;
    let advertised = config.peer_advertised();
    let signing = Signing {
        name,
        hosts: &hosts(Some(&advertised)),
        lifetime: lifetime::DEFAULT,
    };
    let certificate = authority.sign(&made.public_key, &signing).map_err(failed)?;
    write(&folder.authority_key(), authority.key_pem())?;
    write(&folder.key(), &made.key)?;
    write(&folder.authority(), authority.certificate_pem())?;
    write(&folder.certificate(), &certificate)
}

/// A key, and a request that another authority can answer.
pub(super) fn write_request(folder: &SecurityFolder, name: NodeName) -> Result<(), FileError> {
    let made = request_key(Some(name)).map_err(|error| FileError(error.to_string()))?;
    write(&folder.key(), &made.key)?;
    write(&folder.request(), &made.request)?;
    talk!(
        "have your authority sign {} (keep its URI {name}), put the certificate at tls.cert, and {} at tls.key",
        folder.request().display(),
        folder.key().display()
    );
    Ok(())
}

/// Under which names a node's certificate also holds for programs that compare names.
pub(super) fn hosts(advertised: Option<&Address>) -> Vec<String> {
    let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    if let Some(host) = advertised.map(|address| address.host().to_owned())
        && !hosts.contains(&host)
    {
        hosts.push(host);
    }
    hosts
}
