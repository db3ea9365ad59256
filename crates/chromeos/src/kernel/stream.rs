//! Compressed streams, read to their exact end: what they hold, and how many bytes they take.

use std::io::{self, Read};

use thiserror::Error;

use super::Compression;

/// Blocks of the LZ4 legacy format hold this much, but for the last.
const LEGACY_BLOCK: usize = 8 << 20;
/// The most that a legacy block may take: what LZ4 makes of noise.
const LEGACY_STORED: usize = LEGACY_BLOCK + LEGACY_BLOCK / 255 + 16;
/// First bytes of the LZ4 legacy format, as the number that they are.
const LEGACY_MAGIC: u32 = 0x184c_2102;
/// Dictionaries up to this are allocated; `xz -9` takes 64 MiB, `zstd --ultra -22` 128 MiB.
const DICTIONARY_MAX: u64 = 192 << 20;
/// The same for zstd, which counts in powers of two.
const WINDOW_LOG_MAX: u32 = 27;
/// No deflate stream holds more than this many times its size.
const DEFLATE_RATIO: usize = 1040;

impl Compression {
    /// Every one there is, with the bytes that it begins with.
    const MAGIC: [(&'static [u8], Self); 8] = [
        (b"\x1f\x8b\x08", Self::Gzip),
        (b"\xfd7zXZ\0", Self::Xz),
        (b"\x5d\0\0", Self::Lzma),
        (b"\x28\xb5\x2f\xfd", Self::Zstd),
        (b"\x02\x21\x4c\x18", Self::Lz4Legacy),
        (b"\x04\x22\x4d\x18", Self::Lz4Frame),
        (b"BZh", Self::Bzip2),
        (b"\x89LZO", Self::Lzo),
    ];

    /// What begins with `bytes`, if it is compressed in a way that Linux knows.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Self::MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, compression)| *compression)
    }

    /// Its name, for messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Zstd => "zstd",
            Self::Lz4Legacy => "lz4-legacy",
            Self::Lz4Frame => "lz4",
            Self::Bzip2 => "bzip2",
            Self::Lzo => "lzo",
        }
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a stream held.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unpacked {
    pub(super) bytes: Vec<u8>,
    /// Bytes of the stream itself; what follows is not looked at.
    pub(super) consumed: usize,
}

/// Unpacks the one stream that `stored` begins with, to at most `limit` bytes.
///
/// `expected` is how much it is said to hold; it only saves time.
pub(super) fn unpack(
    compression: Compression,
    stored: &[u8],
    limit: usize,
    expected: Option<usize>,
) -> Result<Unpacked, StreamError> {
    let room = expected.unwrap_or(stored.len().saturating_mul(3)).min(limit);
    let pull = Pull { stored, limit, room };
    match compression {
        Compression::None if stored.len() > limit => Err(StreamError::TooLarge { limit }),
        Compression::None => Ok(Unpacked { bytes: stored.to_vec(), consumed: stored.len() }),
        Compression::Gzip => expected.and_then(|size| gzip_at_once(stored, size.min(limit))).map_or_else(
            || pull.read(flate2::bufread::GzDecoder::new(stored), |from| from.get_ref().len()),
            Ok,
        ),
        Compression::Xz | Compression::Lzma => {
            let stream = if compression == Compression::Xz {
                liblzma::stream::Stream::new_stream_decoder(DICTIONARY_MAX, 0)
            } else {
                liblzma::stream::Stream::new_lzma_decoder(DICTIONARY_MAX)
            };
            let stream = stream.map_err(|error| pull.damaged(0, &error.into()))?;
            pull.read(liblzma::bufread::XzDecoder::new_stream(stored, stream), |from| from.get_ref().len())
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(stored)
                .map_err(|error| pull.damaged(0, &error))?
                .single_frame();
            decoder.window_log_max(WINDOW_LOG_MAX).map_err(|error| pull.damaged(0, &error))?;
            pull.read(decoder, |from| from.get_ref().len())
        }
        Compression::Bzip2 => pull.read(bzip2::bufread::BzDecoder::new(stored), |from| from.get_ref().len()),
        Compression::Lz4Frame => {
            let decoder = lz4::Decoder::new(stored).map_err(|error| pull.damaged(0, &error))?;
            let mut decoder = FrameDecoder(decoder);
            let unpacked = pull.read(&mut decoder, |from| from.0.reader().len())?;
            // This decoder takes the end of its input for the end of the frame.
            let (_, end) = decoder.0.finish();
            end.map_err(|_| StreamError::Truncated { stored: stored.len() })?;
            Ok(unpacked)
        }
        Compression::Lz4Legacy => lz4_legacy(&pull),
        Compression::Lzo => Err(StreamError::Lzo),
    }
}

/// So that the reader behind `&mut` can still be asked where it is.
struct FrameDecoder<'a>(lz4::Decoder<&'a [u8]>);

impl Read for &mut FrameDecoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

/// A stream that is read through [`Read`].
struct Pull<'a> {
    stored: &'a [u8],
    limit: usize,
    room: usize,
}

