//! While a node runs: its certificate is renewed in time and when the node is somewhere else, changed files are taken up, and a voter gets the authority's key.

use std::time::{Duration, SystemTime};

use fed_core::ids::NodeId;
use fed_core::map::FederationMap;
use fed_proto::client as pb;
use fed_raft::security::{Authority, Credentials, Keyring, Signing, request_key};
use fed_raft::{Cluster, Role};
use pb::member_question::What;
use prost::Message;
use tokio::time::Instant;

use super::folder::{FileError, SecurityFolder, read, read_secret, write};
use super::hosts::Claims;
use super::{Source, lifetime};

const EVERY: Duration = Duration::from_secs(1);
/// Pause after something that did not work.
const AGAIN: Duration = Duration::from_secs(10);
/// Pause after a certificate was asked for that holds more hosts.
const AGAIN_FOR_HOSTS: Duration = Duration::from_secs(3600);
/// Longest wait for another node's answer.
const WITHIN: Duration = Duration::from_secs(5);

/// Looks after the keyring until the task is ended.
pub(crate) async fn keep_fresh(cluster: Cluster<FederationMap>, keyring: Keyring, source: Source) {
    let mut keeper = Keeper {
        stamp: source.stamp(),
        cluster,
        keyring,
        source,
        not_before: None,
        hosts_not_before: None,
    };
    loop {
        tokio::time::sleep(EVERY).await;
        keeper.look().await;
    }
}

struct Keeper {
    cluster: Cluster<FederationMap>,
    keyring: Keyring,
    source: Source,
    /// The files as they were read last.
    stamp: [Option<SystemTime>; 3],
    /// After a failure: when it is tried again.
    not_before: Option<Instant>,
    /// After a certificate was asked for because the one before lacked a host: when that is done again. A voter that has not heard of
    /// the host yet, or knows that another node claims it, leaves it out.
    hosts_not_before: Option<Instant>,
}

impl Keeper {
    async fn look(&mut self) {
        self.reload();
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let Source::BuiltIn(folder) = self.source.clone() else {
            return;
        };
        let done = async {
            if self.votes(self.cluster.id()) && !folder.authority_key().exists() {
                self.get_authority_key(&folder).await?;
            }
            let current = self.keyring.current();
            let hosts = Claims::of_members(&self.cluster).hosts_of(self.cluster.id());
            let lacks_hosts = !hosts.iter().all(|host| current.holds(host));
            let moved = lacks_hosts && self.hosts_not_before.is_none_or(|at| Instant::now() >= at);
            if moved || lifetime::is_due(current.expires(), lifetime::DEFAULT, SystemTime::now()) {
                self.renew(&folder).await?;
                self.hosts_not_before = Some(Instant::now() + AGAIN_FOR_HOSTS);
            }
            Ok::<(), FileError>(())
        };
        match done.await {
            Ok(()) => self.not_before = None,
            Err(error) => {
                tracing::warn!(%error, expires = %words(&self.keyring.current()), "certificates are not as they should be; it is tried again");
                self.not_before = Some(Instant::now() + AGAIN);
            }
        }
    }

    /// Takes up files that somebody changed. While they do not fit together, what is in use stays.
    fn reload(&mut self) {
        let stamp = self.source.stamp();
        if stamp == self.stamp {
            return;
        }
        self.stamp = stamp;
        match self.source.load() {
            Ok(credentials) if credentials.name() != self.keyring.name() => {
                tracing::error!(found = %credentials.name(), "the new certificate is of another node: the old one stays in use");
            }
            Ok(credentials) => self.take(credentials),
            Err(error) => tracing::error!(%error, "the new certificate cannot be used: the old one stays in use"),
        }
    }

    fn take(&self, credentials: Credentials) {
        tracing::info!(expires = %words(&credentials), "a new certificate is in use");
        self.keyring.replace(credentials);
    }

    async fn renew(&mut self, folder: &SecurityFolder) -> Result<(), FileError> {
        let made = request_key(None).map_err(|error| FileError(error.to_string()))?;
        let certificate = match self.source.signer(self.keyring.name().cluster)? {
            Some(authority) => self.sign(&authority, &made.public_key)?,
            None => self.have_signed(&made.public_key).await?,
        };
        // Until the certificate is there the file holds both keys: the one that fits is taken.
        let before = read_secret(&folder.key())?;
        write(&folder.key(), &format!("{}{before}", made.key))?;
        write(&folder.certificate(), &certificate)?;
        write(&folder.key(), &made.key)?;
        let credentials = self.source.load()?;
        self.stamp = self.source.stamp();
        self.take(credentials);
        Ok(())
    }

    fn sign(&self, authority: &Authority, public_key: &str) -> Result<String, FileError> {
        let signing = Signing {
            name: self.keyring.name(),
            hosts: &Claims::of_members(&self.cluster).hosts_of(self.cluster.id()),
            lifetime: lifetime::DEFAULT,
        };
        authority
            .sign(public_key, &signing)
            .map_err(|error| FileError(error.to_string()))
    }

    async fn have_signed(&self, public_key: &str) -> Result<String, FileError> {
        let question = What::Certificate(pb::CertificateRequest {
            public_key: public_key.to_owned(),
        });
        let answer = self.ask_voters(question).await?;
        let reply = pb::CertificateReply::decode(answer).map_err(|error| FileError(error.to_string()))?;
        Ok(reply.certificate)
    }

    async fn get_authority_key(&self, folder: &SecurityFolder) -> Result<(), FileError> {
        let question = What::AuthorityKey(pb::AuthorityKeyRequest {});
        let answer = self.ask_voters(question).await?;
        let reply = pb::AuthorityKeyReply::decode(answer).map_err(|error| FileError(error.to_string()))?;
        let authority = Authority::from_pem(self.keyring.name().cluster, &read(&folder.authority())?, &reply.key);
        authority.map_err(|error| FileError(format!("what another node sent: {error}")))?;
        write(&folder.authority_key(), &reply.key)?;
        tracing::info!("this node votes: it has the authority's key now");
        Ok(())
    }

    fn votes(&self, node: NodeId) -> bool {
        let members = self.cluster.members();
        members
            .iter()
            .any(|member| member.id == node && member.role != Role::Learner)
    }

    /// The first answer that is none of "I have not got it".
    async fn ask_voters(&self, what: What) -> Result<bytes::Bytes, FileError> {
        let question = pb::MemberQuestion { what: Some(what) }.encode_to_vec();
        let me = self.cluster.id();
        let mut last = "no other node votes".to_owned();
        for member in self.cluster.members() {
            if member.id == me || member.role == Role::Learner {
                continue;
            }
            match self.cluster.ask(member.id, question.clone().into(), WITHIN).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = format!("node {}: {error}", member.id),
            }
        }
        Err(FileError(format!("no voter answers for the authority ({last})")))
    }
}

/// When a certificate ends, for people.
fn words(credentials: &Credentials) -> String {
    match credentials.expires().duration_since(SystemTime::now()) {
        Ok(left) => format!("in {} hours", left.as_secs() / 3600),
        Err(over) => format!("{} hours ago", over.duration().as_secs() / 3600),
    }
}
