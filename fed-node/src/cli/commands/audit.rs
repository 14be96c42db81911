//! `audit list|verify`.

use std::str::FromStr;

use fed_core::audit::{Actor, Entry, Hash, Origin, verify};
use fed_core::ids::{NodeId, Revision, TokenId};
use fed_proto::client as pb;
use serde::Serialize;

use crate::cli::args::{AuditCommand, Output};
use crate::cli::client::{Api, Client};
use crate::cli::clock;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::{Show, print, table};

pub(super) async fn audit(client: &Client, command: AuditCommand, output: Output) -> Outcome {
    match command {
        AuditCommand::List { since } => {
            let mut all = Vec::new();
            pages(client, since.unwrap_or(0), |page| {
                all.extend(page.entries.into_iter().map(EntryView::from));
                Ok(())
            })
            .await?;
            print(output, &Entries(all))
        }
        AuditCommand::Verify { from } => check(client, from, output).await,
    }
}

/// A place in the chain that somebody noted: `sequence:hash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    sequence: u64,
    hash: Hash,
}

impl FromStr for Noted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(sequence, hash)| {
            Some(Self {
                sequence: sequence.parse().ok()?,
                hash: Hash::from_hex(hash)?,
            })
        });
        parsed.ok_or_else(|| "write SEQUENCE:HASH as `fed-node audit verify` printed it".to_owned())
    }
}

/// Reads the log page by page, from the oldest entry that is kept.
async fn pages(client: &Client, since: u64, mut take: impl FnMut(pb::ListAuditReply) -> Outcome) -> Outcome {
    let mut after = 0;
    loop {
        let page = |mut api: Api, consistency| {
            let request = pb::ListAuditRequest {
                after,
                limit: 0,
                consistency,
                since,
            };
            async move { api.list_audit(request).await }
        };
        let page = client.read(page).await?;
        let next = page.next;
        take(page)?;
        if next == 0 {
            return Ok(());
        }
        after = next;
    }
}

/// Follows the chain here, from what the node sends: its word for it is not taken.
async fn check(client: &Client, from: Option<Noted>, output: Output) -> Outcome {
    let mut at: Option<(u64, Hash)> = None;
    let (mut first, mut seen_noted) = (0, from.is_none());
    pages(client, 0, |page| {
        let (after, before) = match at {
            Some(at) => at,
            None => {
                first = page.first;
                (page.first.saturating_sub(1), hash(&page.before_first)?)
            }
        };
        let note = |sequence, hash: Hash| match from {
            Some(noted) if noted.sequence == sequence && noted.hash != hash => Err(broken(format!(
                "entry {sequence} has the hash {hash}, not the one that was noted: the log was made anew since"
            ))),
            Some(noted) => Ok(noted.sequence == sequence),
            None => Ok(false),
        };
        seen_noted |= note(after, before)?;
        let entries = page.entries.into_iter().map(entry).collect::<Outcome<Vec<_>>>()?;
        for entry in &entries {
            seen_noted |= note(entry.sequence, entry.hash)?;
        }
        let reached = verify(after, before, &entries).map_err(|why| broken(why.to_string()))?;
        // Entries may come while the pages are read: only the last page tells where the log ends.
        if page.next == 0 && reached != (page.last, hash(&page.last_hash)?) {
            return Err(broken(format!(
                "it ends at entry {}, and should at entry {}",
                reached.0, page.last
            )));
        }
        at = Some(reached);
        Ok(())
    })
    .await?;
    if !seen_noted {
        let noted = from.map_or(0, |noted| noted.sequence);
        return Err(broken(format!("entry {noted} that was noted is not in it (any more)")));
    }
    let (last, hash) = at.unwrap_or_default();
    print(
        output,
        &Verified {
            first,
            last,
            hash: hash.to_string(),
        },
    )
}

fn broken(why: String) -> Failure {
    Failure::new(Exit::Failed, format!("the audit log does not hold: {why}"))
}

fn hash(text: &str) -> Outcome<Hash> {
    Hash::from_hex(text).ok_or_else(|| broken(format!("{text:?} is no hash")))
}

fn entry(entry: pb::AuditEntry) -> Outcome<Entry> {
    let odd = || broken(format!("entry {} names nobody", entry.sequence));
    let who = match entry.who.as_str() {
        "local" => Actor::Local,
        "anyone" => Actor::Anyone,
        "token" => Actor::Token(TokenId::new(entry.who_id.clone()).map_err(|_| odd())?),
        "node" => Actor::Node(entry.who_id.parse().map_err(|_| odd())?),
        _ => return Err(odd()),
    };
    Ok(Entry {
        sequence: entry.sequence,
        revision: Revision(entry.revision),
        origin: Origin {
            who,
            via: NodeId(entry.via),
            at_unix: entry.at_unix,
        },
        hash: hash(&entry.hash)?,
        what: entry.what,
    })
}

#[derive(Debug, Serialize)]
struct Verified {
    first: u64,
    last: u64,
    hash: String,
}

impl Show for Verified {
    fn text(&self) -> String {
        if self.last < self.first {
            return "the audit log is empty".to_owned();
        }
        format!(
            "entries {} to {} hold; note this elsewhere, and a log made anew is found with --from:\n{}:{}",
            self.first, self.last, self.last, self.hash
        )
    }
}

#[derive(Debug, Serialize)]
struct EntryView {
    sequence: u64,
    revision: u64,
    at_unix: u64,
    who: String,
    via: u64,
    what: Vec<String>,
}

impl From<pb::AuditEntry> for EntryView {
    fn from(entry: pb::AuditEntry) -> Self {
        Self {
            sequence: entry.sequence,
            revision: entry.revision,
            at_unix: entry.at_unix,
            who: [entry.who, entry.who_id].join(" ").trim_end().to_owned(),
            via: entry.via,
            what: entry.what,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Entries(Vec<EntryView>);

impl Show for Entries {
    fn text(&self) -> String {
        table(
            ["ENTRY", "REVISION", "TIME", "WHO", "AT NODE", "WHAT"],
            self.0.iter().map(|entry| {
                [
                    entry.sequence.to_string(),
                    entry.revision.to_string(),
                    clock::utc(entry.at_unix),
                    entry.who.clone(),
                    entry.via.to_string(),
                    entry.what.join(", "),
                ]
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noted_place_is_read_as_it_was_printed() {
        let noted: Noted = format!("12:{}", "ab".repeat(32)).parse().unwrap();
        assert_eq!((noted.sequence, noted.hash), (12, Hash([0xab; 32])));
        for bad in ["", "12", "12:ab", "x:y"] {
            assert!(bad.parse::<Noted>().is_err(), "{bad}");
        }
    }
}
