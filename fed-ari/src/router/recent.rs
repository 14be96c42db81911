//! What happened a moment ago: to which devices a call was sent here, and whether one was taken back.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use fed_core::ids::DeviceId;
use parking_lot::Mutex;

/// How long a call may take from its answer to its ringing phone, with room for a busy Asterisk.
const MOMENT: Duration = Duration::from_secs(10);

/// Devices remembered before the old ones are looked for and forgotten.
const MANY: usize = 1_024;

/// Devices, each with the time when it happened last.
#[derive(Default)]
pub(super) struct Recent(Mutex<HashMap<DeviceId, Instant>>);

impl Recent {
    pub(super) fn note(&self, device: DeviceId) {
        let mut devices = self.0.lock();
        if devices.len() >= MANY && devices.len().is_power_of_two() {
            devices.retain(|_, at| at.elapsed() < MOMENT);
        }
        devices.insert(device, Instant::now());
    }

    pub(super) fn holds(&self, device: &DeviceId) -> bool {
        self.0.lock().get(device).is_some_and(|at| at.elapsed() < MOMENT)
    }
}

/// Something that happened a moment ago, or did not.
#[derive(Default)]
pub(super) struct Lately(Mutex<Option<Instant>>);

impl Lately {
    pub(super) fn note(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    pub(super) fn holds(&self) -> bool {
        self.0.lock().is_some_and(|at| at.elapsed() < MOMENT)
    }
}
