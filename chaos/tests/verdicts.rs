//! The committed histories: each has the verdict that its name begins with.

use std::path::{Path, PathBuf};

use fed_chaos::linearizability::{Limits, Report, check};
use fed_chaos::{History, Verdict};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories")
}

fn report(name: &str) -> Report {
    let history = History::read(&folder().join(name)).expect(name);
    check(&history.operations, &Limits::default())
}

#[test]
fn each_history_has_the_verdict_in_its_name() {
    let mut seen = [0; 4];
    for entry in std::fs::read_dir(folder()).expect("the folder of histories") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let verdict = History::read(&path).map(|history| check(&history.operations, &Limits::default()).verdict);
        let (kind, wanted) = match name.split('_').next() {
            Some("true") => (0, Some(Verdict::True)),
            Some("false") => (1, Some(Verdict::False)),
            Some("unknown") => (2, Some(Verdict::Unknown)),
            Some("failure") => (3, None),
            other => panic!("{name}: no verdict {other:?}"),
        };
        assert_eq!(verdict.ok(), wanted, "{name}");
        seen[kind] += 1;
    }
    assert!(
        seen.iter().all(|count| *count >= 4),
        "some fixtures are missing: {seen:?}"
    );
}

/// Sixteen clients each write a content of their own and read one of those, all at once; then one reads what nobody wrote.
#[test]
fn what_nobody_wrote_is_found_among_any_number_of_writes() {
    let line = |process: usize, op: &str, value: &str, at: usize| {
        format!(
            r#"{{"process":{process},"op":"{op}","key":"k","value":"{value}","expect":null,"ok":true,"start_ns":{at},"end_ns":{}}}"#,
            at + 1_000
        )
    };
    let crowd = (0..16).flat_map(|n| {
        let value = n.to_string();
        [line(n, "put", &value, 0), line(n + 16, "get", &value, 0)]
    });
    for (last, verdict) in [("7", Verdict::True), ("nope", Verdict::False)] {
        let lines: Vec<String> = crowd.clone().chain([line(0, "get", last, 5_000)]).collect();
        let history = History::parse(lines.join("\n").as_bytes()).expect("readable");
        let found = check(&history.operations, &Limits::default());
        assert_eq!(found.verdict, verdict, "{last}");
    }
    // Nor may what is written later be seen.
    let early = [line(0, "get", "a", 0), line(1, "put", "a", 2_000)].join("\n");
    let history = History::parse(early.as_bytes()).expect("readable");
    assert_eq!(check(&history.operations, &Limits::default()).verdict, Verdict::False);
}

#[test]
fn a_violation_is_explained_in_words() {
    for (name, summary) in [
        (
            "false_stale_read",
            "at 12.4 s node 1 answered 'old' to a read that began 310 ms after 'new' was acknowledged",
        ),
        (
            "false_lost_write",
            "at 50 ms node 2 answered nothing to a read that began 30 ms after 'a' was acknowledged",
        ),
        (
            "false_lost_update",
            "at 51 ms the cluster accepted the change of 'a' into 'c', although the change of 'a' into 'b' was accepted \
             too: one update is lost",
        ),
        (
            "false_refusal",
            "at 50 ms the cluster refused to change 'a' into 'b', as if the key held something else, but the request \
             began 10 ms after 'a' was acknowledged and nothing can have changed it since",
        ),
        (
            "false_flicker",
            "at 33 ms the cluster answered 'a' to a read that began 1 ms after the cluster had answered 'b' to another \
             read",
        ),
        (
            "false_refused_write_seen",
            "at 50 ms the cluster answered 'b' to a read, but the write of it had been refused",
        ),
        (
            "false_future_read",
            "at 10 ms the cluster answered 'a' to a read, 10 ms before the first write of it began",
        ),
        (
            "false_invented",
            "at 30 ms the cluster answered 'x' to a read, but nobody ever wrote that",
        ),
        (
            "false_deleted_returns",
            "at 70 ms the cluster answered 'a' to a read that began 30 ms after the delete was acknowledged",
        ),
        (
            "false_unknown_once",
            "at 70 ms the cluster answered 'b' to a read that began 10 ms after 'a' was acknowledged",
        ),
    ] {
        let report = report(&format!("{name}.jsonl"));
        assert_eq!(report.violations.len(), 1, "{name}");
        assert_eq!(report.violations[0].summary, summary, "{name}");
    }
}

#[test]
fn the_story_holds_the_operations_that_contradict_each_other_and_no_others() {
    let report = report("false_stale_read.jsonl");
    assert_eq!(report.violations[0].key, "alice");
    assert_eq!(
        report.violations[0].story,
        [
            "at 0 ns client 0 at node 1: put 'old': acknowledged after 10 ms",
            "at 12.07 s client 0 at node 2: put 'new': acknowledged after 10 ms",
            "at 12.39 s client 1 at node 1: get: answered 'old' after 2 ms",
        ]
    );
}

#[test]
fn a_check_that_reaches_its_limit_is_unknown_and_names_the_key() {
    let history = History::read(&folder().join("true_everything.jsonl")).expect("readable");
    let report = check(
        &history.operations,
        &Limits {
            steps_per_key: 2,
            ..Limits::default()
        },
    );
    assert_eq!(
        (report.verdict, report.undecided),
        (Verdict::Unknown, vec!["alice".to_string()])
    );
}

#[test]
fn a_pass_needs_as_many_known_outcomes_as_were_asked_for() {
    let history = History::read(&folder().join("true_everything.jsonl")).expect("readable");
    let asked = |known_operations| {
        check(
            &history.operations,
            &Limits {
                known_operations,
                ..Limits::default()
            },
        )
        .verdict
    };
    assert_eq!((asked(15), asked(16)), (Verdict::True, Verdict::Unknown));
}
