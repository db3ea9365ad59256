//! A newc archive in memory, walked as the kernel walks it: enough to say that it is whole, and what it has.
//!
//! Source: Linux, `init/initramfs.c` and `Documentation/driver-api/early-userspace/buffer-format.rst`.

use thiserror::Error;

/// Bytes of a header.
const HEADER: usize = 110;
/// The kernel's `PATH_MAX`.
const NAME_MAX: usize = 4096;

/// Whether an archive begins with `bytes`.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(b"070701") || bytes.starts_with(b"070702")
}

/// What archives have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Walk {
    /// Names, without the trailers.
    pub(super) files: usize,
    /// Whether one of them is `/init`.
    pub(super) has_init: bool,
    /// Where the walk ended: at the end, or at something that is neither an archive nor padding.
    pub(super) end: usize,
}

/// Walks archives that follow each other, with zeros between them.
pub(super) fn walk(bytes: &[u8]) -> Result<Walk, CpioError> {
    let mut walk = Walk::default();
    while let Some(&first) = bytes.get(walk.end) {
        if is(&bytes[walk.end..]) {
            archive(bytes, &mut walk)?;
        } else if first == 0 {
            walk.end += 1;
        } else {
            break;
        }
    }
    Ok(walk)
}

/// Walks one archive, which begins at `walk.end`, to behind its trailer.
fn archive(bytes: &[u8], walk: &mut Walk) -> Result<(), CpioError> {
    // Names and data are padded so that they end at a multiple of four, counted from the archive's begin.
    let begin = walk.end;
    let pad = |at: usize| begin + (at - begin).next_multiple_of(4);
    loop {
        let offset = walk.end;
        let truncated = CpioError::Truncated { offset };
        let rest = bytes.get(offset..).unwrap_or_default();
        let header = rest.get(..HEADER).ok_or_else(|| truncated.clone())?;
        if !is(header) {
            return Err(CpioError::Magic { offset });
        }
        let field = |index: usize| number(header, index, offset);
        // All thirteen have to be numbers, as the kernel reads all of them.
        let fields = (0..13).map(field).collect::<Result<Vec<u32>, _>>()?;
        let (size, name_size) = (fields[6] as usize, fields[11] as usize);
        if name_size == 0 || name_size > NAME_MAX {
            return Err(CpioError::Name { offset, size: name_size });
        }
        let name = rest.get(HEADER..HEADER + name_size).ok_or_else(|| truncated.clone())?;
        let [name @ .., 0] = name else {
            return Err(CpioError::Name { offset, size: name_size });
        };
        let data = pad(offset + HEADER + name_size);
        if name == b"TRAILER!!!" {
            walk.end = data.min(bytes.len());
            return Ok(());
        }
        let end = data + size;
        if end > bytes.len() {
            return Err(truncated);
        }
        walk.files += 1;
        let plain = name.strip_prefix(b"./").or_else(|| name.strip_prefix(b"/")).unwrap_or(name);
        walk.has_init |= plain == b"init";
        walk.end = pad(end);
    }
}

/// The eight hexadecimal digits of a field.
fn number(header: &[u8], index: usize, offset: usize) -> Result<u32, CpioError> {
    let at = 6 + index * 8;
    let digit = |value: u32, digit: &u8| Some(value << 4 | char::from(*digit).to_digit(16)?);
    header[at..at + 8].iter().try_fold(0, digit).ok_or(CpioError::Number { offset: offset + at })
}

/// An archive is not whole; offsets are counted in the unpacked archive.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CpioError {
    /// It ends too soon.
    #[error("the cpio archive ends inside of the file at byte {offset}, or before its trailer")]
    Truncated {
        /// Of the file's header.
        offset: usize,
    },
    /// No header where one must be.
    #[error("the cpio archive has no newc header at byte {offset}")]
    Magic {
        /// Where.
        offset: usize,
    },
    /// A field is not a number.
    #[error("the cpio header has a field at byte {offset} that is not hexadecimal")]
    Number {
        /// Where.
        offset: usize,
    },
    /// A name is empty, too long, or has no end.
    #[error(
        "the cpio header at byte {offset} has a name of {size} bytes: 1 to 4096 with a NUL at the end are allowed"
    )]
    Name {
        /// Of the file's header.
        offset: usize,
        /// As it is said, with the NUL.
        size: usize,
    },
    /// Something follows the archive.
    #[error(
        "the cpio archive is followed at byte {offset} by {begin:02x?}, which is neither padding nor an archive"
    )]
    Junk {
        /// Where.
        offset: usize,
        /// The first bytes.
        begin: Vec<u8>,
    },
}
