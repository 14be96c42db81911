//! Applying: what the map means is written into Asterisk, and what was written is verified by what Asterisk reads back.

mod globals;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use fed_core::{ids::UserId, kv::StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use self::told::Lists;
use super::{BridgeFault, ObjectDrift, owner::Before};
use crate::{
    client::{AriClient, AriError, Fields, IN_BULK, ObjectType, patiently},
    plan::{Action, Actual, Plan, differing, plan},
    port::{MapPort, MapSnapshot},
    render::{
        Desired, Global, Key, Object, Scope, Target, is_ours, is_redirect_aor, redirect_aor, render, render_scope,
    },
};

/// Parts of the map that are cheaper to look at one by one than all together.
const MANY_SCOPES: usize = 100;

/// What is known to be in Asterisk, from writing it or reading it back. Outlives the link; a restart of Asterisk voids it.
#[derive(Default)]
pub(super) struct Known {
    /// When the Asterisk that it is about started.
    started: String,
    objects: HashMap<Key, u64>,
    globals: BTreeMap<String, Global>,
    /// Which variables Asterisk says it holds; none until it was asked.
    told: Option<Lists>,
    /// Those that somebody before this process set.
    left: BTreeSet<String>,
}

impl Known {
    /// Takes these for unknown: they were found changed.
    pub(super) fn forget(&mut self, changed: &[ObjectDrift]) {
        for drift in changed {
            match drift {
                ObjectDrift::Global(name) => drop(self.globals.remove(name)),
                ObjectDrift::Missing(key) | ObjectDrift::Unknown(key) | ObjectDrift::Differs { key, .. } => {
                    self.objects.remove(key);
                }
            }
        }
    }
}

/// Why nothing could be applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error(transparent)]
    Ari(#[from] AriError),
    /// It may not have everything yet: a node that has just joined is still to be given the key of its secrets.
    #[error("the map cannot be applied: {0}")]
    Map(#[from] StoreError),
}

/// What an application came to.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) written: u64,
    pub(super) deleted: u64,
    pub(super) postponed: Vec<Key>,
    pub(super) faults: Vec<BridgeFault>,
    /// Aors that were written: registrations that Asterisk keeps in its database come back with them, and are not told of.
    pub(super) aors: Vec<String>,
    /// The objects that were looked at; `None` for all there are.
    looked_at: Option<BTreeSet<Key>>,
}

impl Applied {
    /// True where this says anew how an object is.
    pub(super) fn covers(&self, kind: &str, id: &str) -> bool {
        self.looked_at
            .as_ref()
            .is_none_or(|keys| keys.iter().any(|key| key.0.as_str() == kind && key.1 == id))
    }
}

/// Writes to one Asterisk.
pub(super) struct Applier {
    client: AriClient,
    port: Arc<dyn MapPort>,
    target: Target,
    known: Arc<Mutex<Known>>,
}

impl Applier {
    /// `started` is when Asterisk says it started.
    pub(super) fn new(
        client: AriClient,
        port: Arc<dyn MapPort>,
        target: Target,
        known: Arc<Mutex<Known>>,
        started: &str,
    ) -> Self {
        {
            let mut known = known.lock();
            if known.started != started {
                *known = Known {
                    started: started.to_owned(),
                    ..Known::default()
                };
            }
        }
        Self {
            client,
            port,
            target,
            known,
        }
    }

    /// Whether Asterisk has an endpoint of this bridge's.
    pub(super) fn has_endpoints(&self) -> bool {
        let is_endpoint = |(kind, _): &Key| *kind == ObjectType::Endpoint;
        self.known.lock().objects.keys().any(is_endpoint)
    }

    /// How many objects are known to be as wanted.
    pub(super) fn verified(&self) -> usize {
        self.known.lock().objects.len()
    }

