//! Is there an order of these steps, each taking effect at one moment between its start and end, that one correct copy could
//! have gone through? The search of Wing and Gong with Lowe's memo: a configuration (which steps have happened, what the key
//! holds) that led nowhere once is not entered again.
//!
//! Three observations keep it small; DESIGN.md has their proofs:
//! - a step that only looks, and may happen now, may as well happen now: no branch;
//! - a step with an unknown outcome need only happen directly before one that sees its effect;
//! - contents that no step looks at are the same content.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use super::steps::{ABSENT, Content, Effect, Step};
use super::window::Window;
use crate::seeded::mix;

/// What the search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There is such an order.
    Yes,
    /// There is none: everything was tried.
    No,
    /// The budget was used up before either was certain.
    Exhausted,
}

/// Searches, taking one unit from `budget` for each step it tries.
pub(crate) fn linearizable(steps: &[Step], budget: &mut u64) -> Answer {
    if sees_what_nobody_wrote(steps) {
        return Answer::No;
    }
    Search::new(steps).run(budget)
}

/// Whether a content was seen before anything that writes it had begun. The search would find that too, after every order of
/// what happens beside it.
fn sees_what_nobody_wrote(steps: &[Step]) -> bool {
    let mut written = HashMap::from([(ABSENT, i64::MIN)]);
    for step in steps {
        if let Some(content) = step.effect.writes() {
            let first = written.entry(content).or_insert(step.start);
            *first = step.start.min(*first);
        }
    }
    steps.iter().any(|step| match (step.effect, step.end) {
        (Effect::Read(content) | Effect::Swap(content, _), Some(end)) => {
            written.get(&content).is_none_or(|first| *first > end)
        }
        _ => false,
    })
}

/// One way to go on: the required or the possible step of this number happens next.
#[derive(Clone, Copy)]
enum Move {
    Required(u32),
    Possible(u32),
}

/// What to go back to when every move of a configuration was tried.
struct Frame {
    moves: usize,
    next: usize,
    trail: usize,
    content: Content,
    hash: u128,
    must_be_seen: bool,
}

struct Search {
    window: Window,
    /// Steps with an unknown outcome that write, by start.
    possible: Vec<(Effect, i64)>,
    used: Vec<bool>,
    /// By content: the possible steps that write it, by start.
    writers: Vec<Vec<u32>>,
    content: Content,
    /// Stands for the set of steps that have happened.
    hash: u128,
    /// A possible step has just happened, and nothing has seen its effect yet.
    must_be_seen: bool,
    seen: HashSet<u128, BuildHasherDefault<AlreadyMixed>>,
    trail: Vec<Move>,
    moves: Vec<Move>,
    frames: Vec<Frame>,
    /// Contents that a step waits for, gathered anew in each configuration.
    wanted: Vec<Content>,
    /// By content: in which configuration it was last wanted or offered.
    marks: Vec<(u64, u64)>,
    round: u64,
}

impl Search {
    fn new(steps: &[Step]) -> Self {
        let (merged, contents) = merge_unseen(steps);
        let required: Vec<_> = merged
            .iter()
            .filter_map(|step| Some((step.effect, step.start, step.end?)))
            .collect();
        let possible: Vec<_> = merged
            .iter()
            .filter(|step| step.end.is_none())
            .map(|step| (step.effect, step.start))
            .collect();
        let mut writers = vec![Vec::new(); contents.len];
        for (number, (effect, _)) in possible.iter().enumerate() {
            if let Some(content) = effect.writes() {
                writers[content as usize].push(number as u32);
            }
        }
        Search {
            used: vec![false; possible.len()],
            window: Window::new(required),
            possible,
            writers,
            content: contents.first,
            hash: 0,
            must_be_seen: false,
            seen: HashSet::default(),
            trail: Vec::new(),
            moves: Vec::new(),
            frames: Vec::new(),
            wanted: Vec::new(),
            marks: vec![(0, 0); contents.len],
            round: 0,
        }
    }

