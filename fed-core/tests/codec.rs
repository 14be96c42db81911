//! The envelope: what comes back is what was put in, or an error.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use fed_core::codec::{CodecError, decode, encode, version_of};
use proptest::prelude::*;

type Value = (u64, String, Option<Vec<u16>>);

fn bytes() -> Vec<u8> {
    encode(200, 3, &(7u64, "text".to_owned(), Some(vec![1u16]))).unwrap()
}

#[test]
fn each_wrong_envelope_is_told_apart() {
    let good = bytes();
    assert_eq!(version_of(200, &good), Ok(3));
    let read = |bytes: &[u8]| decode::<Value>(200, 3, bytes).unwrap_err();
    assert!(matches!(read(&good[..5]), CodecError::Truncated { .. }));
    assert!(matches!(read(&good[..good.len() - 1]), CodecError::Truncated { .. }));
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(read(&longer), CodecError::LeftOver { extra: 1 });
    let mut other = good.clone();
    other[0] = 0;
    assert_eq!(read(&other), CodecError::Magic);
    assert!(matches!(
        decode::<Value>(201, 3, &good),
        Err(CodecError::Kind { found: 200, .. })
    ));
    assert!(matches!(
        decode::<Value>(200, 4, &good),
        Err(CodecError::Version { found: 3, .. })
    ));
    assert!(matches!(
        decode::<String>(200, 3, &good),
        Err(CodecError::Payload { .. } | CodecError::LeftOver { .. })
    ));
    assert_eq!(
        decode::<u64>(200, 3, &good),
        Err(CodecError::LeftOver { extra: good.len() - 14 })
    );
}

#[test]
fn a_length_that_was_never_written_allocates_nothing() {
    let payload = [255u8, 255, 255, 255, 255, 255, 255, 255, 127];
    let bytes = encode(200, 1, &payload).unwrap();
    assert!(matches!(
        decode::<String>(200, 1, &bytes),
        Err(CodecError::Payload { .. })
    ));
    assert!(matches!(
        decode::<Vec<u64>>(200, 1, &bytes),
        Err(CodecError::Payload { .. })
    ));
}

proptest! {
    #[test]
    fn what_was_encoded_comes_back(value: Value) {
        let bytes = encode(200, 1, &value).unwrap();
        prop_assert_eq!(decode::<Value>(200, 1, &bytes).unwrap(), value);
    }

    #[test]
    fn one_flipped_bit_is_always_seen(at in 0usize..1000, bit in 0u8..8) {
        let mut bytes = bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(decode::<Value>(200, 3, &bytes).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        prop_assert!(decode::<Value>(200, 1, &bytes).is_err());
    }
}
