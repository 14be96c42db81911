//! Data on stdout: a table for people, JSON for scripts. Talk goes to stderr.

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;

use super::args::Output;
use super::colour;
use super::exit::{Failure, Outcome};

/// Something that can be shown both ways.
pub trait Show: Serialize {
    /// Whether the text tells states, which have colours at a terminal.
    const STATES: bool = false;

    /// For people.
    fn text(&self) -> String;
}

/// Prints data.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn print(output: Output, data: &impl Show) -> Outcome {
    match output {
        Output::Table => emit(&shown(data)),
        Output::Json => {
            let json = serde_json::to_string_pretty(data).map_err(Failure::failed)?;
            emit(&json)
        }
    }
}

fn shown<T: Show>(data: &T) -> String {
    let text = data.text();
    if T::STATES { colour::shown(&text) } else { text }
}

/// One JSON object on a line of its own.
///
/// # Errors
/// When it cannot be written as JSON.
pub(crate) fn print_line(data: &impl Serialize) -> Outcome {
    emit(&serde_json::to_string(data).map_err(Failure::failed)?)
}

/// A line of data. A reader that went away (`| head`) ends the program quietly.
///
/// # Errors
/// When stdout cannot be written.
pub fn emit(text: &str) -> Outcome {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::failed(format!(
            "the answer could not be written to stdout: {error}; a change that was asked for was made"
        ))),
    }
}

/// A table with a head line; as wide as the terminal, or as it needs where there is none. What is one word stays on one line, so that
/// an address or a hash can be read and copied: where that does not fit, the lines are longer than the terminal.
#[must_use]
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let arrangement = arrangement(table.width());
    table.set_content_arrangement(arrangement);
    drawn(table, head, rows.into_iter().collect())
}

fn drawn<const N: usize>(mut table: Table, head: [&str; N], rows: Vec<[String; N]>) -> String {
    let longest = |text: &str| text.split_whitespace().map(|word| word.chars().count()).max();
    let widths: Vec<usize> = (0..N)
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].as_str());
            cells.chain([head[column]]).filter_map(longest).max().unwrap_or(0)
        })
        .collect();
    table.set_header(head.map(Cell::new));
    for row in rows {
        table.add_row(row.map(Cell::new));
    }
    for (column, width) in table.column_iter_mut().zip(widths) {
        let width = u16::try_from(width + BESIDE).unwrap_or(u16::MAX);
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The blanks beside what is in a cell.
const BESIDE: usize = 2;

/// Some terminals (serial lines, a pseudo-terminal that nobody sized) say that they have no columns: those are not known, and not none.
fn arrangement(columns: Option<u16>) -> ContentArrangement {
    match columns {
        None | Some(0) => ContentArrangement::Disabled,
        Some(_) => ContentArrangement::Dynamic,
    }
}

/// Lines of `name: value`, the names in a column.
#[must_use]
pub(crate) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = fields.iter().filter(|(_, value)| !value.is_empty());
    lines
        .map(|(name, value)| format!("{name:width$}  {value}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_narrow_terminal_words_are_wrapped_and_none_is_broken() {
        let at = |columns: u16| {
            let mut table = Table::new();
            table.load_preset(presets::NOTHING);
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(columns);
            let row = |id: &str, address: &str| [id, address, "something that is long"].map(str::to_owned);
            let rows = vec![row("1", "pbx1.example.org:7401"), row("16", "192.0.2.1:7401")];
            drawn(table, ["ID", "ADDRESS", "MEANING"], rows)
        };
        let wide = at(100);
        assert_eq!(wide.lines().count(), 3, "{wide}");
        for columns in [60, 40, 10] {
            let text = at(columns);
            for word in [
                "ADDRESS",
                "pbx1.example.org:7401",
                "192.0.2.1:7401",
                "something",
                "long",
            ] {
                assert!(text.contains(word), "{columns}: {text}");
            }
        }
        assert!(at(40).lines().all(|line| line.chars().count() <= 40), "{}", at(40));
    }

    #[test]
    fn a_terminal_without_a_width_breaks_no_line() {
        assert!(matches!(arrangement(Some(0)), ContentArrangement::Disabled));
        assert!(matches!(arrangement(None), ContentArrangement::Disabled));
        assert!(matches!(arrangement(Some(80)), ContentArrangement::Dynamic));
    }
}
