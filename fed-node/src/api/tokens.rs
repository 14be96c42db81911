//! `CreateToken`, `ListTokens`, `RevokeToken`.

use fed_core::command::{Command, Expect};
use fed_core::ids::{NodeId, Revision, TokenId};
use fed_core::records::{Role, Token};
use fed_proto::client as pb;

use super::convert::BadRequest;
use super::door::now_unix;
use super::write::parse;
use crate::security::TokenText;

/// Seconds that a token may live: a minute to ten years.
const TTL: std::ops::RangeInclusive<u64> = 60..=315_360_000;

/// Whether such a token could be made, for a dry run.
///
/// # Errors
/// What is wrong with it, as a node would say it.
pub(crate) fn check_token(asked: pb::CreateTokenRequest) -> Result<(), String> {
    let (_, token, _) = create(asked).map_err(|error| error.to_string())?;
    token.validate().map_err(|refusal| refusal.to_string())
}

/// A new token and the command that makes it.
pub(super) fn create(asked: pb::CreateTokenRequest) -> Result<(TokenText, Token, Command), BadRequest> {
    let bad = |field, why: String| BadRequest::field("token", field, why);
    let role = Role::named(&asked.role).filter(|role| *role != Role::Node);
    let role = role.ok_or_else(|| {
        let why =
            "must be \"reader\", \"registrar\", \"operator\" or \"admin\"; nodes join with a token of their own kind";
        bad("role", why.to_owned())
    })?;
    if !TTL.contains(&asked.ttl_s) {
        return Err(bad("ttl_s", "must be 60 seconds to ten years".to_owned()));
    }
    let text = TokenText::random();
    let token = Token {
        id: text.id.clone(),
        name: asked.name,
        role,
        secret_hash: text.secret.hash(),
        expires_at_unix: now_unix() + asked.ttl_s,
        one_use: false,
        node: Some(asked.node).filter(|node| *node != 0).map(NodeId),
    };
    token.check()?;
    let command = Command::PutToken {
        token: token.clone(),
        expect: Expect::Absent,
    };
    Ok((text, token, command))
}

/// The answer to whoever made it: the only time that the secret is shown.
pub(super) fn created(text: &TokenText, token: Token, revision: Revision) -> pb::CreateTokenReply {
    pb::CreateTokenReply {
        token: Some(shown(token)),
        text: text.reveal(),
        revision: revision.0,
    }
}

pub(super) fn revoke(asked: &pb::GetRequest) -> Result<Command, BadRequest> {
    let id: TokenId = parse("token", &asked.id)?;
    Ok(Command::RevokeToken { id })
}

/// What may be said of a token.
pub(super) fn shown(token: Token) -> pb::Token {
    pb::Token {
        id: token.id.into(),
        name: token.name,
        role: token.role.name().to_owned(),
        expires_at_unix: token.expires_at_unix,
        one_use: token.one_use,
        node: token.node.map_or(0, |node| node.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> pb::CreateTokenRequest {
        pb::CreateTokenRequest {
            name: "billing".to_owned(),
            role: "reader".to_owned(),
            ttl_s: 3_600,
            node: 0,
        }
    }

    #[test]
    fn the_secret_is_shown_once_and_the_map_gets_its_hash() {
        let (text, token, command) = create(asked()).unwrap();
        let reply = created(&text, token.clone(), Revision(7));
        assert_eq!(TokenText::parse(&reply.text).unwrap().secret.hash(), token.secret_hash);
        let secret = reply.text.rsplit('.').next().unwrap().to_owned();
        assert!(!format!("{command:?} {:?}", reply.token).contains(&secret));
    }

    #[test]
    fn the_name_of_a_token_is_read_as_it_stands() {
        let name = "billing\u{2067}".to_owned();
        let error = create(pb::CreateTokenRequest { name, ..asked() })
            .unwrap_err()
            .to_string();
        assert!(error.contains("name of token") && error.contains("U+2066"), "{error}");
    }

    #[test]
    fn roles_and_times_that_there_are_not_are_refused() {
        for role in ["", "root", "node", "Admin"] {
            let role = role.to_owned();
            assert!(create(pb::CreateTokenRequest { role, ..asked() }).is_err());
        }
        for ttl_s in [0, 59, 315_360_001, u64::MAX] {
            assert!(create(pb::CreateTokenRequest { ttl_s, ..asked() }).is_err());
        }
    }
}