    /// Makes everything as wanted. What is known to be so is not looked at again.
    ///
    /// # Errors
    /// What keeps from looking at all; objects that could not be written are faults of the result.
    pub(super) async fn apply_all(&self, snapshot: &MapSnapshot, before: Before) -> Result<Applied, ApplyError> {
        let desired = render(&snapshot.view(), &self.target)?;
        let listed: BTreeSet<String> = self
            .client
            .endpoints("PJSIP")
            .await?
            .into_iter()
            .map(|e| e.resource)
            .collect();
        // What somebody deleted is not there any more, whatever was known of it.
        self.known
            .lock()
            .objects
            .retain(|key, _| listed.contains(endpoint_of(&key.1)));
        let mut look = Vec::new();
        for (key, object) in &desired.objects {
            // Asterisk forgot everything when it restarted; only what has an endpoint (of a file, say) can be there.
            let possible = before == Before::Somebody || listed.contains(endpoint_of(&key.1));
            if possible && !self.is_known(object) {
                look.push(key.clone());
            }
        }
        for id in listed
            .iter()
            .filter(|id| !desired.objects.contains_key(&(ObjectType::Endpoint, (*id).clone())))
        {
            let there = self.client.get_object(ObjectType::Endpoint, id).await?;
            if there.is_some_and(|fields| is_ours(id, fields.get("aors").unwrap_or_default())) {
                look.extend(keys_of_endpoint(id));
            }
        }
        let gone: Vec<Key> = self
            .known
            .lock()
            .objects
            .keys()
            .filter(|key| !desired.objects.contains_key(*key))
            .cloned()
            .collect();
        look.extend(gone);
        let wanted = desired
            .objects
            .into_iter()
            .filter(|(_, object)| !self.is_known(object))
            .collect();
        Ok(self.reconcile(wanted, look).await?)
    }

    /// Makes some parts as wanted.
    ///
    /// # Errors
    /// As [`Applier::apply_all`].
    pub(super) async fn apply(&self, scopes: &BTreeSet<Scope>) -> Result<Applied, ApplyError> {
        let snapshot = self.port.local();
        if scopes.contains(&Scope::All) || scopes.len() > MANY_SCOPES {
            let mut applied = self.apply_all(&snapshot, Before::Somebody).await?;
            self.apply_globals(&snapshot, &mut applied).await?;
            return Ok(applied);
        }
        let mut desired = Desired::default();
        let mut look: BTreeSet<Key> = BTreeSet::new();
        let mut users: BTreeSet<UserId> = BTreeSet::new();
        for scope in scopes {
            let part = render_scope(&snapshot.view(), &self.target, scope)?;
            look.extend(scope.keys());
            look.extend(part.objects.keys().cloned());
            users.extend(self.users_of(scope, &part));
            desired.objects.extend(part.objects);
        }
        let looked_at = look.clone();
        look.retain(|key| desired.objects.get(key).is_none_or(|object| !self.is_known(object)));
        desired.objects.retain(|_, object| !self.is_known(object));
        let mut applied = self.reconcile(desired.objects, look).await?;
        applied.looked_at = Some(looked_at);
        for user in users {
            let part = render_scope(&snapshot.view(), &self.target, &Scope::User(user.clone()))?;
            self.write_globals(part.globals, |global| global.user == user, Vec::new(), &mut applied)
                .await?;
        }
        Ok(applied)
    }

    /// Users whose numbers may ring otherwise than before.
    fn users_of(&self, scope: &Scope, part: &Desired) -> BTreeSet<UserId> {
        let mut users: BTreeSet<UserId> = part.globals.values().map(|global| global.user.clone()).collect();
        match scope {
            Scope::User(id) => {
                users.insert(id.clone());
            }
            // Whoever had it, if it was deleted or is another's now.
            Scope::Device(id) => {
                let known = self.known.lock();
                users.extend(known.globals.values().filter(|g| g.names(id)).map(|g| g.user.clone()));
            }
            Scope::All | Scope::Node(_) | Scope::Peers => {}
        }
        users
    }

    async fn reconcile(
        &self,
        desired: BTreeMap<Key, Object>,
        look: impl IntoIterator<Item = Key>,
    ) -> Result<Applied, AriError> {
        let actual = self.read(look).await?;
        let plan = plan(&desired, &actual, &self.target.capabilities);
        let to_do: BTreeSet<Key> = plan.phases.iter().flatten().map(Action::key).collect();
        for (key, fields) in &actual.objects {
            if let Some(object) = desired.get(key)
                && !to_do.contains(key)
                && differing(object, fields, &self.target.capabilities).is_none()
            {
                self.remember(object);
            }
        }
        Ok(self.execute(plan).await)
    }

    async fn read(&self, keys: impl IntoIterator<Item = Key>) -> Result<Actual, AriError> {
        let read: Vec<(Key, Option<Fields>)> = stream::iter(keys)
            .map(|key| async move {
                let fields = self.client.get_object(key.0, &key.1).await?;
                Ok::<_, AriError>((key, fields))
            })
            .buffer_unordered(IN_BULK)
            .try_collect()
            .await?;
        let mut actual = Actual::default();
        for (key, fields) in read {
            let Some(fields) = fields else { continue };
            let contacts = fields.get("contact").unwrap_or_default();
            if key.0 == ObjectType::Aor && !is_redirect_aor(&key.1) && !contacts.is_empty() {
                actual.registered.insert(key.1.clone());
            }
            actual.objects.insert(key, fields);
        }
        Ok(actual)
    }

