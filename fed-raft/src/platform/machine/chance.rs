//! Random numbers that nobody can foresee.

pub(crate) fn draw_u64() -> u64 {
    rand::random()
}

pub(crate) fn draw_u128() -> u128 {
    rand::random()
}
