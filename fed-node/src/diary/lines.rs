//! The last log lines of this process, so that they can be read from any node. What goes to stderr is not touched.

use std::fmt::Write;
use std::sync::LazyLock;
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::ring::Ring;

/// Lines that are kept of each lane.
const KEPT: usize = 1_000;
/// Longest text that is kept of a line, in bytes.
const LONGEST: usize = 2_000;

/// One log line.
#[derive(Debug, Clone)]
pub struct Line {
    /// When.
    pub at: Instant,
    /// How bad.
    pub level: Level,
    /// Which part of the program.
    pub target: String,
    /// The message with its fields.
    pub text: String,
}

/// Warnings and errors have a lane of their own: chatter does not push them out.
static LINES: LazyLock<Ring<Line>> = LazyLock::new(|| Ring::new(2, KEPT));

/// What this process logged last. Logging is one for the process, and so is this.
#[must_use]
pub fn lines() -> &'static Ring<Line> {
    &LINES
}

/// Keeps every line that passes the filter above it.
#[derive(Debug, Default, Clone, Copy)]
pub struct LineLayer;

impl<S: Subscriber> Layer<S> for LineLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = *event.metadata().level();
        let line = Line {
            at: Instant::now(),
            level,
            target: event.metadata().target().to_owned(),
            text: text.whole(),
        };
        LINES.push(usize::from(level > Level::WARN), line);
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn whole(mut self) -> String {
        self.message.push_str(&self.fields);
        if self.message.len() > LONGEST {
            let cut = (0..=LONGEST).rev().find(|at| self.message.is_char_boundary(*at));
            self.message.truncate(cut.unwrap_or(0));
            self.message.push_str(" ...");
        }
        self.message
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a String does not fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn lines_are_kept_with_their_fields_and_cut_when_they_are_long() {
        let subscriber = tracing_subscriber::registry().with(LineLayer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(node = 7, name = "n7", "kept-line: it is gone");
            tracing::info!("kept-line: {}", "ä".repeat(LONGEST));
        });
        let kept = lines().after(0);
        let mut mine = kept.iter().filter(|(_, line)| line.text.starts_with("kept-line"));
        assert_eq!(mine.next().unwrap().1.text, "kept-line: it is gone node=7 name=n7");
        let long = &mine.next().unwrap().1.text;
        assert!(long.len() <= LONGEST + 4 && long.ends_with(" ..."));
    }
}
