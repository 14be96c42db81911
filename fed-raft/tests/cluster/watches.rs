//! Watching what happens, whatever happens.

use fed_core::ids::Revision;
use fed_raft::{Cluster, Consistency, Watch, WatchItem};

use crate::lab::{Lab, PATIENCE};
use crate::machine::{Command, Event, Values};

/// The next events, skipping the marks between them.
async fn next(watch: &mut Watch<Event>) -> (Revision, Vec<Event>) {
    loop {
        let item = tokio::time::timeout(PATIENCE, watch.next()).await;
        match item.expect("in time").expect("the watch goes on") {
            WatchItem::Events { revision, events } => return (revision, events),
            WatchItem::Progress(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn count(node: &Cluster<Values>) {
    let key = "n".to_owned();
    node.propose(Command::Count { key }).await.expect("acknowledged");
}

fn counted(events: &[Event]) -> u64 {
    match events {
        [Event::Put { value, .. }] => value.parse().expect("a number"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_has_no_gap_and_no_repeat_over_a_change_of_leader() {
    let mut lab = Lab::of(3).await;
    let leader = lab.leader().await;
    let (watched, writing) = ((leader + 1) % 3, (leader + 2) % 3);
    let mut watch = lab.node(watched).watch(Revision(0));
    let writer = lab.node(writing).clone();
    let writes = tokio::spawn(async move {
        for _ in 0..200 {
            count(&writer).await;
        }
    });
    for expected in 1..=200 {
        let (revision, events) = next(&mut watch).await;
        assert_eq!((revision, counted(&events)), (Revision(expected), expected));
        if expected == 50 {
            lab.kill(leader);
        }
    }
    writes.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_at_another_node_where_it_was() {
    let lab = Lab::of(3).await;
    for _ in 0..10 {
        count(lab.node(0)).await;
    }
    let mut watch = lab.node(1).watch(Revision(0));
    for expected in 1..=4 {
        assert_eq!(counted(&next(&mut watch).await.1), expected);
    }
    let mut elsewhere = lab.node(2).watch(watch.position());
    for expected in 5..=10 {
        assert_eq!(counted(&next(&mut elsewhere).await.1), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_from_a_forgotten_revision_says_from_where_it_goes_on() {
    let lab = Lab::tuned(1, |config| config.watch_events = 5).await;
    let mut slow = lab.node(0).watch(Revision(0));
    for _ in 0..20 {
        count(lab.node(0)).await;
    }
    let oldest = Revision(15);
    assert_eq!(slow.next().await, Some(WatchItem::Compacted { oldest }));
    assert_eq!(slow.next().await, None);
    let mut again = lab.node(0).watch(oldest);
    assert_eq!(counted(&next(&mut again).await.1), 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_watch_hears_how_far_the_state_is() {
    let lab = Lab::of(1).await;
    count(lab.node(0)).await;
    let mut watch = lab.node(0).watch(Revision(1));
    let item = tokio::time::timeout(PATIENCE, watch.next()).await;
    assert_eq!(item.expect("in time"), Some(WatchItem::Progress(Revision(1))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_ends_with_its_revision_when_the_node_stops() {
    let mut lab = Lab::of(1).await;
    count(lab.node(0)).await;
    let mut watch = lab.node(0).watch(Revision(0));
    lab.stop(0).await;
    assert_eq!(counted(&next(&mut watch).await.1), 1);
    let at = Revision(1);
    assert_eq!(watch.next().await, Some(WatchItem::Stopped { at }));
    assert_eq!(watch.next().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_seen_only_when_the_state_has_it() {
    let lab = Lab::of(1).await;
    let node = lab.node(0).clone();
    let mut watch = node.watch(Revision(0));
    let writer = node.clone();
    let writes = tokio::spawn(async move {
        for _ in 0..50 {
            count(&writer).await;
        }
    });
    for _ in 0..50 {
        let (revision, _) = next(&mut watch).await;
        assert!(node.local().revision() >= revision);
    }
    writes.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_watchers_all_see_everything_in_order() {
    let lab = Lab::of(1).await;
    let node = lab.node(0).clone();
    let watchers: Vec<_> = (0..5000)
        .map(|_| {
            let mut watch = node.watch(Revision(0));
            tokio::spawn(async move {
                for expected in 1..=20 {
                    let (revision, events) = next(&mut watch).await;
                    assert_eq!((revision, counted(&events)), (Revision(expected), expected));
                }
                watch.position()
            })
        })
        .collect();
    for _ in 0..20 {
        count(&node).await;
    }
    for watcher in watchers {
        assert_eq!(watcher.await.expect("no gap, no repeat"), Revision(20));
    }
    assert!(node.metrics().contains("fed_raft_watchers 0\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_moves_between_nodes_never_travels_back() {
    let mut lab = Lab::of(3).await;
    let leader = lab.leader().await;
    let writer = lab.node((leader + 1) % 3).clone();
    let writes = tokio::spawn(async move {
        for _ in 0..300 {
            count(&writer).await;
        }
    });
    let (mut seen, mut visits, mut killed) = (Revision(0), 0_usize, false);
    while seen < Revision(300) {
        let at = [(leader + 1) % 3, (leader + 2) % 3, leader][visits % if killed { 2 } else { 3 }];
        visits += 1;
        let read = lab.node(at).read(Consistency::AtLeast(seen), PATIENCE).await;
        let snapshot = read.expect("it gets there");
        assert!(
            snapshot.revision() >= seen,
            "from {seen} back to {}",
            snapshot.revision()
        );
        let mut watch = lab.node(at).watch(seen);
        seen = snapshot.revision().max(seen);
        if seen < Revision(300) {
            let (next, _) = next(&mut watch).await;
            seen = seen.max(next);
        }
        if !killed && seen > Revision(100) {
            killed = true;
            lab.kill(leader);
        }
    }
    writes.await.expect("no panic");
}
