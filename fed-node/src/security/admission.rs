//! The leader's part of a join: the token is looked at, used up, and answered with a certificate. And what members ask one another
//! for: a new certificate, and, those that vote, the authority's key.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fed_core::command::{Command, Reply};
use fed_core::ids::{NodeId, Revision, TokenId};
use fed_core::map::{FederationMap, MapView};
use fed_core::records::{Role, Token};
use fed_proto::security as pb;
use fed_raft::security::{NodeName, Signing};
use fed_raft::{Cluster, Consistency, Doorkeeper, Member, Role as Part, Turned};
use futures::future::{BoxFuture, join_all};
use prost::Message;

use super::folder::{read, read_secret};
use super::hosts::Claims;
use super::{JoinToken, Source, Vault, by_node, lifetime, same};
use crate::address::Spelt;
use crate::api::Refusals;

/// Longest wait for the map.
const READ_WITHIN: Duration = Duration::from_secs(2);

const REMEDY: &str = "get a new one with `fed-node token join` on a running node";
const UNKNOWN: &str = "the token is not known here: it was used already, or revoked; get a new one with `fed-node token join` on a running node";
const EXPIRED: &str = "the token has expired; get a new one with `fed-node token join` on a running node";

/// Decides who may join.
pub(crate) struct Admission {
    pub(crate) cluster: Cluster<FederationMap>,
    pub(crate) source: Source,
    pub(crate) vault: Arc<Vault>,
    pub(crate) refusals: Arc<Refusals>,
}

impl Doorkeeper for Admission {
    fn admit(&self, from: IpAddr, address: String, application: Bytes) -> BoxFuture<'_, Result<(), Turned>> {
        Box::pin(async move {
            let looked = self.look(&address, &application).await;
            if let Err(Turned::Away(why)) = &looked
                && [UNKNOWN, EXPIRED].contains(&why.as_str())
            {
                self.tell_of_guess(from, &application);
            }
            looked?;
            if let Source::BuiltIn(folder) = &self.source {
                let signer = self
                    .source
                    .signer(self.cluster.identity().cluster)
                    .map_err(|error| Turned::Away(error.to_string()))?;
                if signer.is_none() {
                    let path = folder.authority_key().display().to_string();
                    return Err(Turned::Later(format!("the leader has no {path} yet")));
                }
            }
            Ok(())
        })
    }

    fn equip(&self, node: NodeId, address: String, application: Bytes) -> BoxFuture<'_, Result<Bytes, Turned>> {
        Box::pin(async move {
            let (application, id, revision) = self.look(&address, &application).await?;
            self.spend(id, revision).await?;
            let away = |error: &dyn std::fmt::Display| Turned::Away(error.to_string());
            let name = NodeName {
                cluster: self.cluster.identity().cluster,
                node,
            };
            let mut equipment = pb::Equipment {
                cluster_key: self.vault.key().map(|key| key.to_hex()).unwrap_or_default(),
                ..pb::Equipment::default()
            };
            if let Source::BuiltIn(folder) = &self.source {
                equipment.authority = read(&folder.authority()).map_err(|error| away(&error))?;
                let mut claims = Claims::of_members(&self.cluster);
                claims.add(node, &address);
                equipment.certificate =
                    sign(&self.source, name, &claims, &application.public_key).map_err(Turned::Away)?;
            }
            Ok(equipment.encode_to_vec().into())
        })
    }
}

impl Admission {
    /// The application, and its token as it is now; refused unless that lets a node in, of a name and an address that no other has.
    async fn look(&self, address: &str, application: &Bytes) -> Result<(pb::Application, TokenId, Revision), Turned> {
        let away = |why: &str| Turned::Away(why.to_owned());
        let application =
            pb::Application::decode(application.clone()).map_err(|_| away("the application cannot be read"))?;
        if application.token.is_empty() {
            return Err(away(
                "this federation takes nobody in without a token: `fed-node token join` on a running node prints one",
            ));
        }
        let unknown = || Turned::Away(UNKNOWN.to_owned());
        let id: TokenId = application.token.parse().map_err(|_| unknown())?;
        let read = self.cluster.read(Consistency::Linearizable, READ_WITHIN).await;
        let snapshot = read.map_err(|error| Turned::Later(error.to_string()))?;
        let record = MapView::new(&snapshot).token(&id);
        let record = record.map_err(|error| Turned::Away(error.to_string()))?;
        let record = record.ok_or_else(unknown)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        lets_in(&record.value, &application.secret, now.as_secs()).map_err(away)?;
        let nodes = MapView::new(&snapshot).nodes();
        let nodes = nodes.map_err(|error| Turned::Away(error.to_string()))?;
        if let Some(taken) = nodes.iter().find(|node| node.value.name == application.node_name) {
            return Err(Turned::Away(format!(
                "there is a node {} already (id {}): choose another with --node-name, or take that one out first (`fed-node leave {}` on another node); the token was not used",
                taken.value.name, taken.value.id, taken.value.name
            )));
        }
        if let Some(taken) = self.member_at(address).await {
            let record = nodes.iter().find(|node| node.value.id == taken.id);
            let name = record.map_or_else(|| taken.id.to_string(), |record| record.value.name.clone());
            let there = &taken.address;
            let too = if there == address {
                String::new()
            } else {
                format!(", where {address} leads too")
            };
            return Err(Turned::Away(format!(
                "the others find node {name} (id {}) at {there} already{too}: name this one's own address with --peer-advertise, or take that one out first (`fed-node leave {name}` on another node); the token was not used",
                taken.id
            )));
        }
        Ok((application, id, record.modified))
    }

