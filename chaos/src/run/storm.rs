//! Very many changes at once.

use std::collections::BTreeSet;
use std::time::Duration;

use fed_proto::client as pb;
use tonic::Code;

use super::client::{connect, from_node, user};
use super::journal::{Entry, Journal};
use crate::process::Access;

/// How long one change of a storm may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Sends `changes` changes over one connection to each node, without waiting for any, and writes down what became of them.
pub(super) async fn storm(journal: Journal, nodes: Vec<(usize, Access)>, name: String, changes: usize) {
    let at_ns = journal.now_ns();
    let mut connections = Vec::new();
    for (_, address) in nodes {
        connections.extend(connect(&address).await);
    }
    let mut sent = tokio::task::JoinSet::new();
    for number in 0..changes {
        let Some(connection) = connections.get(number % connections.len().max(1)) else {
            break;
        };
        let (mut connection, key) = (connection.clone(), format!("{name}.{number}"));
        sent.spawn(async move {
            let request = pb::PutUserRequest {
                user: Some(user(&key, "storm")),
                expect: None,
            };
            (key, tokio::time::timeout(PATIENCE, connection.put_user(request)).await)
        });
    }
    let (mut acknowledged, mut overloaded, mut refused, mut unknown) = (Vec::new(), 0, 0, 0);
    while let Some(answer) = sent.join_next().await {
        match answer {
            Ok((key, Ok(Ok(_)))) => acknowledged.push(key),
            Ok((_, Ok(Err(status)))) if from_node(&status) && status.code() == Code::ResourceExhausted => {
                overloaded += 1
            }
            Ok((_, Ok(Err(status)))) if from_node(&status) && status.code() == Code::Unavailable => refused += 1,
            Ok(_) | Err(_) => unknown += 1,
        }
    }
    journal.write(Entry::Storm {
        at_ns,
        end_ns: journal.now_ns(),
        acknowledged,
        overloaded,
        refused,
        unknown,
    });
}

/// Looks for what storms were acknowledged, and writes down what is not there.
pub(super) async fn look_for_missing(journal: &Journal, nodes: &[(usize, Access)]) {
    let entries = journal.entries().unwrap_or_default();
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    for entry in &entries {
        if let Entry::Storm { acknowledged, .. } = entry {
            wanted.extend(acknowledged.iter().map(String::as_str));
        }
    }
    if wanted.is_empty() {
        return;
    }
    let mut why = "no node could be reached".to_owned();
    for (_, address) in nodes {
        match everybody(address).await {
            Ok(there) => {
                let missing = wanted
                    .iter()
                    .filter(|key| !there.contains(**key))
                    .map(|key| (*key).to_owned());
                return journal.write(Entry::Missing {
                    looked_for: wanted.len(),
                    missing: missing.collect(),
                });
            }
            Err(error) => why = error,
        }
    }
    journal.write(Entry::Broken {
        at_ns: journal.now_ns(),
        words: format!("the users could not be listed after the storms: {why}"),
    });
}

async fn everybody(address: &Access) -> Result<BTreeSet<String>, String> {
    let mut connection = connect(address).await.ok_or("no connection")?;
    let (mut all, mut after) = (BTreeSet::new(), String::new());
    loop {
        let request = pb::ListRequest {
            after,
            ..pb::ListRequest::default()
        };
        let page = connection
            .list_users(request)
            .await
            .map_err(|status| status.to_string())?
            .into_inner();
        all.extend(page.users.into_iter().filter_map(|record| Some(record.user?.id)));
        if page.next.is_empty() {
            return Ok(all);
        }
        after = page.next;
    }
}
