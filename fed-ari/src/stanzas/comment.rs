//! Comments in Asterisk's configuration files: `;` to the end of the line, and `;--` to `--;` over any lines and nested.

/// How deep in block comments the next line begins.
#[derive(Debug, Default)]
pub(super) struct Comments {
    depth: usize,
}

impl Comments {
    /// Whether the next line begins inside a block comment.
    pub(super) fn is_open(&self) -> bool {
        self.depth > 0
    }

    /// The next line without what is a comment, as Asterisk's own reader takes it; `\\;` is a semicolon.
    pub(super) fn without(&mut self, line: &str) -> String {
        let mut kept = String::new();
        let mut rest = line;
        while let Some(at) = rest.find(';') {
            let (before, after) = (&rest[..at], &rest[at + 1..]);
            if self.depth == 0
                && let Some(before) = before.strip_suffix('\\')
            {
                kept.push_str(before);
                kept.push(';');
                rest = after;
                continue;
            }
            let begins = after.starts_with("--") && !after.starts_with("---");
            if self.depth == 0 {
                kept.push_str(before);
                if !begins {
                    return kept;
                }
            }
            if begins {
                self.depth += 1;
                rest = &after[2..];
            } else {
                if before.ends_with("--") {
                    self.depth -= 1;
                }
                rest = after;
            }
        }
        if self.depth == 0 {
            kept.push_str(rest);
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(text: &str) -> Vec<String> {
        let mut comments = Comments::default();
        text.lines().map(|line| comments.without(line)).collect()
    }

    #[test]
    fn a_block_comment_begins_and_ends_anywhere_in_a_line_and_is_nested() {
        assert_eq!(without("a=1 ;-- b\nc\nd --; e"), ["a=1 ", "", " e"]);
        assert_eq!(without("a;-- b --;c"), ["ac"]);
        assert_eq!(without(";-- ;-- x --; y\nz --; end"), ["", " end"]);
    }

    #[test]
    fn a_semicolon_ends_the_line_unless_it_is_escaped() {
        assert_eq!(without("a=1 ; b=2\nc"), ["a=1 ", "c"]);
        assert_eq!(without(r"a=1\;2;3"), ["a=1;2"]);
        assert_eq!(without(";---- a heading ----;\nx"), ["", "x"]);
    }
}
