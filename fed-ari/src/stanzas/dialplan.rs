//! The dialplan: where devices' calls begin, and where calls of other nodes arrive.

use super::{Asking, ConfigFile, StanzaError, StanzaOptions};
use crate::render::{DEVICES_CONTEXT, TRUNK_CONTEXT};

/// Both contexts, with the ways of asking filled in.
pub(super) fn contexts(options: &StanzaOptions, file: &ConfigFile) -> Result<String, StanzaError> {
    for section in [DEVICES_CONTEXT, TRUNK_CONTEXT] {
        if file.has_section(section) {
            return Err(StanzaError::SectionTaken {
                file: "extensions.conf",
                section: section.to_owned(),
            });
        }
    }
    Ok(TEMPLATE
        .replace("@ROUTE@", &asking(options, "route"))
        .replace("@TRUNK@", &asking(options, "trunk"))
        .replace("@AGAIN@", &asking(options, "again"))
        .replace("@MOVED@", &asking(options, "moved")))
}

fn asking(options: &StanzaOptions, question: &str) -> String {
    match options.asking {
        Asking::FastAgi => format!("AGI(agi://{}/{question},${{FED_NAME}})", options.agi),
        Asking::Stasis => format!("Stasis({},{question},${{FED_NAME}})", options.app),
    }
}

/// Tried on 16.28 and 22.10. An `h` that ends at once keeps the pattern from running again after every call; a name with other
/// characters than allowed is not asked for; empty places in a `Dial` list (`&&`) are skipped by Asterisk.
const TEMPLATE: &str = include_str!("dialplan.conf");
