//! One dynamic configuration object: created, merged, read back.

use std::collections::BTreeMap;

use super::{SimVersion, schema};

/// Why a PUT was refused: status and words as Asterisk answers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: String,
}

/// An object's stored values. A list holds several, any other field one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    type_: String,
    values: BTreeMap<&'static str, Vec<String>>,
}

impl Object {
    /// A new object of these fields.
    pub(crate) fn create(
        version: SimVersion,
        type_: &str,
        id: &str,
        fields: &[(String, String)],
    ) -> Result<Self, Refusal> {
        let schema = schema::of(version, type_).ok_or_else(|| no_such_type(type_))?;
        let mut object = Self {
            type_: type_.to_owned(),
            values: BTreeMap::new(),
        };
        object.apply(version, id, fields)?;
        let missing = schema
            .values()
            .any(|a| a.is_needed() && object.values(a.name).is_empty());
        if missing || object.lacks_credentials() {
            return Err(invalid(id));
        }
        Ok(object)
    }

    /// The object with these fields merged in: what they do not name stays, lists add up, and what cannot be read back is reset.
    pub(crate) fn merge(&self, version: SimVersion, id: &str, fields: &[(String, String)]) -> Result<Self, Refusal> {
        let schema = schema::of(version, &self.type_).ok_or_else(|| no_such_type(&self.type_))?;
        if self.cannot_be_copied() {
            return Err(Refusal {
                status: 500,
                message: "Allocation failed".to_owned(),
            });
        }
        let mut copy = self.clone();
        copy.values
            .retain(|name, _| schema.get(name).is_some_and(|a| !a.is_lost_in_a_copy()));
        copy.apply(version, id, fields)?;
        Ok(copy)
    }

    fn apply(&mut self, version: SimVersion, id: &str, fields: &[(String, String)]) -> Result<(), Refusal> {
        let schema = schema::of(version, &self.type_).ok_or_else(|| no_such_type(&self.type_))?;
        for (name, value) in fields {
            let attribute = schema.get(name.as_str()).ok_or_else(|| invalid(id))?;
            let members = attribute.normalise(value).ok_or_else(|| invalid(id))?;
            let stored = self.values.entry(attribute.name).or_default();
            if !attribute.adds_up() {
                *stored = members;
                continue;
            }
            for member in members {
                // Contacts are a set, addresses are not.
                if attribute.name != "contact" || !stored.contains(&member) {
                    stored.push(member);
                }
            }
        }
        Ok(())
    }

    /// Adds to the static contacts of an aor.
    pub(crate) fn add_contact(&mut self, uri: &str) {
        let contacts = self.values.entry("contact").or_default();
        if !contacts.iter().any(|c| c == uri) {
            contacts.push(uri.to_owned());
        }
    }

    /// The stored values of a field; none where it has its default.
    pub(crate) fn values(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// A field's value, or its default.
    pub(crate) fn value(&self, version: SimVersion, name: &str) -> String {
        match self.values(name).first() {
            Some(value) => value.clone(),
            None => schema::of(version, &self.type_)
                .and_then(|s| s.get(name))
                .map_or_else(String::new, |a| a.default.to_owned()),
        }
    }

    /// The fields as a read answers them; `live` are the contacts that an aor shows beside its static ones.
    pub(crate) fn read(&self, version: SimVersion, live: &[String]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        for attribute in schema::of(version, &self.type_).into_iter().flat_map(|s| s.values()) {
            let mut values: Vec<String> = self.values(attribute.name).to_vec();
            if attribute.name == "contact" {
                values.extend(live.iter().cloned());
            }
            if values.is_empty() {
                values.push(attribute.default.to_owned());
            }
            let shown = values.into_iter().filter(|v| attribute.shows(v));
            fields.extend(shown.map(|value| (attribute.name.to_owned(), value)));
        }
        fields
    }

    /// An endpoint without a codec or with variables fails when Asterisk copies it for a merge.
    fn cannot_be_copied(&self) -> bool {
        let no_codec = self.values("allow").first().is_none_or(|allow| allow == "(nothing)");
        self.type_ == "endpoint" && (no_codec || !self.values("set_var").is_empty())
    }

    fn lacks_credentials(&self) -> bool {
        if self.type_ != "auth" {
            return false;
        }
        let set = |name: &str| self.values(name).first().is_some_and(|v| !v.is_empty());
        match self.values("auth_type").first().map_or("userpass", String::as_str) {
            "md5" => self.values("md5_cred").first().is_none_or(|c| c.len() != 32),
            "digest" => !set("password_digest") && !set("password"),
            "userpass" => !set("password"),
            _ => false,
        }
    }
}

fn no_such_type(type_: &str) -> Refusal {
    Refusal {
        status: 404,
        message: format!("objectType '{type_}' not found"),
    }
}

fn invalid(id: &str) -> Refusal {
    Refusal {
        status: 400,
        message: format!("Creation of object '{id}' failed field value validation"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, v)| ((*a).to_owned(), (*v).to_owned())).collect()
    }

