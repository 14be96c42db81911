//! The picture: time from left to right; from top to bottom the faults, who led, what each node answered, and how long it took. Time begins
//! with the first operation, as it does in the words about a bad key.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::page::escaped;
use crate::operation::{Operation, Outcome};
use crate::run::journal::{Entry, Sample};
use crate::words::Origin;

const WIDTH: f64 = 1_100.0;
const LEFT: f64 = 60.0;
const LANE: f64 = 16.0;
/// Width of a numeral of the picture's text.
const NUMERAL: f64 = 6.5;
/// Columns in which operations are counted.
const COLUMNS: usize = 260;
/// Height of the two curves.
const CURVE: f64 = 90.0;

/// Moment and words of every fault.
pub(super) fn faults(entries: &[Entry]) -> impl Iterator<Item = (i64, &str)> {
    entries.iter().filter_map(|entry| match entry {
        Entry::Fault { at_ns, words, .. } => Some((*at_ns, words.as_str())),
        Entry::Broken { at_ns, words } | Entry::Ended { at_ns, words } => Some((*at_ns, words.as_str())),
        Entry::Healed { at_ns } => Some((*at_ns, "all faults are over")),
        _ => None,
    })
}

/// What the colours mean.
pub(super) const LEGEND: &str = "Red lines: faults, by number. Lanes of the nodes: dark blue leads, light blue has a quorum, orange answers and has \
     none, empty does not answer. Bars: operations, red those whose outcome is unknown; below, in grey, the longest answer of each moment. \
     Dashed: the answer that no correct copy of the data could have given.";

/// Where time begins.
pub(super) fn origin(operations: &[Operation]) -> i64 {
    operations.iter().map(|operation| operation.start_ns).min().unwrap_or(0)
}

/// Moments to pixels.
struct Scale {
    from_ns: i64,
    length_ns: i64,
}

impl Scale {
    /// How far it is from the beginning to the end, from 0 to 1.
    fn part(&self, at_ns: i64) -> f64 {
        ((at_ns - self.from_ns) as f64 / self.length_ns as f64).clamp(0.0, 1.0)
    }

    fn x(&self, at_ns: i64) -> f64 {
        LEFT + self.part(at_ns) * (WIDTH - LEFT - 10.0)
    }

    fn moment(&self, at_ns: i64) -> String {
        Origin(self.from_ns).moment(at_ns)
    }
}

/// `impossible` is the moment of the first answer that cannot be true.
pub(super) fn svg(operations: &[Operation], entries: &[Entry], impossible: Option<i64>) -> String {
    let samples: Vec<&Sample> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Sample(sample) => Some(sample),
            _ => None,
        })
        .collect();
    let ends = operations.iter().map(|operation| operation.end_ns);
    let end = ends.chain(samples.iter().map(|sample| sample.at_ns)).max().unwrap_or(1);
    let from_ns = origin(operations);
    let scale = Scale {
        from_ns,
        length_ns: (end - from_ns).max(1),
    };
    let nodes = samples.iter().map(|sample| sample.node).max().unwrap_or(0);
    let lanes_at = 24.0;
    let counts_at = lanes_at + LANE * nodes as f64 + 14.0;
    let latency_at = counts_at + CURVE + 14.0;
    let height = latency_at + CURVE + 22.0;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"time line\">");
    draw_faults(&mut svg, entries, &scale, height);
    draw_nodes(&mut svg, &samples, nodes, &scale, lanes_at);
    draw_operations(&mut svg, operations, &scale, counts_at, latency_at);
    if let Some(at_ns) = impossible {
        let x = scale.x(at_ns);
        let _ = write!(
            svg,
            "<g><title>{}: the first bad key</title><line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"14\" y2=\"{:.0}\" stroke=\"#1c2128\" \
             stroke-width=\"2\" stroke-dasharray=\"5 3\"/></g>",
            scale.moment(at_ns),
            height - 18.0
        );
    }
    for tenth in 0..=10 {
        let at = from_ns + scale.length_ns / 10 * tenth;
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"{}\">{}</text>",
            scale.x(at),
            height - 6.0,
            if tenth == 10 { "end" } else { "middle" },
            scale.moment(at)
        );
    }
    svg.push_str("</svg>");
    svg
}

/// The numbers of faults that are close together are left out, so that those that are there can be read.
fn draw_faults(svg: &mut String, entries: &[Entry], scale: &Scale, height: f64) {
    let mut free_from = 0.0;
    for (number, (at_ns, words)) in faults(entries).enumerate() {
        let x = scale.x(at_ns);
        let number = (number + 1).to_string();
        let width = NUMERAL * number.len() as f64;
        let label = if x - width / 2.0 < free_from {
            String::new()
        } else {
            free_from = x + width / 2.0 + NUMERAL / 2.0;
            format!("<text x=\"{x:.1}\" y=\"11\" text-anchor=\"middle\">{number}</text>")
        };
        let _ = write!(
            svg,
            "<g><title>{number}, {}: {}</title><line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"14\" y2=\"{:.0}\" stroke=\"#c1121f\" \
             stroke-opacity=\".35\"/>{label}</g>",
            scale.moment(at_ns),
            escaped(words),
            height - 18.0,
        );
    }
}

