//! Log lines for people and for collectors, on real processes.

use std::process::{Command, Stdio};

use crate::support::{Federation, Node, fed_node};
use serde_json::Value;

#[test]
fn log_lines_are_text_or_one_json_object_each() {
    let mut federation = Federation::start_with(1, |_, node| node.flags.push("--log-format=json".to_owned()));
    let node = &mut federation.nodes[0];
    node.terminate();
    let log = node.log();
    assert!(log.lines().count() > 3, "{log}");
    for line in log.lines() {
        let said: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "message", "target"] {
            assert!(said[field].is_string(), "{field}: {line}");
        }
    }
    assert!(
        log.contains("\"message\":\"the node is up\"") && log.contains("\"node\":"),
        "{log}"
    );

    node.flags.retain(|flag| flag != "--log-format=json");
    let before = log.len();
    node.run();
    let text = node.log().split_off(before);
    assert!(text.contains("INFO the node is up") && !text.contains("{\""), "{text}");
}

#[test]
fn log_lines_have_colours_at_a_terminal_alone_and_not_where_nobody_wants_any() {
    let federation = Federation::start(1);
    let mut node = Node::new(&federation.nodes[0].dir, "plain");
    // It has something to say, and ends: its port is taken.
    node.plaintext = true;
    node.setup(&["init"]).ok();
    node.agi = federation.nodes[0].agi;
    let command = fed_node();
    let program = command.get_program().to_string_lossy().into_owned();
    let line = format!("{program} run {}", node.config().join(" "));
    let run = |no_colour: &str| {
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]);
        script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script
            .env("TERM", "xterm")
            .env("NO_COLOR", no_colour)
            .stdin(Stdio::null());
        String::from_utf8(script.output().unwrap().stdout).unwrap()
    };
    let (coloured, plain) = (run(""), run("1"));
    assert!(
        coloured.contains("nobody is asked who they are") && coloured.contains('\u{1b}'),
        "{coloured:?}"
    );
    assert!(
        plain.contains("nobody is asked who they are") && !plain.contains('\u{1b}'),
        "{plain:?}"
    );
}
