//! Asterisk's dynamic configuration objects (sorcery) over ARI.
//!
//! A PUT on an existing object *merges*: fields that are not named keep their value, and lists such as
//! `contact` add up. So put the whole object, and never put an aor that has live contacts.

use std::fmt;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::{
    AriClient, AriError,
    http::{Call, encode},
};

/// The kinds of PJSIP object that can be pushed; all belong to the class `res_pjsip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectType {
    /// Credentials.
    Auth,
    /// Address of record: where a device's contacts live.
    Aor,
    /// The device or trunk itself.
    Endpoint,
    /// Which endpoint a request belongs to, by address.
    Identify,
    /// One registration: made by the registrar, or written with all its fields.
    Contact,
}

impl ObjectType {
    /// Its name in ARI and sorcery.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Aor => "aor",
            Self::Endpoint => "endpoint",
            Self::Identify => "identify",
            Self::Contact => "contact",
        }
    }
}

impl fmt::Display for ObjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The fields of an object as Asterisk writes them: normalised (`yes` is `true`), a name may occur more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The first value of a field.
    pub fn get(&self, attribute: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, _)| name == attribute)
            .map(|(_, value)| value.as_str())
    }

    /// Every field and its value, in Asterisk's order; a field may come several times.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Every value of a field, in Asterisk's order.
    pub fn all<'a>(&'a self, attribute: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0
            .iter()
            .filter(move |(name, _)| name == attribute)
            .map(|(_, value)| value.as_str())
    }
}

/// One field on the wire.
#[derive(Serialize, Deserialize)]
struct ConfigTuple {
    attribute: String,
    #[serde(default)]
    value: String,
}

impl From<Vec<ConfigTuple>> for Fields {
    fn from(tuples: Vec<ConfigTuple>) -> Self {
        Self(tuples.into_iter().map(|t| (t.attribute, t.value)).collect())
    }
}

fn call(method: Method, object_type: ObjectType, id: &str) -> Call<'static> {
    Call::new(
        method,
        format!("asterisk/config/dynamic/res_pjsip/{object_type}/{}", encode(id)),
        format!("PJSIP {object_type} {id:?}"),
    )
}

impl AriClient {
    /// Creates the object, or merges these fields into it. Answers the object's fields as Asterisk now has them.
    ///
    /// # Errors
    /// [`AriError::Refused`] with 400 for an attribute this version does not know or a bad value (nothing is changed), 403 where
    /// the type has no writable sorcery wizard.
    pub async fn put_object<A: AsRef<str>, V: AsRef<str>>(
        &self,
        object_type: ObjectType,
        id: &str,
        fields: &[(A, V)],
    ) -> Result<Fields, AriError> {
        let tuples: Vec<ConfigTuple> = fields
            .iter()
            .map(|(attribute, value)| ConfigTuple {
                attribute: attribute.as_ref().to_owned(),
                value: value.as_ref().to_owned(),
            })
            .collect();
        let body = serde_json::json!({ "fields": tuples });
        let tuples: Vec<ConfigTuple> = self.fetch(call(Method::PUT, object_type, id).body(body)).await?;
        Ok(tuples.into())
    }

    /// The object's fields, or `None` where there is no such object.
    ///
    /// # Errors
    /// As every call.
    pub async fn get_object(&self, object_type: ObjectType, id: &str) -> Result<Option<Fields>, AriError> {
        match self.fetch::<Vec<ConfigTuple>>(call(Method::GET, object_type, id)).await {
            Ok(tuples) => Ok(Some(tuples.into())),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Removes the object; `false` where there was none. Removing an aor drops its registrations.
    ///
    /// # Errors
    /// [`AriError::Refused`] with 403 for an object that came from a configuration file.
    pub async fn delete_object(&self, object_type: ObjectType, id: &str) -> Result<bool, AriError> {
        match self.perform(call(Method::DELETE, object_type, id)).await {
            Ok(()) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }
}
