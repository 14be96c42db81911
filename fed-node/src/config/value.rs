//! What a key's text may be, and how it gets into its place. Errors say what would be right.

use std::fmt::Display;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};

use crate::address::Address;

pub(super) fn set<T: FromStr<Err: Display>>(place: &mut T, value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err("must not be empty".to_owned());
    }
    *place = value.parse().map_err(|why: T::Err| why.to_string())?;
    Ok(())
}

/// A filter of the log: any word alone would be taken for the name of a module, and turn everything else off.
pub(super) fn check_filter(filter: &str) -> Result<(), String> {
    const EXAMPLE: &str = "write for example info or info,fed_ari=debug";
    let parsed = filter.parse::<tracing_subscriber::filter::Targets>();
    parsed.map_err(|why| format!("is no log filter ({why}); {EXAMPLE}"))?;
    let levels = ["error", "warn", "info", "debug", "trace", "off"];
    for part in filter.split(',').map(str::trim) {
        let bare = !part.contains('=') && !levels.contains(&part.to_ascii_lowercase().as_str());
        let target = part.split('=').next().unwrap_or_default();
        let spelt = target.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c));
        if bare || !spelt {
            return Err(format!(
                "is no log filter: {part:?} is no level and names none; {EXAMPLE}"
            ));
        }
    }
    Ok(())
}

/// A name that stands in the dialplan.
pub(super) fn set_plain(place: &mut String, value: &str) -> Result<(), String> {
    if !fed_ari::stanzas::is_plain(value) {
        return Err("use letters, digits, - and _ only".to_owned());
    }
    set(place, value)
}

pub(super) fn set_filled(place: &mut String, value: &str) -> Result<(), String> {
    set(place, value)
}

pub(super) fn set_option<T: FromStr<Err: Display>>(place: &mut Option<T>, value: &str) -> Result<(), String> {
    *place = if value.is_empty() {
        None
    } else {
        Some(value.parse().map_err(|why: T::Err| why.to_string())?)
    };
    Ok(())
}

pub(super) fn set_advertised(place: &mut Option<Address>, value: &str) -> Result<(), String> {
    set_option(place, value)?;
    match place {
        Some(address) if address.is_wildcard() => Err(format!(
            "{address} is no address others could use; write this host's name or one IP address"
        )),
        _ => Ok(()),
    }
}

/// `0`, or a number with s, m, h or d.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let wrong = || "must be 0, or a whole number with s, m, h or d, such as 6h".to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    if count == 0 {
        return Err(wrong());
    }
    Ok(Duration::from_secs(u64::from(count) * seconds))
}

/// Addresses and networks with commas between them; nothing is none.
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(str::trim).map(network).collect()
}

fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    match text.parse::<IpNet>() {
        Ok(IpNet::V4(network)) => Ok(network.trunc().into()),
        Ok(IpNet::V6(network)) => unmapped(text, network.trunc()),
        Err(_) => Err(format!(
            "{text:?} is no address and no network: write such as 192.0.2.40, 192.0.2.0/24 or 2001:db8::/64, with commas between them"
        )),
    }
}

/// IPv4 addresses as IPv6 has them.
const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

/// The same with IPv4 as such, which is how the addresses of those who ask are compared.
fn unmapped(text: &str, network: Ipv6Net) -> Result<IpNet, String> {
    if MAPPED.contains(&network) {
        let address = network.addr().to_canonical();
        let prefix = network.prefix_len() - MAPPED.prefix_len();
        return IpNet::new(address, prefix).map_err(|error| format!("{text:?}: {error}"));
    }
    // Every IPv6 address is clear enough.
    if network.contains(&MAPPED) && network.prefix_len() > 0 {
        return Err(format!(
            "{text:?} holds every IPv4 address in the way in which IPv6 writes them, and would let none of them in: name the IPv4 networks themselves, such as 192.0.2.0/24"
        ));
    }
    Ok(network.into())
}

pub(super) fn number<T: FromStr + PartialOrd + Display>(value: &str, range: RangeInclusive<T>) -> Result<T, String> {
    let known = value.parse().ok().filter(|number| range.contains(number));
    known.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
}
