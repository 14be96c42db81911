//! The keys as command-line flags.

use clap::{Arg, ArgMatches, Args, Command};

use super::{KEYS, Key};

/// Under this heading the help lists them.
pub const FLAGS_HEADING: &str = "Configuration (each is also a key of the file and a FED_ variable)";

/// The keys that were given as flags.
#[derive(Debug, Clone, Default)]
pub struct ConfigFlags(Vec<(&'static Key, String)>);

impl ConfigFlags {
    /// Key and text of each flag given.
    pub fn values(&self) -> impl Iterator<Item = (&'static Key, &str)> {
        self.0.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// As if these had been given as flags; names that are no keys are left out.
    #[must_use]
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let known = |(name, value): (&str, &str)| Some((KEYS.iter().find(|key| key.name == name)?, value.to_owned()));
        Self(pairs.into_iter().filter_map(known).collect())
    }
}

impl clap::FromArgMatches for ConfigFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let given = |key: &'static Key| Some((key, matches.try_get_one::<String>(key.name).ok()??.clone()));
        self.0.extend(KEYS.iter().filter_map(given));
        Ok(())
    }
}

impl Args for ConfigFlags {
    fn augment_args(command: Command) -> Command {
        KEYS.iter().fold(command, |command, key| {
            let default = if key.default.is_empty() {
                String::new()
            } else {
                format!(" [default: {}]", key.default)
            };
            command.arg(
                Arg::new(key.name)
                    .long(key.flag())
                    .value_name(key.value)
                    .help(format!("{}{default}", key.help))
                    .help_heading(FLAGS_HEADING),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