    async fn execute(&self, plan: Plan) -> Applied {
        let mut applied = Applied {
            postponed: plan.postponed,
            ..Applied::default()
        };
        for phase in plan.phases {
            let results: Vec<(Key, Done)> = stream::iter(phase)
                .map(|action| async move { (action.key(), self.perform(action).await) })
                .buffer_unordered(IN_BULK)
                .collect()
                .await;
            for ((kind, id), result) in results {
                match result {
                    Done::Written => {
                        applied.written += 1;
                        if kind == ObjectType::Aor && !is_redirect_aor(&id) {
                            applied.aors.push(id);
                        }
                    }
                    Done::Deleted => applied.deleted += 1,
                    Done::Postponed(key) => applied.postponed.push(key),
                    Done::Failed(fault) if applied.faults.contains(&fault) => {}
                    Done::Failed(fault) => applied.faults.push(fault),
                }
            }
            // Without the mapping of one kind, what depends on it would be half there.
            if applied
                .faults
                .iter()
                .any(|fault| matches!(fault, BridgeFault::MissingMapping { .. }))
            {
                break;
            }
        }
        applied
    }

    async fn perform(&self, action: Action) -> Done {
        let key = action.key();
        let result = match &action {
            Action::Put(object) => self.put(object).await,
            Action::Replace(object) => self.replace(object).await,
            Action::Delete(_) => {
                self.known.lock().objects.remove(&key);
                patiently(|| self.client.delete_object(key.0, &key.1))
                    .await
                    .map(|_| Done::Deleted)
            }
        };
        result.unwrap_or_else(|error| {
            tracing::warn!(object = %key.0, id = key.1, %error, "an object could not be written");
            Done::Failed(BridgeFault::of_write(&key, &error))
        })
    }

    async fn put(&self, object: &Object) -> Result<Done, AriError> {
        let fields = patiently(|| self.client.put_object(object.kind, &object.id, &object.fields)).await?;
        if let Some(attribute) = differing(object, &fields, &self.target.capabilities) {
            let wanted = object.get(attribute).unwrap_or_default();
            let why = format!(
                "{attribute} reads back as {:?} instead of {wanted:?}",
                fields.get(attribute).unwrap_or_default()
            );
            return Ok(Done::Failed(BridgeFault::Object {
                object: object.kind.as_str(),
                id: object.id.clone(),
                why,
            }));
        }
        self.remember(object);
        Ok(Done::Written)
    }

    async fn replace(&self, object: &Object) -> Result<Done, AriError> {
        let device = object.kind == ObjectType::Aor && !is_redirect_aor(&object.id);
        if device
            && self
                .client
                .contact_uris(&object.id)
                .await?
                .is_some_and(|uris| !uris.is_empty())
        {
            return Ok(Done::Postponed(object.key()));
        }
        let before = patiently(|| self.client.get_object(object.kind, &object.id)).await?;
        patiently(|| self.client.delete_object(object.kind, &object.id)).await?;
        let put = self.put(object).await;
        if let (Err(_), Some(before)) = (&put, before) {
            self.put_back(object, &before).await;
        }
        put
    }

    /// What was there before serves until what is wanted is taken: a wrong entry takes no right one with it.
    async fn put_back(&self, object: &Object, before: &Fields) {
        let ours: Vec<_> = before.iter().filter(|(name, _)| object.get(name).is_some()).collect();
        let put = self.client.put_object(object.kind, &object.id, &ours).await;
        if let Err(error) = put {
            tracing::warn!(object = %object.kind, id = object.id, %error, "what was there before could not be put back");
        }
    }

    fn is_known(&self, object: &Object) -> bool {
        self.known.lock().objects.get(&object.key()) == Some(&digest(object))
    }

    fn remember(&self, object: &Object) {
        self.known.lock().objects.insert(object.key(), digest(object));
    }
}

enum Done {
    Written,
    Deleted,
    Postponed(Key),
    Failed(BridgeFault),
}

fn digest(object: &Object) -> u64 {
    let mut hasher = DefaultHasher::new();
    object.fields.hash(&mut hasher);
    hasher.finish()
}

/// Every object that belongs to an endpoint of ours.
fn keys_of_endpoint(id: &str) -> Vec<Key> {
    vec![
        (ObjectType::Endpoint, id.to_owned()),
        (ObjectType::Aor, id.to_owned()),
        (ObjectType::Aor, redirect_aor(id)),
        (ObjectType::Auth, id.to_owned()),
        (ObjectType::Identify, id.to_owned()),
    ]
}

/// The endpoint that an object belongs to.
fn endpoint_of(id: &str) -> &str {
    id.strip_suffix("-fed").unwrap_or(id)
}
