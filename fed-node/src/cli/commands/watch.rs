//! `watch`: changes as they happen.

use fed_proto::client as pb;
use pb::watch_item::What;
use serde::Serialize;

use crate::cli::args::{Output, WatchArgs};
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::{emit, print_line};
use crate::cli::views::BindingView;
use crate::explain::Code;
use crate::talk;

#[derive(Serialize)]
struct EventView {
    revision: u64,
    event: String,
    object: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding: Option<BindingView>,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

pub(super) async fn watch(client: &Client, args: &WatchArgs, output: Output) -> Outcome {
    let stream = client.api.clone().watch(pb::WatchRequest { after: args.after }).await;
    let mut stream = stream.map_err(Failure::of_read)?.into_inner();
    talk!("watching at {}; end with Ctrl-C", client.address);
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut last = args.after.unwrap_or_default();
    while let Some(item) = stream.message().await.map_err(Failure::of_read)? {
        let events = match item.what {
            Some(What::Events(events)) => events,
            Some(What::Progress(revision)) => {
                last = last.max(revision);
                continue;
            }
            Some(What::Compacted(oldest)) => {
                let text = format!(
                    "the changes after revision {last} are no longer kept; list what there is, then watch from revision {oldest} or later"
                );
                return Err(Failure::new(Exit::Refused, text).coded(Code::WatchEnded));
            }
            None => continue,
        };
        last = events.revision;
        // A revision is shown whole: whoever goes on after it has missed nothing.
        left = left.saturating_sub(events.events.len() as u64);
        for event in events.events {
            show(event, events.revision, output)?;
        }
        if left == 0 {
            return Ok(());
        }
    }
    let text = format!("the node ended the watch (it is stopping); go on at another with --server and --after {last}");
    Err(Failure::new(Exit::Unavailable, text).coded(Code::WatchEnded))
}

fn show(event: pb::Event, revision: u64, output: Output) -> Outcome {
    let binding: Option<BindingView> = event.binding.map(Into::into);
    match output {
        Output::Json => print_line(&EventView {
            revision,
            event: event.kind,
            object: event.object,
            binding,
            why: event.why,
        }),
        Output::Table => {
            let what = event.kind.replace('_', " ");
            let detail = binding.map_or(event.object, |binding| binding.line());
            let why = if event.why.is_empty() {
                String::new()
            } else {
                format!(" ({})", event.why.replace('_', " "))
            };
            emit(&format!("{revision:>8}  {what:<16}  {detail}{why}"))
        }
    }
}
