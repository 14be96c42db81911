//! A bounded memory: the last items, numbered, with a way to wait for the next one.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::watch;

/// Keeps the last items of each lane; what is frequent in one lane pushes nothing out of another.
#[derive(Debug)]
pub struct Ring<T> {
    kept: Mutex<Kept<T>>,
    last: watch::Sender<u64>,
}

#[derive(Debug)]
struct Kept<T> {
    lanes: Vec<VecDeque<(u64, T)>>,
    each: usize,
    next: u64,
}

impl<T: Clone> Ring<T> {
    /// A ring with so many lanes of `each` items; both at least 1.
    #[must_use]
    pub fn new(lanes: usize, each: usize) -> Self {
        Self {
            kept: Mutex::new(Kept {
                lanes: (0..lanes.max(1)).map(|_| VecDeque::new()).collect(),
                each: each.max(1),
                next: 1,
            }),
            last: watch::Sender::new(0),
        }
    }

    /// Keeps an item in a lane (the last one, where there is no such lane) and gives it the next number, counted from 1.
    pub fn push(&self, lane: usize, item: T) {
        let mut kept = self.kept.lock();
        let (number, each) = (kept.next, kept.each);
        kept.next += 1;
        let lane = lane.min(kept.lanes.len() - 1);
        let lane = &mut kept.lanes[lane];
        if lane.len() == each {
            lane.pop_front();
        }
        lane.push_back((number, item));
        drop(kept);
        self.last.send_replace(number);
    }

    /// What is kept after a number, in order.
    #[must_use]
    pub fn after(&self, number: u64) -> Vec<(u64, T)> {
        let kept = self.kept.lock();
        let newer = |lane: &VecDeque<(u64, T)>| {
            let begin = lane.partition_point(|(n, _)| *n <= number);
            lane.range(begin..).cloned().collect::<Vec<_>>()
        };
        let mut found: Vec<(u64, T)> = kept.lanes.iter().flat_map(newer).collect();
        found.sort_unstable_by_key(|(n, _)| *n);
        found
    }

    /// Returns once there is an item after this number.
    pub async fn grown(&self, number: u64) {
        // The sender lives as long as the ring.
        let _ = self.last.subscribe().wait_for(|last| *last > number).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_lanes_do_not_push_each_other_out() {
        let ring = Ring::new(2, 3);
        ring.push(0, "election");
        for _ in 0..10 {
            ring.push(1, "move");
        }
        let kept = ring.after(0);
        assert_eq!(kept.len(), 4);
        assert_eq!(kept[0], (1, "election"));
        assert_eq!(kept[1..].iter().map(|(n, _)| *n).collect::<Vec<_>>(), [9, 10, 11]);
        assert_eq!(ring.after(10), [(11, "move")]);
        ring.push(9, "nowhere else");
        assert_eq!(ring.after(11), [(12, "nowhere else")]);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_next_item() {
        let ring = std::sync::Arc::new(Ring::new(1, 3));
        let waiting = tokio::spawn({
            let ring = ring.clone();
            async move { ring.grown(0).await }
        });
        ring.push(0, ());
        waiting.await.unwrap();
    }
}
