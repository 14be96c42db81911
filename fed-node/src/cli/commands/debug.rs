//! `debug bundle`: what somebody who helps from afar wants to see, in one file. No secret is in it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fed_proto::client as pb;
use fed_raft::security::Connector;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::codegen::Service;

use super::events::EventView;
use super::logs::LineView;
use super::status::StatusView;
use crate::address::Address;
use crate::cli::access::Access;
use crate::cli::args::BundleArgs;
use crate::cli::change::{Intent, tell_made};
use crate::cli::client::Client;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::{Show, print};
use crate::cli::{clock, default_server};
use crate::config::{self, Config};
use crate::doctor;
use crate::explain::Code;
use crate::talk;

/// Longest wait for one part.
const WITHIN: Duration = Duration::from_secs(30);
/// Most of the metrics page, in bytes.
const LARGEST_PAGE: u64 = 4 << 20;

/// The parts, and what could not be had.
#[derive(Default)]
struct Bundle {
    parts: Vec<(String, String)>,
    missing: Vec<String>,
}

pub(super) async fn bundle(config: Option<&Path>, access: &Access, args: &BundleArgs, intent: Intent) -> Outcome {
    let file = args.file.clone().unwrap_or_else(default_name);
    if intent.dry_run {
        return tell_made(intent.output, format!("file {}", file.display()), Vec::new());
    }
    let mut bundle = Bundle::default();
    let doctor = doctor::examine(config, &args.flags, access).await;
    bundle.add("doctor.txt", doctor.text());
    bundle.add_json("doctor.json", &doctor);
    bundle.add("config.txt", config::effective(config, environment(), &args.flags));
    let loaded = config::load(config, &args.flags);
    let connected = access.client(loaded.as_ref().ok()).await;
    match connected {
        Ok(client) => bundle.ask(&client).await,
        Err(failure) => bundle.missing.push(format!("the node: {failure}")),
    }
    if let Ok(config) = &loaded
        && let Some(listen) = &config.metrics.listen
    {
        match tokio::time::timeout(WITHIN, metrics(listen, access, config)).await {
            Ok(Ok(page)) => bundle.add("metrics.txt", page),
            Ok(Err(error)) => bundle.missing.push(format!("metrics at {listen}: {error}")),
            Err(_) => bundle.missing.push(format!("metrics at {listen}: no answer in time")),
        }
    }
    let bytes = bundle.write(&file).map_err(|error| {
        let text = format!("{}: {error}; choose another with --file", file.display());
        Failure::usage(text).coded(Code::FolderUnusable)
    })?;
    for missing in &bundle.missing {
        talk!("not in it: {missing}");
    }
    let missing = bundle.missing;
    print(intent.output, &Written { file, bytes, missing })
}

/// A bundle that was written.
#[derive(Serialize)]
struct Written {
    file: PathBuf,
    bytes: u64,
    /// What is not in it, and why.
    missing: Vec<String>,
}

impl Show for Written {
    fn text(&self) -> String {
        self.file.display().to_string()
    }
}

fn default_name() -> PathBuf {
    PathBuf::from(format!(
        "fed-node-bundle-{}.tar.gz",
        clock::unix_seconds(SystemTime::now())
    ))
}

fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

impl Bundle {
    fn add(&mut self, name: &str, text: String) {
        self.parts.push((name.to_owned(), text));
    }

    fn add_json(&mut self, name: &str, data: &impl serde::Serialize) {
        match serde_json::to_string_pretty(data) {
            Ok(json) => self.add(name, json),
            Err(error) => self.missing.push(format!("{name}: {error}")),
        }
    }

    /// What the node says, and through it the others.
    async fn ask(&mut self, client: &Client) {
        match client.api.clone().status(pb::StatusRequest {}).await {
            Ok(reply) => {
                let reply = reply.into_inner();
                let members: Vec<(u64, String)> = reply.members.iter().map(|m| (m.id, m.name.clone())).collect();
                let status = StatusView::from(reply);
                self.add("status.txt", status.text());
                self.add_json("status.json", &status);
                for (id, name) in members {
                    let name = if name.is_empty() { format!("node-{id}") } else { name };
                    self.ask_node(client, id, &name).await;
                }
            }
            Err(status) => self.missing.push(format!("status: {}", Failure::of_read(status))),
        }
    }

