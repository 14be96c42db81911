//! `$[...]` expressions: comparisons, arithmetic, and, or, not; all after variables have been put in.

/// The value of an expression; what cannot be read gives the empty text, as a syntax error does in Asterisk.
pub(super) fn evaluate(text: &str) -> String {
    let tokens = tokens(text);
    let mut parser = Parser { tokens: &tokens, at: 0 };
    parser
        .either()
        .filter(|_| parser.at == tokens.len())
        .unwrap_or_default()
}

/// True as `GotoIf` sees it.
pub(super) fn is_true(value: &str) -> bool {
    let value = value.trim();
    !value.is_empty() && value.parse::<f64>() != Ok(0.0)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Value(String),
    Operator(&'static str),
}

const OPERATORS: &[&str] = &[
    "!=", ">=", "<=", "=~", "=", ">", "<", "+", "-", "*", "/", "%", "&", "|", "!", "(", ")",
];

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (value, after) = quoted.split_once('"').unwrap_or((quoted, ""));
            tokens.push(Token::Value(value.to_owned()));
            rest = after;
        } else if let Some(operator) = OPERATORS.iter().find(|o| rest.starts_with(**o)) {
            tokens.push(Token::Operator(operator));
            rest = &rest[operator.len()..];
        } else {
            let end = rest
                .find(|c: char| c.is_whitespace() || "!=<>+*/%&|()\"".contains(c))
                .unwrap_or(rest.len());
            tokens.push(Token::Value(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    tokens
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Parser<'_> {
    fn take(&mut self, operators: &[&str]) -> Option<&'static str> {
        match self.tokens.get(self.at) {
            Some(Token::Operator(o)) if operators.contains(o) => {
                self.at += 1;
                Some(o)
            }
            _ => None,
        }
    }

    fn either(&mut self) -> Option<String> {
        let mut left = self.both()?;
        while self.take(&["|"]).is_some() {
            let right = self.both()?;
            left = if is_true(&left) { left } else { right };
        }
        Some(left)
    }

    fn both(&mut self) -> Option<String> {
        let mut left = self.comparison()?;
        while self.take(&["&"]).is_some() {
            let right = self.comparison()?;
            left = if is_true(&left) && is_true(&right) {
                left
            } else {
                "0".to_owned()
            };
        }
        Some(left)
    }

    fn comparison(&mut self) -> Option<String> {
        let mut left = self.sum()?;
        while let Some(operator) = self.take(&["=", "!=", ">", "<", ">=", "<=", "=~"]) {
            let right = self.sum()?;
            left = compare(&left, operator, &right);
        }
        Some(left)
    }

    fn sum(&mut self) -> Option<String> {
        self.chain(&["+", "-"], Self::product)
    }

    fn product(&mut self) -> Option<String> {
        self.chain(&["*", "/", "%"], Self::one)
    }

    fn chain(&mut self, operators: &[&str], next: fn(&mut Self) -> Option<String>) -> Option<String> {
        let mut left = next(self)?;
        while let Some(operator) = self.take(operators) {
            let (a, b): (i64, i64) = (left.parse().ok()?, next(self)?.parse().ok()?);
            let value = match operator {
                "+" => a.checked_add(b),
                "-" => a.checked_sub(b),
                "*" => a.checked_mul(b),
                "/" => a.checked_div(b),
                _ => a.checked_rem(b),
            };
            left = value?.to_string();
        }
        Some(left)
    }

    fn one(&mut self) -> Option<String> {
        if self.take(&["!"]).is_some() {
            return self.one().map(|v| if is_true(&v) { "0" } else { "1" }.to_owned());
        }
        if self.take(&["-"]).is_some() {
            return self.one().map(|v| format!("-{v}"));
        }
        if self.take(&["("]).is_some() {
            let inner = self.either()?;
            return self.take(&[")"]).map(|_| inner);
        }
        match self.tokens.get(self.at) {
            Some(Token::Value(value)) => {
                self.at += 1;
                Some(value.clone())
            }
            _ => None,
        }
    }
}

/// Numbers compare as numbers, everything else as text. `=~` looks for plain text, with `^` and `$` as anchors.
fn compare(left: &str, operator: &str, right: &str) -> String {
    let order = match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.partial_cmp(&b),
        _ => Some(left.cmp(right)),
    };
    let holds = match operator {
        "=" => order.is_some_and(std::cmp::Ordering::is_eq),
        "!=" => order.is_some_and(std::cmp::Ordering::is_ne),
        ">" => order.is_some_and(std::cmp::Ordering::is_gt),
        "<" => order.is_some_and(std::cmp::Ordering::is_lt),
        ">=" => order.is_some_and(std::cmp::Ordering::is_ge),
        "<=" => order.is_some_and(std::cmp::Ordering::is_le),
        _ => finds(left, right),
    };
    u8::from(holds).to_string()
}

fn finds(text: &str, pattern: &str) -> bool {
    match (pattern.strip_prefix('^'), pattern.strip_suffix('$')) {
        (Some(_), Some(_)) => pattern.len() > 1 && text == &pattern[1..pattern.len() - 1],
        (Some(start), None) => text.starts_with(start),
        (None, Some(end)) => text.ends_with(end),
        (None, None) => text.contains(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_the_generated_contexts_have_their_values() {
        for (text, expected) in [
            ("\"dial\" = \"dial\"", "1"),
            ("\"\" = \"dial\"", "0"),
            ("5 != 5", "0"),
            ("2 + 1", "3"),
            ("2 > 1", "1"),
            ("017 > 0", "1"),
            ("0 > 0", "0"),
            ("\"BUSY NOANSWER\" =~ \"NOANSWER\"", "1"),
            ("\"BUSY\" =~ \"NOANSWER\"", "0"),
            ("\"\" != \"1\"", "1"),
            ("1 & 0 | 1", "1"),
            ("!0", "1"),
            ("(1 + 2) * 3", "9"),
            ("> 3", ""),
        ] {
            assert_eq!(evaluate(text), expected, "{text}");
        }
    }
}
