//! Over which transport this Asterisk asks the redirect server.
//!
//! Over UDP a dead redirect server is noticed after 32 s (RFC 3261, timer B), over TCP at once: the connection is refused. But TCP
//! needs a transport in the customer's `pjsip.conf`, so the file decides unless the configuration does.

use std::path::Path;

use fed_ari::stanzas::ConfigFile;

use super::files;
use crate::config::{Config, RedirectTransport};

/// UDP or TCP, never `Auto`, with the reason in words.
#[must_use]
pub fn redirect_transport(config: &Config) -> (RedirectTransport, String) {
    match config.redirect.transport {
        RedirectTransport::Auto => found(&config.asterisk.config_dir),
        set => (set, "redirect.transport says so".to_owned()),
    }
}

fn found(folder: &Path) -> (RedirectTransport, String) {
    let path = folder.join("pjsip.conf");
    match files::parsed(folder, "pjsip.conf") {
        Ok(file) if has_tcp(&file) => (
            RedirectTransport::Tcp,
            format!("{} has a TCP transport", path.display()),
        ),
        Ok(_) => (
            RedirectTransport::Udp,
            format!("{} has no TCP transport", path.display()),
        ),
        Err(error) => (RedirectTransport::Udp, error.to_string()),
    }
}

fn has_tcp(file: &ConfigFile) -> bool {
    let has = |section: &str, name: &str, value: &str| {
        let options = file.options(section, name);
        options.iter().any(|option| option.eq_ignore_ascii_case(value))
    };
    file.sections()
        .into_iter()
        .any(|section| has(section, "type", "transport") && has(section, "protocol", "tcp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> RedirectTransport {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pjsip.conf"), text).unwrap();
        found(folder.path()).0
    }

    #[test]
    fn tcp_is_used_where_the_customer_has_it() {
        let udp = "[transport-udp]\ntype=transport\nprotocol=udp\nbind=0.0.0.0\n";
        let tcp = "[lan]\ntype = transport\nprotocol => TCP\nbind=0.0.0.0\n";
        assert_eq!(of(&format!("{udp}{tcp}")), RedirectTransport::Tcp);
        assert_eq!(of(udp), RedirectTransport::Udp);
        assert_eq!(
            of(&format!("{udp};{}", tcp.replace('\n', "\n;"))),
            RedirectTransport::Udp,
            "a comment is none"
        );
        assert_eq!(of("[x]\ntype=endpoint\nprotocol=tcp\n"), RedirectTransport::Udp);
        let (transport, why) = found(Path::new("/nowhere"));
        assert!(
            transport == RedirectTransport::Udp && why.contains("/nowhere/pjsip.conf"),
            "{why}"
        );
    }
}
