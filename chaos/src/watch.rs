//! Did every watcher see every change, in order, once?
//!
//! Changes carry revisions that only grow. A watcher asks for everything after some revision. Nothing may be missing between
//! there and the last revision it was told of, nothing may come twice or too late, and all watchers must be told the same.
//! What there was to see is taken from the acknowledged changes and from what other watchers were told.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::verdict::Verdict;

/// Something a watcher was told, in the order in which it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The changes of one revision, as text that is equal exactly if the changes are.
    Changes {
        /// Their revision.
        revision: u64,
        /// What changed.
        content: String,
    },
    /// Everything up to this revision has been told.
    Progress(u64),
    /// The changes before this revision are gone; the watcher goes on from a snapshot that contains them.
    Compacted(u64),
    /// The watcher went to this node and asked for everything after the last revision it knew.
    Resumed {
        /// The node that tells from now on.
        node: i64,
    },
}

/// What one watcher asked for and was told.
#[derive(Clone, Debug)]
pub struct WatchLog {
    /// Its name in explanations.
    pub watcher: String,
    /// It asked for every change with a higher revision than this.
    pub after: u64,
    /// The revision that it must have reached by the end of the run, if the run waited for that.
    pub must_reach: Option<u64>,
    /// In order.
    pub told: Vec<Told>,
}

/// What the check found.
#[derive(Clone, Debug, Serialize)]
pub struct WatchReport {
    /// Unknown if no watcher was told of any change.
    pub verdict: Verdict,
    /// Changes told, over all watchers.
    pub changes: usize,
    /// One sentence for each fault.
    pub faults: Vec<String>,
}

/// Checks the logs against each other and against `acknowledged`: revision and content of changes known to have been made; it may
/// be incomplete. A content of `None` is not known.
pub fn check(logs: &[WatchLog], acknowledged: &[(u64, Option<String>)]) -> WatchReport {
    let mut faults = Vec::new();
    let mut known: BTreeMap<u64, (Option<&str>, &str)> = BTreeMap::new();
    for (revision, content) in acknowledged {
        known.insert(*revision, (content.as_deref(), "an acknowledged change"));
    }
    for log in logs {
        for told in &log.told {
            let Told::Changes { revision, content } = told else {
                continue;
            };
            let (first, by) = known
                .entry(*revision)
                .or_insert((Some(content.as_str()), log.watcher.as_str()));
            match first {
                Some(first) if first != content => faults.push(format!(
                    "{} was told {content:?} at revision {revision}, but {by} says {first:?}",
                    log.watcher
                )),
                Some(_) => {}
                None => (*first, *by) = (Some(content.as_str()), log.watcher.as_str()),
            }
        }
    }
    let revisions: Vec<u64> = known.into_keys().collect();
    faults.extend(logs.iter().flat_map(|log| Reader::new(log, &revisions).read()));
    let is_change = |told: &&Told| matches!(told, Told::Changes { .. });
    let changes = logs.iter().flat_map(|log| &log.told).filter(is_change).count();
    let verdict = match (faults.is_empty(), changes) {
        (false, _) => Verdict::False,
        (true, 0) => Verdict::Unknown,
        (true, _) => Verdict::True,
    };
    WatchReport {
        verdict,
        changes,
        faults,
    }
}