    fn run(&mut self, budget: &mut u64) -> Answer {
        if self.enter(0) {
            return Answer::Yes;
        }
        while let Some(frame) = self.frames.last_mut() {
            if frame.next == self.moves.len() {
                let (moves, trail) = (frame.moves, frame.trail);
                self.moves.truncate(moves);
                self.frames.pop();
                self.undo(trail);
                if let Some(parent) = self.frames.last() {
                    (self.content, self.hash, self.must_be_seen) = (parent.content, parent.hash, parent.must_be_seen);
                }
                continue;
            }
            let chosen = self.moves[frame.next];
            frame.next += 1;
            if *budget == 0 {
                return Answer::Exhausted;
            }
            *budget -= 1;
            let before = (self.content, self.hash, self.must_be_seen, self.trail.len());
            self.happen(chosen);
            let depth = self.frames.len();
            if self.enter(before.3) {
                return Answer::Yes;
            }
            if self.frames.len() == depth {
                self.undo(before.3);
                (self.content, self.hash, self.must_be_seen) = (before.0, before.1, before.2);
            }
        }
        Answer::No
    }

    /// Lets everything happen that only looks and may happen now; then, unless the configuration is known to lead nowhere,
    /// makes it the current frame. True if no required step is left.
    fn enter(&mut self, trail: usize) -> bool {
        self.look();
        if self.window.is_empty() {
            return true;
        }
        let configuration = self.hash ^ random(2, self.content.into()) ^ random(3, self.must_be_seen.into());
        if self.seen.insert(configuration) {
            let moves = self.moves.len();
            self.gather_moves();
            self.frames.push(Frame {
                moves,
                next: moves,
                trail,
                content: self.content,
                hash: self.hash,
                must_be_seen: self.must_be_seen,
            });
        }
        false
    }

    fn look(&mut self) {
        let content = self.content;
        let mut cursor = self.window.first();
        while let Some(number) = cursor {
            let effect = self.window.effect(number);
            if effect.only_looks() && effect.apply(content).is_some() {
                cursor = self.window.after_without(number);
                self.happen(Move::Required(number));
            } else {
                cursor = self.window.after(number);
            }
        }
    }

    /// Every step that may happen next, those first that a waiting step needs.
    fn gather_moves(&mut self) {
        self.round += 1;
        self.wanted.clear();
        let (mut cursor, first) = (self.window.first(), self.moves.len());
        let mut refused_here = false;
        let mut horizon = i64::MAX;
        while let Some(number) = cursor {
            let effect = self.window.effect(number);
            horizon = horizon.min(self.window.end(number));
            if effect.apply(self.content).is_some() {
                let sees = effect.looks_at().is_some();
                if sees || !self.must_be_seen {
                    self.moves.push(Move::Required(number));
                }
            } else if let Effect::Differs(_) = effect {
                refused_here = true;
            } else if let Some(content) = effect.looks_at() {
                self.want(content);
            }
            cursor = self.window.after(number);
        }
        self.gather_possible(horizon, refused_here);
        // Moves are tried from the front: first those that a waiting step needs.
        let marks = &self.marks;
        let round = self.round;
        let (window, possible) = (&self.window, &self.possible);
        self.moves[first..].sort_by_key(|chosen| {
            let effect = match chosen {
                Move::Required(number) => window.effect(*number),
                Move::Possible(number) => possible[*number as usize].0,
            };
            effect.writes().is_none_or(|content| marks[content as usize].0 != round)
        });
    }

    /// The steps with an unknown outcome whose effect a waiting step would see, directly or through others of them.
    fn gather_possible(&mut self, horizon: i64, refused_here: bool) {
        let mut next = 0;
        while let Some(&content) = self.wanted.get(next) {
            next += 1;
            for index in 0..self.writers[content as usize].len() {
                self.offer(self.writers[content as usize][index], horizon);
            }
        }
        if refused_here && !self.must_be_seen {
            for number in 0..self.possible.len() as u32 {
                if self.possible[number as usize].1 > horizon {
                    break;
                }
                self.offer(number, horizon);
            }
        }
    }

