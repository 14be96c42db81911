//! What users' fields name: forwards, preferred nodes, service classes.

use std::collections::{BTreeMap, BTreeSet};

use fed_proto::client as pb;

use crate::cli::{Client, all_users, leads_somewhere};

/// More users than this are not gone through.
const MOST_USERS: u64 = 20_000;
/// Most forwards that are asked about one by one.
const MOST_ASKED: usize = 200;

/// What is named and is not there, or why it was not looked for.
pub(super) async fn loose_ends(client: &Client, users: u64, nodes: &[pb::NodeAnswer]) -> Result<Vec<String>, String> {
    if users > MOST_USERS {
        return Err(format!("more than {MOST_USERS} users are not gone through"));
    }
    let users = all_users(client).await.map_err(|failure| failure.to_string())?;
    let users: Vec<pb::User> = users.into_iter().filter_map(|record| record.user).collect();
    let mut nobody = BTreeSet::new();
    for to in unknown(&users).into_iter().take(MOST_ASKED) {
        // A device, perhaps.
        if !leads_somewhere(client, to)
            .await
            .map_err(|failure| failure.to_string())?
        {
            nobody.insert(to);
        }
    }
    let nodes = nodes.iter().map(|node| node.id).collect();
    Ok(found(&users, &nobody, &nodes))
}

fn forwards(user: &pb::User) -> impl Iterator<Item = (&'static str, &str)> {
    [
        ("always", &user.forward_always),
        ("when busy", &user.forward_busy),
        ("unanswered", &user.forward_no_answer),
        ("when offline", &user.forward_offline),
    ]
    .into_iter()
    .filter_map(|(when, to)| Some((when, to.as_deref().filter(|to| !to.is_empty())?)))
}

/// Where calls are forwarded that is neither a number nor a user.
fn unknown(users: &[pb::User]) -> BTreeSet<&str> {
    let known: BTreeSet<&str> = users
        .iter()
        .flat_map(|user| user.numbers.iter().chain([&user.id]))
        .map(String::as_str)
        .collect();
    let targets = users.iter().flat_map(forwards).map(|(_, to)| to);
    targets.filter(|to| !known.contains(to)).collect()
}

/// In words, with who names it.
fn found(users: &[pb::User], nobody: &BTreeSet<&str>, nodes: &BTreeSet<u64>) -> Vec<String> {
    let mut ends = Vec::new();
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    for user in users {
        for (when, to) in forwards(user).filter(|(_, to)| nobody.contains(to)) {
            ends.push(format!(
                "user {} forwards calls {when} to {to}, which is nobody",
                user.id
            ));
        }
        for node in user.preferred_nodes.iter().filter(|node| !nodes.contains(node)) {
            ends.push(format!("user {} prefers node {node}, which does not exist", user.id));
        }
        if let Some(class) = user.service_class.as_deref().filter(|class| !class.is_empty()) {
            *classes.entry(class).or_default() += 1;
        }
    }
    let classes = classes.into_iter();
    ends.extend(classes.map(|(class, users)| {
        let users = if users == 1 {
            "1 user".to_owned()
        } else {
            format!("{users} users")
        };
        format!("service class {class} ({users}), which this version does not know")
    }));
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_and_is_not_there_is_told_with_its_user() {
        let alice = pb::User {
            id: "alice".to_owned(),
            numbers: vec!["1001".to_owned()],
            forward_busy: Some("bob".to_owned()),
            forward_no_answer: Some("5555".to_owned()),
            forward_always: Some(String::new()),
            preferred_nodes: vec![1, 9],
            ..pb::User::default()
        };
        let bob = pb::User {
            id: "bob".to_owned(),
            forward_offline: Some("1001".to_owned()),
            service_class: Some("gold".to_owned()),
            ..pb::User::default()
        };
        let users = [alice, bob];
        let nobody = unknown(&users);
        assert_eq!(nobody, BTreeSet::from(["5555"]));
        assert_eq!(
            found(&users, &nobody, &BTreeSet::from([1, 2])),
            [
                "user alice forwards calls unanswered to 5555, which is nobody",
                "user alice prefers node 9, which does not exist",
                "service class gold (1 user), which this version does not know",
            ]
        );
    }
}
