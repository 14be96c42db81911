//! The table and the file that come out of it.

use serde::Serialize;

/// One figure of both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What was done.
    pub row: String,
    /// By how many at the same time; 0 where that means nothing.
    pub clients: u64,
    /// Our figure; the median of the rounds.
    pub ours: Option<f64>,
    /// The other side's, where it can do the same.
    pub theirs: Option<f64>,
    /// Ours by theirs.
    pub ratio: Option<f64>,
    /// Of `ours` and `theirs`.
    pub unit: &'static str,
}

/// Figures of several rounds, gathered by row.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Gathered>,
}

#[derive(Debug)]
struct Gathered {
    row: String,
    clients: u64,
    unit: &'static str,
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Report {
    /// One more figure of ours.
    pub fn ours(&mut self, row: &str, clients: u64, unit: &'static str, figure: f64) {
        self.gathered(row, clients, unit).ours.push(figure);
    }

    /// One more figure of the other side.
    pub fn theirs(&mut self, row: &str, clients: u64, unit: &'static str, figure: f64) {
        self.gathered(row, clients, unit).theirs.push(figure);
    }

    fn gathered(&mut self, row: &str, clients: u64, unit: &'static str) -> &mut Gathered {
        let found = self.rows.iter().position(|g| g.row == row && g.clients == clients);
        let place = found.unwrap_or_else(|| {
            self.rows.push(Gathered {
                row: row.to_owned(),
                clients,
                unit,
                ours: Vec::new(),
                theirs: Vec::new(),
            });
            self.rows.len() - 1
        });
        &mut self.rows[place]
    }

    /// The medians, in the order in which the rows first came.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        let figure = |gathered: &Gathered| {
            let (ours, theirs) = (median(&gathered.ours), median(&gathered.theirs));
            let ratio = ours.zip(theirs).filter(|(_, theirs)| *theirs != 0.0);
            Figure {
                row: gathered.row.clone(),
                clients: gathered.clients,
                ours,
                theirs,
                ratio: ratio.map(|(ours, theirs)| ours / theirs),
                unit: gathered.unit,
            }
        };
        self.rows.iter().map(figure).collect()
    }

    /// The medians as a Markdown table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text =
            String::from("| row | clients | ours | etcd | ratio | unit |\n| --- | ---: | ---: | ---: | ---: | --- |\n");
        for figure in self.figures() {
            let clients = if figure.clients == 0 {
                String::new()
            } else {
                figure.clients.to_string()
            };
            let ratio = figure.ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
            text += &format!(
                "| {} | {clients} | {} | {} | {ratio} | {} |\n",
                figure.row,
                number(figure.ours),
                number(figure.theirs),
                figure.unit
            );
        }
        text
    }
}

fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[n / 2]),
        n => Some((sorted[n / 2 - 1] + sorted[n / 2]) / 2.0),
    }
}

fn number(figure: Option<f64>) -> String {
    match figure {
        None => String::new(),
        Some(figure) if figure.abs() >= 1000.0 => {
            let whole = format!("{figure:.0}");
            let (head, tail) = whole.split_at(whole.len() - 3);
            if head.len() > 3 {
                let (millions, thousands) = head.split_at(head.len() - 3);
                format!("{millions},{thousands},{tail}")
            } else {
                format!("{head},{tail}")
            }
        }
        Some(figure) if figure.abs() >= 10.0 => format!("{figure:.1}"),
        Some(figure) => format!("{figure:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_the_median_of_its_rounds_and_their_ratio() {
        let mut report = Report::default();
        for (ours, theirs) in [(4.0, 1.0), (8.0, 2.0), (100.0, 3.0)] {
            report.ours("writes", 64, "1/s", ours);
            report.theirs("writes", 64, "1/s", theirs);
        }
        let figures = report.figures();
        assert_eq!(figures.len(), 1);
        assert_eq!(
            (figures[0].ours, figures[0].theirs, figures[0].ratio),
            (Some(8.0), Some(2.0), Some(4.0))
        );
    }

    #[test]
    fn a_row_that_only_we_have_has_no_ratio() {
        let mut report = Report::default();
        report.ours("in process", 2, "1/s", 1_234_567.0);
        assert_eq!(report.figures()[0].ratio, None);
        assert!(
            report.table().contains("| in process | 2 | 1,234,567 |  |  | 1/s |"),
            "{}",
            report.table()
        );
    }
}
