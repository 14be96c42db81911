//! The configuration of a node: one table of keys ([`keys::KEYS`]) that serves the TOML file, the environment and the
//! command line alike. A flag wins over the environment, the environment over the file, the file over the default.

mod effective;
mod error;
mod example;
mod file;
mod flags;
mod keys;
mod load;
mod secret;
mod types;
mod value;
mod whole;

pub use effective::effective;
pub use error::{ConfigError, ConfigErrors, Origin};
pub use example::example;
pub use flags::{ConfigFlags, FLAGS_HEADING};
pub use keys::{KEYS, Key};
pub use load::{DEFAULT_FILE, GENERATED_PASSWORD, load, load_with};
pub use secret::{Secret, read_secret_file};
pub use types::{
    AgiConfig, AsteriskConfig, BackupConfig, ClientConfig, Config, DiskConfig, LogConfig, LogFormat, MetricsConfig,
    NodeConfig, PeerConfig, RaftConfig, RedirectConfig, RedirectTransport, SipConfig,
};