    fn create(version: SimVersion, type_: &str, pairs: &[(&str, &str)]) -> Result<Object, Refusal> {
        Object::create(version, type_, "x", &fields(pairs))
    }

    #[test]
    fn a_put_merges_and_static_contacts_add_up() {
        let aor = create(SimVersion::V16, "aor", &[("max_contacts", "3"), ("contact", "sip:a@h")]).expect("an aor");
        let merged = aor
            .merge(SimVersion::V16, "x", &fields(&[("contact", "sip:b@h")]))
            .expect("merges");
        assert_eq!(merged.values("contact"), ["sip:a@h", "sip:b@h"]);
        assert_eq!(merged.value(SimVersion::V16, "max_contacts"), "3");
        let cleared = merged
            .merge(SimVersion::V16, "x", &fields(&[("contact", "")]))
            .expect("merges");
        assert_eq!(cleared.values("contact").len(), 2, "an empty contact clears nothing");
    }

    #[test]
    fn identify_addresses_add_up_even_when_the_same() {
        let once =
            create(SimVersion::V22, "identify", &[("endpoint", "e"), ("match", "10.0.0.1")]).expect("an identify");
        let twice = once
            .merge(SimVersion::V22, "x", &fields(&[("match", "10.0.0.1")]))
            .expect("merges");
        assert_eq!(twice.values("match").len(), 2);
    }

    #[test]
    fn a_partial_put_resets_redirect_method_on_16_only() {
        for (version, kept) in [(SimVersion::V16, ""), (SimVersion::V22, "uri_pjsip")] {
            let endpoint = create(
                version,
                "endpoint",
                &[("allow", "ulaw"), ("redirect_method", "uri_pjsip")],
            )
            .expect("an endpoint");
            let merged = endpoint
                .merge(version, "x", &fields(&[("language", "en")]))
                .expect("merges");
            assert_eq!(merged.value(version, "redirect_method"), kept, "{version:?}");
        }
    }

    #[test]
    fn an_attribute_unknown_to_the_version_refuses_the_whole_put() {
        let fields = [("max_contacts", "1"), ("qualify_2xx_only", "yes")];
        assert_eq!(create(SimVersion::V16, "aor", &fields).map_err(|r| r.status), Err(400));
        assert!(create(SimVersion::V22, "aor", &fields).is_ok());
    }

    #[test]
    fn an_endpoint_without_codecs_cannot_be_changed() {
        let endpoint = create(SimVersion::V22, "endpoint", &[("disallow", "all")]).expect("an endpoint");
        let refused = endpoint.merge(SimVersion::V22, "x", &fields(&[("language", "en")]));
        assert_eq!(refused.map_err(|r| r.status), Err(500));
    }

    #[test]
    fn credentials_are_needed_and_have_a_length() {
        assert!(create(SimVersion::V16, "auth", &[("auth_type", "md5"), ("md5_cred", "123")]).is_err());
        assert!(create(SimVersion::V16, "auth", &[]).is_err());
        assert!(
            create(
                SimVersion::V16,
                "auth",
                &[("auth_type", "md5"), ("md5_cred", &"0".repeat(32))]
            )
            .is_ok()
        );
        assert!(
            create(
                SimVersion::V16,
                "auth",
                &[("auth_type", "digest"), ("md5_cred", &"0".repeat(32))]
            )
            .is_err()
        );
    }
}
