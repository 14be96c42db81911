//! A clock that can be set while its process runs: a small library of our own (`clock.c`), loaded before all others, told by a file.
//!
//! Not libfaketime: it allocates before a process with an allocator of its own is ready, and such a process dies of it. And without
//! a lock: on a busy machine, threads that wait for the one that holds the clock are most of what the process does.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{RunFailure, at};
use crate::plan::Clock;

/// The library's source; the C compiler that Rust links with makes it.
const SOURCE: &str = include_str!("clock.c");

/// As in the library.
const MOST_ORDERS: u64 = 4_096;
/// An order begins to hold so much later than it is given: by then it is written.
const AHEAD: Duration = Duration::from_millis(50);

/// The clock of one node.
#[derive(Debug)]
pub(super) struct ClockFile {
    path: PathBuf,
    library: PathBuf,
    clocks: Clock,
    given: Mutex<Given>,
}

/// The last order.
#[derive(Debug)]
struct Given {
    number: u64,
    last: Order,
}

/// From a moment on: what the clocks show, and how fast they go. Nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Order {
    /// Since the machine started.
    from: i64,
    wall: i64,
    monotonic: i64,
    wall_rate: f64,
    monotonic_rate: f64,
}

impl Order {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(40);
        for number in [self.from, self.wall, self.monotonic] {
            bytes.extend(number.to_ne_bytes());
        }
        for rate in [self.wall_rate, self.monotonic_rate] {
            bytes.extend(rate.to_ne_bytes());
        }
        bytes
    }
}

impl ClockFile {
    /// Makes the file, with the true time in it, and the library beside it.
    pub(super) fn make(path: &Path, clocks: Clock) -> Result<Self, RunFailure> {
        let (source, library) = (path.with_extension("c"), path.with_extension("so"));
        std::fs::write(&source, SOURCE).map_err(|error| at(&source, error))?;
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .args([&library, &source])
            .output();
        match made {
            Ok(made) if made.status.success() => {}
            Ok(made) => return Err(RunFailure::Missing(String::from_utf8_lossy(&made.stderr).into_owned())),
            Err(error) => return Err(RunFailure::Missing(format!("cc, the C compiler: {error}"))),
        }
        // The first order holds already when the first process starts.
        let from = since_start()?;
        let truth = Order {
            from,
            wall: wall_time(),
            monotonic: from,
            wall_rate: 1.0,
            monotonic_rate: 1.0,
        };
        let room = vec![0; 8 + 40 * MOST_ORDERS as usize];
        std::fs::write(path, room).map_err(|error| at(path, error))?;
        let clock = ClockFile {
            path: path.to_owned(),
            library,
            clocks,
            given: Mutex::new(Given { number: 0, last: truth }),
        };
        clock.write(0, &truth)?;
        Ok(clock)
    }

    /// In a moment the wall clock is so many seconds off, and from then on the clocks that may be changed are so many times as fast.
    pub(super) fn set(&self, offset_s: i64, rate: f64) -> Result<(), RunFailure> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = i64::try_from(AHEAD.as_nanos()).unwrap_or(i64::MAX);
        // Orders hold in the order in which they are given.
        let from = (since_start()? + ahead).max(given.last.from);
        // The monotonic clock changes its pace and never jumps.
        let passed = (from - given.last.from) as f64 * given.last.monotonic_rate;
        let order = Order {
            from,
            wall: wall_time() + ahead + offset_s * 1_000_000_000,
            monotonic: given.last.monotonic + passed as i64,
            wall_rate: rate,
            monotonic_rate: if self.clocks == Clock::All { rate } else { 1.0 },
        };
        let number = given.number + 1;
        if number >= MOST_ORDERS {
            return Err(RunFailure::Plan(format!(
                "a clock can be set {} times",
                MOST_ORDERS - 1
            )));
        }
        self.write(number, &order)?;
        *given = Given { number, last: order };
        Ok(())
    }

    fn write(&self, number: u64, order: &Order) -> Result<(), RunFailure> {
        // The count last: who sees it sees the order. Never a new file: the old one is mapped.
        let file = File::options().write(true).open(&self.path);
        file.and_then(|file| {
            file.write_all_at(&order.bytes(), 8 + 40 * number)?;
            file.write_all_at(&(number + 1).to_ne_bytes(), 0)
        })
        .map_err(|error| at(&self.path, error))
    }

    /// Words before a command that give it this clock.
    pub(super) fn through(&self) -> Vec<String> {
        vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", self.library.display()),
            format!("FEDCHAOS_CLOCK={}", self.path.display()),
        ]
    }
}

