//! From lines to users and devices, or to everything that is wrong with them. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use fed_proto::client as pb;

use super::row::{COLUMNS, Row};
use crate::api::convert;
use crate::cli::ha1;
use crate::config::Secret;

/// What a file asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Roster {
    /// Users in the order of the file.
    pub users: Vec<pb::User>,
    /// Devices in the order of the file; each belongs to one of the users.
    pub devices: Vec<pb::Device>,
    /// The first line of each user.
    pub lines: HashMap<String, u64>,
    /// The columns that the file has; `None`: all. What the others say of a user who is there already stays as it is.
    pub columns: Option<HashSet<String>>,
}

impl Roster {
    /// Leaves out the users of wrong lines, with all their devices: a user is imported whole or not at all.
    pub fn leave_out(&mut self, errors: &[LineError]) {
        let wrong: HashSet<&str> = errors.iter().map(|error| error.user.as_str()).collect();
        self.users.retain(|user| !wrong.contains(user.id.as_str()));
        self.devices.retain(|device| !wrong.contains(device.user.as_str()));
    }

    /// An error for each user who prefers a node that is not one of these.
    #[must_use]
    pub fn without_nodes(&self, there: &HashSet<u64>) -> Vec<LineError> {
        let unknown = |user: &pb::User| user.preferred_nodes.iter().copied().find(|id| !there.contains(id));
        let of = |user: &pb::User| {
            Some(LineError {
                line: self.lines.get(&user.id).copied().unwrap_or_default(),
                user: user.id.clone(),
                why: format!(
                    "preferred_nodes: there is no node {}; `fed-node node list` shows the ids",
                    unknown(user)?
                ),
            })
        };
        self.users.iter().filter_map(of).collect()
    }
}

/// Something wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct LineError {
    /// Counted from 1; the header is line 1.
    pub line: u64,
    /// The user it is about; empty when the line cannot be read.
    pub user: String,
    /// What, with the object and what would be right.
    pub why: String,
}

/// Checks a whole file; `realm` is the federation's. What is right, and everything that is wrong, in the order of the lines; passwords
/// are in none of it. A user of a wrong line may be among what is right all the same: [`Roster::leave_out`].
#[must_use]
pub fn check(text: &str, realm: &str) -> (Roster, Vec<LineError>) {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::Headers)
        .comment(comments(text))
        .from_reader(text.as_bytes());
    if let Err(errors) = check_header(&mut reader) {
        return (Roster::default(), errors);
    }
    let header = reader.headers().cloned().unwrap_or_default();
    let mut checker = Checker {
        realm,
        ..Checker::default()
    };
    for record in reader.records() {
        match record {
            Ok(record) => {
                checker.line = line_of(text, record.position());
                checker.about.clear();
                // Most likely a quote that is not closed: what follows would silently be part of this value.
                if record.iter().any(|field| field.contains(['\n', '\r'])) {
                    checker.wrong("a value goes over the end of the line: close its quote");
                    continue;
                }
                match record.deserialize(Some(&header)) {
                    Ok(row) => {
                        let row = Row::trimmed(row);
                        checker.about.clone_from(&row.user);
                        checker.row(&row);
                    }
                    Err(error) => checker.wrong(shape(&error)),
                }
            }
            Err(error) => {
                checker.line = line_of(text, error.position());
                checker.about.clear();
                checker.wrong(shape(&error));
            }
        }
    }
    let mut roster = checker.roster;
    roster.columns = Some(header.iter().map(str::to_owned).collect());
    roster.lines = checker.users.into_iter().map(|(id, (_, line))| (id, line)).collect();
    (roster, checker.errors)
}

/// Lines that begin with `#` are comments, where the first column is the user, whose id cannot begin so; a number can.
fn comments(text: &str) -> Option<u8> {
    let header = text.lines().find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let first = header.trim_start_matches('\u{feff}').split(',').next()?;
    (first.trim().trim_matches('"') == "user").then_some(b'#')
}

