//! Log lines on stderr: text for people, JSON for collectors. Under systemd the journal adds the time itself.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::colour;
use crate::config::{LogConfig, LogFormat};
use crate::diary::LineLayer;

/// Starts logging; a second call changes nothing. The last lines are also kept in memory, for `fed-node logs`.
pub(super) fn start(config: &LogConfig) {
    // The configuration has been checked: a filter that does not parse cannot come here.
    let filter: Targets = config.level.parse().unwrap_or_default();
    let registry = tracing_subscriber::registry().with(filter).with(LineLayer);
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let colours = colour::on(&std::io::stderr());
    let text = || {
        layer()
            .with_writer(std::io::stderr)
            .with_ansi(colours)
            .with_target(false)
    };
    // An error means that somebody (a test) has set a subscriber before.
    let _ = match config.format {
        LogFormat::Json => registry
            .with(layer().json().flatten_event(true).with_writer(std::io::stderr))
            .try_init(),
        LogFormat::Text if under_systemd => registry.with(text().without_time()).try_init(),
        LogFormat::Text => registry.with(text()).try_init(),
    };
}
