//! Nodes that come and go.

use std::collections::BTreeSet;
use std::time::Duration;

use fed_core::ids::NodeId;
use fed_raft::{Cluster, Config, MembersChange, MembersError, Role, StartError};

use crate::lab::{Lab, until};
use crate::machine::{self, Command, Values};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fourth_node_learns_and_takes_the_place_of_a_voter_that_is_removed() {
    let mut lab = Lab::of(3).await;
    lab.put(0, "a", "1").await;
    let fourth = lab.add().await;
    let id = lab.id(fourth);
    lab.agree().await;
    let role = |lab: &Lab, id: NodeId| {
        let members = lab.node(0).members();
        members.iter().find(|m| m.id == id).map(|m| m.role)
    };
    assert_eq!(role(&lab, id), Some(Role::Learner));
    assert_eq!(lab.get(fourth, "a").await.as_deref(), Some("1"));

    let gone = lab.followers().await;
    let gone = *gone.iter().find(|n| **n != 0 && **n != fourth).expect("there is one");
    let gone_id = lab.id(gone);
    lab.node(0).remove(gone_id).await.expect("removed");
    until("the learner is promoted", async || {
        role(&lab, id) != Some(Role::Learner)
    })
    .await;
    assert_eq!(role(&lab, gone_id), None);
    lab.kill(gone);
    lab.put(fourth, "a", "2").await;
    assert_eq!(lab.get(0, "a").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_leader_is_replaced_first() {
    let lab = Lab::of(3).await;
    lab.put(0, "a", "1").await;
    let leader = lab.leader().await;
    let id = lab.id(leader);
    let other = (leader + 1) % 3;
    lab.node(leader).remove(id).await.expect("removed");
    lab.put(other, "a", "2").await;
    let members = lab.node(other).members();
    assert_eq!(members.len(), 2);
    assert!(members.iter().all(|m| m.id != id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_changes_as_of_the_same_members_one_is_refused() {
    let mut lab = Lab::of(3).await;
    let (fourth, fifth) = (lab.add().await, lab.add().await);
    let (fourth_id, fifth_id) = (lab.id(fourth), lab.id(fifth));
    lab.agree().await;
    let at = lab.node(0).status().members_index;
    let remove =
        |asked: usize, gone: NodeId, at: u64| lab.node(asked).change_members_as_of(at, MembersChange::Remove(gone));
    let made = tokio::join!(remove(0, fourth_id, at), remove(1, fifth_id, at));
    let (now, left) = match made {
        (Ok(now), Err(MembersError::Refused(why))) if why.contains("changed since") => (now, fifth_id),
        (Err(MembersError::Refused(why)), Ok(now)) if why.contains("changed since") => (now, fourth_id),
        other => panic!("one of them, and not the other: {other:?}"),
    };
    assert!(now > at);
    let late = remove(2, left, at).await;
    assert!(matches!(late, Err(MembersError::Refused(_))), "{late:?}");
    let members = lab.node(0).members();
    assert_eq!(members.len(), 4, "{members:?}");
    remove(2, left, now).await.expect("planned anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_never_used_again() {
    let mut lab = Lab::of(3).await;
    let mut seen: BTreeSet<NodeId> = (0..3).map(|n| lab.id(n)).collect();
    for _ in 0..2 {
        let added = lab.add().await;
        let id = lab.id(added);
        assert!(seen.insert(id), "{id} was given twice");
        lab.node(0).remove(id).await.expect("removed");
        lab.kill(added);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_is_not_let_in_again_under_its_old_id() {
    let mut lab = Lab::of(3).await;
    let added = lab.add().await;
    let id = lab.id(added);
    lab.node(0).remove(id).await.expect("removed");
    lab.kill(added);
    lab.start(added).await;
    lab.put(0, "a", "1").await;
    // It asks a few times a second; each time it is refused.
    let before = lab.node(0).status().applied_index;
    until("the cluster goes on meanwhile", async || {
        lab.put(0, "a", "2").await;
        lab.node(0).status().applied_index > before + 10
    })
    .await;
    assert!(lab.node(0).members().iter().all(|m| m.id != id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_goes_where_it_is_sent() {
    let lab = Lab::of(3).await;
    for target in [2, 0, 1] {
        let id = lab.id(target);
        lab.node(0).transfer_leadership(id).await.expect("transferred");
        assert_eq!(lab.leader().await, target);
        lab.put(0, "led by", &id.to_string()).await;
    }
    let nobody = lab.node(0).transfer_leadership(NodeId(99_999)).await;
    assert!(matches!(nobody, Err(MembersError::Refused(_))), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_would_lose_the_majority_is_refused() {
    let mut lab = Lab::of(3).await;
    lab.put(0, "a", "1").await;
    let followers = lab.followers().await;
    lab.kill(followers[0]);
    let node = lab.node(lab.leader().await).clone();
    until("the leader misses the dead one", async || {
        let silent = node.members().into_iter().filter_map(|m| m.silent).max();
        silent.is_some_and(|silent| silent > lab.hosts[0].config.election_max)
    })
    .await;
    let other = lab.id(followers[1]);
    let error = node.remove(other).await.expect_err("refused");
    assert!(
        matches!(&error, MembersError::Refused(why) if why.contains("majority")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_voter_cannot_be_removed() {
    let lab = Lab::of(1).await;
    let error = lab.node(0).remove(lab.id(0)).await.expect_err("refused");
    assert!(
        matches!(&error, MembersError::Refused(why) if why.contains("is the only voter")),
        "{error}"
    );
    lab.put(0, "still", "works").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_loses_the_majority_is_made_when_asked_for_by_name() {
    let mut lab = Lab::of(3).await;
    lab.put(0, "a", "1").await;
    let followers = lab.followers().await;
    lab.kill(followers[0]);
    let node = lab.node(lab.leader().await).clone();
    let (dead, other) = (lab.hosts[followers[0]].config.clone(), lab.id(followers[1]));
    until("the leader misses the dead one", async || {
        let silent = node.members().into_iter().filter_map(|m| m.silent).max();
        silent.is_some_and(|silent| silent > dead.election_max)
    })
    .await;
    let asked = node.remove_losing_quorum(other);
    let outcome = asked.await.expect_err("nobody is left to confirm it");
    assert!(matches!(outcome, MembersError::OutcomeUnknown(_)), "{outcome}");
    // The dead one comes back, and the change is complete.
    lab.start(followers[0]).await;
    until("the removal is confirmed when asked for again", async || {
        node.remove(other).await.is_ok()
    })
    .await;
    assert!(node.members().iter().all(|m| m.id != other));
    lab.put(followers[0], "a", "2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_is_dead_for_long_is_replaced_by_a_learner_and_may_come_back_as_one() {
    let mut lab = Lab::tuned(4, |config| config.replace_dead_after = Duration::from_secs(2)).await;
    lab.put(0, "a", "1").await;
    lab.agree().await;
    let leader = lab.leader().await;
    let members = lab.node(leader).members();
    let role = |members: &[fed_raft::Member], id| members.iter().find(|m| m.id == id).map(|m| m.role);
    let learner = (0..4).find(|n| role(&members, lab.id(*n)) == Some(Role::Learner));
    let learner = learner.expect("one of four");
    let dead = (0..4).find(|n| *n != leader && *n != learner).expect("there is one");
    let (dead_id, learner_id) = (lab.id(dead), lab.id(learner));
    lab.kill(dead);
    let node = lab.node(leader).clone();
    until("the learner votes in its place", async || {
        let members = node.members();
        role(&members, learner_id) == Some(Role::Voter) && role(&members, dead_id) == Some(Role::Learner)
    })
    .await;
    let voters = node.members().iter().filter(|m| m.role != Role::Learner).count();
    assert_eq!(voters, 3);
    lab.put(learner, "a", "2").await;
    lab.start(dead).await;
    lab.agree().await;
    assert_eq!(lab.get(dead, "a").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_vote_when_five_are_wanted() {
    let mut lab = Lab::tuned(5, |config| config.target_voters = 5).await;
    lab.put(4, "a", "1").await;
    let followers = lab.followers().await;
    lab.kill(followers[0]);
    lab.kill(followers[1]);
    lab.put(followers[2], "a", "2").await;
    assert_eq!(lab.get(followers[3], "a").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_does_not_count_for_a_majority() {
    let mut lab = Lab::tuned(4, |config| config.propose_timeout = Duration::from_secs(2)).await;
    lab.put(0, "a", "1").await;
    lab.agree().await;
    let leader = lab.leader().await;
    let members = lab.node(leader).members();
    let voter = |lab: &Lab, n: usize| {
        let id = lab.id(n);
        members.iter().any(|m| m.id == id && m.role == Role::Voter)
    };
    let dying: Vec<usize> = (0..4).filter(|n| voter(&lab, *n)).collect();
    assert_eq!(dying.len(), 2);
    dying.iter().for_each(|n| lab.kill(*n));
    let command = Command::Put {
        key: "a".to_owned(),
        value: "2".to_owned(),
    };
    lab.node(leader)
        .propose(command)
        .await
        .expect_err("one voter and a learner are no majority");
    let learner = (0..4)
        .find(|n| *n != leader && !dying.contains(n))
        .expect("there is one");
    let local = lab.node(learner).local();
    assert_eq!(machine::value(&local, "a").expect("works").as_deref(), Some("1"));
    drop(local);
    lab.start(dying[0]).await;
    lab.put(learner, "a", "3").await;
    assert_eq!(lab.get(leader, "a").await.as_deref(), Some("3"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_new_address_is_found_there() {
    let mut lab = Lab::of(3).await;
    let moved = lab.followers().await[0];
    lab.stop(moved).await;
    lab.hosts[moved].config.listen = "127.0.0.1:0".to_owned();
    lab.start(moved).await;
    let (id, address) = (lab.id(moved), lab.node(moved).address().to_string());
    let other = lab.node((moved + 1) % 3).clone();
    until("the others know the new address", async || {
        other.members().iter().any(|m| m.id == id && m.address == address)
    })
    .await;
    lab.put(moved, "a", "1").await;
    lab.agree().await;
}

/// Nobody finds it, and it hears from no leader: it must look for one itself, where the members were that it knows of. The founder
/// was given no address when it began, and for a follower the leader that it remembers may be dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_while_another_came_to_lead_tells_its_new_address() {
    const FOUNDER: usize = 0;
    let mut lab = Lab::tuned(5, |config| config.target_voters = 5).await;
    let found_again = async |lab: &mut Lab, moved: usize| {
        lab.hosts[moved].config.listen = "127.0.0.1:0".to_owned();
        lab.start(moved).await;
        let (id, address) = (lab.id(moved), lab.node(moved).address().to_string());
        let leader = lab.node(lab.leader().await).clone();
        until("the leader knows the new address", async || {
            leader.members().iter().any(|m| m.id == id && m.address == address)
        })
        .await;
        lab.put(moved, "a", "1").await;
    };
    lab.stop(FOUNDER).await;
    lab.leader().await;
    found_again(&mut lab, FOUNDER).await;

    let moved = lab.followers().await[0];
    lab.stop(moved).await;
    let remembered = lab.leader().await;
    lab.stop(remembered).await;
    lab.leader().await;
    found_again(&mut lab, moved).await;
    lab.start(remembered).await;
    lab.agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_over_nobody_says_so_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::new(folder.path().join("data"), "127.0.0.1:0");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = free.local_addr().expect("bound").to_string();
    drop(free);
    let error = Cluster::<Values>::join(&config, &nobody)
        .await
        .expect_err("nobody is there");
    assert!(
        matches!(&error, StartError::Join { seed, .. } if *seed == nobody),
        "{error}"
    );
    assert!(!config.data_dir.exists());
}
