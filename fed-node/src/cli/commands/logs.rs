//! `logs`: a node's own last log lines.

use std::time::Duration;

use fed_proto::client as pb;
use serde::Serialize;

use super::events::ended;
use super::node::id_of;
use crate::cli::args::{LogsArgs, Output};
use crate::cli::client::Client;
use crate::cli::clock;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::{emit, print_line};

/// One log line.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LineView {
    sequence: u64,
    at_unix_s: u64,
    at: String,
    level: String,
    target: String,
    text: String,
}

pub(super) async fn logs(client: &Client, args: &LogsArgs, output: Output) -> Outcome {
    let request = pb::LogsRequest {
        node: id_of(client, args.node.as_deref()).await?,
        follow: args.follow,
        last: args.last.unwrap_or(0),
        level: args.level.name().to_owned(),
    };
    let stream = client.operations.clone().logs(request).await;
    let mut stream = stream.map_err(Failure::of_read)?.into_inner();
    while let Some(line) = stream.message().await.map_err(Failure::of_read)? {
        let line = LineView::from(line);
        match output {
            Output::Json => print_line(&line)?,
            Output::Table => emit(&line.line())?,
        }
    }
    ended(args.follow)
}

impl From<pb::LogLine> for LineView {
    fn from(line: pb::LogLine) -> Self {
        let at = clock::ago(Duration::from_millis(line.ago_ms));
        Self {
            sequence: line.sequence,
            at_unix_s: clock::unix_seconds(at),
            at: clock::stamp(at),
            level: line.level,
            target: line.target,
            text: line.text,
        }
    }
}

impl LineView {
    /// For people; what could steer a terminal is escaped.
    pub(super) fn line(&self) -> String {
        let text: String = self
            .text
            .chars()
            .flat_map(|c| {
                let escaped = c.is_control().then(|| c.escape_default().collect::<String>());
                escaped.unwrap_or_else(|| c.to_string()).chars().collect::<Vec<_>>()
            })
            .collect();
        format!("{}  {:<5}  {text}", self.at, self.level.to_uppercase())
    }
}