/// The line on which a record stands: the reader's position is before the empty lines and comments that it skipped.
fn line_of(text: &str, position: Option<&csv::Position>) -> u64 {
    let Some(position) = position else { return 0 };
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = text.get(start..).unwrap_or_default();
    let skipped = rest
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with('#'))
        .count();
    position.line() + skipped as u64
}

fn check_header(reader: &mut csv::Reader<&[u8]>) -> Result<(), Vec<LineError>> {
    let wrong = |why: String| {
        vec![LineError {
            line: 1,
            user: String::new(),
            why,
        }]
    };
    let header = reader.headers().map_err(|error| wrong(shape(&error)))?;
    let mut errors = Vec::new();
    for (index, column) in header.iter().enumerate() {
        if header.iter().take(index).any(|before| before == column) {
            errors.extend(wrong(format!("column {column:?} is there twice")));
        } else if !COLUMNS.contains(&column) {
            let near = |known: &&&str| strsim::damerau_levenshtein(known, column) <= column.len() / 3 + 1;
            let nearest = COLUMNS
                .iter()
                .filter(near)
                .min_by_key(|known| strsim::damerau_levenshtein(known, column));
            let separated = header.len() == 1 && column.contains([';', '\t']);
            let hint = match nearest {
                _ if separated => "separate the columns with commas".to_owned(),
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("the columns are {}", COLUMNS.join(",")),
            };
            errors.extend(wrong(format!("there is no column {column:?}; {hint}")));
        }
    }
    if !header.iter().any(|column| column == "user") {
        errors.extend(wrong(format!(
            "the header needs a column \"user\"; the columns are {}",
            COLUMNS.join(",")
        )));
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// What the CSV reader found, without the line (it is said before) and without the values.
fn shape(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} columns, the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8 text".to_owned(),
        _ => "cannot be read as CSV".to_owned(),
    }
}

#[derive(Default)]
struct Checker<'a> {
    realm: &'a str,
    line: u64,
    /// The user of the line.
    about: String,
    roster: Roster,
    errors: Vec<LineError>,
    /// User and the line it stands on.
    users: HashMap<String, (pb::User, u64)>,
    devices: HashMap<String, u64>,
    /// Every name that leads to a user: ids and numbers.
    names: BTreeMap<String, (String, u64)>,
}

impl Checker<'_> {
    fn wrong(&mut self, why: impl ToString) {
        self.errors.push(LineError {
            line: self.line,
            user: self.about.clone(),
            why: why.to_string(),
        });
    }

    fn row(&mut self, row: &Row) {
        self.user(row);
        if row.device.is_empty() {
            if !row.password.is_empty() || !row.md5_ha1.is_empty() {
                self.wrong(format!(
                    "user {:?} has a password but no device: name the device",
                    row.user
                ));
            }
        } else {
            self.device(row);
        }
    }

    fn user(&mut self, row: &Row) {
        let user = match user(row) {
            Ok(user) => user,
            Err(why) => return self.wrong(why),
        };
        if let Err(why) = convert::user(user.clone()) {
            return self.wrong(why);
        }
        match self.users.get(&user.id) {
            Some(_) if row.user_columns_are_empty() => {}
            Some((before, line)) if *before != user => {
                let line = *line;
                self.wrong(format!("user {} says something else than on line {line}: make the lines agree, or leave the user's columns empty here", user.id));
            }
            Some(_) => {}
            None => {
                let names = std::iter::once(&user.id).chain(&user.numbers);
                for name in names.cloned().collect::<Vec<_>>() {
                    self.name(name, &user.id);
                }
                self.users.insert(user.id.clone(), (user.clone(), self.line));
                self.roster.users.push(user);
            }
        }
    }

    /// A number, alias or id leads to one user.
    fn name(&mut self, name: String, user: &str) {
        match self.names.get(&name) {
            Some((other, line)) if other != user => {
                let text =
                    format!("{name} leads to user {user} here and to user {other} on line {line}: choose another");
                self.wrong(text);
            }
            _ => {
                self.names.insert(name, (user.to_owned(), self.line));
            }
        }
    }

    fn device(&mut self, row: &Row) {
        let device = match device(row, self.realm) {
            Ok(device) => device,
            Err(why) => return self.wrong(why),
        };
        if let Err(why) = convert::device(device.clone()) {
            return self.wrong(why);
        }
        if let Some(line) = self.devices.insert(device.id.clone(), self.line) {
            self.wrong(format!("device {} is there already, on line {line}", device.id));
        }
        self.name(device.id.clone(), &device.user);
        self.roster.devices.push(device);
    }
}

