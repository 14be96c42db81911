//! The findings, as a list for people and as JSON.

use serde::Serialize;

use super::{CHECKS, Check, Facts, Grade, Subject, skipped};
use crate::cli::{Exit, Failure, Outcome, Show};

/// All findings.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The worst of them.
    pub worst: Grade,
    /// Each, in the order of the checks.
    pub checks: Vec<Row>,
}

/// One finding.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was looked at.
    pub check: &'static str,
    /// How good or bad it is.
    pub grade: Grade,
    /// What was seen.
    pub seen: String,
    /// Why it matters.
    pub why: &'static str,
    /// The command that mends it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mend: String,
}

impl Report {
    /// Judges the facts.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        let judged = |check: &Check| {
            let found = match &facts.elsewhere {
                Some(node) if check.on == Subject::Host => skipped(format!(
                    "{node} is not the node of this host: run fed-node doctor there"
                )),
                _ => (check.judge)(facts),
            };
            Row {
                check: check.name,
                grade: found.grade,
                seen: found.seen,
                why: check.why,
                mend: found.mend,
            }
        };
        let checks: Vec<Row> = CHECKS.iter().copied().flatten().map(judged).collect();
        let worst = checks.iter().map(|row| row.grade).max().unwrap_or(Grade::Ok);
        Self { worst, checks }
    }

    fn count(&self, grade: Grade) -> usize {
        self.checks.iter().filter(|row| row.grade == grade).count()
    }

    /// The exit code by the worst finding.
    ///
    /// # Errors
    /// When something should be mended, or is broken.
    pub fn outcome(&self) -> Outcome {
        let (broken, warned) = (self.count(Grade::Fail), self.count(Grade::Warn));
        match (broken, warned) {
            (0, 0) => Ok(()),
            (0, warned) => Err(Failure::new(Exit::Warned, format!("{warned} to mend"))),
            (broken, 0) => Err(Failure::new(Exit::Broken, format!("{broken} broken"))),
            (broken, warned) => {
                let text = format!("{broken} broken, {warned} to mend");
                Err(Failure::new(Exit::Broken, text))
            }
        }
    }
}

impl Show for Report {
    const STATES: bool = true;

    /// The bad ones last, where they are read first.
    fn text(&self) -> String {
        let mut rows: Vec<&Row> = self.checks.iter().collect();
        rows.sort_by_key(|row| row.grade);
        let mut lines = Vec::new();
        for row in rows {
            let grade = match row.grade {
                Grade::Ok => "ok  ",
                Grade::Skipped => "-   ",
                Grade::Warn => "WARN",
                Grade::Fail => "FAIL",
            };
            lines.push(format!("{grade}  {}: {}", row.check, row.seen));
            if row.grade >= Grade::Warn {
                lines.push(format!("      why:  {}", row.why));
                lines.push(format!("      mend: {}", row.mend));
            }
        }
        lines.push(format!(
            "{} checks: {} ok, {} not checked, {} to mend, {} broken",
            self.checks.len(),
            self.count(Grade::Ok),
            self.count(Grade::Skipped),
            self.count(Grade::Warn),
            self.count(Grade::Fail)
        ));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::testing::facts;
    use super::*;

    #[test]
    fn of_another_hosts_node_nothing_of_this_host_is_judged() {
        let mut facts = facts();
        facts.elsewhere = Some("n2 at 192.0.2.1:7400".to_owned());
        let report = Report::of(&facts);
        let row = |name: &str| report.checks.iter().find(|row| row.check == name).unwrap();
        for name in ["peer port", "data folder", "ARI", "certificate", "speed of the disk"] {
            assert_eq!(row(name).grade, Grade::Skipped, "{name}");
            assert!(
                row(name).seen.contains("n2 at 192.0.2.1:7400"),
                "{name}: {}",
                row(name).seen
            );
        }
        for name in ["quorum", "fed-node", "drift", "replicas"] {
            assert_eq!(row(name).grade, Grade::Ok, "{name}");
        }
    }
}
