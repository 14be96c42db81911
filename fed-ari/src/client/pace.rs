//! How often the event socket is read: at once as long as events are few, some at a time when there are many.
//!
//! Whoever waits for each event is woken for each, and Asterisk wakes it: at a thousand refreshes a second that costs both more than the events
//! themselves.

use std::time::{Duration, Instant};

/// Events are counted over this long.
const WINDOW: Duration = Duration::from_millis(20);

/// So many in a window are many: 500 a second.
const MANY: u32 = 10;

/// How long the socket is left alone then.
const PAUSE: Duration = Duration::from_millis(4);

/// The pace of one socket. Pure: whoever uses it says what time it is.
pub(super) struct Pace {
    since: Instant,
    events: u32,
    busy: bool,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            events: 0,
            busy: false,
        }
    }

    /// An event was read.
    pub(super) fn read(&mut self) {
        self.events = self.events.saturating_add(1);
    }

    /// Nothing waits to be read: how long to leave the socket alone, if at all.
    pub(super) fn pause(&mut self, now: Instant) -> Option<Duration> {
        let window = now.saturating_duration_since(self.since);
        if window >= WINDOW {
            // Of a window that lasted longer, for want of events, only its share.
            let busy = f64::from(self.events) * WINDOW.as_secs_f64() >= f64::from(MANY) * window.as_secs_f64();
            *self = Self { busy, ..Self::new(now) };
        }
        self.busy.then_some(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred events that come this often: the pace after them, and the time.
    fn after_events(every: Duration) -> (Pace, Instant) {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..100 {
            now += every;
            pace.read();
            pace.pause(now);
        }
        (pace, now)
    }

    #[test]
    fn only_many_events_are_read_some_at_a_time() {
        for (every, paused) in [(1_000, false), (3, false), (1, true)] {
            let (mut pace, now) = after_events(Duration::from_millis(every));
            assert_eq!(pace.pause(now).is_some(), paused, "one in {every} ms");
        }
    }

    #[test]
    fn the_first_event_after_a_crowd_is_read_at_once() {
        let (mut pace, now) = after_events(Duration::from_millis(1));
        assert_eq!(pace.pause(now + Duration::from_millis(100)), None);
    }
}
