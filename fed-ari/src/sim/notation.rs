//! How Asterisk writes lists of codecs, contacts and addresses back.

/// Codecs that these Asterisks know, as far as anybody configures them.
const CODECS: &[&str] = &[
    "ulaw", "alaw", "gsm", "g722", "g729", "g726", "ilbc", "speex", "speex16", "opus", "slin", "slin16", "g723",
    "adpcm", "lpc10", "siren7", "siren14", "vp8", "vp9", "h264", "h263", "h261", "t140", "codec2",
];

/// `!all,ulaw,alaw` as `(ulaw|alaw)`.
pub(super) fn codecs(value: &str) -> Option<String> {
    let mut allowed: Vec<&str> = Vec::new();
    for word in value.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        match word.strip_prefix('!') {
            Some("all") => allowed.clear(),
            Some(codec) => allowed.retain(|c| *c != codec),
            None if word == "all" => allowed = CODECS.to_vec(),
            None => {
                let known = CODECS.iter().find(|c| **c == word)?;
                if !allowed.contains(known) {
                    allowed.push(known);
                }
            }
        }
    }
    Some(if allowed.is_empty() {
        "(nothing)".to_owned()
    } else {
        format!("({})", allowed.join("|"))
    })
}

/// A list of SIP URIs, one value each.
pub(super) fn contacts(value: &str) -> Option<Vec<String>> {
    value
        .split(',')
        .map(str::trim)
        .filter(|uri| !uri.is_empty())
        .map(|uri| (uri.starts_with("sip:") || uri.starts_with("sips:")).then(|| uri.to_owned()))
        .collect()
}

/// An address with its mask, as `10.0.0.0/255.255.255.0`; a name is looked up, of which only `localhost` is known here.
pub(super) fn address(text: &str) -> Option<String> {
    let (host, bits) = text
        .split_once('/')
        .map_or((text, None), |(host, bits)| (host, Some(bits)));
    let host = if host == "localhost" { "127.0.0.1" } else { host };
    match host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().ok()? {
        std::net::IpAddr::V4(ip) => {
            let mask = match bits {
                None => u32::MAX,
                Some(dotted) if dotted.contains('.') => dotted.parse::<std::net::Ipv4Addr>().ok()?.into(),
                Some(bits) => mask(bits.parse().ok()?)?,
            };
            let network = std::net::Ipv4Addr::from(u32::from(ip) & mask);
            Some(format!("{network}/{}", std::net::Ipv4Addr::from(mask)))
        }
        std::net::IpAddr::V6(ip) => Some(format!(
            "{ip}/{}",
            bits.map_or(Some(128), |b| b.parse::<u8>().ok().filter(|b| *b <= 128))?
        )),
    }
}

fn mask(bits: u32) -> Option<u32> {
    match bits {
        0 => Some(0),
        1..=32 => Some(u32::MAX << (32 - bits)),
        _ => None,
    }
}
