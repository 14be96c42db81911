//! What may stand in a record's fields: nothing that means something to a dialplan, a SIP message or a
//! configuration file.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use super::{Device, DigestCredentials, Node, Role, SettingValue, Token, User, setting};
use crate::command::{Object, Refusal};
use crate::sealing::is_well_formed;

const LONGEST_SETTING: usize = 4096;
const LONGEST_SEALED: usize = 255;
const LONGEST_NOTE: usize = 200;

impl User {
    /// Checks every field. The same check is made when the user is put into the map.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with the first field that is not valid.
    pub fn validate(&self) -> Result<(), Refusal> {
        let check = Fields(Object::User(self.id.clone()));
        check.that("display_name", is_display_text(&self.display_name, 80), DISPLAY_RULE)?;
        check.that("numbers", self.numbers.len() <= 100, "a user has at most 100 numbers")?;
        let distinct: BTreeSet<_> = self.numbers.iter().collect();
        check.that(
            "numbers",
            distinct.len() == self.numbers.len(),
            "a number is named twice",
        )?;
        check.optional("service_class", self.service_class.as_deref(), is_name, NAME_RULE)?;
        check.that(
            "ring_timeout_s",
            (1..=300).contains(&self.ring_timeout_s),
            "use 1 to 300 seconds",
        )?;
        check.optional("mailbox", self.mailbox.as_deref(), is_mailbox, MAILBOX_RULE)?;
        check.that(
            "preferred_nodes",
            self.preferred_nodes.len() <= 16,
            "name at most 16 nodes",
        )
    }
}

impl User {
    /// Whether one that comes in today may: what [`User::validate`] takes because logs may hold it, and nobody is to write any more.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with the first field that is not valid.
    pub fn check(&self) -> Result<(), Refusal> {
        let check = Fields(Object::User(self.id.clone()));
        check.that("display_name", reads_as_it_stands(&self.display_name), DIRECTION_RULE)
    }
}

impl Device {
    /// Checks every field. The same check is made when the device is put into the map.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with the first field that is not valid; it never shows the credentials.
    pub fn validate(&self) -> Result<(), Refusal> {
        let check = Fields(Object::Device(self.id.clone()));
        let DigestCredentials { realm, md5_ha1 } = &self.credentials;
        check.that("credentials.realm", is_realm(realm), REALM_RULE)?;
        check.that(
            "credentials.md5_ha1",
            is_ha1(md5_ha1) || is_well_formed(md5_ha1, LONGEST_SEALED),
            "use the 32 lower-case hexadecimal digits of MD5(device:realm:password)",
        )?;
        check.that("codecs", self.codecs.len() <= 16, "name at most 16 codecs")?;
        for codec in &self.codecs {
            check.that(
                "codecs",
                is_made_of(codec, 20, |c| c.is_ascii_lowercase() || is_digit_or(c, b"_-.")),
                "use Asterisk's names of codecs, such as alaw or opus",
            )?;
        }
        check.that("max_contacts", (1..=10).contains(&self.max_contacts), "use 1 to 10")
    }
}

impl Node {
    /// Checks every field. The same check is made when the node is put into the map.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with the first field that is not valid.
    pub fn validate(&self) -> Result<(), Refusal> {
        let check = Fields(Object::Node(self.id));
        let named = is_made_of(&self.name, 63, |c| c.is_ascii_alphabetic() || is_digit_or(c, b"._-"));
        check.that("name", named, "use 1 to 63 of A-Z a-z 0-9 . _ -")?;
        for (field, address) in [
            ("peer_address", &self.peer_address),
            ("client_address", &self.client_address),
            ("sip_address", &self.sip_address),
        ] {
            check.that(field, is_address(address), ADDRESS_RULE)?;
        }
        let version = self.asterisk_version.as_deref();
        check.optional(
            "asterisk_version",
            version,
            |text| is_display_text(text, 80),
            DISPLAY_RULE,
        )?;
        check.that("capabilities", self.capabilities.len() <= 64, "name at most 64")?;
        for capability in &self.capabilities {
            let printable = is_made_of(capability, 64, |c| c.is_ascii_graphic());
            check.that("capabilities", printable, "use 1 to 64 printable characters for each")?;
        }
        check.optional("zone", self.zone.as_deref(), is_name, NAME_RULE)
    }
}

impl Token {
    /// Checks every field. The same check is made when the token is put into the map.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with the first field that is not valid.
    pub fn validate(&self) -> Result<(), Refusal> {
        let check = Fields(Object::Token(self.id.clone()));
        check.that("name", is_display_text(&self.name, 80), DISPLAY_RULE)?;
        let bound = self.role != Role::Registrar || self.node.is_some();
        check.that("node", bound, "name the node whose registrations it may tell")
    }
}

impl Token {
    /// Whether one that comes in today may, as [`User::check`].
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with the first field that is not valid.
    pub fn check(&self) -> Result<(), Refusal> {
        let check = Fields(Object::Token(self.id.clone()));
        check.that("name", reads_as_it_stands(&self.name), DIRECTION_RULE)
    }
}

/// Checks a note for the audit log.
pub(crate) fn check_note(text: &str) -> Result<(), Refusal> {
    let printable = !text.is_empty() && text.chars().count() <= LONGEST_NOTE && !text.chars().any(char::is_control);
    Fields(Object::Batch).that("note", printable, "use 1 to 200 printable characters")
}

