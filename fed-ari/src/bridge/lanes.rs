//! Lanes: what concerns one device happens in order, what concerns different devices at the same time.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    sync::Arc,
};

use fed_core::ids::DeviceId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Steps that wait, by device. A device has an entry while one of its steps runs.
pub(super) struct Lanes<S> {
    waiting: Mutex<HashMap<DeviceId, VecDeque<S>>>,
    idle: Notify,
}

impl<S: Send + 'static> Lanes<S> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::new(HashMap::new()),
            idle: Notify::new(),
        })
    }

    /// Runs a step after all steps of this device that were pushed before. Never blocks.
    pub(super) fn push<F, Fut>(self: &Arc<Self>, device: DeviceId, step: S, run: F)
    where
        F: Fn(DeviceId, S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let mut waiting = self.waiting.lock();
        if let Some(lane) = waiting.get_mut(&device) {
            lane.push_back(step);
            return;
        }
        waiting.insert(device.clone(), VecDeque::new());
        drop(waiting);
        let lanes = Arc::clone(self);
        tokio::spawn(async move {
            let mut step = step;
            loop {
                run(device.clone(), step).await;
                match lanes.next(&device) {
                    Some(next) => step = next,
                    None => return,
                }
            }
        });
    }

    fn next(&self, device: &DeviceId) -> Option<S> {
        let mut waiting = self.waiting.lock();
        let next = waiting.get_mut(device).and_then(VecDeque::pop_front);
        if next.is_none() {
            waiting.remove(device);
            if waiting.is_empty() {
                self.idle.notify_waiters();
            }
        }
        next
    }

    /// Whether a step of the device runs or waits.
    pub(super) fn is_busy(&self, device: &DeviceId) -> bool {
        self.waiting.lock().contains_key(device)
    }

    /// Whether such a step of the device waits.
    pub(super) fn waits(&self, device: &DeviceId, such: impl Fn(&S) -> bool) -> bool {
        self.waiting
            .lock()
            .get(device)
            .is_some_and(|lane| lane.iter().any(such))
    }

    /// Whether the last step of the device that waits is such a one.
    pub(super) fn ends_with(&self, device: &DeviceId, such: impl Fn(&S) -> bool) -> bool {
        let waiting = self.waiting.lock();
        waiting.get(device).and_then(VecDeque::back).is_some_and(such)
    }

    /// True while no step waits or runs.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    /// Waits until no step waits or runs.
    pub(super) async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            if self.is_idle() {
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn steps_of_a_device_keep_their_order_and_devices_do_not_wait_for_each_other() {
        let lanes = Lanes::new();
        let (sender, mut done) = tokio::sync::mpsc::unbounded_channel();
        let blocked = Arc::new(tokio::sync::Notify::new());
        let device = |id: &str| DeviceId::new(id).expect("an id");
        for (id, step) in [("slow", 0), ("slow", 1), ("slow", 2), ("quick", 10), ("quick", 11)] {
            let (sender, blocked) = (sender.clone(), Arc::clone(&blocked));
            lanes.push(device(id), step, move |_, step| {
                let (sender, blocked) = (sender.clone(), Arc::clone(&blocked));
                async move {
                    if step == 0 {
                        blocked.notified().await;
                    }
                    sender.send(step).expect("the test listens");
                }
            });
        }
        assert_eq!((done.recv().await, done.recv().await), (Some(10), Some(11)));
        blocked.notify_one();
        assert_eq!(
            (done.recv().await, done.recv().await, done.recv().await),
            (Some(0), Some(1), Some(2))
        );
        lanes.idle().await;
    }
}
