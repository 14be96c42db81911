//! Every attribute the federation writes, as data: how its value is compared, which versions know it and which read it back.

use crate::client::{Feature, ObjectType};

/// How two values of an attribute are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Letter by letter, outer blanks aside.
    Text,
    /// Case aside: hexadecimal digits.
    Hex,
    /// `yes`, `true`, `on`, `1` are one; so are their opposites.
    Flag,
    /// `3` is `3.000000`.
    Number,
    /// Names separated by commas, in order.
    List,
    /// Codecs: `!all,ulaw,alaw` is `(ulaw|alaw)`.
    Codecs,
    /// `"Alice" <100>`; nothing is `<unknown>`.
    CallerId,
    /// Addresses: `10.0.0.1` is `10.0.0.1/255.255.255.255`; a host name is any address.
    Hosts,
}

/// One attribute of one kind of object.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// The object's kind.
    pub kind: ObjectType,
    /// Its name.
    pub name: &'static str,
    /// How it is compared.
    pub meaning: Meaning,
    /// Without this feature the attribute is not known, and a PUT with it is refused whole.
    pub needs: Option<Feature>,
    /// Without this feature the attribute is known but never read back.
    pub readable_with: Option<Feature>,
}

const fn row(kind: ObjectType, name: &'static str, meaning: Meaning) -> Attribute {
    Attribute {
        kind,
        name,
        meaning,
        needs: None,
        readable_with: None,
    }
}

use Meaning::{CallerId, Codecs, Flag, Hex, Hosts, List, Number, Text};
use ObjectType::{Aor, Auth, Endpoint, Identify};

const ATTRIBUTES: &[Attribute] = &[
    row(Auth, "auth_type", Text),
    row(Auth, "username", Text),
    row(Auth, "realm", Text),
    row(Auth, "md5_cred", Hex),
    row(Aor, "max_contacts", Number),
    row(Aor, "remove_existing", Flag),
    row(Aor, "support_path", Flag),
    row(Aor, "qualify_frequency", Number),
    row(Aor, "contact", List),
    Attribute {
        needs: Some(Feature::Qualify2xxOnly),
        ..row(Aor, "qualify_2xx_only", Flag)
    },
    row(Endpoint, "context", Text),
    row(Endpoint, "aors", List),
    row(Endpoint, "auth", List),
    row(Endpoint, "allow", Codecs),
    Attribute {
        readable_with: Some(Feature::RedirectMethodReadable),
        ..row(Endpoint, "redirect_method", Text)
    },
    row(Endpoint, "direct_media", Flag),
    row(Endpoint, "rtp_symmetric", Flag),
    row(Endpoint, "force_rport", Flag),
    row(Endpoint, "rewrite_contact", Flag),
    row(Endpoint, "callerid", CallerId),
    row(Endpoint, "mailboxes", List),
    row(Endpoint, "webrtc", Flag),
    row(Endpoint, "identify_by", List),
    row(Endpoint, "trust_id_inbound", Flag),
    row(Endpoint, "trust_id_outbound", Flag),
    row(Endpoint, "send_pai", Flag),
    row(Endpoint, "allow_transfer", Flag),
    row(Identify, "endpoint", Text),
    row(Identify, "match", Hosts),
];

/// What is known of an attribute.
pub fn attribute(kind: ObjectType, name: &str) -> Option<&'static Attribute> {
    ATTRIBUTES.iter().find(|a| a.kind == kind && a.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_is_listed_once() {
        for (i, a) in ATTRIBUTES.iter().enumerate() {
            assert!(
                !ATTRIBUTES[i + 1..].iter().any(|b| a.kind == b.kind && a.name == b.name),
                "{} {}",
                a.kind,
                a.name
            );
        }
    }
}
