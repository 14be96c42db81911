//! Devices.

use super::{Applied, Applier, Stop};
use crate::command::{Expect, Object, Refusal};
use crate::event::{Change, UnboundWhy};
use crate::ids::DeviceId;
use crate::map::keys::{self, Counted};
use crate::map::rows;
use crate::records::Device;

impl Applier<'_> {
    pub(super) fn put_device(&mut self, device: Device, expect: Expect) -> Applied {
        let before = self.view().device(&device.id)?;
        let object = Object::Device(device.id.clone());
        expect.check(object, before.as_ref().map(|record| record.modified))?;
        device.validate()?;
        if before.as_ref().is_some_and(|record| record.value == device) {
            return self.nothing_to_do();
        }
        if self.view().user(&device.user)?.is_none() {
            return Err(Refusal::UserMissing {
                device: device.id,
                user: device.user,
            }
            .into());
        }
        let created = before.as_ref().map(|record| record.created);
        let old_user = before.map(|record| record.value.user);
        if old_user.as_ref() != Some(&device.user) {
            self.claim_device(&device.id, &device.user)?;
            if let Some(old_user) = &old_user {
                let key = keys::device_of_user(old_user, &device.id);
                self.store.delete(keys::DEVICES_OF_USER, key);
            }
            let key = keys::device_of_user(&device.user, &device.id);
            self.store.put(keys::DEVICES_OF_USER, key, Vec::new());
        }
        self.count(Counted::Devices, usize::from(created.is_some()), 1)?;
        let id = device.id.clone();
        let record = self.record(created, device);
        rows::write(self.store, keys::DEVICES, keys::text(&id), &record)?;
        self.events.push(Change::DevicePut { id });
        self.done()
    }

    pub(super) fn delete_device(&mut self, id: &DeviceId, expect: Expect) -> Applied {
        let before = self.view().device(id)?;
        let object = Object::Device(id.clone());
        expect.check_delete(object, before.map(|record| record.modified))?;
        self.drop_device(id)?;
        self.done()
    }

    /// Removes a device that exists, with its bindings.
    pub(super) fn drop_device(&mut self, id: &DeviceId) -> Result<(), Stop> {
        let Some(device) = self.view().device(id)? else {
            return Ok(());
        };
        let bindings = self.view().bindings_of(id)?;
        self.write_bindings(id, &bindings, Vec::new())?;
        for binding in bindings {
            let why = UnboundWhy::DeviceDeleted;
            self.events.push(Change::Unbound {
                binding: binding.value,
                why,
            });
        }
        let key = keys::device_of_user(&device.value.user, id);
        self.store.delete(keys::DEVICES_OF_USER, key);
        self.store.delete(keys::DEVICES, keys::text(id));
        self.count(Counted::Devices, 1, 0)?;
        self.events.push(Change::DeviceDeleted { id: id.clone() });
        Ok(())
    }
}
