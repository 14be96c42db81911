//! What a recorder leaves behind, however it ends, can be judged.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fed_chaos::linearizability::{Limits, check};
use fed_chaos::recorder::RecorderError;
use fed_chaos::seeded::Seeded;
use fed_chaos::workload::apply;
use fed_chaos::{Call, History, Outcome, Recorder, Verdict};

/// Where the child of `a_recorder_killed_at_any_moment_leaves_a_history_that_can_be_judged` records.
const CHILD_RECORDS_TO: &str = "FED_CHAOS_TEST_CHILD_RECORDS_TO";

fn put(value: &str) -> Call {
    Call::Put { value: value.into() }
}

fn verdict(path: &Path) -> (Verdict, usize) {
    let history = History::read(path).expect("readable");
    (
        check(&history.operations, &Limits::default()).verdict,
        history.interrupted,
    )
}

#[test]
fn what_is_recorded_is_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.jsonl");
    let clock = Mutex::new(0);
    let recorder = Recorder::with_clock(&path, move || {
        let mut now = clock.lock().expect("not poisoned");
        *now += 10;
        *now
    })
    .expect("a new file");
    recorder
        .begin(1, "k", put("a"))
        .expect("written")
        .at_node(3)
        .end(Outcome::Done)
        .expect("written");
    recorder
        .begin(2, "k", Call::Get)
        .expect("written")
        .end(Outcome::Answered(Some("a".into())))
        .expect("written");
    drop(recorder.begin(2, "k", Call::Delete).expect("written"));
    recorder.finish().expect("synced");
    let lines: Vec<String> = History::read(&path)
        .expect("readable")
        .operations
        .iter()
        .map(|it| it.to_line())
        .collect();
    assert_eq!(
        lines,
        [
            r#"{"process":1,"op":"put","key":"k","value":"a","expect":null,"ok":true,"start_ns":10,"end_ns":20,"node":3}"#,
            r#"{"process":2,"op":"get","key":"k","value":"a","expect":null,"ok":true,"start_ns":30,"end_ns":40}"#,
            r#"{"process":2,"op":"del","key":"k","value":null,"expect":null,"ok":null,"start_ns":50,"end_ns":60}"#,
        ]
    );
}

#[test]
fn a_history_is_never_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.jsonl");
    std::fs::write(&path, "precious").expect("written");
    assert!(matches!(Recorder::create(&path), Err(RecorderError::Create { .. })));
    assert_eq!(std::fs::read(&path).expect("readable"), b"precious");
}

#[test]
fn an_operation_that_was_on_its_way_when_the_recorder_died_explains_what_others_saw() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.jsonl");
    let recorder = Recorder::create(&path).expect("a new file");
    recorder
        .begin(1, "k", put("a"))
        .expect("written")
        .end(Outcome::Done)
        .expect("written");
    std::mem::forget(recorder.begin(2, "k", put("b")).expect("written"));
    recorder
        .begin(1, "k", Call::Get)
        .expect("written")
        .end(Outcome::Answered(Some("b".into())))
        .expect("written");
    assert_eq!(verdict(&path), (Verdict::True, 1));
    let text = std::fs::read_to_string(&path).expect("readable");
    let without: String = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    let history = History::parse(without.as_bytes()).expect("readable");
    assert_eq!(
        check(&history.operations, &Limits::default()).verdict,
        Verdict::False,
        "the announcement decides"
    );
}

#[test]
fn a_recorder_killed_at_any_moment_leaves_a_history_that_can_be_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut interrupted = 0;
    for round in 0..5_u64 {
        let path = folder.path().join(format!("{round}.jsonl"));
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "child_that_records_until_it_is_killed", "--ignored"])
            .env(CHILD_RECORDS_TO, &path)
            .stdout(Stdio::null())
            .spawn()
            .expect("a child");
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::fs::metadata(&path).map_or(0, |file| file.len()) < 100_000 + round * 997 {
            assert!(Instant::now() < deadline, "the child records nothing");
            std::thread::yield_now();
        }
        child.kill().expect("killed");
        child.wait().expect("dead");
        let (verdict, on_their_way) = verdict(&path);
        assert_eq!(verdict, Verdict::True);
        interrupted += on_their_way;
    }
    assert!(interrupted > 0, "no kill ever met an operation on its way");
}

/// Four clients on one register, far faster than any cluster, for ten seconds at most.
#[test]
#[ignore = "the other half of a_recorder_killed_at_any_moment_leaves_a_history_that_can_be_judged"]
fn child_that_records_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD_RECORDS_TO) else {
        return;
    };
    let recorder = Recorder::create(Path::new(&path)).expect("a new file");
    let register: Mutex<HashMap<String, Option<String>>> = Mutex::default();
    let deadline = Instant::now() + Duration::from_secs(10);
    std::thread::scope(|scope| {
        for process in 0..4_u64 {
            let (recorder, register) = (recorder.clone(), &register);
            scope.spawn(move || {
                let mut seeded = Seeded::new(process);
                while Instant::now() < deadline {
                    let key = format!("{}", seeded.below(30));
                    let call = match seeded.below(3) {
                        0 => Call::Get,
                        1 => put(&format!("{process}-{}", seeded.bits())),
                        _ => Call::Delete,
                    };
                    let pending = recorder
                        .begin(process as i64, key.clone(), call.clone())
                        .expect("written");
                    let outcome = {
                        let mut register = register.lock().expect("not poisoned");
                        apply(&call, register.entry(key).or_default())
                    };
                    pending.end(outcome).expect("written");
                }
            });
        }
    });
}
