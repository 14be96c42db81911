//! Times, contents and actors in the words of an operator.

use crate::operation::Operation;

/// The first moment of a history, from which all others are told.
#[derive(Clone, Copy)]
pub(crate) struct Origin(pub(crate) i64);

impl Origin {
    /// Such as `12.4 s`.
    pub(crate) fn moment(self, at_ns: i64) -> String {
        duration(self.0, at_ns)
    }

    /// The same to the microsecond, such as `12.392 s`, to put moments in order.
    pub(crate) fn exact_moment(self, at_ns: i64) -> String {
        let ns = i128::from(at_ns) - i128::from(self.0);
        if ns < 1_000_000 {
            return self.moment(at_ns);
        }
        let text = format!("{}.{:06}", ns / 1_000_000_000, ns / 1_000 % 1_000_000);
        format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// The time between two moments with three digits, such as `310 ms`.
pub(crate) fn duration(from_ns: i64, to_ns: i64) -> String {
    let ns = (i128::from(to_ns) - i128::from(from_ns)).max(0);
    let (unit, scale) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => ("µs", 1e3),
        1_000_000..1_000_000_000 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    let value = ns as f64 / scale;
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text} {unit}")
}

/// A content in quotes, shortened and without control characters; `nothing` if there is none.
pub(crate) fn content(content: Option<&str>) -> String {
    const LONGEST: usize = 60;
    let Some(text) = content else {
        return "nothing".into();
    };
    let mut shown: String = text.chars().take(LONGEST).flat_map(|c| c.escape_debug()).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("'{}'", shown.replace("\\'", "'").replace("\\\"", "\""))
}

/// Who gave an answer, as far as it is known: `node 1`, or `the cluster`.
pub(crate) fn answerer(operation: &Operation) -> String {
    operation
        .node
        .map_or("the cluster".into(), |node| format!("node {node}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits_and_the_nearest_unit() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_500, "1.5 µs"),
            (310_000_000, "310 ms"),
            (12_400_000_000, "12.4 s"),
            (125_000_000_000, "125 s"),
        ] {
            assert_eq!(duration(0, ns), text);
        }
        assert_eq!(duration(i64::MIN, i64::MAX), "18446744074 s");
        assert_eq!(duration(5, 3), "0 ns");
    }

    #[test]
    fn exact_moments_can_be_told_apart() {
        assert_eq!(Origin(10).exact_moment(10 + 12_392_000_000), "12.392 s");
        assert_eq!(Origin(10).exact_moment(10 + 2_000_001_000), "2.000001 s");
        assert_eq!(Origin(10).exact_moment(310), "300 ns");
    }

    #[test]
    fn contents_are_quoted_shortened_and_harmless_on_a_terminal() {
        assert_eq!(content(None), "nothing");
        assert_eq!(content(Some("it's \u{1b}[2J")), "'it's \\u{1b}[2J'");
        assert_eq!(content(Some(&"x".repeat(61))).chars().count(), 63);
    }
}
