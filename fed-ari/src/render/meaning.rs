//! Comparing by meaning: Asterisk reads values back normalised, and in its own spelling.

use std::{collections::BTreeSet, net::IpAddr};

use super::Meaning;

/// True where a wanted value and one read back mean the same.
pub fn same_meaning(meaning: Meaning, wanted: &str, actual: &str) -> bool {
    let (wanted, actual) = (wanted.trim(), actual.trim());
    match meaning {
        Meaning::Text => wanted == actual,
        Meaning::Hex => wanted.eq_ignore_ascii_case(actual),
        Meaning::Flag => flag(wanted) == flag(actual),
        Meaning::Number => match (wanted.parse::<f64>(), actual.parse::<f64>()) {
            (Ok(a), Ok(b)) => (a - b).abs() < 1e-6,
            _ => wanted == actual,
        },
        Meaning::List => list(wanted).eq(list(actual)),
        Meaning::Codecs => codecs(wanted) == codecs(actual),
        Meaning::CallerId => caller(wanted) == caller(actual),
        Meaning::Hosts => hosts(wanted, actual),
    }
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" | "y" | "t" => Some(true),
        "no" | "false" | "off" | "0" | "n" | "f" | "" => Some(false),
        _ => None,
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn codecs(text: &str) -> Vec<String> {
    let inner = text.trim_start_matches('(').trim_end_matches(')');
    inner
        .split([',', '|'])
        .map(|codec| codec.trim().to_ascii_lowercase())
        .filter(|codec| !matches!(codec.as_str(), "" | "!all" | "nothing"))
        .collect()
}

/// Name and number of a caller.
fn caller(text: &str) -> (String, String) {
    let (name, number) = match text.rsplit_once('<') {
        Some((name, number)) => (name, number.trim_end_matches('>')),
        None => ("", text),
    };
    let name = name.trim().trim_matches('"').to_owned();
    let number = if number == "unknown" { "" } else { number };
    (name, shrunk(number))
}

/// A number as Asterisk keeps it: it drops blanks, parentheses, hyphens and a dot at the end, also from what is no number.
fn shrunk(number: &str) -> String {
    let number = number.trim_end_matches('.');
    number.chars().filter(|c| !matches!(c, ' ' | '(' | ')' | '-')).collect()
}

/// An address without the mask that names exactly one.
fn host(text: &str) -> Option<String> {
    let address = match text.split_once('/') {
        Some((address, "255.255.255.255" | "32" | "128" | "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")) => address,
        Some(_) => return Some(text.to_owned()),
        None => text,
    };
    address.parse::<IpAddr>().ok().map(|ip| ip.to_string())
}

/// The address that Asterisk writes as a network of one; none for any other network.
pub(crate) fn one_address(text: &str) -> Option<IpAddr> {
    host(text.trim())?.parse().ok()
}

fn hosts(wanted: &str, actual: &str) -> bool {
    let wanted: Option<BTreeSet<_>> = list(wanted).map(host).collect();
    let actual: Option<BTreeSet<_>> = list(actual).map(host).collect();
    match (wanted, actual) {
        (Some(wanted), Some(actual)) => wanted == actual,
        // A name was resolved by Asterisk: what it means is not ours to say, only that it means something.
        (None, Some(actual)) => !actual.is_empty(),
        (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_by_meaning() {
        for (meaning, wanted, actual, same) in [
            (Meaning::Flag, "yes", "true", true),
            (Meaning::Flag, "no", "false", true),
            (Meaning::Flag, "no", "", true),
            (Meaning::Flag, "yes", "no", false),
            (Meaning::Number, "3", "3.000000", true),
            (Meaning::Number, "3", "4", false),
            (Meaning::Codecs, "!all,ulaw,alaw,g722", "(ulaw|alaw|g722)", true),
            (Meaning::Codecs, "!all,ulaw,alaw", "(alaw|ulaw)", false),
            (Meaning::List, "alice,alice-fed", "alice, alice-fed", true),
            (Meaning::List, "", "", true),
            (Meaning::List, "a,b", "b,a", false),
            (Meaning::Hex, "0aBc", "0abc", true),
            (Meaning::CallerId, "", "<unknown>", true),
            (Meaning::CallerId, "\"Alice A\" <1001>", "\"Alice A\" <1001>", true),
            (Meaning::CallerId, "\"Alice A\" <1001>", "\"Alice B\" <1001>", false),
            (Meaning::CallerId, "<1001>", "\"\" <1001>", true),
            (Meaning::CallerId, "<alice-home>", "alicehome", true),
            (Meaning::CallerId, "<alice-home>", "alicehouse", false),
            (Meaning::Hosts, "10.0.0.1", "10.0.0.1/255.255.255.255", true),
            (Meaning::Hosts, "2001:db8::1", "2001:db8:0::1/128", true),
            (Meaning::Hosts, "10.0.0.1", "10.0.0.2/255.255.255.255", false),
            (Meaning::Hosts, "10.0.0.0/24", "10.0.0.0/24", true),
            (Meaning::Hosts, "pbx.example", "10.0.0.2/255.255.255.255", true),
            (Meaning::Hosts, "pbx.example", "", false),
        ] {
            assert_eq!(
                same_meaning(meaning, wanted, actual),
                same,
                "{meaning:?} {wanted:?} {actual:?}"
            );
        }
    }
}
