//! Encryption of a stream: XChaCha20-Poly1305 in chunks of 64 KiB (the STREAM construction: no chunk can be changed, left out,
//! doubled or put elsewhere, and a missing end is noticed), with a key that scrypt makes of the secret.
//!
//! ```text
//! "fedbak" | format | log2 of scrypt's N | salt (16) | nonce (19) | key check (16) | chunks
//! ```
//!
//! The key check tells a wrong key from a damaged file. Everything before it is also authenticated with each chunk.
//!
//! Why not age: its Rust crate calls itself a beta and brings forty crates along, most of them for translations; this is one
//! audited cipher in a construction that its crate offers.

use std::io::{self, Read, Write};

use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::stream::{DecryptorBE32, EncryptorBE32};
use chacha20poly1305::aead::{KeyInit, Payload};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::config::Secret;

const MAGIC: &[u8; 6] = b"fedbak";
/// The newest format that this program reads and the one it writes.
const FORMAT: u8 = 1;
/// 2^15: 32 MiB of memory and about a tenth of a second for each guess.
const WORK: u8 = 15;
/// More would let a forged file take the machine's memory.
const MOST_WORK: u8 = 20;
const CHUNK: usize = 64 << 10;
const TAG: usize = 16;
const PLAIN_HEAD: usize = 6 + 1 + 1 + 16 + 19;
const HEAD: usize = PLAIN_HEAD + CHECK;
const CHECK: usize = 16;

/// Why a file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    #[error("is no backup of fed-node: name the right file")]
    NotABackup,
    #[error(
        "is in format {found}; this program reads up to {FORMAT}: use the version of fed-node that wrote it, or a later one"
    )]
    TooNew { found: u8 },
    #[error("cannot be opened with this key: name the file with the key that it was made with (--key-file)")]
    WrongKey,
    #[error("was cut off in its first bytes: take another copy")]
    NoHead,
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
}

struct Keys {
    data: [u8; 32],
    check: [u8; 32],
}

fn keys(secret: &Secret, head: &[u8; PLAIN_HEAD]) -> io::Result<Keys> {
    let params = scrypt::Params::new(head[7], 8, 1, 64).map_err(|e| io::Error::other(e.to_string()))?;
    let mut out = [0; 64];
    scrypt::scrypt(secret.reveal().as_bytes(), &head[8..24], &params, &mut out)
        .map_err(|e| io::Error::other(e.to_string()))?;
    let (mut data, mut check) = ([0; 32], [0; 32]);
    data.copy_from_slice(&out[..32]);
    check.copy_from_slice(&out[32..]);
    Ok(Keys { data, check })
}

fn check(keys: &Keys, head: &[u8; PLAIN_HEAD]) -> [u8; CHECK] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&keys.check).expect("HMAC takes keys of any length");
    mac.update(head);
    let full = mac.finalize().into_bytes();
    let mut short = [0; CHECK];
    short.copy_from_slice(&full[..CHECK]);
    short
}

fn broken() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "is damaged, or its end is missing: take another copy",
    )
}

/// Encrypts what is written to it.
pub(super) struct Sealing<W: Write> {
    out: W,
    head: [u8; PLAIN_HEAD],
    stream: EncryptorBE32<XChaCha20Poly1305>,
    chunk: Vec<u8>,
}

impl<W: Write> Sealing<W> {
    pub(super) fn new(mut out: W, secret: &Secret) -> io::Result<Self> {
        let mut head = [0; PLAIN_HEAD];
        head[..6].copy_from_slice(MAGIC);
        head[6] = FORMAT;
        head[7] = WORK;
        for byte in &mut head[8..] {
            *byte = rand::random();
        }
        let keys = keys(secret, &head)?;
        out.write_all(&head)?;
        out.write_all(&check(&keys, &head))?;
        let cipher = XChaCha20Poly1305::new(&keys.data.into());
        Ok(Self {
            out,
            stream: EncryptorBE32::from_aead(cipher, head[24..].into()),
            head,
            chunk: Vec::with_capacity(CHUNK),
        })
    }

    /// Writes the last chunk. Without it, the file has no end and cannot be read.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let payload = Payload {
            msg: &self.chunk,
            aad: &self.head,
        };
        let last = self.stream.encrypt_last(payload).map_err(|_| broken())?;
        self.out.write_all(&last)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() == CHUNK {
            let payload = Payload {
                msg: &self.chunk,
                aad: &self.head,
            };
            let sealed = self.stream.encrypt_next(payload).map_err(|_| broken())?;
            self.out.write_all(&sealed)?;
            self.chunk.clear();
        }
        let taken = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Decrypts what it reads; gives nothing that is not authenticated.
