//! The committed plans.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use fed_chaos::plan::{Action, Plan, ROWS, generate};

fn plans() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plans")
}

#[test]
fn every_row_has_its_plan_and_it_is_what_its_seed_makes() {
    for row in ROWS {
        let file = plans().join(format!("{:02}-{}.toml", row.number, row.name));
        let made = generate(row.number, u64::from(row.number)).unwrap();
        if std::env::var_os("UPDATE_PLANS").is_some() {
            std::fs::write(&file, made.to_toml()).unwrap();
        }
        let committed = Plan::read(&file).unwrap_or_else(|error| panic!("{error}; run with UPDATE_PLANS=1"));
        assert_eq!(committed, made, "{}: run with UPDATE_PLANS=1", file.display());
    }
}

#[test]
fn every_other_plan_can_be_read() {
    let mut read = 0;
    for folder in [plans(), plans().join("ci"), plans().join("exam")] {
        for file in std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
            if file.extension().is_some_and(|ending| ending == "toml") {
                Plan::read(&file).unwrap_or_else(|error| panic!("{error}"));
                read += 1;
            }
        }
    }
    assert!(read > ROWS.len(), "{read}");
}

/// What leaves no word of itself must be asked for: a plan whose cuts cut nothing would prove what a quiet run proves.
#[test]
fn no_plan_passes_without_its_faults() {
    for folder in [plans(), plans().join("ci")] {
        for file in std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
            if file.extension().is_none_or(|ending| ending != "toml") {
                continue;
            }
            let plan = Plan::read(&file).unwrap();
            // The control passes by a loss alone; damage and a storm are judged by what came of each step.
            let judged = |action: &Action| matches!(action, Action::Damage { .. } | Action::Storm { .. });
            let by_itself = plan.must_lose || plan.steps.iter().any(|step| judged(&step.action));
            let asked = !plan.bars.cover.is_empty() || plan.bars.leader_changes > 0 || plan.bars.new_leader_s > 0.0;
            assert!(by_itself || asked, "{}", file.display());
        }
    }
}
