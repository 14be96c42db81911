//! Rendering: what the map means for one Asterisk, as PJSIP objects and global variables.
//!
//! Pure: the same map, node and capabilities give the same objects. Whole objects always, because a PUT on an existing object merges.

mod attribute;
mod device;
mod meaning;
mod name;
mod scope;
mod trunk;

use std::collections::BTreeMap;

use fed_core::{
    ids::{DeviceId, NodeId, UserId},
    kv::StoreError,
    map::MapView,
};

use crate::client::{Capabilities, ObjectType};

pub use attribute::{Attribute, Meaning, attribute};
pub(crate) use meaning::one_address;
pub use meaning::same_meaning;
pub use name::{
    ASKING_CONTEXT, DEVICES_CONTEXT, PEERS, TRUNK_CONTEXT, device_of_channel, devices_variable, is_ours,
    is_redirect_aor, redirect_aor, trunk,
};
pub use scope::Scope;

/// Which object: auths sort before aors, aors before endpoints, endpoints before identifies, the order in which they are to be made.
pub type Key = (ObjectType, String);

/// One PJSIP object, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its kind.
    pub kind: ObjectType,
    /// Its id.
    pub id: String,
    /// Every field that the federation cares about and this version knows.
    pub fields: Vec<(&'static str, String)>,
}

impl Object {
    /// Which object it is.
    pub fn key(&self) -> Key {
        (self.kind, self.id.clone())
    }

    /// A field's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }
}

/// What one Asterisk should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// PJSIP objects.
    pub objects: BTreeMap<Key, Object>,
    /// Global variables of the dialplan: whom a number rings while fed-node is down.
    pub globals: BTreeMap<String, Global>,
}

/// A global variable of the dialplan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// Whose number it is for.
    pub user: UserId,
    /// The user's devices, with `&` between them.
    pub devices: String,
}

impl Global {
    /// Whether it lists the device.
    pub fn names(&self, device: &DeviceId) -> bool {
        self.devices.split('&').any(|id| id == device.as_str())
    }
}

/// What rendering has to know besides the map.
#[derive(Clone, Debug)]
pub struct Target {
    /// The node whose Asterisk it is.
    pub here: NodeId,
    /// What that Asterisk can do.
    pub capabilities: Capabilities,
    /// `host:port` of the redirect server as that Asterisk reaches it, such as `127.0.0.1:5070`, with URI parameters such as
    /// `;transport=tcp` behind it.
    pub redirect: String,
}

impl Target {
    /// An object with the attributes that this Asterisk knows; the others are left out.
    fn object(&self, kind: ObjectType, id: impl Into<String>, fields: Vec<(&'static str, String)>) -> Object {
        let known = |name: &str| {
            attribute(kind, name)
                .and_then(|a| a.needs)
                .is_none_or(|feature| self.capabilities.has(feature))
        };
        Object {
            kind,
            id: id.into(),
            fields: fields.into_iter().filter(|(name, _)| known(name)).collect(),
        }
    }
}

impl Desired {
    fn add(&mut self, objects: impl IntoIterator<Item = Object>) {
        self.objects
            .extend(objects.into_iter().map(|object| (object.key(), object)));
    }
}

/// Everything this Asterisk should hold.
///
/// # Errors
/// Where the map cannot be read.
pub fn render(view: &MapView<'_>, target: &Target) -> Result<Desired, StoreError> {
    render_scope(view, target, &Scope::All)
}

/// What this Asterisk should hold of one part of the map; what [`Scope::keys`] names and this does not hold should not be there.
///
/// # Errors
/// Where the map cannot be read.
pub fn render_scope(view: &MapView<'_>, target: &Target, scope: &Scope) -> Result<Desired, StoreError> {
    let mut desired = Desired::default();
    match scope {
        Scope::All => {
            let settings = device::Settings::read(view)?;
            device::all(view, target, &settings, &mut desired)?;
            for node in view.nodes()? {
                if node.value.id != target.here {
                    desired.add(trunk::to_node(target, &node.value));
                }
            }
            desired.add(trunk::from_peers(view, target)?);
        }
        Scope::User(id) => {
            let settings = device::Settings::read(view)?;
            if let Some(user) = view.user(id)? {
                device::of_user(view, target, &settings, &user.value, &mut desired)?;
            }
        }
        Scope::Device(id) => {
            let settings = device::Settings::read(view)?;
            if let Some(found) = view.device(id)?
                && let Some(user) = view.user(&found.value.user)?
            {
                desired.add(device::objects(view, target, &settings, &user.value, &found.value)?);
                desired.globals.extend(device::globals(view, &user.value)?);
            }
        }
        Scope::Node(id) => {
            if *id != target.here
                && let Some(node) = view.node(*id)?
            {
                desired.add(trunk::to_node(target, &node.value));
            }
        }
        Scope::Peers => desired.add(trunk::from_peers(view, target)?),
    }
    Ok(desired)
}
