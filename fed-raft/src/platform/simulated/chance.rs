//! Random numbers from the seed. SplitMix64: the same numbers with every version of every dependency.

use std::cell::Cell;

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Begins the sequence of `seed`.
pub(crate) fn begin(seed: u64) {
    STATE.set(seed);
}

pub(crate) fn draw_u64() -> u64 {
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) fn draw_u128() -> u128 {
    u128::from(draw_u64()) << 64 | u128::from(draw_u64())
}

/// A number below `end`; 0 when `end` is 0.
pub(crate) fn below(end: usize) -> usize {
    match end as u64 {
        0 => 0,
        end => usize::try_from(draw_u64() % end).unwrap_or(0),
    }
}

/// True once in `n` times.
pub(crate) fn one_in(n: usize) -> bool {
    below(n) == 0
}
