//! The text of the page.

use std::fmt::Write;

use super::timeline;
use crate::linearizability::Report;
use crate::operation::Operation;
use crate::plan::Plan;
use crate::run::Judgement;
use crate::run::journal::Entry;

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;margin:24px auto;max-width:1180px;padding:0 16px;color:#1c2128}\
h1{font-size:22px}h2{font-size:16px;margin-top:28px}table{border-collapse:collapse}\
td,th{padding:3px 14px 3px 0;text-align:left;vertical-align:top}\
.true{color:#1a7f37}.false{color:#c1121f;font-weight:600}.unknown{color:#9a6700;font-weight:600}\
pre{background:#f6f8fa;padding:10px;white-space:pre-wrap}svg{width:100%;height:auto;border:1px solid #d0d7de}\
svg text{font:11px system-ui,sans-serif;fill:#57606a}";

/// What the page shows.
pub(super) struct Content<'a> {
    pub(super) plan: Option<&'a Plan>,
    pub(super) judgement: Option<&'a Judgement>,
    pub(super) operations: &'a [Operation],
    pub(super) entries: &'a [Entry],
    pub(super) checked: &'a Report,
}

pub(super) fn page(content: &Content<'_>) -> String {
    let name = content.plan.map_or("A recorded history", |plan| plan.name.as_str());
    let mut html = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    let _ = write!(
        html,
        "<title>{0}</title><style>{STYLE}</style></head><body><h1>{0}</h1>",
        escaped(name)
    );
    if let Some(plan) = content.plan {
        let _ = write!(
            html,
            "<p>{} (row {}, seed {}, {} nodes, {:.0} s, {} clients)</p>",
            escaped(&plan.about),
            plan.row,
            plan.seed,
            plan.nodes,
            plan.seconds,
            plan.load.clients
        );
    }
    let verdict = content
        .judgement
        .map_or(content.checked.verdict, |judgement| judgement.verdict);
    let _ = write!(html, "<p>Verdict: <span class=\"{verdict}\">{verdict}</span></p>");
    findings(&mut html, content);
    html.push_str("<h2>Time line</h2>");
    let impossible = content.checked.violations.first().map(|violation| violation.at_ns);
    html.push_str(&timeline::svg(content.operations, content.entries, impossible));
    let _ = write!(html, "<p>{}</p>", timeline::LEGEND);
    faults(&mut html, content);
    first_bad_key(&mut html, content.checked);
    html.push_str("</body></html>\n");
    html
}

fn findings(html: &mut String, content: &Content<'_>) {
    let Some(judgement) = content.judgement else { return };
    html.push_str("<h2>Promises</h2><table>");
    for finding in &judgement.findings {
        let _ = write!(
            html,
            "<tr><td class=\"{0}\">{0}</td><td>{1}</td><td>{2}</td></tr>",
            finding.verdict,
            escaped(&finding.what),
            escaped(&finding.seen)
        );
    }
    html.push_str("</table>");
}

fn faults(html: &mut String, content: &Content<'_>) {
    let faults: Vec<_> = timeline::faults(content.entries).collect();
    if faults.is_empty() {
        return;
    }
    let origin = timeline::origin(content.operations);
    html.push_str("<h2>Faults</h2><table>");
    for (number, (at_ns, words)) in faults.iter().enumerate() {
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{:.1} s</td><td>{}</td></tr>",
            number + 1,
            (*at_ns - origin) as f64 / 1e9,
            escaped(words)
        );
    }
    html.push_str("</table>");
}

fn first_bad_key(html: &mut String, checked: &Report) {
    html.push_str("<h2>First bad key</h2>");
    let Some(violation) = checked.violations.first() else {
        let _ = write!(html, "<p>{}</p>", escaped(&none(checked)));
        return;
    };
    let _ = write!(
        html,
        "<p><b>{}</b>: {}</p><pre>",
        escaped(&violation.key),
        escaped(&violation.summary)
    );
    for sentence in violation.story.iter().chain(&violation.lines) {
        let _ = writeln!(html, "{}", escaped(sentence));
    }
    html.push_str("</pre>");
}

/// What it means that no key is bad.
fn none(checked: &Report) -> String {
    let undecided = checked.undecided.len();
    match &checked.too_little {
        _ if undecided > 0 => {
            format!("None was found, but {undecided} keys are undecided: the search reached its limit.")
        }
        Some(why) => format!("None was found, but too little was seen: {why}."),
        None => "None: every key could have come from one single correct copy of the data.".to_owned(),
    }
}

/// Text in which nothing is markup.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linearizability::{Limits, check};
    use crate::operation::{Call, Outcome};

    fn operation(call: Call, outcome: Outcome, start_ns: i64) -> Operation {
        Operation {
            process: 1,
            node: Some(2),
            key: "<k>".into(),
            call,
            outcome,
            start_ns,
            end_ns: start_ns + 5,
        }
    }

    #[test]
    fn the_page_shows_the_first_bad_key_and_nothing_in_it_is_markup() {
        let put = operation(Call::Put { value: "a".into() }, Outcome::Done, 0);
        let lost = operation(Call::Get, Outcome::Answered(None), 10);
        let operations = [put, lost];
        let html = page(&Content {
            plan: None,
            judgement: None,
            operations: &operations,
            entries: &[],
            checked: &check(&operations, &Limits::default()),
        });
        assert!(html.contains("class=\"false\">false<"), "{html}");
        assert!(html.contains("&lt;k&gt;") && !html.contains("<k>"));
        assert!(html.matches("<svg").count() == 1 && html.ends_with("</html>\n"));
        assert!(
            html.contains("stroke-dasharray"),
            "the moment is marked on the time line"
        );
    }

    #[test]
    fn a_page_without_a_bad_key_says_whether_that_proves_anything() {
        let html = |limits| {
            let put = operation(Call::Put { value: "a".into() }, Outcome::Done, 0);
            let get = operation(Call::Get, Outcome::Answered(Some("a".into())), 10);
            let operations = [put, get];
            page(&Content {
                plan: None,
                judgement: None,
                operations: &operations,
                entries: &[],
                checked: &check(&operations, &limits),
            })
        };
        assert!(html(Limits::default()).contains("None: every key"));
        let known_operations = 1_000;
        let asked = html(Limits {
            known_operations,
            ..Limits::default()
        });
        assert!(asked.contains("too little was seen"), "{asked}");
    }
}