    fn offer(&mut self, number: u32, horizon: i64) {
        let (effect, start) = self.possible[number as usize];
        if self.used[number as usize] || start > horizon {
            return;
        }
        match effect {
            Effect::Write(value) => {
                // One put of a content is as good as another of the same.
                let new = std::mem::replace(&mut self.marks[value as usize].1, self.round) != self.round;
                if new && value != self.content && !self.must_be_seen {
                    self.moves.push(Move::Possible(number));
                }
            }
            Effect::Swap(expect, _) if expect != self.content => self.want(expect),
            Effect::Swap(_, value) if value != self.content => self.moves.push(Move::Possible(number)),
            _ => {}
        }
    }

    fn want(&mut self, content: Content) {
        if std::mem::replace(&mut self.marks[content as usize].0, self.round) != self.round {
            self.wanted.push(content);
        }
    }

    fn happen(&mut self, chosen: Move) {
        let effect = match chosen {
            Move::Required(number) => {
                self.window.remove(number);
                self.hash ^= random(0, number.into());
                self.must_be_seen = false;
                self.window.effect(number)
            }
            Move::Possible(number) => {
                self.used[number as usize] = true;
                self.hash ^= random(1, number.into());
                self.must_be_seen = true;
                self.possible[number as usize].0
            }
        };
        self.content = effect
            .apply(self.content)
            .expect("only moves that are possible here are gathered");
        self.trail.push(chosen);
    }

    /// Takes back every step after the first `length`; content, hash and flag are the caller's to restore.
    fn undo(&mut self, length: usize) {
        while self.trail.len() > length {
            match self.trail.pop() {
                Some(Move::Required(number)) => self.window.restore(number),
                Some(Move::Possible(number)) => self.used[number as usize] = false,
                None => return,
            }
        }
    }
}

struct Contents {
    len: usize,
    first: Content,
}

/// Numbers the contents anew, with one number for all that no step looks at.
fn merge_unseen(steps: &[Step]) -> (Vec<Step>, Contents) {
    let contents = steps
        .iter()
        .flat_map(|step| [step.effect.looks_at(), step.effect.writes()])
        .flatten();
    let highest = contents.max().unwrap_or(ABSENT) as usize;
    let mut numbers: Vec<Option<Content>> = vec![None; highest + 1];
    let mut len = 1;
    for content in steps.iter().filter_map(|step| step.effect.looks_at()) {
        let number = &mut numbers[content as usize];
        if number.is_none() {
            *number = Some(len);
            len += 1;
        }
    }
    let of = |content: Content| numbers[content as usize].unwrap_or(0);
    let merge = |effect| match effect {
        Effect::Read(read) => Effect::Read(of(read)),
        Effect::Differs(expect) => Effect::Differs(of(expect)),
        Effect::Write(value) => Effect::Write(of(value)),
        Effect::Swap(expect, value) => Effect::Swap(of(expect), of(value)),
    };
    let steps = steps
        .iter()
        .map(|step| Step {
            effect: merge(step.effect),
            ..*step
        })
        .collect();
    (
        steps,
        Contents {
            len: len as usize,
            first: of(ABSENT),
        },
    )
}

/// 128 bits for one element of a set; a set is the exclusive-or of its elements. Two sets among a billion meet by accident
/// once in 10^20 runs.
fn random(kind: u64, number: u64) -> u128 {
    let low = mix((number << 2 | kind).wrapping_add(0x9e37_79b9_7f4a_7c15));
    let high = mix(low ^ 0xd1b5_4a32_d192_ed03);
    u128::from(high) << 64 | u128::from(low)
}

/// The keys are random already.
#[derive(Default)]
struct AlreadyMixed(u64);

impl Hasher for AlreadyMixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }
}
