//! Whether Asterisk tells of registrations that are refreshed, by its `pjsip.conf`.
//!
//! Otherwise a phone that went to another server and came back is told apart from one that stayed away only after its old contact is gone.
//! What an administrator has set stays.

use super::file::{ConfigFile, ConfigObject};
use crate::render::{Meaning, same_meaning};

/// The option of the `global` object.
pub const REFRESH_OPTION: &str = "send_contact_status_on_update_registration";

/// How a `pjsip.conf` stands to it.
///
/// Asterisk reads one `global` object and no other, or none where there are two: it is added to or made only where that is beyond doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refreshes {
    /// Its administrator has it told.
    Told,
    /// This block has it told.
    ByBlock(String),
    /// Its administrator does not want it told.
    SetOff {
        /// The section of the `global` object.
        section: String,
    },
    /// It makes several `global` objects, of which Asterisk reads none.
    SeveralGlobals {
        /// Their sections.
        sections: Vec<String>,
    },
    /// It has sections of the same name that are something else: what is added might go to the wrong one.
    SharedName {
        /// The name.
        section: String,
    },
    /// Programs add to it (`#exec`): it may hold more than what is read here.
    RunsPrograms,
}

impl Refreshes {
    /// Looks at the file as its administrator wrote it.
    pub fn of(file: &ConfigFile) -> Self {
        // A section of that name is one without saying so.
        let is_global = |object: &ConfigObject<'_>| match object.option("type") {
            Some(type_) => type_ == "global",
            None => object.name() == "global",
        };
        let globals: Vec<_> = file.objects().filter(is_global).collect();
        let global = match globals.as_slice() {
            [_, _, ..] => {
                return Self::SeveralGlobals {
                    sections: globals.iter().map(|global| global.name().to_owned()).collect(),
                };
            }
            [global] => Some(global),
            [] => None,
        };
        let section = global.map_or("global", ConfigObject::name).to_owned();
        match global.and_then(|global| global.option(REFRESH_OPTION)) {
            Some(set) if same_meaning(Meaning::Flag, "yes", set) => return Self::Told,
            Some(_) => return Self::SetOff { section },
            None => {}
        }
        let shared = match global {
            Some(_) => file.objects().filter(|object| object.name() == section).count() > 1,
            None => file.has_section(&section),
        };
        match global {
            _ if file.runs_programs() => Self::RunsPrograms,
            _ if shared => Self::SharedName { section },
            Some(_) => Self::ByBlock(format!("[{section}](+)\n{REFRESH_OPTION}=yes\n")),
            None => Self::ByBlock(format!("[{section}]\ntype=global\n{REFRESH_OPTION}=yes\n")),
        }
    }

    /// What `asterisk-config` adds; empty where it adds nothing.
    pub(super) fn block(self) -> String {
        match self {
            Self::ByBlock(block) => block,
            _ => String::new(),
        }
    }
}