/// A lane for each node: dark where it leads, light where it has a quorum, orange where it answers and has none, nothing where it does
/// not answer.
fn draw_nodes(svg: &mut String, samples: &[&Sample], nodes: usize, scale: &Scale, top: f64) {
    for node in 1..=nodes {
        let y = top + LANE * (node - 1) as f64;
        let _ = write!(svg, "<text x=\"8\" y=\"{:.0}\">n{node}</text>", y + 11.0);
        let mut span: Option<(i64, i64, &str)> = None;
        let mut drawn = |span: (i64, i64, &str)| {
            let (from, to) = (scale.x(span.0), scale.x(span.1));
            let _ = write!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"12\" fill=\"{}\"/>",
                (to - from).max(0.8),
                span.2
            );
        };
        for sample in samples.iter().filter(|sample| sample.node == node) {
            let colour = match (sample.leads, sample.quorum) {
                (true, true) => "#1a4f8b",
                (false, true) => "#a8c7e8",
                (_, false) => "#e8a33d",
            };
            match &mut span {
                Some((_, last, same)) if *same == colour && sample.at_ns - *last < 700_000_000 => *last = sample.at_ns,
                _ => {
                    if let Some(before) = span.replace((sample.at_ns, sample.at_ns, colour)) {
                        drawn(before);
                    }
                }
            }
        }
        if let Some(last) = span {
            drawn(last);
        }
    }
}

#[derive(Default, Clone)]
struct Column {
    known: usize,
    unknown: usize,
    worst_ms: f64,
}

/// Bars of answered (blue) and unknown (red) operations, and below them the longest answer of each moment.
fn draw_operations(svg: &mut String, operations: &[Operation], scale: &Scale, counts_at: f64, latency_at: f64) {
    let mut columns: BTreeMap<usize, Column> = BTreeMap::new();
    for operation in operations {
        let place = (scale.part(operation.start_ns) * COLUMNS as f64) as usize;
        let column = columns.entry(place.min(COLUMNS - 1)).or_default();
        if operation.outcome == Outcome::Unknown {
            column.unknown += 1;
        } else {
            column.known += 1;
            column.worst_ms = column
                .worst_ms
                .max((operation.end_ns - operation.start_ns) as f64 / 1e6);
        }
    }
    let most = columns
        .values()
        .map(|column| column.known + column.unknown)
        .max()
        .unwrap_or(1)
        .max(1) as f64;
    let slowest = columns.values().map(|column| column.worst_ms).fold(1.0, f64::max);
    let _ = write!(
        svg,
        "<text x=\"4\" y=\"{:.0}\">{most:.0} ops</text><text x=\"4\" y=\"{:.0}\">{slowest:.0} ms</text>",
        counts_at + 10.0,
        latency_at + 10.0
    );
    let width = (WIDTH - LEFT - 10.0) / COLUMNS as f64;
    for (place, column) in columns {
        let x = LEFT + place as f64 * width;
        let mut bar = |top: f64, height: f64, colour: &str| {
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
            );
        };
        let known = column.known as f64 / most * CURVE;
        let unknown = column.unknown as f64 / most * CURVE;
        bar(counts_at + CURVE - known, known, "#5b8fc7");
        bar(counts_at + CURVE - known - unknown, unknown, "#d1495b");
        let worst = column.worst_ms / slowest * CURVE;
        bar(latency_at + CURVE - worst, worst, "#7d8b99");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_faults_do_not_lie_on_each_other() {
        let fault = |at_ms: i64| Entry::Healed {
            at_ns: at_ms * 1_000_000,
        };
        // The last fault comes half a second after the one before; the others are a millisecond apart.
        let entries: Vec<Entry> = (0..200).map(fault).chain([fault(700)]).collect();
        let scale = Scale {
            from_ns: 0,
            length_ns: 1_000_000_000,
        };
        let mut svg = String::new();
        draw_faults(&mut svg, &entries, &scale, 200.0);
        assert_eq!(svg.matches("<line").count(), 201, "every fault has its line");
        let labels: Vec<(f64, f64)> = svg
            .split("<text x=\"")
            .skip(1)
            .map(|rest| {
                let x: f64 = rest.split('"').next().unwrap().parse().unwrap();
                let number = rest.split('>').nth(1).unwrap().split('<').next().unwrap();
                let half = NUMERAL * number.len() as f64 / 2.0;
                (x - half, x + half)
            })
            .collect();
        assert!(labels.len() > 5, "{labels:?}");
        assert!(labels.windows(2).all(|pair| pair[0].1 < pair[1].0), "{labels:?}");
        assert!(svg.ends_with(">201</text></g>"), "{svg}");
    }
}
