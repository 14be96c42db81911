//! The configuration that a customer's server has before anybody speaks of a federation: transports, own contexts, a queue.
//!
//! It holds what the tests of unmodified dialplans and the static trunks of the comparison need, and nothing that `fed-node
//! asterisk-config` installs.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::asterisk::Place;
use super::password_of;

/// The SIP port of the transport that static trunks use, on the hosts' second addresses.
pub(super) const STATIC_PORT: u16 = 5062;
/// The context of a customer's own phones.
pub const CONTEXT: &str = "customer";

const NO_LOAD: &str = "chan_sip chan_skinny chan_mgcp chan_unistim chan_oss chan_alsa chan_console chan_motif chan_dahdi chan_mobile \
    chan_vpb cdr_pgsql cdr_radius cdr_tds cel_pgsql cel_radius cel_tds res_config_ldap res_config_pgsql res_xmpp res_snmp \
    res_phoneprov res_calendar res_fax app_jack res_hep res_hep_pjsip res_hep_rtcp pbx_lua pbx_ael res_smdi app_sms app_festival \
    res_corosync";

/// The second address of a host, for static trunks: fed-node's trunks identify by the first one.
pub(super) fn static_ip(number: u8) -> String {
    format!("10.77.1.{number}")
}

/// The IPv6 address of a host.
pub(super) fn ipv6(number: u8) -> String {
    format!("fd00:77::{}", 10 + number)
}

/// A name of a host that stands for its IPv4 address.
pub(super) fn host_name(number: u8) -> String {
    format!("pbx{number}.lab.example")
}

/// Writes the files into `etc`, over those of the package.
pub(super) fn write(etc: &Path, place: &Place<'_>) -> Result<()> {
    let mut modules = String::from("[modules]\nautoload=yes\n");
    for module in NO_LOAD.split_whitespace() {
        writeln!(modules, "noload => {module}.so")?;
    }
    fs::write(etc.join("modules.conf"), modules)?;
    fs::write(
        etc.join("asterisk.conf"),
        format!(
            "[directories]\nastetcdir => /etc/asterisk\nastrundir => /run/asterisk\n\n[options]\nsystemname = {}\nentityid = 02:00:00:00:00:{:02x}\n",
            place.name, place.number
        ),
    )?;
    fs::write(
        etc.join("logger.conf"),
        "[general]\n[logfiles]\nmessages => notice,warning,error\n",
    )?;
    fs::write(
        etc.join("rtp.conf"),
        "[general]\nrtpstart=10000\nrtpend=20000\nstrictrtp=no\n",
    )?;
    fs::write(
        etc.join("http.conf"),
        "[general]\nenabled=yes\nbindaddr=127.0.0.1\nbindport=8088\n",
    )?;
    fs::write(etc.join("cdr.conf"), "[general]\nenable=no\n")?;
    fs::write(etc.join("pjsip.conf"), pjsip(place)?)?;
    fs::write(etc.join("extensions.conf"), extensions(place)?)?;
    fs::write(
        etc.join("queues.conf"),
        "[general]\n\n[support]\nstrategy=ringall\ntimeout=15\nretry=1\njoinempty=yes\nringinuse=yes\nmember => PJSIP/alice\n",
    )?;
    Ok(())
}

fn pjsip(place: &Place<'_>) -> Result<String> {
    let me = place.number;
    let mut text = String::from(
        "[global]\ntype=global\nuser_agent=customer\n\n\
         [transport-udp]\ntype=transport\nprotocol=udp\nbind=0.0.0.0:5060\n\n\
         [transport-tcp]\ntype=transport\nprotocol=tcp\nbind=0.0.0.0:5060\n\n",
    );
    writeln!(
        text,
        "[transport-udp6]\ntype=transport\nprotocol=udp\nbind=[{}]:5060\n\n\
         [transport-static]\ntype=transport\nprotocol=udp\nbind={}:{STATIC_PORT}\n",
        ipv6(me),
        static_ip(me)
    )?;
    if !place.own_phones {
        return Ok(text);
    }
    // A phone of the customer's own, at home on this server only.
    let password = password_of(&format!("static{me}"));
    writeln!(
        text,
        "[static{me}]\ntype=auth\nauth_type=userpass\nusername=static{me}\npassword={password}\n\n\
         [static{me}]\ntype=aor\nmax_contacts=1\nremove_existing=yes\n\n\
         [static{me}]\ntype=endpoint\ncontext={CONTEXT}\ndisallow=all\nallow=ulaw\nauth=static{me}\naors=static{me}\ndirect_media=no\n"
    )?;
    for other in (1..=place.hosts).filter(|n| *n != me) {
        let address = static_ip(other);
        writeln!(
            text,
            "[static-h{other}]\ntype=aor\ncontact=sip:{address}:{STATIC_PORT}\n\n\
             [static-h{other}]\ntype=endpoint\ntransport=transport-static\ncontext=static-in\ndisallow=all\nallow=ulaw\naors=static-h{other}\ndirect_media=no\n\n\
             [static-h{other}]\ntype=identify\nendpoint=static-h{other}\nmatch={address}\n"
        )?;
    }
    Ok(text)
}

/// `8<host><device>` is a static trunk call, `7<device>` the customer's own `Dial(PJSIP/..)`, `600` the queue.
fn extensions(place: &Place<'_>) -> Result<String> {
    let mut text = format!(
        "[general]\nstatic=yes\nwriteprotect=no\n\n\
         [static-in]\nexten => _.,1,Dial(${{PJSIP_DIAL_CONTACTS(${{EXTEN}},${{EXTEN}})}},30)\n same => n,Hangup()\n\n\
         [{CONTEXT}]\nexten => _7[a-z].,1,Dial(PJSIP/${{EXTEN:1}},30)\n same => n,Hangup()\n\
         exten => 600,1,Queue(support,,,,30)\n same => n,Hangup()\n"
    );
    for other in (1..=place.hosts).filter(|n| *n != place.number) {
        writeln!(
            text,
            "exten => _8{other}.,1,Dial(PJSIP/${{EXTEN:2}}@static-h{other},30)\n same => n,Hangup()"
        )?;
    }
    writeln!(text, "include => fed-users")?;
    Ok(text)
}
