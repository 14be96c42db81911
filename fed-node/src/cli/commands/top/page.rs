//! The page, as lines that fit the terminal. Pure.

use std::time::Duration;

use super::{Look, NodeLook};
use crate::cli::clock;

const HEAD: [&str; 10] = [
    "NODE",
    "STATE",
    "ROLE",
    "ASTERISK",
    "BEHIND",
    "REVISION",
    "WAITING",
    "MEMORY",
    "LEADERS/H",
    "UP",
];

/// The page of a look: words, nodes, and as many of the last events as there is room for. No line is longer than `width`, and
/// there are at most `height`. Words are wrapped, since what matters may come last; tables and events are cut.
pub(super) fn page(look: &Look, width: usize, height: usize) -> Vec<String> {
    let words = look.status.words();
    let mut lines: Vec<String> = words.lines().flat_map(|line| wrapped(line, width)).collect();
    let rate = look
        .changes_per_s
        .map(|rate| format!(", {rate:.1} changes a second"))
        .unwrap_or_default();
    lines.extend(wrapped(&format!("{}{rate}", look.status.counted()), width));
    lines.push(String::new());
    lines.extend(columns(&look.nodes));
    lines.push(String::new());
    let room = height.saturating_sub(lines.len() + 1);
    let skipped = look.events.len().saturating_sub(room);
    if room > 0 {
        lines.push("EVENTS".to_owned());
        lines.extend(look.events[skipped..].iter().map(|event| event.line()));
    }
    lines.truncate(height);
    lines.into_iter().map(|line| cut(&line, width)).collect()
}

fn columns(nodes: &[NodeLook]) -> Vec<String> {
    let rows = nodes.iter().map(|node| {
        if !node.why.is_empty() {
            let mut row = HEAD.map(|_| String::new());
            row[0].clone_from(&node.name);
            row[1] = node.state.replace('_', " ");
            row[2].clone_from(&node.role);
            return row;
        }
        [
            node.name.clone(),
            node.state.replace('_', " "),
            node.role.clone(),
            node.asterisk.clone(),
            node.behind.map_or_else(|| "?".to_owned(), |behind| behind.to_string()),
            node.revision.to_string(),
            node.queued.to_string(),
            format!("{} MiB", node.resident_mib),
            node.leaders_last_hour.to_string(),
            clock::duration(Duration::from_secs(node.uptime_s)),
        ]
    });
    let rows: Vec<[String; 10]> = std::iter::once(HEAD.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; 10];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 10]| {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// The words of a line, on as many lines as they need; what steers a terminal is left out.
pub(super) fn wrapped(line: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let word = cut(word, usize::MAX);
        let last = lines.len() - 1;
        let used = lines[last].chars().count();
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(word);
            continue;
        }
        if used > 0 {
            lines[last].push(' ');
        }
        lines[last].push_str(&word);
    }
    lines
}

/// A line that fits; what steers a terminal is left out.
fn cut(line: &str, width: usize) -> String {
    line.chars().filter(|c| !c.is_control()).take(width).collect()
}

#[cfg(test)]
mod tests {
    use fed_proto::client as pb;

    use super::super::super::events::EventView;
    use super::super::super::status::{StatusView, fixture};
    use super::*;

    fn look(events: u64) -> Look {
        let node = |name: &str| NodeLook {
            name: name.to_owned(),
            state: "up".to_owned(),
            role: "voter".to_owned(),
            asterisk: "22.10.1".to_owned(),
            behind: Some(0),
            revision: 17,
            resident_mib: 90,
            uptime_s: 4 * 3_600,
            ..NodeLook::default()
        };
        let event = |sequence| {
            EventView::from(pb::Happening {
                sequence,
                kind: "node_up".to_owned(),
                text: format!("n{sequence} is up"),
                ..pb::Happening::default()
            })
        };
        Look {
            status: StatusView::from(pb::StatusReply {
                revision: 17,
                ..fixture::reply(["up"; 3])
            }),
            nodes: vec![
                node("n1"),
                node("n2"),
                NodeLook {
                    name: "n3".to_owned(),
                    state: "not_heard".to_owned(),
                    why: "it cannot be reached".to_owned(),
                    ..NodeLook::default()
                },
            ],
            changes_per_s: Some(12.34),
            events: (1..=events).map(event).collect(),
        }
    }

    #[test]
    fn the_page_fits_the_terminal_and_shows_the_newest_events() {
        let page = page(&look(30), 60, 20);
        assert_eq!(page.len(), 20);
        assert!(page.iter().all(|line| line.chars().count() <= 60), "{page:#?}");
        assert!(page.last().unwrap().contains("n30 is up"), "{page:#?}");
    }

    #[test]
    fn words_come_first_then_nodes_in_columns() {
        let page = page(&look(1), 120, 40);
        assert!(page[0].starts_with("3 of 3 nodes up, leader n2"), "{page:#?}");
        assert!(page[1].ends_with("12.3 changes a second"), "{page:#?}");
        assert!(page[3].starts_with("NODE  STATE"), "{page:#?}");
        assert!(page[4].contains("22.10.1") && page[4].ends_with("4 h"), "{page:#?}");
        assert_eq!(page[6], "n3    not heard", "it says nothing of itself");
        let column = page[3].find("REVISION").unwrap();
        assert_eq!(page[4][column..].split_whitespace().next(), Some("17"));
    }

    #[test]
    fn on_a_narrow_terminal_the_words_are_wrapped_and_none_is_lost() {
        let mut look = look(1);
        look.status = StatusView::from(fixture::reply(["up", "up", "down"]));
        let page = page(&look, 40, 40);
        assert!(page.iter().all(|line| line.chars().count() <= 40), "{page:#?}");
        let words = page.join(" ");
        assert!(
            words.starts_with(&look.status.words().replace('\n', " ")) && words.contains("n3 is down since "),
            "{page:#?}"
        );
    }

    #[test]
    fn a_tiny_terminal_is_no_panic() {
        for (width, height) in [(0, 0), (1, 1), (5, 3)] {
            assert!(page(&look(3), width, height).len() <= height);
        }
    }

    #[test]
    fn what_steers_a_terminal_is_left_out() {
        assert_eq!(cut("a\x1b[2Jb", 80), "a[2Jb");
    }
}
