//! The one place that turns values into bytes and back.
//!
//! Every stored value and every frame is `magic kind version flags crc32c len payload`:
//!
//! | bytes | what |
//! | --- | --- |
//! | 2 | magic, `fd` |
//! | 1 | kind: what the payload is |
//! | 1 | version of that kind's payload |
//! | 1 | flags, 0 |
//! | 4 | CRC-32C, big-endian, of kind, version, flags, length and payload |
//! | 4 | length of the payload, big-endian |
//! | n | payload, bincode 2 in its standard configuration |
//!
//! Kinds 1 to 31 are records of the map, 32 to 47 belong to [`crate::machine`], 128 and above to whoever embeds
//! this crate (fed-raft among them). bincode is not self-describing: a payload type is frozen once stored;
//! a change of shape is a new version with a migration from the one before.

use std::cell::Cell;

use serde::Serialize;
use serde::de::DeserializeOwned;

const MAGIC: [u8; 2] = *b"fd";
const HEADER: usize = 13;
/// The room in which values are written is kept up to this size: nearly all fit.
const USUAL: usize = 64 << 10;
/// No value is larger: protects the reader from a length that was never written.
const LARGEST: usize = 64 << 20;

/// Why bytes could not be turned into a value, or a value into bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Fewer bytes than the header promises.
    #[error("{have} bytes where at least {need} belong: the value was cut off")]
    Truncated {
        /// Bytes there are.
        have: usize,
        /// Bytes there should be.
        need: usize,
    },
    /// Bytes left over after the value.
    #[error("{extra} bytes too many after the value")]
    LeftOver {
        /// How many.
        extra: usize,
    },
    /// The first two bytes are not ours.
    #[error("the value does not begin with the mark of this format")]
    Magic,
    /// The value is of another kind.
    #[error("a value of kind {found} where kind {expected} belongs")]
    Kind {
        /// The kind asked for.
        expected: u8,
        /// The kind found.
        found: u8,
    },
    /// The value is of another version, or carries flags that this version does not know.
    #[error(
        "kind {kind} is stored in version {found}, this program reads version {expected}: use the program that wrote it, or a newer one"
    )]
    Version {
        /// The kind.
        kind: u8,
        /// The version asked for.
        expected: u8,
        /// The version found.
        found: u8,
    },
    /// The checksum does not match: the bytes are damaged.
    #[error("the checksum of a value of kind {kind} does not match: the bytes are damaged")]
    Checksum {
        /// The kind.
        kind: u8,
    },
    /// The payload is not a value of the type asked for, or a value that cannot be written.
    #[error("a value of kind {kind} cannot be read or written: {why}")]
    Payload {
        /// The kind.
        kind: u8,
        /// What bincode said.
        why: String,
    },
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<LARGEST>()
}

/// The bytes of `value` in its envelope.
///
/// # Errors
/// [`CodecError::Payload`] when the value cannot be written or is larger than 64 MiB.
pub fn encode<T: Serialize>(kind: u8, version: u8, value: &T) -> Result<Vec<u8>, CodecError> {
    // Written where there is room, then copied to a place of its size: most values are kept, and a Vec that grew has room to spare.
    let mut room = ROOM.take();
    let written = write(kind, version, value, &mut room).map(|()| room.as_slice().to_vec());
    if room.capacity() <= USUAL {
        ROOM.set(room);
    }
    written
}

thread_local! {
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

fn write<T: Serialize>(kind: u8, version: u8, value: &T, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
    bytes.clear();
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[kind, version, 0]);
    bytes.extend_from_slice(&[0; HEADER - 5]);
    let fail = |why: String| CodecError::Payload { kind, why };
    bincode::serde::encode_into_std_write(value, bytes, config()).map_err(|e| fail(e.to_string()))?;
    let length = bytes.len() - HEADER;
    if length > LARGEST {
        return Err(fail(format!("{length} bytes, more than {LARGEST}")));
    }
    let length = u32::try_from(length).map_err(|e| fail(e.to_string()))?;
    bytes[9..13].copy_from_slice(&length.to_be_bytes());
    let sum = checksum(bytes);
    bytes[5..9].copy_from_slice(&sum.to_be_bytes());
    Ok(())
}

/// The value in `bytes`, which must be exactly one envelope of this kind and version.
///
/// # Errors
/// [`CodecError`] naming what is wrong; no byte is left over when it succeeds.
pub fn decode<T: DeserializeOwned>(kind: u8, version: u8, bytes: &[u8]) -> Result<T, CodecError> {
    let found = version_of(kind, bytes)?;
    if found != version || bytes[4] != 0 {
        return Err(CodecError::Version {
            kind,
            expected: version,
            found,
        });
    }
    let (value, used): (T, usize) =
        bincode::serde::decode_from_slice(&bytes[HEADER..], config()).map_err(|e| CodecError::Payload {
            kind,
            why: e.to_string(),
        })?;
    match bytes.len() - HEADER - used {
        0 => Ok(value),
        extra => Err(CodecError::LeftOver { extra }),
    }
}

/// The version in which a value of this kind is stored, after its envelope was checked: what a reader of
/// several versions asks first.
///
/// # Errors
/// [`CodecError`] when the envelope is not whole, not ours, damaged or of another kind.
pub fn version_of(kind: u8, bytes: &[u8]) -> Result<u8, CodecError> {
    if bytes.len() < HEADER {
        return Err(CodecError::Truncated {
            have: bytes.len(),
            need: HEADER,
        });
    }
    if bytes[..2] != MAGIC {
        return Err(CodecError::Magic);
    }
    let length = u32::from_be_bytes([bytes[9], bytes[10], bytes[11], bytes[12]]) as usize;
    let need = HEADER + length;
    if bytes.len() < need {
        return Err(CodecError::Truncated {
            have: bytes.len(),
            need,
        });
    }
    if bytes.len() > need {
        return Err(CodecError::LeftOver {
            extra: bytes.len() - need,
        });
    }
    let found = bytes[2];
    if checksum(bytes).to_be_bytes() != bytes[5..9] {
        return Err(CodecError::Checksum { kind: found });
    }
    if found != kind {
        return Err(CodecError::Kind { expected: kind, found });
    }
    Ok(bytes[3])
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[2..5]), &bytes[9..])
}
