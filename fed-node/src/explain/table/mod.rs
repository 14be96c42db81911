//! What each code means, as data: one file for each part of the product.

mod asterisk;
mod cluster;
mod general;
mod map;
mod security;
mod start;

use super::Code;

/// What a code means and what to do.
#[derive(Debug, Clone, Copy)]
pub struct Explanation {
    /// The code.
    pub code: Code,
    /// What has happened.
    pub meaning: &'static str,
    /// What usually causes it, the most frequent first.
    pub causes: &'static [&'static str],
    /// The commands that mend it, or show more.
    pub mend: &'static [&'static str],
}

const fn row(
    code: Code,
    meaning: &'static str,
    causes: &'static [&'static str],
    mend: &'static [&'static str],
) -> Explanation {
    Explanation {
        code,
        meaning,
        causes,
        mend,
    }
}

/// Every explanation, by number.
pub fn explanations() -> impl Iterator<Item = &'static Explanation> {
    let parts = [
        general::ROWS,
        start::ROWS,
        map::ROWS,
        cluster::ROWS,
        asterisk::ROWS,
        security::ROWS,
    ];
    parts.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_explanation_with_a_cause_and_a_remedy() {
        let explained: Vec<Code> = explanations().map(|explanation| explanation.code).collect();
        assert_eq!(explained, Code::ALL, "one for each code, in order");
        for explanation in explanations() {
            let code = explanation.code;
            assert!(explanation.meaning.ends_with('.'), "{code}");
            assert!(!explanation.causes.is_empty() && !explanation.mend.is_empty(), "{code}");
        }
    }
}