/// Goes through one log.
struct Reader<'a> {
    log: &'a WatchLog,
    /// Every revision at which there was something to see, ascending.
    revisions: &'a [u64],
    /// Everything up to here has been told.
    position: u64,
    node: Option<i64>,
    faults: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(log: &'a WatchLog, revisions: &'a [u64]) -> Self {
        Reader {
            log,
            revisions,
            position: log.after,
            node: None,
            faults: Vec::new(),
        }
    }

    fn read(mut self) -> Vec<String> {
        for told in &self.log.told {
            match told {
                Told::Changes { revision, .. } if *revision <= self.position => {
                    let asked = *revision > self.log.after;
                    let what = if asked {
                        "again, or too late,"
                    } else {
                        "without having asked for it"
                    };
                    self.fault(format!(
                        "was told revision {revision} {what} when everything up to {} had been told",
                        self.position
                    ));
                }
                Told::Changes { revision, .. } => {
                    self.must_not_skip(*revision, &format!("was told revision {revision}"));
                    self.position = *revision;
                }
                Told::Progress(revision) if *revision < self.position => {
                    self.fault(format!("was set back from revision {} to {revision}", self.position));
                }
                Told::Progress(revision) => {
                    self.must_not_skip(
                        revision.saturating_add(1),
                        &format!("was told to be at revision {revision}"),
                    );
                    self.position = *revision;
                }
                Told::Compacted(oldest) => self.position = self.position.max(oldest.saturating_sub(1)),
                Told::Resumed { node } => self.node = Some(*node),
            }
        }
        if let Some(must) = self.log.must_reach
            && must > self.position
        {
            self.must_not_skip(must.saturating_add(1), "ended");
        }
        self.faults
    }

    /// There was nothing to see between the position and `next`.
    fn must_not_skip(&mut self, next: u64, when: &str) {
        let from = self.revisions.partition_point(|revision| *revision <= self.position);
        let to = self.revisions.partition_point(|revision| *revision < next);
        if let Some(missing) = self.revisions.get(from..to).filter(|missing| !missing.is_empty()) {
            let more = match missing.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            self.fault(format!("{when} without revision {}{more} having been told", missing[0]));
        }
    }

    fn fault(&mut self, what: String) {
        let after = self
            .node
            .map(|node| format!(", after resuming at node {node},"))
            .unwrap_or_default();
        self.faults.push(format!("{}{after} {what}", self.log.watcher));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(revision: u64) -> Told {
        Told::Changes {
            revision,
            content: format!("change {revision}"),
        }
    }

    fn log(watcher: &str, after: u64, told: impl IntoIterator<Item = Told>) -> WatchLog {
        WatchLog {
            watcher: watcher.into(),
            after,
            must_reach: None,
            told: told.into_iter().collect(),
        }
    }

    fn faults(logs: &[WatchLog]) -> Vec<String> {
        let acknowledged: Vec<_> = [3, 5, 6, 9]
            .map(|revision| (revision, Some(format!("change {revision}"))))
            .into();
        let report = check(logs, &acknowledged);
        assert_eq!(report.verdict == Verdict::False, !report.faults.is_empty());
        report.faults
    }

    #[test]
    fn watchers_that_start_anywhere_and_resume_are_right_if_each_change_comes_once_in_order() {
        let logs = [
            log(
                "w1",
                0,
                [
                    change(3),
                    change(5),
                    Told::Progress(5),
                    change(6),
                    change(9),
                    Told::Progress(12),
                ],
            ),
            log("w2", 4, [change(5), Told::Resumed { node: 2 }, change(6)]),
            log("w3", 0, [Told::Compacted(6), change(6), change(9)]),
            log("w4", 6, []),
        ];
        assert_eq!(faults(&logs), [""; 0]);
    }

    #[test]
    fn a_gap_after_resuming_is_found_and_named() {
        let told = [change(3), Told::Resumed { node: 2 }, change(6)];
        assert_eq!(
            faults(&[log("w1", 0, told)]),
            ["w1, after resuming at node 2, was told revision 6 without revision 5 having been told"]
        );
    }

    #[test]
    fn a_repeat_and_a_change_out_of_order_are_found() {
        assert_eq!(
            faults(&[log("w1", 0, [change(3), change(3)])]),
            ["w1 was told revision 3 again, or too late, when everything up to 3 had been told"]
        );
        assert_eq!(
            faults(&[log("w1", 0, [change(5), change(3)])]).len(),
            2,
            "a gap, then a change too late"
        );
        assert_eq!(
            faults(&[log("w1", 4, [change(3)])]),
            ["w1 was told revision 3 without having asked for it when everything up to 4 had been told"]
        );
    }

    #[test]
    fn a_progress_mark_is_a_promise_in_both_directions() {
        assert_eq!(
            faults(&[log("w1", 0, [change(3), Told::Progress(6)])]),
            ["w1 was told to be at revision 6 without revision 5 and 1 more having been told"]
        );
        assert_eq!(
            faults(&[log("w1", 5, [Told::Progress(4)])]),
            ["w1 was set back from revision 5 to 4"]
        );
        assert_eq!(
            faults(&[log("w1", 0, [change(3), change(5), Told::Progress(8), change(6)])]).len(),
            2
        );
    }

    #[test]
    fn what_one_watcher_saw_another_must_see_with_the_same_content() {
        let other = Told::Changes {
            revision: 4,
            content: "x".into(),
        };
        assert_eq!(
            faults(&[log("w1", 3, [other.clone(), change(5)]), log("w2", 3, [change(5)])]),
            ["w2 was told revision 5 without revision 4 having been told"]
        );
        assert_eq!(
            faults(&[log("w1", 3, [other]), log("w2", 3, [change(4)])]),
            ["w2 was told \"change 4\" at revision 4, but w1 says \"x\""]
        );
    }

    #[test]
    fn a_watcher_that_was_never_told_the_last_changes_is_found_if_the_run_waited_for_it() {
        let mut late = log("w1", 0, [change(3), change(5)]);
        assert_eq!(faults(std::slice::from_ref(&late)), [""; 0]);
        late.must_reach = Some(9);
        assert_eq!(
            faults(&[late]),
            ["w1 ended without revision 6 and 1 more having been told"]
        );
    }

    #[test]
    fn watchers_that_were_told_nothing_prove_nothing() {
        assert_eq!(check(&[], &[]).verdict, Verdict::Unknown);
        assert_eq!(
            check(&[log("w1", 0, [Told::Progress(2)])], &[(3, None)]).verdict,
            Verdict::Unknown
        );
    }
}
