//! Tokens.

use super::{Applied, Applier};
use crate::command::{Expect, Object, Refusal};
use crate::event::Change;
use crate::ids::{Revision, TokenId};
use crate::map::keys::{self, Counted};
use crate::map::rows;
use crate::records::Token;

/// So many tokens there may be: they are listed and read whole.
const MOST_TOKENS: u64 = 10_000;

impl Applier<'_> {
    pub(super) fn put_token(&mut self, token: Token, expect: Expect) -> Applied {
        let before = self.view().token(&token.id)?;
        let object = Object::Token(token.id.clone());
        expect.check(object.clone(), before.as_ref().map(|record| record.modified))?;
        token.validate()?;
        if before.as_ref().is_some_and(|record| record.value == token) {
            return self.nothing_to_do();
        }
        if before.is_none() && self.view().count(Counted::Tokens)? >= MOST_TOKENS {
            return Err(Refusal::Invalid {
                object,
                field: "id".to_owned(),
                why: format!("there are {MOST_TOKENS} tokens already: revoke those that have expired"),
            }
            .into());
        }
        self.count(Counted::Tokens, usize::from(before.is_some()), 1)?;
        let id = token.id.clone();
        let record = self.record(before.map(|record| record.created), token);
        rows::write(self.store, keys::TOKENS, keys::text(&id), &record)?;
        self.events.push(Change::TokenPut { id });
        self.done()
    }

    pub(super) fn revoke_token(&mut self, id: TokenId) -> Applied {
        if self.view().token(&id)?.is_none() {
            let object = Object::Token(id);
            return Err(Refusal::NotFound { object }.into());
        }
        self.drop_token(id)
    }

    /// Takes a one-use token away, as it was left by `expect`: of two that use it at the same time, the log lets one through.
    pub(super) fn use_token(&mut self, id: TokenId, expect: Revision) -> Applied {
        let object = Object::Token(id.clone());
        let Some(token) = self.view().token(&id)? else {
            return Err(Refusal::NotFound { object }.into());
        };
        Expect::Revision(expect).check(object.clone(), Some(token.modified))?;
        if !token.value.one_use {
            return Err(Refusal::Invalid {
                object,
                field: "one_use".to_owned(),
                why: "it may be shown any number of times, and is not used up".to_owned(),
            }
            .into());
        }
        self.drop_token(id)
    }

    fn drop_token(&mut self, id: TokenId) -> Applied {
        self.store.delete(keys::TOKENS, keys::text(&id));
        self.count(Counted::Tokens, 1, 0)?;
        self.events.push(Change::TokenDeleted { id });
        self.done()
    }
}
