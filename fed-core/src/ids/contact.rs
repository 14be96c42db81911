//! What a contact may look like.
//!
//! A contact comes from a phone, as it likes to call itself, and becomes part of the string that `Dial` is given for it. There `&`
//! begins another destination, `,` the options, and `|`, `(`, `$` and their like mean something elsewhere: a phone that could put
//! them there would dial what its user may not. RFC 3261 allows some of them in the user part, and no phone needs them. A `[` that
//! nobody closes swallows every `,` after it, and with it what belongs to others: they come in pairs, as an IPv6 address has them.

use std::net::Ipv6Addr;

use super::is_made_of;

const LONGEST: usize = 255;
const SCHEMES: [&str; 3] = ["sip:", "sips:", "iax2:"];

/// Whether new contacts may look like this: `scheme:[user[:password]@]host[:port][;name[=value]...]`.
pub(super) fn is_contact(text: &str) -> bool {
    let Some(rest) = after_scheme(text) else {
        return false;
    };
    let (address, parameters) = match rest.split_once(';') {
        Some((address, parameters)) => (address, Some(parameters)),
        None => (rest, None),
    };
    let (user, host) = match address.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, address),
    };
    text.len() <= LONGEST
        && user.is_none_or(is_user)
        && is_host_and_port(host)
        && parameters.is_none_or(|all| all.split(';').all(is_parameter))
}

/// Whether a contact could be stored at any time: this rule is in old logs and is never tightened.
pub(super) fn is_readable(text: &str) -> bool {
    after_scheme(text).is_some_and(|rest| !rest.is_empty())
        && is_made_of(text, LONGEST, |c| c.is_ascii_graphic() && !b"\"'`,\\<>".contains(&c))
}

fn after_scheme(text: &str) -> Option<&str> {
    SCHEMES.iter().find_map(|scheme| {
        let begins = text.get(..scheme.len())?.eq_ignore_ascii_case(scheme);
        begins.then(|| &text[scheme.len()..])
    })
}

fn is_user(text: &str) -> bool {
    !text.is_empty() && is_made_of_these(text, b"-_.!~*+=:#")
}

fn is_host_and_port(text: &str) -> bool {
    let (host_is_good, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        (address.parse::<Ipv6Addr>().is_ok(), port)
    } else {
        let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        (is_host(host), port)
    };
    host_is_good && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

fn is_host(text: &str) -> bool {
    text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && is_made_of(text, LONGEST, |c| c.is_ascii_alphanumeric() || b".-_".contains(&c))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_parameter(text: &str) -> bool {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    !name.is_empty()
        && is_made_of_these(name, b"-_.!~*+")
        && value.is_none_or(|value| is_made_of_these(value, b"-_.!~*+=:/[]") && is_in_pairs(value))
}

/// Whether every `[` is closed before the next, and nothing else is.
fn is_in_pairs(text: &str) -> bool {
    let mut open = false;
    let fine = text.bytes().all(|c| match c {
        b'[' => !std::mem::replace(&mut open, true),
        b']' => std::mem::replace(&mut open, false),
        _ => true,
    });
    fine && !open
}

/// Whether a text is made of letters, digits, these marks and escapes of two hexadecimal digits.
fn is_made_of_these(text: &str, marks: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(c) = bytes.next() {
        let fine = if c == b'%' {
            let mut digit = || bytes.next().is_some_and(|c| c.is_ascii_hexdigit());
            digit() && digit()
        } else {
            c.is_ascii_alphanumeric() || marks.contains(&c)
        };
        if !fine {
            return false;
        }
    }
    true
}
