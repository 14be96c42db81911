//! What is written: values of one size, different each time.

use crate::seeded::Seeded;

/// Keys that are read and overwritten.
pub const KEYS: u64 = 100_000;

/// Size of a value.
pub const VALUE_BYTES: usize = 128;

const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyzABCDEF";

/// `bytes` letters that depend on the seed.
#[must_use]
pub fn value(seed: u64, bytes: usize) -> String {
    let mut seeded = Seeded::new(seed);
    let mut text = String::with_capacity(bytes + 12);
    while text.len() < bytes {
        let mut bits = seeded.bits();
        for _ in 0..12 {
            text.push(char::from(LETTERS[(bits & 31) as usize]));
            bits >>= 5;
        }
    }
    text.truncate(bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_size_and_differ() {
        assert_eq!(value(1, VALUE_BYTES).len(), VALUE_BYTES);
        assert_eq!(value(1, 7), value(1, 7));
        assert_ne!(value(1, VALUE_BYTES), value(2, VALUE_BYTES));
    }
}