    async fn ask_node(&mut self, client: &Client, node: u64, name: &str) {
        match tokio::time::timeout(WITHIN, events(client, node)).await {
            Ok(Ok(text)) => self.add(&format!("events-{name}.txt"), text),
            Ok(Err(failure)) => self.missing.push(format!("events of {name}: {failure}")),
            Err(_) => self.missing.push(format!("events of {name}: no answer in time")),
        }
        match tokio::time::timeout(WITHIN, logs(client, node)).await {
            Ok(Ok(text)) => self.add(&format!("logs-{name}.txt"), text),
            Ok(Err(failure)) => self.missing.push(format!("log of {name}: {failure}")),
            Err(_) => self.missing.push(format!("log of {name}: no answer in time")),
        }
    }

    /// A new file that only its owner may read; how large it is.
    fn write(&mut self, file: &Path) -> std::io::Result<u64> {
        let missing = self.missing.join("\n");
        self.add("missing.txt", missing);
        let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        let written = self.pack(target);
        if written.is_err() {
            // A part of it is of no use, and would be in the way of the next try. Why it could not be written is what is said.
            let _ = std::fs::remove_file(file);
        }
        written
    }

    fn pack(&self, target: File) -> std::io::Result<u64> {
        let mut packed = GzEncoder::new(target, Compression::default());
        let mut archive = tar::Builder::new(&mut packed);
        for (name, text) in &self.parts {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(clock::unix_seconds(SystemTime::now()));
            archive.append_data(&mut header, format!("fed-node-bundle/{name}"), text.as_bytes())?;
        }
        archive.finish()?;
        drop(archive);
        let mut target = packed.finish()?;
        target.flush()?;
        target.sync_all()?;
        Ok(target.metadata()?.len())
    }
}

async fn events(client: &Client, node: u64) -> Outcome<String> {
    let request = pb::EventsRequest {
        node,
        ..pb::EventsRequest::default()
    };
    let stream = client.operations.clone().events(request).await;
    let mut stream = stream.map_err(Failure::of_read)?.into_inner();
    let mut text = String::new();
    while let Some(happening) = stream.message().await.map_err(Failure::of_read)? {
        text.push_str(&EventView::from(happening).line());
        text.push('\n');
    }
    Ok(text)
}

async fn logs(client: &Client, node: u64) -> Outcome<String> {
    let request = pb::LogsRequest {
        node,
        ..pb::LogsRequest::default()
    };
    let stream = client.operations.clone().logs(request).await;
    let mut stream = stream.map_err(Failure::of_read)?.into_inner();
    let mut text = String::new();
    while let Some(line) = stream.message().await.map_err(Failure::of_read)? {
        text.push_str(&LineView::from(line).line());
        text.push('\n');
    }
    Ok(text)
}

/// The page of metrics, as the server gives it over HTTP; off loopback over HTTPS.
async fn metrics(listen: &Address, access: &Access, config: &Config) -> Outcome<String> {
    let address = default_server(listen.clone());
    let mut connector = if listen.is_loopback() {
        Connector::plain()
    } else {
        Connector::tls(access.trust(&address, Some(config))?.over(b"http/1.1"))?
    };
    let uri = format!("http://{address}").parse().map_err(Failure::failed)?;
    let mut stream = connector.call(uri).await?.into_inner();
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // Some servers end TLS without a word.
    match stream.take(LARGEST_PAGE).read_to_end(&mut answer).await {
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => return Err(error.into()),
        _ => {}
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Ok(answer
        .split_once("\r\n\r\n")
        .map_or(String::new(), |(_, body)| body.to_owned()))
}
