//! cpio archives in the newc format, as the kernel unpacks them into its first root.
//!
//! An archive is a sequence of a 110-byte header in hexadecimal, a name with its NUL, and data, the last two each
//! padded to a multiple of four; `TRAILER!!!` is the last name.
//!
//! Source: Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`.

use std::io::{self, Read};

use thiserror::Error;

/// Bytes of a header.
const HEADER: usize = 110;
/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";
/// The kernel's `PATH_MAX`; longer names are skipped by it.
const MAX_NAME: u32 = 4096;

/// What a header says besides the length of the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Files with the same number and more than one link are one file.
    pub(crate) ino: u32,
    /// Type and permission bits, as in `st_mode`.
    pub(crate) mode: u32,
    /// Numeric owner.
    pub(crate) uid: u32,
    /// Numeric group.
    pub(crate) gid: u32,
    /// How many names the file has.
    pub(crate) nlink: u32,
    /// Seconds since 1970-01-01 UTC.
    pub(crate) mtime: u32,
    /// Bytes of the data.
    pub(crate) size: u32,
    /// Of a device node.
    pub(crate) rdev: (u32, u32),
}

/// The header and name of a file; its data follows, and then [`padding`].
pub(crate) fn encode(header: &Header, name: &str) -> Vec<u8> {
    let Header { ino, mode, uid, gid, nlink, mtime, size, rdev: (major, minor) } = *header;
    let name_size = name.len() as u32 + 1;
    let fields = [ino, mode, uid, gid, nlink, mtime, size, 0, 0, major, minor, name_size, 0];
    let mut out = b"070701".to_vec();
    for field in fields {
        out.extend(format!("{field:08x}").bytes());
    }
    out.extend(name.bytes());
    out.push(0);
    out.extend(padding(out.len() as u64));
    out
}

/// The zeros that follow `length` bytes.
pub(crate) fn padding(length: u64) -> &'static [u8] {
    &[0; 3][..(length.wrapping_neg() % 4) as usize]
}

/// The end of an archive.
pub(crate) fn trailer() -> Vec<u8> {
    encode(&Header { nlink: 1, ..Header::default() }, TRAILER)
}

/// A header and the length of the name, with its NUL, that follows it.
fn decode(raw: &[u8; HEADER], offset: u64) -> Result<(Header, usize), InvalidCpio> {
    if &raw[..6] != b"070701" && &raw[..6] != b"070702" {
        return Err(InvalidCpio::Magic { offset });
    }
    let field = |index: usize| {
        let at = 6 + index * 8;
        let digit = |value: u32, digit: &u8| Some(value << 4 | char::from(*digit).to_digit(16)?);
        raw[at..at + 8].iter().try_fold(0, digit).ok_or(InvalidCpio::Number { offset: offset + at as u64 })
    };
    let name_size = field(11)?;
    if name_size == 0 || name_size > MAX_NAME {
        return Err(InvalidCpio::Name { offset, size: name_size as usize });
    }
    let header = Header {
        ino: field(0)?,
        mode: field(1)?,
        uid: field(2)?,
        gid: field(3)?,
        nlink: field(4)?,
        mtime: field(5)?,
        size: field(6)?,
        rdev: (field(9)?, field(10)?),
    };
    Ok((header, name_size as usize))
}

fn name_of(raw: &[u8], offset: u64) -> Result<&[u8], InvalidCpio> {
    match raw {
        [name @ .., 0] => Ok(name),
        _ => Err(InvalidCpio::Name { offset, size: raw.len() }),
    }
}

/// Reads an archive: `seen` is called with each header, name and data, up to the trailer; it need not read the data.
///
/// Returns how many bytes the archive takes.
///
/// # Errors
///
/// If the archive is not whole, or longer than `limit`; what the reader says goes through as it is.
pub(crate) fn scan(
    from: &mut impl Read,
    limit: u64,
    mut seen: impl FnMut(&Header, &[u8], &mut dyn Read) -> io::Result<()>,
) -> Result<u64, ScanError> {
    let mut offset = 0;
    loop {
        let mut raw = [0; HEADER];
        fill(from, &mut raw, offset)?;
        let (header, name_size) = decode(&raw, offset)?;
        // The name is padded so that header and name together are a multiple of four.
        let mut name = vec![0; (HEADER + name_size).next_multiple_of(4) - HEADER];
        fill(from, &mut name, offset)?;
        let name = name_of(&name[..name_size], offset)?;
        let begin = offset;
        offset += (HEADER + name_size).next_multiple_of(4) as u64;
        if name == TRAILER.as_bytes() {
            return Ok(offset);
        }
        let size = u64::from(header.size);
        let mut content = from.take(size);
        seen(&header, name, &mut content)?;
        let unread = content.limit();
        let data = size.next_multiple_of(4);
        offset += data;
        if offset > limit {
            return Err(InvalidCpio::TooLong { limit }.into());
        }
        let rest = unread + data - size;
        if io::copy(&mut from.take(rest), &mut io::sink())? < rest {
            return Err(InvalidCpio::Truncated { offset: begin }.into());
        }
    }
}

