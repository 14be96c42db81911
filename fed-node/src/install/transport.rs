//! Over which transport this Asterisk asks the redirect server.
//!
//! Over UDP a dead redirect server is noticed after 32 s (RFC 3261, timer B), over TCP at once: the connection is refused. But TCP
//! needs a transport in the customer's `pjsip.conf`, so the file decides unless the configuration does.

use std::net::Ipv6Addr;
use std::path::Path;

use fed_ari::stanzas::ConfigObject;

use super::files;
use crate::config::{Config, RedirectTransport};

/// UDP or TCP, never `Auto`, with the reason in words.
#[must_use]
pub fn redirect_transport(config: &Config) -> (RedirectTransport, String) {
    match config.redirect.transport {
        RedirectTransport::Auto => {
            let over_ipv6 = config.redirect.listen.host().parse::<Ipv6Addr>().is_ok();
            found(&config.asterisk.config_dir, over_ipv6)
        }
        set => (set, "redirect.transport says so".to_owned()),
    }
}

fn found(folder: &Path, over_ipv6: bool) -> (RedirectTransport, String) {
    let path = folder.join("pjsip.conf");
    match files::parsed(folder, "pjsip.conf") {
        Ok(file) if file.objects().any(|object| is_tcp(object, over_ipv6)) => (
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

/// Whether this Asterisk's PJSIP listens anywhere, as its files say.
///
/// # Errors
/// When they cannot be read.
pub fn has_transport(config: &Config) -> Result<bool, String> {
    let file = files::parsed(&config.asterisk.config_dir, "pjsip.conf").map_err(|error| error.to_string())?;
    Ok(file.objects().any(is_transport))
}

fn is_transport(object: ConfigObject<'_>) -> bool {
    object
        .option("type")
        .is_some_and(|kind| kind.eq_ignore_ascii_case("transport"))
}

/// A transport that reaches the redirect server: PJSIP takes none that is bound to an address of the other family.
fn is_tcp(object: ConfigObject<'_>, over_ipv6: bool) -> bool {
    let is = |name: &str, value: &str| object.option(name).is_some_and(|set| set.eq_ignore_ascii_case(value));
    let bind = object.option("bind").unwrap_or_default();
    let bound_to_ipv6 = bind.starts_with('[') || bind.parse::<Ipv6Addr>().is_ok();
    is_transport(object) && is("protocol", "tcp") && bound_to_ipv6 == over_ipv6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> RedirectTransport {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pjsip.conf"), text).unwrap();
        found(folder.path(), false).0
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
        let (transport, why) = found(Path::new("/nowhere"), false);
        assert!(
            transport == RedirectTransport::Udp && why.contains("/nowhere/pjsip.conf"),
            "{why}"
        );
    }

    #[test]
    fn only_a_transport_that_asterisk_makes_and_that_reaches_the_redirect_server_counts() {
        let tcp = "type=transport\nprotocol=tcp\nbind=0.0.0.0\n";
        assert_eq!(of(&format!("[tcp](!)\n{tcp}")), RedirectTransport::Udp, "a template");
        assert_eq!(of(&format!("[tcp](!)\n{tcp}[lan](tcp)\n")), RedirectTransport::Tcp);
        assert_eq!(
            of("[base](!)\ntype=transport\n[tcp](base)\nprotocol=tcp\n"),
            RedirectTransport::Tcp,
            "an inherited type"
        );
        let commented = format!("[udp] ;-- as it was\n[tcp]\n{tcp}--;\ntype=transport\nprotocol=udp\n");
        assert_eq!(
            of(&commented),
            RedirectTransport::Udp,
            "a comment from the middle of a line"
        );
        for bind in ["[::]", "[::]:5060", "::"] {
            let text = format!("[tcp]\n{}", tcp.replace("0.0.0.0", bind));
            assert_eq!(of(&text), RedirectTransport::Udp, "{bind} reaches no 127.0.0.1");
        }
    }

    #[test]
    fn a_transport_in_a_file_included_by_pattern_counts() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("pjsip.d")).unwrap();
        std::fs::write(folder.path().join("pjsip.conf"), "#include \"pjsip.d/*.conf\"\n").unwrap();
        let tcp = "[tcp]\ntype=transport\nprotocol=tcp\nbind=[::1]\n";
        std::fs::write(folder.path().join("pjsip.d/.old.conf"), tcp.replace("[::1]", "0.0.0.0")).unwrap();
        std::fs::write(folder.path().join("pjsip.d/10-tcp.conf"), tcp).unwrap();
        assert_eq!(found(folder.path(), true).0, RedirectTransport::Tcp);
        assert_eq!(found(folder.path(), false).0, RedirectTransport::Udp);
    }
}
