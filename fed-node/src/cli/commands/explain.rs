//! `explain`: what an error code means.

use serde::Serialize;

use crate::cli::args::{ExplainArgs, Output};
use crate::cli::exit::Outcome;
use crate::cli::output::{Show, print, table};
use crate::explain::{Explanation, explanations};

#[derive(Serialize)]
struct View {
    code: String,
    meaning: &'static str,
    causes: &'static [&'static str],
    mend: &'static [&'static str],
}

#[derive(Serialize)]
#[serde(transparent)]
struct Views(Vec<View>);

pub(super) fn explain(args: &ExplainArgs, output: Output) -> Outcome {
    match args.code {
        Some(code) => explanations()
            .filter(|explanation| explanation.code == code)
            .try_for_each(|explanation| print(output, &View::from(explanation))),
        None => print(output, &Views(explanations().map(View::from).collect())),
    }
}

impl From<&Explanation> for View {
    fn from(explanation: &Explanation) -> Self {
        Self {
            code: explanation.code.to_string(),
            meaning: explanation.meaning,
            causes: explanation.causes,
            mend: explanation.mend,
        }
    }
}

impl Show for View {
    fn text(&self) -> String {
        let list = |lines: &[&str]| lines.iter().map(|line| format!("\n  - {line}")).collect::<String>();
        format!(
            "{}: {}\n\nUsual causes:{}\n\nWhat mends it, or shows more:{}",
            self.code,
            self.meaning,
            list(self.causes),
            list(self.mend)
        )
    }
}

impl Show for Views {
    fn text(&self) -> String {
        table(
            ["CODE", "MEANING"],
            self.0.iter().map(|view| [view.code.clone(), view.meaning.to_owned()]),
        )
    }
}