/// Checks the key of a setting.
pub(crate) fn check_setting_key(key: &str) -> Result<(), Refusal> {
    let valid = is_made_of(key, 64, |c| c.is_ascii_lowercase() || is_digit_or(c, b"._-"));
    let shown: String = key.chars().take(64).collect();
    Fields(Object::Setting(shown)).that("key", valid, "use 1 to 64 of a-z 0-9 . _ -")
}

/// Checks key and value of a setting.
pub(crate) fn check_setting(key: &str, value: &SettingValue) -> Result<(), Refusal> {
    check_setting_key(key)?;
    let check = Fields(Object::Setting(key.to_owned()));
    let text = value.as_str();
    let printable = text.len() <= LONGEST_SETTING && !text.chars().any(char::is_control);
    check.that("value", printable, "use up to 4096 bytes of printable text")?;
    match key {
        setting::REALM => check.that("value", is_realm(text), REALM_RULE),
        setting::DIALPLAN_CONTEXT => check.that("value", is_name(text), NAME_RULE),
        setting::SIP_PEERS => {
            let mut peers = text.split(',').map(str::trim).filter(|peer| !peer.is_empty());
            let fine = peers.all(|peer| is_host(peer) || is_network(peer) || is_address(peer));
            check.that("value", fine, "use addresses or networks with commas between them")
        }
        setting::CAPABILITY_KEY => check.that(
            "value",
            (text.len() == 64 && text.bytes().all(is_lower_hex)) || is_well_formed(text, LONGEST_SEALED),
            "use 64 lower-case hexadecimal digits",
        ),
        setting::HOP_LIMIT => {
            let limit = text.parse::<u8>().is_ok_and(|limit| (1..=70).contains(&limit));
            check.that("value", limit, "use a number from 1 to 70")
        }
        _ => Ok(()),
    }
}

/// Checks the fields of one object.
struct Fields(Object);

impl Fields {
    fn that(&self, field: &str, valid: bool, why: &str) -> Result<(), Refusal> {
        if valid {
            return Ok(());
        }
        Err(Refusal::Invalid {
            object: self.0.clone(),
            field: field.to_owned(),
            why: why.to_owned(),
        })
    }

    fn optional(&self, field: &str, text: Option<&str>, valid: fn(&str) -> bool, why: &str) -> Result<(), Refusal> {
        self.that(field, text.is_none_or(valid), why)
    }
}

const DISPLAY_RULE: &str = "use up to 80 characters, without control characters, double quotes, backslashes and < >";
const DIRECTION_RULE: &str = "use no characters that turn the direction of writing (U+202A to U+202E, U+2066 to U+2069): the name would be read as another one";
const NAME_RULE: &str = "use 1 to 40 of A-Z a-z 0-9 . _ -";
const MAILBOX_RULE: &str = "use box or box@context, 1 to 80 of A-Z a-z 0-9 . _ + - @";
const REALM_RULE: &str = "use 1 to 80 printable characters without blanks, quotes, colons, commas and backslashes";
const ADDRESS_RULE: &str = "use host:port, the host a name, an IPv4 address or an [IPv6 address]";

fn is_display_text(text: &str, longest: usize) -> bool {
    text.chars().count() <= longest && !text.chars().any(|c| c.is_control() || "\"\\<>".contains(c))
}

/// Whether what people see of a text is what stands in it: embeddings, overrides and isolates make a caller's name look like another's.
/// Names of languages that are written from right to left need none of them.
fn reads_as_it_stands(text: &str) -> bool {
    !text
        .chars()
        .any(|c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

fn is_name(text: &str) -> bool {
    is_made_of(text, 40, |c| c.is_ascii_alphabetic() || is_digit_or(c, b"._-"))
}

fn is_mailbox(text: &str) -> bool {
    is_made_of(text, 80, |c| c.is_ascii_alphabetic() || is_digit_or(c, b"._+-@"))
}

fn is_realm(text: &str) -> bool {
    is_made_of(text, 80, |c| c.is_ascii_graphic() && !b"\"'\\,:".contains(&c))
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        port.parse::<u16>().is_ok_and(|port| port > 0)
            && (is_host_name(host)
                || host
                    .strip_prefix('[')
                    .and_then(|host| host.strip_suffix(']'))
                    .is_some_and(|host| host.parse::<Ipv6Addr>().is_ok()))
    })
}

/// A host without a port: a name, or an address of either family.
fn is_host(text: &str) -> bool {
    is_host_name(text) || text.parse::<Ipv6Addr>().is_ok()
}

fn is_network(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(host, bits)| bits.parse::<u8>().is_ok_and(|bits| bits <= 128) && is_host(host))
}

fn is_host_name(text: &str) -> bool {
    is_made_of(text, 253, |c| c.is_ascii_alphabetic() || is_digit_or(c, b".-_"))
        && text.as_bytes()[0].is_ascii_alphanumeric()
}

fn is_made_of(text: &str, longest: usize, allowed: fn(u8) -> bool) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_digit_or(c: u8, others: &[u8]) -> bool {
    c.is_ascii_digit() || others.contains(&c)
}

fn is_ha1(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(is_lower_hex)
}

fn is_lower_hex(c: u8) -> bool {
    c.is_ascii_digit() || (b'a'..=b'f').contains(&c)
}
