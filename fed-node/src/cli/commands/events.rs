//! `events`: what a node saw happen.

use std::time::Duration;

use fed_proto::client as pb;
use serde::Serialize;

use super::node::id_of;
use crate::cli::args::{EventsArgs, Output};
use crate::cli::client::Client;
use crate::cli::clock;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::{emit, print_line};
use crate::explain::Code;

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EventView {
    sequence: u64,
    at_unix_s: u64,
    at: String,
    event: String,
    subject: String,
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

pub(super) async fn events(client: &Client, args: &EventsArgs, output: Output) -> Outcome {
    let request = pb::EventsRequest {
        node: id_of(client, args.node.as_deref()).await?,
        follow: args.follow,
        last: args.last.unwrap_or(0),
    };
    let stream = client.operations.clone().events(request).await;
    let mut stream = stream.map_err(Failure::of_read)?.into_inner();
    let mut left = args.count.unwrap_or(u64::MAX);
    while let Some(happening) = stream.message().await.map_err(Failure::of_read)? {
        let event = EventView::from(happening);
        match output {
            Output::Json => print_line(&event)?,
            Output::Table => emit(&event.line())?,
        }
        left -= 1;
        if left == 0 {
            return Ok(());
        }
    }
    ended(args.follow)
}

/// A stream that was to be followed ended by itself.
pub(super) fn ended(follow: bool) -> Outcome {
    if follow {
        let text = "the node ended it (it is stopping); go on at another with --server";
        return Err(Failure::new(Exit::Unavailable, text).coded(Code::WatchEnded));
    }
    Ok(())
}

impl From<pb::Happening> for EventView {
    fn from(happening: pb::Happening) -> Self {
        let at = clock::ago(Duration::from_millis(happening.ago_ms));
        Self {
            sequence: happening.sequence,
            at_unix_s: clock::unix_seconds(at),
            at: clock::stamp(at),
            event: happening.kind,
            subject: happening.subject,
            text: happening.text,
            why: happening.why,
        }
    }
}

impl EventView {
    /// For people.
    pub(crate) fn line(&self) -> String {
        let why = if self.why.is_empty() {
            String::new()
        } else {
            format!(": {}", self.why)
        };
        format!("{}  {:<13}  {}{why}", self.at, self.event.replace('_', " "), self.text)
    }
}
