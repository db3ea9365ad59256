//! The bytes of an archive: in a file, where skipping is free, or in a stream.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, Read},
    os::unix::fs::FileExt,
    sync::Arc,
};

use super::member::TarError;

/// The bytes of an archive, from its beginning.
pub(super) trait Input {
    /// The next bytes, as many as there are up to the length of `into`; none at the end only.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;

    /// Leaves out `count` bytes.
    fn skip(&mut self, count: u64) -> io::Result<()>;

    /// Reads what follows the end of the archive, so that a checksum there is looked at.
    fn finish(&mut self) -> io::Result<()>;

    /// Fills `into`; false if there is nothing at all any more.
    fn fill(&mut self, into: &mut [u8]) -> io::Result<bool> {
        let mut done = 0;
        while done < into.len() {
            match self.read(&mut into[done..]) {
                Ok(0) if done == 0 => return Ok(false),
                Ok(0) => return Err(cut()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// There should be more.
pub(super) fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut off: get it again")
}

/// A file that can be read anywhere.
#[derive(Debug)]
pub(super) struct Anywhere {
    file: Arc<File>,
    at: u64,
    size: u64,
}

impl Anywhere {
    /// A file of `size` bytes that begins like a tar archive.
    pub(super) fn new(file: Arc<File>, size: u64) -> Result<Self, TarError> {
        let mut magic = [0; MAGIC];
        let count = file.read_at(&mut magic, 0).map_err(TarError::read)?;
        match Packing::of(&magic[..count]) {
            None => Ok(Self { file, at: 0, size }),
            Some(packing) => Err(TarError::Packed { with: packing.name() }),
        }
    }
}

impl Input for Anywhere {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(into, self.at)?;
        self.at += count as u64;
        Ok(count)
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        self.at = self.at.checked_add(count).filter(|at| *at <= self.size).ok_or_else(cut)?;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream, unpacked.
pub(super) struct Once(Box<dyn Read + Send>);

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once(..)")
    }
}

impl Once {
    /// Looks at the first bytes, and unpacks if they say so.
    pub(super) fn new(mut input: impl BufRead + Send + 'static) -> Result<Self, TarError> {
        let mut magic = [0; MAGIC];
        let mut count = 0;
        while count < MAGIC {
            match input.read(&mut magic[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::read(error)),
            }
        }
        let whole = io::Cursor::new(magic).take(count as u64).chain(input);
        Ok(Self(match Packing::of(&magic[..count]) {
            None => Box::new(whole),
            Some(Packing::Gzip) => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
            Some(Packing::Xz) => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(whole)),
            Some(Packing::Zstd) => {
                Box::new(zstd::stream::read::Decoder::with_buffer(whole).map_err(TarError::read)?)
            }
            Some(other) => return Err(TarError::Unknown { with: other.name() }),
        }))
    }
}

impl Input for Once {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        if io::copy(&mut (&mut self.0).take(count), &mut io::sink())? == count { Ok(()) } else { Err(cut()) }
    }

    fn finish(&mut self) -> io::Result<()> {
        io::copy(&mut self.0, &mut io::sink()).map(drop)
    }
}

/// How many bytes tell how a stream is compressed.
const MAGIC: usize = 6;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Xz,
    Zstd,
    Bzip2,
    Lz4,
    Lzip,
}

impl Packing {
    fn of(magic: &[u8]) -> Option<Self> {
        let known: [(&[u8], Self); 6] = [
            (b"\x1f\x8b", Self::Gzip),
            (b"\xfd7zXZ\0", Self::Xz),
            (b"\x28\xb5\x2f\xfd", Self::Zstd),
            (b"BZh", Self::Bzip2),
            (b"\x04\x22\x4d\x18", Self::Lz4),
            (b"LZIP", Self::Lzip),
        ];
        known.iter().find(|(begin, _)| magic.starts_with(begin)).map(|(_, packing)| *packing)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
            Self::Lzip => "lzip",
        }
    }
}