/// How long the machine has been up, to 10 ms.
fn since_start() -> Result<i64, RunFailure> {
    let path = Path::new("/proc/uptime");
    let text = std::fs::read_to_string(path).map_err(|error| at(path, error))?;
    let seconds: Option<f64> = text.split(' ').next().and_then(|seconds| seconds.parse().ok());
    let seconds = seconds.ok_or_else(|| RunFailure::Broken(format!("{} says {text:?}", path.display())))?;
    Ok((seconds * 1e9) as i64)
}

fn wall_time() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints the true monotonic clock, then what the clocks show, then the true monotonic clock again.
    const LOOK: &str = r#"
        #define _GNU_SOURCE
        #include <stdio.h>
        #include <sys/syscall.h>
        #include <time.h>
        #include <unistd.h>
        static long long ns(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }
        int main(void) {
          struct timespec before, wall, monotonic, after;
          syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &before);
          clock_gettime(CLOCK_REALTIME, &wall);
          clock_gettime(CLOCK_MONOTONIC, &monotonic);
          syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &after);
          printf("%lld %lld %lld %lld\n", ns(before), ns(wall), ns(monotonic), ns(after));
          return 0;
        }
    "#;

    struct Looks {
        folder: tempfile::TempDir,
        clock: ClockFile,
    }

    impl Looks {
        fn new(clocks: Clock) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let source = folder.path().join("look.c");
            std::fs::write(&source, LOOK).unwrap();
            let look = folder.path().join("look");
            let made = Command::new("cc").arg("-o").args([&look, &source]).status().unwrap();
            assert!(made.success());
            let clock = ClockFile::make(&folder.path().join("clock"), clocks).unwrap();
            Looks { folder, clock }
        }

        /// What a new process sees.
        fn look(&self) -> [i64; 4] {
            let words = self.clock.through();
            let seen = Command::new(&words[0])
                .args(&words[1..])
                .arg(self.folder.path().join("look"))
                .output()
                .unwrap();
            let text = String::from_utf8(seen.stdout).unwrap();
            let numbers: Vec<i64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
            numbers.try_into().unwrap()
        }

        /// The same, once the last order holds.
        fn look_later(&self) -> [i64; 4] {
            std::thread::sleep(AHEAD * 2);
            self.look()
        }
    }

    #[test]
    fn an_untouched_clock_shows_the_truth_and_a_wall_clock_jumps_alone() {
        let looks = Looks::new(Clock::Wall);
        let [before, wall, monotonic, after] = looks.look();
        // The kernel says its age to 10 ms, and the first order rests on that.
        assert!((wall - wall_time()).abs() < 60_000_000_000);
        assert!((before - 20_000_000..=after + 20_000_000).contains(&monotonic));
        looks.clock.set(3_600, 2.0).unwrap();
        let [before, wall, monotonic, after] = looks.look_later();
        assert!((wall - wall_time() - 3_600_000_000_000).abs() < 60_000_000_000);
        assert!((before - 20_000_000..=after + 20_000_000).contains(&monotonic));
    }

    #[test]
    fn a_monotonic_clock_changes_its_pace_and_never_goes_back() {
        let looks = Looks::new(Clock::All);
        let [_, _, first, _] = looks.look();
        looks.clock.set(0, 2.0).unwrap();
        let [_, _, at_once, _] = looks.look();
        assert!(at_once > first);
        let [before, _, shown, after] = looks.look_later();
        assert!(shown > at_once);
        let [later_before, _, later, later_after] = looks.look_later();
        // Between two looks it went on twice as far as the true one.
        let least = 2 * (later_before - after);
        let most = 2 * (later_after - before);
        assert!(
            (least..=most).contains(&(later - shown)),
            "{least} {} {most}",
            later - shown
        );
    }
}
