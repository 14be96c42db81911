//! What is said about media: offers, answers, addresses.

use std::net::SocketAddr;

use anyhow::Result;

use super::{Inner, Message, Rtp};

/// The answer to a new offer inside a call (the server may move the media); `None` for a repetition of the first INVITE.
pub(super) fn answer_new_offer(phone: &Inner, offer: &Message, media: Option<&Rtp>) -> Option<Message> {
    let (rtp, _) = (media?, offer.header("To")?.find(";tag=")?);
    if let Some(remote) = media_address(&offer.body) {
        rtp.talk_to(remote);
    }
    let answer = offer
        .response(200, "OK", "")
        .with("Contact", format!("<{}>", phone.contact()));
    Some(answer.with_body("application/sdp", sdp(phone, rtp).ok()?))
}

/// The offer of a phone: its voice at this port.
pub(super) fn sdp(phone: &Inner, rtp: &Rtp) -> Result<String> {
    let (ip, port) = (phone.wire.local().ip(), rtp.port()?);
    let family = if ip.is_ipv6() { "IP6" } else { "IP4" };
    Ok(format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    ))
}

/// Where the other side wants its packets.
pub(super) fn media_address(sdp: &str) -> Option<SocketAddr> {
    let ip = sdp
        .lines()
        .find_map(|l| l.strip_prefix("c=IN IP4 ").or_else(|| l.strip_prefix("c=IN IP6 ")))?
        .trim()
        .parse()
        .ok()?;
    let port = sdp
        .lines()
        .find_map(|l| l.strip_prefix("m=audio "))?
        .split(' ')
        .next()?
        .parse()
        .ok()?;
    Some(SocketAddr::new(ip, port))
}
