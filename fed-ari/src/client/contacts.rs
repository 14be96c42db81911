//! Registrations: the contacts of an aor, their details, and how to remove a stale one.
//!
//! ARI lists no contacts. What it has: an aor read back names the URIs of its contacts, live ones
//! included, and a contact's id can be computed from its aor and URI.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use futures::{StreamExt, TryStreamExt, stream};
use md5::{Digest, Md5};

use super::{AriClient, AriError, Fields, IN_BULK, ObjectType, patiently};

/// An expiration in the past; 0 would be taken for none.
const RUN_OUT: &str = "1";

/// Looks at an aor whose registrations change between two calls: a phone that goes on changing them is told of by events.
const READS: u32 = 5;

/// The registrations of some aors.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Those that are there.
    pub contacts: Vec<Contact>,
    /// Aors of which they cannot be told, and why.
    pub unread: Vec<(String, AriError)>,
}

/// One registration as Asterisk's registrar stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The aor it belongs to.
    pub aor: String,
    /// The URI that the phone registered.
    pub uri: String,
    /// When it expires, in Unix seconds by Asterisk's clock; `None` for a static contact.
    pub expires_unix_s: Option<u64>,
    /// Address the REGISTER came from.
    pub via_address: Option<String>,
    /// Port the REGISTER came from.
    pub via_port: Option<u16>,
    /// Path headers, if any.
    pub path: Option<String>,
    /// What the phone calls itself.
    pub user_agent: Option<String>,
    /// Call-ID of the registration.
    pub call_id: Option<String>,
}

/// What came of [`AriClient::clear_away`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The registration is gone.
    Gone,
    /// There was none.
    NotThere,
    /// Its phone has renewed it meanwhile: it stands.
    Renewed,
}

/// Whether these fields of a contact are those that [`AriClient::run_out`] leaves.
pub(crate) fn has_run_out(fields: &Fields) -> bool {
    fields.get("expiration_time") == Some(RUN_OUT)
}

/// The id of a contact object: `{aor};@{md5 of the URI}`.
pub fn contact_id(aor: &str, uri: &str) -> String {
    format!("{aor};@{}", HEXLOWER.encode(&Md5::digest(uri.as_bytes())))
}

impl Contact {
    /// Reads a contact object's fields.
    fn from_fields(aor: &str, uri: &str, fields: &Fields) -> Self {
        let text = |name: &str| fields.get(name).filter(|v| !v.is_empty()).map(str::to_owned);
        Self {
            aor: aor.to_owned(),
            uri: text("uri").unwrap_or_else(|| uri.to_owned()),
            expires_unix_s: text("expiration_time").and_then(|v| v.parse().ok()).filter(|s| *s > 0),
            via_address: text("via_addr"),
            via_port: text("via_port").and_then(|v| v.parse().ok()).filter(|p| *p > 0),
            path: text("path"),
            user_agent: text("user_agent"),
            call_id: text("call_id"),
        }
    }
}

impl AriClient {
    /// Details of one registration, or `None` where it is not there (any more).
    ///
    /// # Errors
    /// As every call.
    pub async fn get_contact(&self, aor: &str, uri: &str) -> Result<Option<Contact>, AriError> {
        let fields = self.get_object(ObjectType::Contact, &contact_id(aor, uri)).await?;
        Ok(fields.map(|f| Contact::from_fields(aor, uri, &f)))
    }