impl Pull<'_> {
    /// `left` says how many bytes a decoder has not taken yet.
    fn read<R: Read>(&self, mut decoder: R, left: impl Fn(&R) -> usize) -> Result<Unpacked, StreamError> {
        let mut bytes = Vec::with_capacity(self.room);
        let result = decoder.by_ref().take(self.limit as u64 + 1).read_to_end(&mut bytes);
        let consumed = self.stored.len() - left(&decoder);
        if bytes.len() > self.limit {
            return Err(StreamError::TooLarge { limit: self.limit });
        }
        match result {
            Ok(_) => Ok(Unpacked { bytes, consumed }),
            Err(error) => Err(self.damaged(consumed, &error)),
        }
    }

    fn damaged(&self, at: usize, error: &io::Error) -> StreamError {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            StreamError::Truncated { stored: self.stored.len() }
        } else {
            StreamError::Damaged { at, stored: self.stored.len(), reason: error.to_string() }
        }
    }
}

/// The fast way for a stream that fills `stored` and holds `size` bytes; nothing if it is another, or damaged.
fn gzip_at_once(stored: &[u8], size: usize) -> Option<Unpacked> {
    if size > stored.len().saturating_mul(DEFLATE_RATIO) {
        return None;
    }
    let mut bytes = vec![0; size];
    let written = libdeflater::Decompressor::new().gzip_decompress(stored, &mut bytes).ok()?;
    // It does not say where the stream ended: these are the last eight bytes of it.
    let end = stored.last_chunk::<8>()?;
    let crc = crc32fast::hash(&bytes).to_le_bytes();
    let whole = written == size && end[..4] == crc && end[4..] == (size as u32).to_le_bytes();
    whole.then_some(Unpacked { bytes, consumed: stored.len() })
}

/// A magic number, then blocks, each after its length; there is no end but that of the bytes, or a length of zero.
///
/// Source: Linux, `lib/decompress_unlz4.c`.
fn lz4_legacy(pull: &Pull<'_>) -> Result<Unpacked, StreamError> {
    let Pull { stored, limit, room } = *pull;
    let damaged =
        |at, reason: &str| StreamError::Damaged { at, stored: stored.len(), reason: reason.to_owned() };
    let mut bytes = Vec::with_capacity(room);
    let mut at = 0;
    while let Some(&word) = stored[at..].first_chunk::<4>() {
        let length = u32::from_le_bytes(word);
        // The size of it all, with which kernels 5.8 to 5.15 end it.
        let size_word = at + 4 == stored.len() && length as usize == bytes.len();
        if length == 0 || size_word {
            break;
        }
        at += 4;
        if length == LEGACY_MAGIC {
            continue;
        }
        let length = length as usize;
        if length > LEGACY_STORED {
            return Err(damaged(
                at - 4,
                &format!("a block of {length} bytes: at most {LEGACY_STORED} are possible"),
            ));
        }
        let Some(block) = stored.get(at..at + length) else {
            return Err(StreamError::Truncated { stored: stored.len() });
        };
        let old = bytes.len();
        bytes.resize(old + LEGACY_BLOCK.min(limit + 1 - old), 0);
        let into = &mut bytes[old..];
        let room = into.len();
        let size = i32::try_from(room).expect("8 MiB at most");
        let written = lz4::block::decompress_to_buffer(block, Some(size), into);
        let Ok(written) = written else {
            return Err(if room == LEGACY_BLOCK {
                damaged(at, "the block cannot be unpacked")
            } else {
                StreamError::TooLarge { limit }
            });
        };
        bytes.truncate(old + written);
        if bytes.len() > limit {
            return Err(StreamError::TooLarge { limit });
        }
        at += length;
    }
    Ok(Unpacked { bytes, consumed: at })
}

/// A compressed stream cannot be read to its end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StreamError {
    /// Its bytes make no sense.
    #[error("damaged at byte {at} of {stored}: {reason}")]
    Damaged {
        /// Bytes of the stream that were taken before it was noticed.
        at: usize,
        /// Bytes that there are.
        stored: usize,
        /// What the decompressor says.
        reason: String,
    },
    /// It has no end.
    #[error("it does not end within its {stored} bytes")]
    Truncated {
        /// Bytes that there are.
        stored: usize,
    },
    /// It ends, and something follows.
    #[error("it ends after {consumed} bytes, and {stored} are said to be its own")]
    Trailing {
        /// Bytes of the stream.
        consumed: usize,
        /// Bytes that there are.
        stored: usize,
    },
    /// It holds another amount than is said.
    #[error("it holds {found} bytes, and its size word says {said}")]
    Size {
        /// Bytes.
        found: usize,
        /// Bytes.
        said: usize,
    },
    /// It holds more than anything that boots.
    #[error("it holds more than {limit} bytes, which is the limit")]
    TooLarge {
        /// Bytes.
        limit: usize,
    },
    /// No reader for it.
    #[error("LZO is known by its name only: there is no reader for it")]
    Lzo,
    /// It has no size word.
    #[error("its {stored} bytes are too few for a stream and the size of what it holds")]
    Short {
        /// Bytes that there are.
        stored: usize,
    },
}

#[cfg(test)]
mod tests;
