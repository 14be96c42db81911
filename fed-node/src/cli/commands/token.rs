//! `token create|join|list|revoke`.

use fed_proto::client as pb;
use serde::Serialize;

use super::invitation;
use super::node::named;
use crate::api::check_token;
use crate::cli::args::{TokenCommand, TokenCreateArgs};
use crate::cli::change::{Intent, tell, tell_made};
use crate::cli::client::Client;
use crate::cli::clock;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::{Show, print, table};
use crate::cli::pages;
use crate::cli::views::Done;
use crate::explain::Code;
use crate::talk;

pub(super) async fn token(client: &Client, command: TokenCommand, intent: Intent) -> Outcome {
    let output = intent.output;
    match command {
        TokenCommand::Create(args) => create(client, args, intent).await,
        TokenCommand::Join { ttl } => invitation::join(client, ttl.0, intent).await,
        TokenCommand::List => {
            let tokens = all_tokens(client).await?;
            print(output, &Tokens(tokens.into_iter().map(Into::into).collect()))
        }
        TokenCommand::Revoke { id } => {
            if intent.dry_run {
                // What is not there is refused as it would be.
                let there = all_tokens(client).await?.into_iter().any(|token| token.id == id);
                let change = pb::WouldChange {
                    object: format!("token {id}"),
                    kind: "deleted".to_owned(),
                    fields: Vec::new(),
                };
                return if there {
                    tell(output, vec![change])
                } else {
                    Err(no_token(&id))
                };
            }
            // Never asked: whoever revokes a token that was stolen is in a hurry, and another one is made in a moment.
            let request = pb::GetRequest {
                id: id.clone(),
                ..pb::GetRequest::default()
            };
            let reply = client.api.clone().revoke_token(request).await?.into_inner();
            print(
                output,
                &Done {
                    text: format!("token {id} revoked"),
                    revision: reply.revision,
                },
            )
        }
    }
}

async fn create(client: &Client, args: TokenCreateArgs, intent: Intent) -> Outcome {
    let node = match &args.node {
        Some(node) => named(client, node).await?.node.unwrap_or_default().id,
        None => 0,
    };
    let request = pb::CreateTokenRequest {
        name: args.name.clone(),
        role: args.role.clone(),
        ttl_s: args.ttl.0,
        node,
    };
    if intent.dry_run {
        check_token(request).map_err(|why| Failure::usage(why).coded(Code::Malformed))?;
        // Whoever may not look at tokens may not make one either.
        all_tokens(client).await?;
        let fields = vec![
            ("name", args.name),
            ("role", args.role),
            ("node", args.node.unwrap_or_else(|| "every".to_owned())),
            ("expires", span(args.ttl.0)),
        ];
        return tell_made(intent.output, "a token".to_owned(), fields);
    }
    let reply = client.api.clone().create_token(request).await?.into_inner();
    let made = Made {
        token: reply.text,
        id: reply.token.as_ref().map(|token| token.id.clone()).unwrap_or_default(),
        expires_at_unix: reply.token.map_or(0, |token| token.expires_at_unix),
        revision: reply.revision,
    };
    talk!(
        "token {}: keep the line below in a file that only its user can read (--token-file); nobody can show it again",
        made.id
    );
    print(intent.output, &made)
}

fn no_token(id: &str) -> Failure {
    let text = format!("token {id} does not exist: `fed-node token list` shows those that there are");
    Failure::new(Exit::NotFound, text)
}

async fn all_tokens(client: &Client) -> Outcome<Vec<pb::Token>> {
    let request = pb::ListRequest::default();
    pages::all(client, request, |mut api, request| async move {
        api.list_tokens(request).await
    })
    .await
}

/// A time to live: `90d`, `12h`, `30m` or seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(pub u64);

impl std::str::FromStr for Ttl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = match text.strip_suffix(['d', 'h', 'm', 's']) {
            Some(number) => (number, &text[number.len()..]),
            None => (text, "s"),
        };
        let factor = match unit {
            "d" => 86_400,
            "h" => 3_600,
            "m" => 60,
            _ => 1,
        };
        let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        let seconds = seconds.filter(|seconds| (60..=315_360_000).contains(seconds));
        seconds
            .map(Self)
            .ok_or_else(|| "write a time such as 30m, 12h or 90d, from one minute to ten years".to_owned())
    }
}

#[derive(Debug, Serialize)]
struct Made {
    token: String,
    id: String,
    expires_at_unix: u64,
    revision: u64,
}

impl Show for Made {
    fn text(&self) -> String {
        self.token.clone()
    }
}

#[derive(Debug, Serialize)]
struct TokenView {
    id: String,
    name: String,
    role: String,
    node: Option<u64>,
    one_use: bool,
    expires_at_unix: u64,
    expires_in_s: Option<u64>,
}

impl From<pb::Token> for TokenView {
    fn from(token: pb::Token) -> Self {
        let now = clock::unix_now();
        Self {
            id: token.id,
            name: token.name,
            role: token.role,
            node: Some(token.node).filter(|node| *node != 0),
            one_use: token.one_use,
            expires_at_unix: token.expires_at_unix,
            expires_in_s: token.expires_at_unix.checked_sub(now).filter(|left| *left > 0),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Tokens(Vec<TokenView>);

impl Show for Tokens {
    fn text(&self) -> String {
        table(
            ["TOKEN", "ROLE", "NODE", "EXPIRES", "NAME"],
            self.0.iter().map(|token| {
                [
                    token.id.clone(),
                    token.role.clone(),
                    token.node.map_or_else(|| "every".to_owned(), |node| node.to_string()),
                    token.expires_in_s.map_or_else(|| "has expired".to_owned(), span),
                    token.name.clone(),
                ]
            }),
        )
    }
}

/// A span of time in its largest unit.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("in {seconds} s"),
        120..7_200 => format!("in {} min", seconds / 60),
        7_200..172_800 => format!("in {} h", seconds / 3_600),
        _ => format!("in {} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live_have_units_and_bounds() {
        for (text, seconds) in [
            ("90d", 7_776_000),
            ("12h", 43_200),
            ("30m", 1_800),
            ("60", 60),
            ("3650d", 315_360_000),
        ] {
            assert_eq!(text.parse(), Ok(Ttl(seconds)), "{text}");
        }
        for bad in ["", "d", "59", "1x", "3651d", "-1d", "99999999999999999999d", "1.5h"] {
            assert!(bad.parse::<Ttl>().is_err(), "{bad}");
        }
        assert_eq!(span(90), "in 90 s");
        assert_eq!(span(7_776_000), "in 90 days");
    }
}
