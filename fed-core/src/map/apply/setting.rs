//! Settings.

use super::{Applied, Applier, Stop};
use crate::command::{Expect, Object, Refusal};
use crate::event::Change;
use crate::map::keys::{self, Counted};
use crate::map::rows;
use crate::records::{SettingValue, check_setting, check_setting_key, setting};

impl Applier<'_> {
    pub(super) fn put_setting(&mut self, key: String, value: SettingValue, expect: Expect) -> Applied {
        check_setting(&key, &value)?;
        let before = self.view().setting(&key)?;
        let object = Object::Setting(key.clone());
        expect.check(object, before.as_ref().map(|record| record.modified))?;
        if before.as_ref().is_some_and(|record| record.value == value) {
            return self.nothing_to_do();
        }
        self.keeps_realm(&key, value.as_str())?;
        let record = self.record(before.map(|record| record.created), value);
        rows::write(self.store, keys::SETTINGS, keys::text(&key), &record)?;
        self.events.push(Change::SettingPut { key });
        self.done()
    }

    pub(super) fn delete_setting(&mut self, key: String, expect: Expect) -> Applied {
        check_setting_key(&key)?;
        let before = self.view().setting(&key)?;
        let object = Object::Setting(key.clone());
        expect.check_delete(object, before.map(|record| record.modified))?;
        self.keeps_realm(&key, setting::DEFAULT_REALM)?;
        self.store.delete(keys::SETTINGS, keys::text(&key));
        self.events.push(Change::SettingDeleted { key });
        self.done()
    }

    /// Digests hold the realm: while there are devices, the realm in force stays what it is.
    fn keeps_realm(&self, key: &str, next: &str) -> Result<(), Stop> {
        if key != setting::REALM {
            return Ok(());
        }
        let (realm, devices) = (self.view().realm()?, self.view().count(Counted::Devices)?);
        if realm == next || devices == 0 {
            return Ok(());
        }
        Err(Refusal::RealmBound { realm, devices }.into())
    }
}
