//! `token join`.

use fed_proto::client as pb;
use serde::Serialize;

use crate::api::check_join_ttl;
use crate::cli::change::{Intent, tell_made};
use crate::cli::client::Client;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::{Show, print};
use crate::explain::Code;
use crate::talk;

#[derive(Serialize)]
struct Invitation {
    token: String,
    expires_at_unix: u64,
}

impl Show for Invitation {
    fn text(&self) -> String {
        self.token.clone()
    }
}

/// Prints the token alone, so that it can be handed on by a script; how to use it is said beside it.
pub(super) async fn join(client: &Client, ttl_s: u64, intent: Intent) -> Outcome {
    if intent.dry_run {
        check_join_ttl(ttl_s).map_err(|why| Failure::usage(why).coded(Code::Malformed))?;
        let fields = vec![("within", format!("{} minutes", ttl_s / 60))];
        return tell_made(intent.output, "a token that lets one node in".to_owned(), fields);
    }
    let request = pb::CreateJoinTokenRequest { ttl_s };
    let reply = client.api.clone().create_join_token(request).await?.into_inner();
    talk!(
        "lets one node in, once, within {} minutes: there, `fed-node join TOKEN`; whoever reads it can join instead",
        ttl_s / 60
    );
    print(
        intent.output,
        &Invitation {
            token: reply.text,
            expires_at_unix: reply.expires_at_unix,
        },
    )
}
