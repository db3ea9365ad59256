//! Compressed streams: reading any of them, and writing an initramfs with one.

use std::io::{self, Read, Write};

use bootway_plan::step::Compression;

/// Fast, and within a tenth of what the highest levels reach.
const ZSTD_LEVEL: i32 = 9;

/// What a stream is compressed with, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Magic {
    /// Not by anything known here.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The .xz format.
    Xz,
}

impl Magic {
    /// Looks at the first six bytes.
    pub(crate) fn of(start: &[u8]) -> Self {
        if start.starts_with(&[0x1f, 0x8b]) {
            Self::Gzip
        } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Self::Zstd
        } else if start.starts_with(b"\xfd7zXZ\0") {
            Self::Xz
        } else {
            Self::Plain
        }
    }

    /// Its name, for messages.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
        }
    }
}

/// A reader of what `inner`, which begins with `magic`, holds. Streams behind the first one are left out.
pub(crate) fn decoder<'a>(magic: Magic, inner: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match magic {
        Magic::Plain => Box::new(inner),
        Magic::Gzip => Box::new(flate2::read::GzDecoder::new(inner)),
        Magic::Zstd => Box::new(zstd::stream::read::Decoder::new(inner)?.single_frame()),
        Magic::Xz => Box::new(liblzma::read::XzDecoder::new(inner)),
    })
}

/// Like [`decoder`], with all streams that follow each other: a layer that can be read in parts is made of many.
pub(crate) fn decoder_of_all<'a>(magic: Magic, inner: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match magic {
        Magic::Plain => Box::new(inner),
        Magic::Gzip => Box::new(flate2::read::MultiGzDecoder::new(inner)),
        Magic::Zstd => Box::new(zstd::stream::read::Decoder::new(inner)?),
        Magic::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(inner)),
    })
}

/// A reader of what `from` holds, which is compressed with gzip, xz or zstd, or not at all: its first bytes say.
///
/// Nothing is limited: take as much as is sensible.
pub fn unpacking<'a>(mut from: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::new();
    from.by_ref().take(6).read_to_end(&mut start)?;
    let magic = Magic::of(&start);
    decoder(magic, io::Cursor::new(start).chain(from))
}

/// Like [`unpacking`], with all streams that follow each other.
pub(crate) fn unpacking_all<'a>(mut from: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::new();
    from.by_ref().take(6).read_to_end(&mut start)?;
    let magic = Magic::of(&start);
    decoder_of_all(magic, io::Cursor::new(start).chain(from))
}

/// Reads `bytes`, compressed or not, up to `limit` bytes of content.
///
/// # Errors
///
/// If the stream is damaged, or there is more.
pub fn decompress(bytes: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    decoder(Magic::of(bytes), bytes)?.take(limit + 1).read_to_end(&mut out)?;
    if out.len() as u64 > limit {
        let text = format!("it unpacks to more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(out)
}

/// A writer that compresses; the same bytes each time.
pub(crate) enum Encoder<W: Write> {
    Plain(W),
    Gzip(flate2::write::GzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
    Xz(liblzma::write::XzEncoder<W>),
}

impl<W: Write> Encoder<W> {
    pub(crate) fn new(compression: Compression, to: W) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(to),
            // Without a name and with time 0, the header is always the same.
            Compression::Gzip => Self::Gzip(flate2::write::GzEncoder::new(to, flate2::Compression::best())),
            Compression::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(to, ZSTD_LEVEL)?),
            Compression::Xz => {
                // The kernel knows no check but CRC-32.
                let stream = liblzma::stream::Stream::new_easy_encoder(6, liblzma::stream::Check::Crc32)?;
                Self::Xz(liblzma::write::XzEncoder::new_stream(to, stream))
            }
        })
    }

    /// Writes the end of the stream.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(to) => Ok(to),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Xz(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(to) => to.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
            Self::Xz(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
            Self::Xz(encoder) => encoder.flush(),
        }
    }
}