    /// The member that the others find at this address, however either is written.
    async fn member_at(&self, address: &str) -> Option<Member> {
        let address = Spelt::of(address).await;
        let members = self.cluster.members();
        let theirs = join_all(members.iter().map(|member| Spelt::of(&member.address))).await;
        let mut all = members.into_iter().zip(theirs);
        all.find(|(_, theirs)| theirs.is_same(&address))
            .map(|(member, _)| member)
    }

    /// Somebody tried a token that lets nobody in. A stranger's own words are not repeated.
    fn tell_of_guess(&self, from: IpAddr, application: &Bytes) {
        let application = pb::Application::decode(application.clone()).unwrap_or_default();
        let id = application.token.parse::<TokenId>().ok();
        let known = id.filter(|id| {
            let there = MapView::new(&self.cluster.local()).token(id);
            there.is_ok_and(|there| there.is_some())
        });
        let how = match known {
            Some(id) => format!("with token {id} and a wrong secret, or too late"),
            None => "with a token that is not known here, or is used up".to_owned(),
        };
        self.refusals.tell_guess(self.cluster.id(), from, &how);
    }

    /// Uses the token up; of two that try, one is refused.
    async fn spend(&self, id: TokenId, expect: Revision) -> Result<(), Turned> {
        let proposed = self
            .cluster
            .propose(by_node(&self.cluster, Command::UseToken { id, expect }))
            .await;
        // Whether it was used is not known: the one who has it asks again, and sees.
        let proposed = proposed.map_err(|error| Turned::Later(error.to_string()))?;
        match proposed.reply {
            Reply::Refused(_) => Err(Turned::Away(format!("the token was used already; {REMEDY}"))),
            _ => Ok(()),
        }
    }
}

/// Whether whoever has this secret may come in by the token, at this time in seconds since 1970. Whether a token is there and only the
/// secret is wrong is not said.
fn lets_in(token: &Token, secret: &str, now_unix: u64) -> Result<(), &'static str> {
    if token.role != Role::Node || !token.one_use || !same(&token.secret_hash, &JoinToken::hash(secret)) {
        return Err(UNKNOWN);
    }
    if token.expires_at_unix <= now_unix {
        return Err(EXPIRED);
    }
    Ok(())
}

fn sign(source: &Source, name: NodeName, claims: &Claims, public_key: &str) -> Result<String, String> {
    let signer = source.signer(name.cluster).map_err(|error| error.to_string())?;
    let signer = signer.ok_or_else(|| "this node has not got the authority's key".to_owned())?;
    let signing = Signing {
        name,
        hosts: &claims.hosts_of(name.node),
        lifetime: lifetime::DEFAULT,
    };
    signer.sign(public_key, &signing).map_err(|error| error.to_string())
}

/// A member's new certificate, for itself and nobody else.
pub(crate) fn answer_certificate(
    cluster: &Cluster<FederationMap>,
    source: Option<&Source>,
    from: NodeId,
    public_key: &str,
) -> Result<String, String> {
    let source = source.ok_or_else(|| "this node uses no certificates".to_owned())?;
    if !cluster.members().iter().any(|member| member.id == from) {
        return Err(format!("node {from} is no member"));
    }
    let name = NodeName {
        cluster: cluster.identity().cluster,
        node: from,
    };
    sign(source, name, &Claims::of_members(cluster), public_key)
}

/// The authority's key, for those that vote: they decide about everything already, and the authority must not be lost with one node.
pub(crate) fn answer_authority_key(
    cluster: &Cluster<FederationMap>,
    source: Option<&Source>,
    from: NodeId,
) -> Result<String, String> {
    let Some(Source::BuiltIn(folder)) = source else {
        return Err("this node uses no authority of its own".to_owned());
    };
    let votes = |part: Part| part != Part::Learner;
    if !cluster
        .members()
        .iter()
        .any(|member| member.id == from && votes(member.role))
    {
        return Err(format!(
            "node {from} does not vote: only voters have the authority's key"
        ));
    }
    read_secret(&folder.authority_key()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lets_in_whoever_has_its_secret_until_it_expires_and_no_other_token_does() {
        let token = Token {
            id: "abc".parse().unwrap(),
            name: "join".to_owned(),
            role: Role::Node,
            secret_hash: JoinToken::hash("secret"),
            expires_at_unix: 1_000,
            one_use: true,
            node: None,
        };
        assert_eq!(lets_in(&token, "secret", 999), Ok(()));
        assert_eq!(lets_in(&token, "secret", 1_000), Err(EXPIRED));
        for guess in ["", "secret ", "other"] {
            assert_eq!(lets_in(&token, guess, 1), Err(UNKNOWN));
            assert_eq!(lets_in(&token, guess, 2_000), Err(UNKNOWN), "nor that it has expired");
        }
        let admin = Token {
            role: Role::Admin,
            ..token.clone()
        };
        let lasting = Token {
            one_use: false,
            ..token
        };
        assert_eq!(lets_in(&admin, "secret", 1), Err(UNKNOWN));
        assert_eq!(lets_in(&lasting, "secret", 1), Err(UNKNOWN));
    }
}
