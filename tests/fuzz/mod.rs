//! Valid examples, damaged: the input of the fuzz tests of every crate, each of which takes this file by its path.
//!
//! `cargo test` runs a few thousand inputs for each decoder, always the same ones; `make fuzz` runs more, from another seed
//! (`FED_FUZZ_RUNS`, `FED_FUZZ_SEED`). A failure prints the input.
//!
//! Not cargo-fuzz: it needs a nightly compiler and builds RocksDB again under its instruments. What coverage guidance would find,
//! valid examples as the corpus and repaired checksums reach as well: the damage lands behind the outermost check.

use std::fmt::Write as _;

/// Inputs for each decoder, unless told otherwise.
const RUNS: usize = 3_000;
/// The longest input made.
const LONGEST: usize = 64 << 10;

/// A small generator (xorshift64*): the same seed, the same inputs.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound.max(1)
    }
}

/// Numbers at which programs stumble, in every width.
const EDGES: [u64; 10] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff_ffff,
    0xffff_ffff,
    u64::MAX / 2,
    u64::MAX - 1,
    u64::MAX,
];

fn damage(input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&str], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        let until = (at + random.below(32)).min(input.len());
        match random.below(10) {
            0 => input.truncate(at),
            1 => input[at..]
                .iter_mut()
                .take(1)
                .for_each(|byte| *byte ^= 1 << random.below(8)),
            2 => input[at..until].iter_mut().for_each(|byte| *byte = random.next() as u8),
            3 => drop(input.drain(at..until)),
            4 => {
                let piece = input[at..until].to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            5 => {
                let edge = EDGES[random.below(EDGES.len())].to_be_bytes();
                let width = [1, 2, 4, 8][random.below(4)];
                let end = (at + width).min(input.len());
                input.splice(at..end, edge[8 - width..].iter().copied());
            }
            // A length of bincode's or protobuf's, far too long.
            6 => drop(input.splice(at..until, [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
            7 if !words.is_empty() => {
                let word = words[random.below(words.len())].bytes();
                input.splice(at..at, word.collect::<Vec<_>>());
            }
            8 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                input.splice(at..until, other[from..].iter().copied());
            }
            _ => {
                let byte = random.next() as u8;
                let many = random.below(400);
                input.splice(at..at, std::iter::repeat_n(byte, many));
            }
        }
    }
    input.truncate(LONGEST);
}

/// Prints the input of a decoder that panics.
struct Witness<'a>(&'a str, &'a [u8]);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut hex = String::new();
            for byte in self.1 {
                let _ = write!(hex, "{byte:02x}");
            }
            eprintln!("{}: this input: {hex}\n{:?}", self.0, String::from_utf8_lossy(self.1));
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Gives `decoder` every example of `corpus`, which it must understand (`true`), then damaged ones, some of which it must refuse. `words`
/// are put in here and there. The decoder may answer anything to those, but not panic.
pub(crate) fn fuzz(name: &str, corpus: &[Vec<u8>], words: &[&str], mut decoder: impl FnMut(&[u8]) -> bool) {
    assert!(!corpus.is_empty(), "{name}: no examples");
    for example in corpus {
        let _witness = Witness(name, example);
        assert!(decoder(example), "{name} does not understand a valid example");
    }
    let runs = setting("FED_FUZZ_RUNS")
        .and_then(|runs| usize::try_from(runs).ok())
        .unwrap_or(RUNS);
    let seed = setting("FED_FUZZ_SEED").unwrap_or(20_261_122);
    let mut random = Random(seed | 1);
    let mut understood = 0;
    for _ in 0..runs {
        let mut input = corpus[random.below(corpus.len())].clone();
        damage(&mut input, corpus, words, &mut random);
        let _witness = Witness(name, &input);
        understood += usize::from(decoder(&input));
    }
    eprintln!(
        "{name}: {runs} damaged inputs, {understood} of them understood, {} refused",
        runs - understood
    );
    assert!(understood < runs, "{name} refuses nothing: does it look at its input?");
}
