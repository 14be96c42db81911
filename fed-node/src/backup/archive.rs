//! Several files one after the other: the length of a name, the name, the length of the content, the content; a name of
//! length 0 ends it. All numbers big-endian.

use std::io::{self, Read, Write};

/// Longer names are not written, and refused when read.
const LONGEST_NAME: usize = 200;

/// Puts files one after the other.
pub(super) struct Packer<W: Write>(W);

impl<W: Write> Packer<W> {
    pub(super) fn new(out: W) -> Self {
        Self(out)
    }

    /// Adds a file of exactly `size` bytes.
    pub(super) fn add(&mut self, name: &str, size: u64, content: impl Read) -> io::Result<()> {
        let length = u16::try_from(name.len()).map_err(io::Error::other)?;
        self.0.write_all(&length.to_be_bytes())?;
        self.0.write_all(name.as_bytes())?;
        self.0.write_all(&size.to_be_bytes())?;
        let copied = io::copy(&mut content.take(size), &mut self.0)?;
        if copied == size {
            Ok(())
        } else {
            Err(io::Error::other(format!("{name} became shorter while it was read")))
        }
    }

    /// Marks the end.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.0.write_all(&0u16.to_be_bytes())?;
        self.0.flush()?;
        Ok(self.0)
    }
}

/// Takes them apart again.
pub(super) struct Unpacker<R: Read> {
    input: R,
    /// Of the file that was named last and not read yet.
    rest: u64,
}

impl<R: Read> Unpacker<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, rest: 0 }
    }

    /// The name and size of the next file; `None` at the end. What was not read of the one before is skipped.
    pub(super) fn next_file(&mut self) -> io::Result<Option<(String, u64)>> {
        io::copy(&mut (&mut self.input).take(self.rest), &mut io::sink())?;
        self.rest = 0;
        let mut length = [0; 2];
        self.input.read_exact(&mut length)?;
        let length = usize::from(u16::from_be_bytes(length));
        if length == 0 {
            return Ok(None);
        }
        let mut name = vec![0; length];
        self.input.read_exact(&mut name)?;
        let name = String::from_utf8(name).map_err(|_| strange())?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if length > LONGEST_NAME || name.starts_with('.') || !name.chars().all(plain) {
            return Err(strange());
        }
        let mut size = [0; 8];
        self.input.read_exact(&mut size)?;
        self.rest = u64::from_be_bytes(size);
        Ok(Some((name, self.rest)))
    }

    /// Reads on to the end of what it reads from: only then is it certain that nothing is missing there.
    pub(super) fn ends(mut self) -> io::Result<()> {
        io::copy(&mut self.input, &mut io::sink()).map(drop)
    }

    /// Writes the content of the file that was named last.
    pub(super) fn content(&mut self, to: &mut impl Write) -> io::Result<()> {
        let size = std::mem::take(&mut self.rest);
        let copied = io::copy(&mut (&mut self.input).take(size), to)?;
        if copied == size { Ok(()) } else { Err(strange()) }
    }
}

fn strange() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "holds what no backup holds: take another copy",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed() -> Vec<u8> {
        let mut packer = Packer::new(Vec::new());
        packer.add("one", 3, &b"abc"[..]).unwrap();
        packer.add("two.sst", 0, &b""[..]).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn files_come_out_as_they_went_in_also_when_some_are_skipped() {
        let bytes = packed();
        let mut unpacker = Unpacker::new(&bytes[..]);
        assert_eq!(unpacker.next_file().unwrap(), Some(("one".to_owned(), 3)));
        let mut content = Vec::new();
        unpacker.content(&mut content).unwrap();
        assert_eq!(content, b"abc");
        assert_eq!(unpacker.next_file().unwrap(), Some(("two.sst".to_owned(), 0)));
        assert_eq!(unpacker.next_file().unwrap(), None);
        let mut skipping = Unpacker::new(&bytes[..]);
        skipping.next_file().unwrap();
        assert_eq!(skipping.next_file().unwrap().unwrap().0, "two.sst");
    }

    #[test]
    fn names_that_lead_elsewhere_and_a_missing_end_are_refused() {
        for name in ["../up", ".hidden", "a/b", "a b"] {
            let mut packer = Packer::new(Vec::new());
            packer.add(name, 0, &b""[..]).unwrap();
            let bytes = packer.finish().unwrap();
            assert!(Unpacker::new(&bytes[..]).next_file().is_err(), "{name}");
        }
        let bytes = packed();
        let mut unpacker = Unpacker::new(&bytes[..bytes.len() - 2]);
        unpacker.next_file().unwrap();
        unpacker.next_file().unwrap();
        assert!(unpacker.next_file().is_err());
    }
}
