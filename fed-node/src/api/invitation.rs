//! Join tokens: made here, kept by the federation as a hash.

use std::time::Duration;

use data_encoding::HEXLOWER;
use fed_core::command::{Command, Expect};
use fed_core::ids::TokenId;
use fed_core::records::{Role, Token};
use fed_proto::client as pb;
use fed_raft::security::fingerprint;
use tokio::time::Instant;
use tonic::Status;

use super::door::now_unix;
use super::node::NodeView;
use super::write;
use crate::config::Secret;
use crate::explain::{self, Code};
use crate::security::JoinToken;

/// How long a token holds when nothing else was asked for, in seconds.
const TTL: u64 = 3600;
/// Seconds that it may hold: a minute to a week.
const TTLS: std::ops::RangeInclusive<u64> = 60..=7 * 24 * 3600;

/// Whether a join token may hold so long, in seconds.
///
/// # Errors
/// The rule.
pub(crate) fn check_join_ttl(ttl: u64) -> Result<(), String> {
    if TTLS.contains(&ttl) {
        return Ok(());
    }
    Err(format!(
        "a join token holds for a minute to a week, not for {ttl} seconds"
    ))
}

/// Longest wait for this node to be let in itself, and how often it is looked.
const LET_IN_WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// A new token that lets one node in, over this one, and the command that makes it.
pub(super) async fn create(
    node: &NodeView,
    asked: &pb::CreateJoinTokenRequest,
) -> Result<(JoinToken, Token, Command), Status> {
    let ttl = if asked.ttl_s == 0 { TTL } else { asked.ttl_s };
    check_join_ttl(ttl).map_err(Status::invalid_argument)?;
    let Some(source) = &node.certificates else {
        let text = "this federation runs with security.plaintext, on one machine: whoever reaches a node joins it, `fed-node join HOST:PORT`";
        return Err(Status::failed_precondition(text));
    };
    let unreadable = |error: &dyn std::fmt::Display| {
        explain::attach(
            Status::failed_precondition(error.to_string()),
            Code::CertificateUnusable,
        )
    };
    let authority = source.authority_pem().map_err(|error| unreadable(&error))?;
    let authority = fingerprint(&authority).map_err(|error| unreadable(&error))?;
    let id: TokenId = write::parse("token", &HEXLOWER.encode(&rand::random::<[u8; 8]>()))?;
    let text = JoinToken {
        address: own_address(node).await?.parse().map_err(|error| unreadable(&error))?,
        node: node.cluster.identity().name(),
        authority,
        id: id.clone(),
        secret: Secret::new(HEXLOWER.encode(&rand::random::<[u8; 32]>())),
    };
    let token = Token {
        id,
        name: "join".to_owned(),
        role: Role::Node,
        secret_hash: JoinToken::hash(text.secret.reveal()),
        expires_at_unix: now_unix() + ttl,
        one_use: true,
        node: None,
    };
    let command = Command::PutToken {
        token: token.clone(),
        expect: Expect::Absent,
    };
    Ok((text, token, command))
}

/// Where the others find this node. One that has just joined is let in a moment later.
async fn own_address(node: &NodeView) -> Result<String, Status> {
    let deadline = Instant::now() + LET_IN_WITHIN;
    loop {
        let members = node.cluster.members();
        let own = members.into_iter().find(|member| member.id == node.cluster.id());
        match own {
            Some(own) => return Ok(own.address),
            None if Instant::now() > deadline => {
                return Err(Status::unavailable("this node is not let into the federation yet"));
            }
            None => tokio::time::sleep(PAUSE).await,
        }
    }
}
