//! The dashboard and the alerts that are packaged speak of metrics that a running node serves, and fire when they should.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Federation, until};
use serde_json::Value;

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("packaging")
}

/// The names of metrics in a text.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("fed_"))
        .map(str::to_owned)
        .collect()
}

/// Every expression of a dashboard, wherever it stands.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("expr" | "query", Value::String(text)) => found.push(text.clone()),
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

fn dashboard() -> Vec<String> {
    let text = std::fs::read_to_string(packaging().join("grafana/fed-node.json")).unwrap();
    let mut found = Vec::new();
    expressions(&serde_json::from_str(&text).unwrap(), &mut found);
    found
}

/// The expressions of the rules: what people read about them may name anything.
fn rules() -> String {
    let text = std::fs::read_to_string(packaging().join("prometheus/fed-node.rules.yml")).unwrap();
    let expressions: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .collect();
    assert!(expressions.len() >= 10, "{expressions:?}");
    expressions.join("\n")
}

#[test]
fn every_metric_of_the_dashboard_and_the_alerts_is_served() {
    let federation = Federation::start(3);
    let mut missing = metrics(&dashboard().join("\n"));
    assert!(missing.len() >= 30, "{missing:?}");
    let alerts = metrics(&rules());
    assert!(alerts.len() >= 10, "{alerts:?}");
    missing.extend(alerts);
    until("all of them are served", || {
        for node in &federation.nodes {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, node.metrics)).ok()?;
            let ask = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.write_all(ask).ok()?;
            let mut page = String::new();
            stream.read_to_string(&mut page).ok()?;
            let sample = |name: &str| {
                page.lines()
                    .any(|line| line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}{{")))
            };
            missing.retain(|name| !sample(name));
        }
        if !missing.is_empty() {
            eprintln!("not served yet: {missing:?}");
        }
        missing.is_empty().then_some(())
    });
}

/// Debian's promtool; without one it is said loudly, and is a failure where that is not allowed.
fn promtool() -> Option<PathBuf> {
    let script = packaging().parent().unwrap().join("scripts/promtool");
    let output = Command::new(script).output().unwrap();
    if output.status.success() {
        return Some(String::from_utf8(output.stdout).unwrap().trim().into());
    }
    eprintln!(
        "!! SKIPPED: the alerts were NOT checked: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "CI=true: a skipped test is a failure"
    );
    None
}

fn checked(promtool: &Path, words: &[&str], folder: &Path) {
    let output = Command::new(promtool).args(words).current_dir(folder).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success() && said.contains("SUCCESS"),
        "promtool {words:?}: {said}"
    );
}

#[test]
fn the_alerts_are_sound_and_fire_when_they_should() {
    let Some(promtool) = promtool() else { return };
    let folder = packaging().join("prometheus");
    checked(&promtool, &["check", "rules", "fed-node.rules.yml"], &folder);
    checked(&promtool, &["test", "rules", "fed-node.rules.test.yml"], &folder);
}

#[test]
fn the_dashboards_expressions_are_sound() {
    let Some(promtool) = promtool() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    for (number, expression) in dashboard()
        .iter()
        .filter(|text| !text.starts_with("label_values") && *text != "prometheus")
        .enumerate()
    {
        let plain = expression
            .replace("$__rate_interval", "5m")
            .replace("$job", ".*")
            .replace("$instance", ".*");
        rules += &format!(
            "  - record: panel:{number}\n    expr: {}\n",
            serde_json::to_string(&plain).unwrap()
        );
    }
    std::fs::write(folder.path().join("panels.yml"), rules).unwrap();
    checked(&promtool, &["check", "rules", "panels.yml"], folder.path());
}
