//! Log lines for people and for collectors, on real processes.

use crate::support::Federation;
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