pub(super) struct Unsealing<R: Read> {
    input: R,
    head: [u8; PLAIN_HEAD],
    /// `None` once the last chunk was read.
    stream: Option<DecryptorBE32<XChaCha20Poly1305>>,
    ahead: Vec<u8>,
    chunk: Vec<u8>,
    given: usize,
}

impl<R: Read> Unsealing<R> {
    pub(super) fn new(mut input: R, secret: &Secret) -> Result<Self, SealError> {
        let start = read_up_to(&mut input, HEAD)?;
        let known = start.len().min(MAGIC.len());
        if start[..known] != MAGIC[..known] || known == 0 {
            return Err(SealError::NotABackup);
        }
        if let Some(&found) = start.get(6)
            && found > FORMAT
        {
            return Err(SealError::TooNew { found });
        }
        let Some((head, found)) = start.split_first_chunk::<PLAIN_HEAD>().filter(|_| start.len() == HEAD) else {
            return Err(SealError::NoHead);
        };
        if head[6] == 0 || head[7] > MOST_WORK {
            return Err(SealError::NotABackup);
        }
        let keys = keys(secret, head)?;
        if check(&keys, head) != found {
            return Err(SealError::WrongKey);
        }
        let cipher = XChaCha20Poly1305::new(&keys.data.into());
        let ahead = read_up_to(&mut input, CHUNK + TAG)?;
        Ok(Self {
            input,
            stream: Some(DecryptorBE32::from_aead(cipher, head[24..].into())),
            head: *head,
            ahead,
            chunk: Vec::new(),
            given: 0,
        })
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let Some(mut stream) = self.stream.take() else {
            return Ok(());
        };
        let after = if self.ahead.len() == CHUNK + TAG {
            read_up_to(&mut self.input, CHUNK + TAG)?
        } else {
            Vec::new()
        };
        let payload = Payload {
            msg: &self.ahead,
            aad: &self.head,
        };
        self.chunk = if after.is_empty() {
            stream.decrypt_last(payload).map_err(|_| broken())?
        } else {
            let chunk = stream.decrypt_next(payload).map_err(|_| broken())?;
            self.stream = Some(stream);
            chunk
        };
        self.ahead = after;
        self.given = 0;
        Ok(())
    }
}

impl<R: Read> Read for Unsealing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.chunk.len() && self.stream.is_some() {
            self.next_chunk()?;
        }
        let rest = &self.chunk[self.given..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}

fn read_up_to(input: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(most);
    input.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(text: &[u8]) -> Vec<u8> {
        let mut sealing = Sealing::new(Vec::new(), &Secret::new("the right key")).unwrap();
        sealing.write_all(text).unwrap();
        sealing.finish().unwrap()
    }

    fn open(bytes: &[u8], key: &str) -> Result<Vec<u8>, String> {
        let mut text = Vec::new();
        let mut unsealing = Unsealing::new(bytes, &Secret::new(key)).map_err(|e| e.to_string())?;
        unsealing.read_to_end(&mut text).map_err(|e| e.to_string())?;
        Ok(text)
    }

    #[test]
    fn what_was_sealed_is_opened_whatever_its_length() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let text: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            assert_eq!(open(&sealed(&text), "the right key").unwrap(), text, "{length} bytes");
        }
    }

    #[test]
    fn nothing_readable_is_in_it() {
        let bytes = sealed(b"canary canary canary");
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
    }

    #[test]
    fn a_wrong_key_damage_a_missing_end_another_file_and_a_newer_format_are_told_apart() {
        let bytes = sealed(&vec![7; 2 * CHUNK + 9]);
        assert!(open(&bytes, "another key").unwrap_err().contains("with this key"));
        for at in [HEAD, HEAD + CHUNK, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(
                open(&changed, "the right key").unwrap_err().contains("damaged"),
                "at {at}"
            );
        }
        for length in [HEAD, HEAD + 5, HEAD + CHUNK + TAG, bytes.len() - 1] {
            let error = open(&bytes[..length], "the right key").unwrap_err();
            assert!(error.contains("its end is missing"), "{length}: {error}");
        }
        assert!(open(&bytes[..20], "the right key").unwrap_err().contains("cut off"));
        assert!(open(b"user,name\n", "the right key").unwrap_err().contains("no backup"));
        assert!(open(b"", "the right key").unwrap_err().contains("no backup"));
        let mut newer = bytes;
        newer[6] = FORMAT + 1;
        assert!(open(&newer, "the right key").unwrap_err().contains("use the version"));
    }
}
