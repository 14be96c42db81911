//! What happened a moment ago: to which devices a call was sent here, which calls were taken back, and which were redirected.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How long a call may take from its answer to its ringing phone, with room for a busy Asterisk.
const MOMENT: Duration = Duration::from_secs(10);

/// What is remembered before what is old is looked for and forgotten.
const MANY: usize = 1_024;

/// Names, each with the time when it happened last.
pub(super) struct Recent<K>(Mutex<HashMap<K, Instant>>);

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Recent<K> {
    pub(super) fn note(&self, name: K) {
        let mut names = self.0.lock();
        if names.len() >= MANY && names.len().is_power_of_two() {
            names.retain(|_, at| at.elapsed() < MOMENT);
        }
        names.insert(name, Instant::now());
    }

    pub(super) fn holds<Q: Eq + Hash + ?Sized>(&self, name: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.lock().get(name).is_some_and(|at| at.elapsed() < MOMENT)
    }
}
