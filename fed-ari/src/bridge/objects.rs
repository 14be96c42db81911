//! The other half of the drift check: every object that the map wants in this Asterisk against what is read from it now.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};

use super::drift::DriftError;
use crate::{
    client::{AriClient, Capabilities, Fields, IN_BULK, ObjectType},
    plan::differing,
    port::MapPort,
    render::{Desired, Key, Object, Target, is_ours, render},
};

/// How an object is not as the map wants it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectDrift {
    /// The map wants it, and Asterisk has none.
    Missing(Key),
    /// An attribute has another value than wanted.
    Differs {
        /// The object.
        key: Key,
        /// Its attribute.
        attribute: &'static str,
    },
    /// An endpoint of the federation's that the map does not want.
    Unknown(Key),
    /// The global variable of a number is not as the map wants it: without fed-node the number would ring somebody else, or nobody.
    Global(String),
}

impl ObjectDrift {
    /// Which object; `None` for a global variable.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Missing(key) | Self::Unknown(key) | Self::Differs { key, .. } => Some(key),
            Self::Global(_) => None,
        }
    }
}

impl std::fmt::Display for ObjectDrift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing((kind, id)) => write!(f, "{kind} {id} is not in Asterisk"),
            Self::Differs {
                key: (kind, id),
                attribute,
            } => {
                write!(f, "{kind} {id}: {attribute} is not as the map wants it")
            }
            Self::Unknown((kind, id)) => write!(f, "{kind} {id} is in Asterisk, and the map does not want it"),
            Self::Global(name) => write!(f, "the global variable {name} is not as the map wants it"),
        }
    }
}

/// What a comparison of the objects found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Objects that the map wants.
    pub wanted: usize,
    /// Those that are not so.
    pub drift: Vec<ObjectDrift>,
}

/// Reads every object and every number's variable that the map wants here from Asterisk, and lists the endpoints of the federation that it does not want.
/// `redirect` is the redirect server as in [`BridgeConfig`](super::BridgeConfig). A disagreement counts when it is there twice.
///
/// # Errors
/// [`DriftError`].
pub async fn check_objects(port: &dyn MapPort, client: &AriClient, redirect: &str) -> Result<Compared, DriftError> {
    let target = Target {
        here: port.here(),
        capabilities: Capabilities::of_version(client.info().await?.version),
        redirect: redirect.to_owned(),
    };
    let first = once(port, client, &target).await?;
    if first.drift.is_empty() {
        return Ok(first);
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut second = once(port, client, &target).await?;
    second.drift.retain(|drift| first.drift.contains(drift));
    Ok(second)
}

async fn once(port: &dyn MapPort, client: &AriClient, target: &Target) -> Result<Compared, DriftError> {
    let Desired { objects, globals } = render(&port.local().view(), target)?;
    let endpoints: BTreeSet<Key> = objects
        .keys()
        .filter(|key| key.0 == ObjectType::Endpoint)
        .cloned()
        .collect();
    let wanted = objects.len() + globals.len();
    let read = stream::iter(objects.into_values())
        .map(|object| async move {
            let fields = client.get_object(object.kind, &object.id).await?;
            Ok::<_, DriftError>(compare(&object, fields.as_ref(), &target.capabilities))
        })
        .buffer_unordered(IN_BULK);
    let mut drift: Vec<ObjectDrift> = read
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect()
        .await?;
    let read = stream::iter(globals)
        .map(|(name, global)| async move {
            let there = client.get_global(&name).await?;
            Ok::<_, DriftError>((there != global.devices).then_some(ObjectDrift::Global(name)))
        })
        .buffer_unordered(IN_BULK);
    let changed: Vec<ObjectDrift> = read
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect()
        .await?;
    drift.extend(changed);
    for endpoint in client.endpoints("PJSIP").await? {
        let key = (ObjectType::Endpoint, endpoint.resource);
        if endpoints.contains(&key) {
            continue;
        }
        let there = client.get_object(ObjectType::Endpoint, &key.1).await?;
        if there.is_some_and(|fields| is_ours(&key.1, fields.get("aors").unwrap_or_default())) {
            drift.push(ObjectDrift::Unknown(key));
        }
    }
    drift.sort();
    Ok(Compared { wanted, drift })
}

fn compare(object: &Object, fields: Option<&Fields>, capabilities: &Capabilities) -> Option<ObjectDrift> {
    let key = object.key();
    let Some(fields) = fields else {
        return Some(ObjectDrift::Missing(key));
    };
    differing(object, fields, capabilities).map(|attribute| ObjectDrift::Differs { key, attribute })
}
