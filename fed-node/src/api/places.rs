//! How many calls of one token are under way at this node, over all its connections together.
//!
//! A connection has a limit of its own, and one address may have many connections: without this one the bearer of a reader's token could
//! hold a hundred thousand watches open, each with its task and what waits for it.

use std::collections::HashMap;
use std::sync::Arc;

use fed_core::audit::Actor;
use fed_core::ids::TokenId;
use parking_lot::Mutex;

/// Counts calls under way. Memory is bounded by them: a token without any is not remembered.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    taken: Mutex<HashMap<TokenId, usize>>,
}

impl Places {
    /// `most` at once for the bearer of one token; 0: any number.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: Mutex::default(),
        })
    }

    /// A place for one more call of theirs; an error, how many there may be, when all are taken. Nobody but the bearers of tokens is
    /// counted: whoever may read the data folder is the administrator of this machine.
    pub(super) fn take(self: &Arc<Self>, who: &Actor) -> Result<Option<Arc<Place>>, usize> {
        let Actor::Token(id) = who else { return Ok(None) };
        if self.most == 0 {
            return Ok(None);
        }
        let mut taken = self.taken.lock();
        let count = taken.entry(id.clone()).or_default();
        if *count >= self.most {
            return Err(self.most);
        }
        *count += 1;
        Ok(Some(Arc::new(Place {
            of: id.clone(),
            places: self.clone(),
        })))
    }
}

/// The place of one call; given back when nothing of the call is left.
#[derive(Debug)]
pub(super) struct Place {
    of: TokenId,
    places: Arc<Places>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        if let Some(count) = taken.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str) -> Actor {
        Actor::Token(TokenId::new(name).unwrap())
    }

    #[test]
    fn a_token_has_so_many_places_and_gets_them_back() {
        let places = Places::new(2);
        let first = places.take(&token("a")).unwrap();
        let second = places.take(&token("a")).unwrap();
        assert_eq!(places.take(&token("a")).unwrap_err(), 2);
        // Another token, and the administrator of the machine, are not concerned.
        places.take(&token("b")).unwrap();
        assert!(places.take(&Actor::Local).unwrap().is_none());
        // Whatever is left of a call holds its place.
        let rest = first.clone();
        drop(first);
        assert!(places.take(&token("a")).is_err());
        drop(rest);
        drop(places.take(&token("a")).unwrap());
        drop(second);
        assert!(places.taken.lock().is_empty());
    }

    #[test]
    fn none_is_any_number() {
        let places = Places::new(0);
        let held: Vec<_> = (0..10_000).map(|_| places.take(&token("a")).unwrap()).collect();
        assert!(held.iter().all(Option::is_none) && places.taken.lock().is_empty());
    }
}