    /// Makes one registration run out, the first half of its end; `false` where there is none, or this Asterisk takes no change of it. The phone is
    /// not told; events tell of it as of a refresh, where refreshes are told at all.
    ///
    /// With [`AriClient::clear_away`] Asterisk clears away what has run out: that, and what its registrar does for a REGISTER, exclude each other. A
    /// contact that is deleted as an object may be one that the registrar is just writing: it answers 200 all the same, and the registration is
    /// gone ("Failed to update contact" in Asterisk's log).
    ///
    /// # Errors
    /// As every call.
    pub async fn run_out(&self, aor: &str, uri: &str) -> Result<bool, AriError> {
        let run_out = [("expiration_time", RUN_OUT)];
        match self
            .put_object(ObjectType::Contact, &contact_id(aor, uri), &run_out)
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if error.is_transient() => Err(error),
            // What is not there would have to be made, and has no URI.
            Err(AriError::Refused { .. } | AriError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Has a registration that was made to run out cleared away, unless its phone has renewed it. Events tell that it is gone.
    ///
    /// # Errors
    /// As every call.
    pub async fn clear_away(&self, aor: &str, uri: &str) -> Result<Ended, AriError> {
        // Read for what Asterisk does for it.
        let Some(left) = self.contact_uris(aor).await? else {
            return Ok(Ended::NotThere);
        };
        if !left.iter().any(|left| left == uri) {
            return Ok(Ended::Gone);
        }
        match self.contact_fields(aor, uri).await? {
            None => Ok(Ended::Gone),
            Some(fields) if !has_run_out(&fields) => Ok(Ended::Renewed),
            Some(_) if self.delete_contact(aor, uri).await? => Ok(Ended::Gone),
            Some(_) => Ok(Ended::NotThere),
        }
    }

    /// Removes one registration as an object; `false` where there was none. The phone is not told. What its phone does meanwhile may be
    /// lost: see [`AriClient::run_out`].
    ///
    /// # Errors
    /// As every call.
    pub async fn delete_contact(&self, aor: &str, uri: &str) -> Result<bool, AriError> {
        self.delete_object(ObjectType::Contact, &contact_id(aor, uri)).await
    }

    /// What Asterisk keeps of one registration, as it is; `None` where it is not there (any more). For [`AriClient::put_contact_back`].
    ///
    /// # Errors
    /// As every call.
    pub async fn contact_fields(&self, aor: &str, uri: &str) -> Result<Option<Fields>, AriError> {
        self.get_object(ObjectType::Contact, &contact_id(aor, uri)).await
    }

    /// Makes a registration that was removed again. Asterisk tells of it as of one that a phone made.
    ///
    /// # Errors
    /// As every call.
    pub async fn put_contact_back(&self, aor: &str, uri: &str, fields: &Fields) -> Result<(), AriError> {
        // An empty value stands for none, and is refused for some of them.
        let fields: Vec<(&str, &str)> = fields.iter().filter(|(_, value)| !value.is_empty()).collect();
        self.put_object(ObjectType::Contact, &contact_id(aor, uri), &fields)
            .await
            .map(drop)
    }

    /// URIs of all contacts of an aor, static and live; `None` where there is no such aor.
    ///
    /// # Errors
    /// As every call.
    pub async fn contact_uris(&self, aor: &str) -> Result<Option<Vec<String>>, AriError> {
        let fields = self.get_object(ObjectType::Aor, aor).await?;
        Ok(fields.map(|f| {
            f.all("contact")
                .flat_map(|list| list.split(','))
                .filter(|uri| !uri.is_empty())
                .map(str::to_owned)
                .collect()
        }))
    }

    /// Every live registration of these aors with its details, a few calls at a time, transient errors tried again. An aor that does not
    /// exist has none; a static contact is no registration.
    ///
    /// # Errors
    /// The first that keeps Asterisk from answering anything. What it does not answer of one aor alone is in [`Listing::unread`]: a
    /// caller that took that for none would unbind phones that are there.
    pub async fn live_contacts(&self, aors: impl IntoIterator<Item = String>) -> Result<Listing, AriError> {
        stream::iter(aors)
            .map(|aor| async move {
                match self.live_contacts_of(&aor).await {
                    Err(error) if error.is_transient() || matches!(error, AriError::Unauthorized { .. }) => Err(error),
                    listed => Ok((aor, listed)),
                }
            })
            .buffer_unordered(IN_BULK)
            .try_fold(Listing::default(), |mut all, (aor, listed)| async move {
                match listed {
                    Ok(contacts) => all.contacts.extend(contacts),
                    Err(error) => all.unread.push((aor, error)),
                }
                Ok(all)
            })
            .await
    }

    async fn live_contacts_of(&self, aor: &str) -> Result<Vec<Contact>, AriError> {
        let mut uris = self.distinct_uris(aor).await?;
        let mut live = Vec::new();
        for _ in 0..READS {
            live.clear();
            for uri in &uris {
                live.extend(patiently(|| self.get_contact(aor, uri)).await?);
            }
            if live.len() == uris.len() {
                break;
            }
            // Static, or gone meanwhile: then another may have come in its place.
            let now = self.distinct_uris(aor).await?;
            if now == uris {
                break;
            }
            uris = now;
        }
        Ok(live)
    }

    /// One that is static as well is named twice.
    async fn distinct_uris(&self, aor: &str) -> Result<BTreeSet<String>, AriError> {
        let uris = patiently(|| self.contact_uris(aor)).await?;
        Ok(uris.unwrap_or_default().into_iter().collect())
    }
}
