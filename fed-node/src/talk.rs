//! Talk: words for people, on stderr, beside the data on stdout.

use std::fmt;
use std::io::Write;

/// Writes a line to stderr, formatted as by `format!`. Where nobody can hear it (a full disk, a reader that went away) it is left
/// out: neither what a command does nor its exit code depends on it.
#[macro_export]
macro_rules! talk {
    ($($words:tt)*) => {
        $crate::talk::line(format_args!($($words)*))
    };
}

/// Writes a line to stderr, if that can be written.
pub fn line(words: fmt::Arguments<'_>) {
    words_and(words, "\n");
}

/// Writes a question, or another text without an end of line, to stderr, if that can be written.
pub fn ask(words: fmt::Arguments<'_>) {
    words_and(words, "");
}

fn words_and(words: fmt::Arguments<'_>, end: &str) {
    let mut stderr = std::io::stderr().lock();
    // Nobody is there who could be told.
    let _ = write!(stderr, "{words}{end}").and_then(|()| stderr.flush());
}
