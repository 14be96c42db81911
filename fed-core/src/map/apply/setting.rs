//! Settings.

use super::{Applied, Applier};
use crate::command::{Expect, Object};
use crate::event::Change;
use crate::map::keys;
use crate::map::rows;
use crate::records::{SettingValue, check_setting, check_setting_key};

impl Applier<'_> {
    pub(super) fn put_setting(&mut self, key: String, value: SettingValue, expect: Expect) -> Applied {
        check_setting(&key, &value)?;
        let before = self.view().setting(&key)?;
        let object = Object::Setting(key.clone());
        expect.check(object, before.as_ref().map(|record| record.modified))?;
        if before.as_ref().is_some_and(|record| record.value == value) {
            return self.nothing_to_do();
        }
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
        self.store.delete(keys::SETTINGS, keys::text(&key));
        self.events.push(Change::SettingDeleted { key });
        self.done()
    }
}
