//! The dialplan: where devices' calls begin, where calls of other nodes arrive, and how both ask.

use super::{Asking, ConfigFile, StanzaError, StanzaOptions};
use crate::render::{ASKING_CONTEXT, DEVICES_CONTEXT, TRUNK_CONTEXT};

/// All three contexts, with the way of asking filled in.
pub(super) fn contexts(options: &StanzaOptions, file: &ConfigFile) -> Result<String, StanzaError> {
    for section in [DEVICES_CONTEXT, TRUNK_CONTEXT, ASKING_CONTEXT] {
        if file.has_section(section) {
            return Err(StanzaError::SectionTaken {
                file: "extensions.conf",
                section: section.to_owned(),
            });
        }
    }
    let ask = match options.asking {
        Asking::FastAgi => format!("AGI(agi://{}/${{EXTEN}},${{ARG1}})", options.agi),
        Asking::Stasis => format!("Stasis({},${{EXTEN}},${{ARG1}})", options.app),
    };
    Ok(TEMPLATE.replace("@ASK@", &ask))
}

/// Tried on 16.28 and 22.10. An `h` that ends at once keeps the pattern from running again after every call; a name with other
/// characters than allowed is not asked for; empty places in a `Dial` list (`&&`) are skipped by Asterisk.
const TEMPLATE: &str = include_str!("dialplan.conf");