fn user(row: &Row) -> Result<pb::User, String> {
    let optional = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Ok(pb::User {
        id: row.user.clone(),
        display_name: row.name.clone(),
        numbers: row.numbers.split_whitespace().map(str::to_owned).collect(),
        service_class: optional(&row.service_class),
        ring: if row.ring.is_empty() {
            "all".to_owned()
        } else {
            row.ring.clone()
        },
        ring_timeout_s: number(&row.ring_timeout_s, "ring_timeout_s", 30, 1..=300)?,
        forward_always: optional(&row.forward_always),
        forward_busy: optional(&row.forward_busy),
        forward_no_answer: optional(&row.forward_no_answer),
        forward_offline: optional(&row.forward_offline),
        do_not_disturb: match row.do_not_disturb.as_str() {
            "yes" | "true" | "1" => true,
            "" | "no" | "false" | "0" => false,
            other => return Err(format!("do_not_disturb {other:?} must be yes or no")),
        },
        mailbox: optional(&row.mailbox),
        preferred_nodes: row
            .preferred_nodes
            .split_whitespace()
            .map(|id| {
                id.parse()
                    .map_err(|_| format!("preferred_nodes {id:?} must be node ids, separated by blanks"))
            })
            .collect::<Result<_, _>>()?,
    })
}

fn device(row: &Row, realm: &str) -> Result<pb::Device, String> {
    let (device, given) = (&row.device, Secret::new(row.password.as_str()));
    let (realm, digest) = match (given.is_empty(), row.md5_ha1.is_empty()) {
        (false, true) => (realm.to_owned(), ha1(device, realm, &given)),
        (true, false) if row.realm.is_empty() || row.realm == realm => (realm.to_owned(), row.md5_ha1.to_lowercase()),
        (true, false) => {
            return Err(format!(
                "device {device:?}: its md5_ha1 was made for realm {:?}, this federation has {realm:?}: give the password instead",
                row.realm
            ));
        }
        (false, false) => return Err(format!("device {device:?} has both password and md5_ha1: keep one")),
        (true, true) => {
            return Err(format!(
                "device {device:?} has no password and no md5_ha1: give one of them"
            ));
        }
    };
    let text = |text: &str, default: &str| {
        if text.is_empty() {
            default.to_owned()
        } else {
            text.to_owned()
        }
    };
    Ok(pb::Device {
        id: device.clone(),
        user: row.user.clone(),
        technology: text(&row.technology, "pjsip"),
        realm,
        md5_ha1: digest,
        codecs: row.codecs.split_whitespace().map(str::to_owned).collect(),
        transport: text(&row.transport, "any"),
        max_contacts: number(&row.max_contacts, "max_contacts", 1, 1..=10)?,
    })
}

fn number(text: &str, column: &str, default: u32, range: std::ops::RangeInclusive<u32>) -> Result<u32, String> {
    if text.is_empty() {
        return Ok(default);
    }
    let known = text.parse().ok().filter(|number| range.contains(number));
    known.ok_or_else(|| {
        format!(
            "{column} {text:?} must be a whole number from {} to {}",
            range.start(),
            range.end()
        )
    })
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