fn fill(from: &mut impl Read, buffer: &mut [u8], offset: u64) -> Result<(), ScanError> {
    from.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => InvalidCpio::Truncated { offset }.into(),
        _ => error.into(),
    })
}

/// An archive cannot be read to its end.
#[derive(Debug, Error)]
pub(crate) enum ScanError {
    /// The reader failed; often a decompressor.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are not a whole archive.
    #[error(transparent)]
    Invalid(#[from] InvalidCpio),
}

/// The bytes are not a whole archive.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum InvalidCpio {
    /// It ends too soon.
    #[error("the archive ends inside the file at byte {offset}, or before its trailer")]
    Truncated {
        /// Of the file's header.
        offset: u64,
    },
    /// No header where one must be.
    #[error("no newc header at byte {offset}")]
    Magic {
        /// Where.
        offset: u64,
    },
    /// A field is not a number.
    #[error("the field at byte {offset} is not hexadecimal")]
    Number {
        /// Where.
        offset: u64,
    },
    /// It is longer than anything that boots.
    #[error("the archive is longer than {limit} bytes")]
    TooLong {
        /// Bytes.
        limit: u64,
    },
    /// A name is empty, longer than 4095 bytes, or has no end.
    #[error(
        "the file at byte {offset} has a name of {size} bytes: 1 to 4096 with a NUL at the end are allowed"
    )]
    Name {
        /// Of the file's header.
        offset: u64,
        /// As it is said, with the NUL.
        size: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn archive(files: &[(Header, String, Vec<u8>)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (header, name, data) in files {
            out.extend(encode(&Header { size: data.len() as u32, ..*header }, name));
            out.extend(data);
            out.extend(padding(data.len() as u64));
        }
        out.extend(trailer());
        out
    }

    fn files() -> impl Strategy<Value = Vec<(Header, String, Vec<u8>)>> {
        let header = any::<[u32; 8]>().prop_map(|[ino, mode, uid, gid, nlink, mtime, major, minor]| Header {
            ino,
            mode,
            uid,
            gid,
            nlink,
            mtime,
            size: 0,
            rdev: (major, minor),
        });
        vec((header, "[a-z/ü]{1,12}", vec(any::<u8>(), 0..40)), 0..6)
    }

    /// A file of an archive that was read.
    type Read = (Header, Vec<u8>, Vec<u8>);

    fn read(bytes: &[u8]) -> (Vec<Read>, Result<u64, ScanError>) {
        let mut files = Vec::new();
        let end = scan(&mut &bytes[..], 1 << 20, |header, name, data| {
            let mut content = Vec::new();
            data.read_to_end(&mut content)?;
            files.push((*header, name.to_vec(), content));
            Ok(())
        });
        (files, end)
    }

    proptest! {
        #[test]
        fn encoding_then_decoding_is_identity(files in files()) {
            let bytes = archive(&files);
            let (found, end) = read(&bytes);
            prop_assert_eq!(end.unwrap(), bytes.len() as u64);
            let files = files.into_iter().map(|(header, name, data)| {
                (Header { size: data.len() as u32, ..header }, name.into_bytes(), data)
            });
            prop_assert_eq!(found, files.collect::<Vec<_>>());
        }

        #[test]
        fn damage_never_panics(
            files in files(),
            flips in vec(any::<(prop::sample::Index, u8)>(), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = archive(&files);
            for (at, flip) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            prop_assert!(read(&bytes).0.len() <= files.len() + 1);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
            let mut bytes = bytes;
            drop(read(&bytes));
            bytes.splice(0..0, *b"070701");
            drop(read(&bytes));
        }
    }

    #[test]
    fn an_archive_without_its_trailer_is_not_whole() {
        let mut bytes = archive(&[(Header::default(), "a".to_owned(), b"x".to_vec())]);
        bytes.truncate(bytes.len() - trailer().len());
        let error = read(&bytes).1.unwrap_err();
        insta::assert_snapshot!(error, @"the archive ends inside the file at byte 116, or before its trailer");
    }
}
