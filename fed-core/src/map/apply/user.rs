//! Users, and the names that lead to them.

use super::{Applied, Applier, Stop};
use crate::command::{Expect, Object, Refusal};
use crate::event::Change;
use crate::ids::{DeviceId, Number, UserId};
use crate::map::keys::{self, Counted};
use crate::map::rows;
use crate::records::User;

impl Applier<'_> {
    pub(super) fn put_user(&mut self, user: User, expect: Expect) -> Applied {
        let before = self.view().user(&user.id)?;
        let object = Object::User(user.id.clone());
        expect.check(object, before.as_ref().map(|record| record.modified))?;
        user.validate()?;
        if before.as_ref().is_some_and(|record| record.value == user) {
            return self.nothing_to_do();
        }
        let created = before.as_ref().map(|record| record.created);
        let old = before.map_or_else(Vec::new, |record| record.value.numbers);
        if created.is_none() {
            // One that is there has had its id since it was made: nobody else was led there since.
            self.claim(user.id.as_str(), &user.id)?;
        }
        for number in user.numbers.iter().filter(|number| !old.contains(number)) {
            self.claim(number.as_str(), &user.id)?;
        }
        self.lead(&user.id, &old, &user.numbers)?;
        self.count(Counted::Users, usize::from(created.is_some()), 1)?;
        let id = user.id.clone();
        let record = self.record(created, user);
        rows::write(self.store, keys::USERS, keys::text(&id), &record)?;
        self.events.push(Change::UserPut { id });
        self.done()
    }

    pub(super) fn delete_user(&mut self, id: &UserId, expect: Expect) -> Applied {
        let before = self.view().user(id)?;
        let object = Object::User(id.clone());
        expect.check_delete(object, before.as_ref().map(|record| record.modified))?;
        for device in self.view().device_ids_of(id)? {
            self.drop_device(&device)?;
        }
        let numbers = before.map_or_else(Vec::new, |record| record.value.numbers);
        self.lead(id, &numbers, &[])?;
        self.count(Counted::Users, 1, 0)?;
        self.store.delete(keys::USERS, keys::text(id));
        self.events.push(Change::UserDeleted { id: id.clone() });
        self.done()
    }

    /// Whether `name` may lead to `user`: it must not lead to anybody else, as number, user or device.
    fn claim(&self, name: &str, user: &UserId) -> Result<(), Stop> {
        if let Ok(device) = DeviceId::new(name)
            && let Some(device) = self.view().device(&device)?
        {
            only(name, user, device.value.user)?;
        }
        self.claim_name(name, user)
    }

    /// Whether the id of a device may lead to `user`. Where the device moves from another user, what it led to
    /// before does not count.
    pub(super) fn claim_device(&self, device: &DeviceId, user: &UserId) -> Result<(), Stop> {
        self.claim_name(device.as_str(), user)
    }

    fn claim_name(&self, name: &str, user: &UserId) -> Result<(), Stop> {
        if let Ok(number) = Number::new(name)
            && let Some(holder) = self.view().number(&number)?
        {
            only(name, user, holder)?;
        }
        if let Ok(holder) = UserId::new(name)
            && holder != *user
            && self.view().user(&holder)?.is_some()
        {
            only(name, user, holder)?;
        }
        Ok(())
    }

    /// Leads the numbers `new` to `user`, and no more the others of `old`.
    fn lead(&mut self, user: &UserId, old: &[Number], new: &[Number]) -> Result<(), Stop> {
        for number in old.iter().filter(|number| !new.contains(number)) {
            self.store.delete(keys::NUMBERS, keys::text(number));
        }
        for number in new.iter().filter(|number| !old.contains(number)) {
            rows::write(self.store, keys::NUMBERS, keys::text(number), user)?;
        }
        self.count(Counted::Numbers, old.len(), new.len())?;
        Ok(())
    }
}

/// Refuses `name` for `user` when it is another's.
fn only(name: &str, user: &UserId, holder: UserId) -> Result<(), Refusal> {
    if holder == *user {
        return Ok(());
    }
    Err(Refusal::NumberTaken {
        number: name.to_owned(),
        user: holder,
    })
}
