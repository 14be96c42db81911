//! `top`: the federation live on one page of the terminal; elsewhere one page of text.

mod page;

use std::time::{Duration, Instant};

use console::{Key, Term};
use fed_proto::client as pb;
use serde::Serialize;

use super::events::EventView;
use super::status::StatusView;
use crate::cli::args::{Output, TopArgs};
use crate::cli::client::Client;
use crate::cli::colour;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::{Show, print};

/// Events that are asked for; the page shows as many as fit.
const EVENTS: u32 = 50;
/// Longest wait for all that is on a page.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Where there is no terminal.
const WIDTH: usize = 120;
const HEIGHT: usize = 40;

/// One look at the federation.
#[derive(Debug, Serialize)]
struct Look {
    status: StatusView,
    nodes: Vec<NodeLook>,
    /// Changes of the map a second since the look before; none at the first.
    changes_per_s: Option<f64>,
    events: Vec<EventView>,
}

/// One node as it says itself.
#[derive(Debug, Clone, Default, Serialize)]
struct NodeLook {
    name: String,
    state: String,
    role: String,
    version: String,
    asterisk: String,
    behind: Option<i64>,
    revision: u64,
    queued: u64,
    resident_mib: u64,
    uptime_s: u64,
    leaders_last_hour: u32,
    /// Why it says nothing.
    why: String,
}

pub(super) async fn top(client: &Client, args: &TopArgs, output: Output) -> Outcome {
    let terminal = Term::stdout();
    if args.once || output == Output::Json || !terminal.is_term() {
        return print(output, &look(client, None).await?);
    }
    let screen = Screen::open(terminal)?;
    let shown = live(client, args, &screen).await;
    drop(screen);
    shown
}

/// Shows one look after the other until `q`, Escape or Ctrl-C, also while the node does not answer.
async fn live(client: &Client, args: &TopArgs, screen: &Screen) -> Outcome {
    let keys = keys(screen.terminal.clone());
    let ended = async {
        tokio::select! {
            _ = keys => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    tokio::pin!(ended);
    let mut before = None;
    loop {
        let at = Instant::now();
        let looked = tokio::select! {
            looked = tokio::time::timeout(ANSWER_WITHIN, look(client, before)) => looked.unwrap_or_else(|_| Err(silent(client))),
            () = &mut ended => return Ok(()),
        };
        let (height, width) = screen.terminal.size();
        let lines: Vec<String> = match &looked {
            Ok(look) => {
                before = Some((at, look.status.revision()));
                let lines = page::page(look, width.into(), height.into());
                // What escapes do takes no room.
                lines.iter().map(|line| colour::shown(line)).collect()
            }
            Err(failure) => {
                let words = [failure.to_string(), "trying again; q ends".to_owned()];
                words
                    .iter()
                    .flat_map(|words| page::wrapped(words, width.into()))
                    .collect()
            }
        };
        screen.show(&lines)?;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.every)) => {}
            () = &mut ended => return Ok(()),
        }
    }
}

/// A page that stands still would pass the past off as the present.
fn silent(client: &Client) -> Failure {
    let seconds = ANSWER_WITHIN.as_secs();
    Failure::new(
        Exit::Unavailable,
        format!("no answer from {} in {seconds} s", client.address),
    )
}

/// Ends when somebody wants to leave. The thread that reads keys ends with the program.
fn keys(terminal: Term) -> tokio::sync::oneshot::Receiver<()> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        while !matches!(terminal.read_key(), Ok(Key::Char('q' | 'Q') | Key::Escape) | Err(_)) {}
        // Nobody waits any more when the program is ending.
        let _ = sender.send(());
    });
    receiver
}

/// The terminal's second page; the first one comes back when it is dropped.
struct Screen {
    terminal: Term,
}

impl Screen {
    fn open(terminal: Term) -> Outcome<Self> {
        terminal.write_str("\x1b[?1049h")?;
        terminal.hide_cursor()?;
        Ok(Self { terminal })
    }

    fn show(&self, lines: &[String]) -> Outcome {
        // Each line clears its own rest: nothing flickers.
        let text: String = lines.join("\x1b[K\r\n");
        self.terminal.write_str(&format!("\x1b[H{text}\x1b[K\x1b[J"))?;
        Ok(self.terminal.flush()?)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = self.terminal.show_cursor();
        let _ = self.terminal.write_str("\x1b[?1049l");
    }
}

async fn look(client: &Client, before: Option<(Instant, u64)>) -> Outcome<Look> {
    let at = Instant::now();
    let (mut api, mut operations) = (client.api.clone(), client.operations.clone());
    let (status, nodes) = tokio::join!(api.status(pb::StatusRequest {}), operations.nodes(pb::NodesRequest {}));
    let status = status.map_err(Failure::of_read)?.into_inner();
    let nodes = nodes.map_err(Failure::of_read)?.into_inner().nodes;
    let asked = pb::EventsRequest {
        last: EVENTS,
        ..pb::EventsRequest::default()
    };
    let stream = client.operations.clone().events(asked).await;
    let mut stream = stream.map_err(Failure::of_read)?.into_inner();
    let mut events = Vec::new();
    while let Some(happening) = stream.message().await.map_err(Failure::of_read)? {
        events.push(EventView::from(happening));
    }
    let changes_per_s = before.map(|(then, revision)| {
        let seconds = at.duration_since(then).as_secs_f64().max(0.001);
        status.revision.saturating_sub(revision) as f64 / seconds
    });
    let nodes = nodes.into_iter().map(|answer| node_look(answer, &status)).collect();
    Ok(Look {
        status: StatusView::from(status),
        nodes,
        changes_per_s,
        events,
    })
}

fn node_look(answer: pb::NodeAnswer, status: &pb::StatusReply) -> NodeLook {
    let member = status.members.iter().find(|member| member.id == answer.id).cloned();
    let member = member.unwrap_or_default();
    let about = answer.about.unwrap_or_default();
    let asterisk = about.asterisk.unwrap_or_default();
    NodeLook {
        name: if answer.name.is_empty() {
            format!("node {}", answer.id)
        } else {
            answer.name
        },
        state: member.state,
        role: if answer.id == status.leader {
            "leader".to_owned()
        } else {
            member.role
        },
        version: about.version,
        asterisk: match (asterisk.version.as_str(), asterisk.connected) {
            ("none", _) => "none".to_owned(),
            (version, true) => version.to_owned(),
            (_, false) => "down".to_owned(),
        },
        behind: Some(member.lag).filter(|lag| *lag >= 0),
        revision: about.revision,
        queued: about.queued,
        resident_mib: about.resident_bytes >> 20,
        uptime_s: about.uptime_s,
        leaders_last_hour: about.leaders_last_hour,
        why: answer.why,
    }
}

impl Show for Look {
    const STATES: bool = true;

    fn text(&self) -> String {
        page::page(self, WIDTH, HEIGHT).join("\n")
    }
}
