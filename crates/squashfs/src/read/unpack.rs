//! Packed bytes in, at most so many bytes out: all six compressors that squashfs has had.

mod lzo;

use liblzma::stream::{Action, Status, Stream};
use thiserror::Error;

/// What a decoder of .xz or .lzma may ask for. Linux has no more than a block for its dictionary; other writers take
/// a preset's, of which the largest that is in use has 8 MiB.
const XZ_MEMORY: u64 = 16 << 20;

/// A block that does not unpack.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// It is not what the compressor writes.
    #[error("{compressor} finds it damaged")]
    Damaged {
        /// Which.
        compressor: &'static str,
    },
    /// It goes on beyond what its place allows.
    #[error("it has more than the {limit} bytes that its place allows")]
    TooLarge {
        /// Bytes that it may have.
        limit: usize,
    },
    /// It cannot be unpacked in a reasonable amount of memory.
    #[error("{compressor} needs more than {limit} bytes of memory for it")]
    Memory {
        /// Which.
        compressor: &'static str,
        /// Bytes.
        limit: u64,
    },
}

/// The name of a compressor by its number in the superblock; none if squashfs has no such compressor.
pub(crate) const fn compressor_name(id: u16) -> Option<&'static str> {
    Some(match id {
        1 => "gzip",
        2 => "lzma",
        3 => "lzo",
        4 => "xz",
        5 => "lz4",
        6 => "zstd",
        _ => return None,
    })
}

/// A compressor's working memory, for one thread.
pub(crate) struct Unpacker {
    inner: Inner,
    name: &'static str,
}

enum Inner {
    Gzip(libdeflater::Decompressor),
    Lzma,
    Lzo,
    Xz,
    Lz4,
    Zstd(zstd_safe::DCtx<'static>),
}

impl Unpacker {
    /// For the compressor of that number, if there is one.
    pub(crate) fn new(id: u16) -> Option<Self> {
        let inner = match id {
            1 => Inner::Gzip(libdeflater::Decompressor::new()),
            2 => Inner::Lzma,
            3 => Inner::Lzo,
            4 => Inner::Xz,
            5 => Inner::Lz4,
            6 => Inner::Zstd(zstd_safe::DCtx::try_create()?),
            _ => return None,
        };
        Some(Self { inner, name: compressor_name(id)? })
    }

    /// Unpacks one block into `out`, whose old content is dropped and which is undefined after an error. No more than
    /// `limit` bytes come out, and no more memory than that is taken for them.
    pub(crate) fn unpack(
        &mut self,
        packed: &[u8],
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), UnpackError> {
        out.resize(limit, 0);
        let damaged = UnpackError::Damaged { compressor: self.name };
        let too_large = UnpackError::TooLarge { limit };
        let len = match &mut self.inner {
            Inner::Gzip(context) => {
                use libdeflater::DecompressionError::{BadData, InsufficientSpace};
                context.zlib_decompress(packed, out).map_err(|error| match error {
                    BadData => damaged,
                    InsufficientSpace => too_large,
                })?
            }
            Inner::Lzma => {
                let stream = Stream::new_lzma_decoder(XZ_MEMORY).map_err(|_| damaged)?;
                lzma(stream, packed, out, self.name)?
            }
            Inner::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, 0).map_err(|_| damaged)?;
                lzma(stream, packed, out, self.name)?
            }
            Inner::Lzo => lzo::unpack(packed, out).map_err(|error| match error {
                lzo::Error::Damaged => damaged,
                lzo::Error::TooLarge => too_large,
            })?,
            // Its error does not tell a block that is too long from one that is damaged.
            Inner::Lz4 => {
                let size = i32::try_from(limit).map_err(|_| too_large)?;
                lz4::block::decompress_to_buffer(packed, Some(size), out).map_err(|_| damaged)?
            }
            Inner::Zstd(context) => {
                // The number that stands for this error is part of zstd's stable interface.
                const TOO_SMALL: usize = 70;
                context.decompress(out.as_mut_slice(), packed).map_err(|code| {
                    if code == 0_usize.wrapping_sub(TOO_SMALL) { too_large } else { damaged }
                })?
            }
        };
        out.truncate(len);
        Ok(())
    }
}

/// Both formats of the LZMA library: to the end of the stream, so that its checksum is checked.
fn lzma(
    mut stream: Stream,
    packed: &[u8],
    out: &mut [u8],
    compressor: &'static str,
) -> Result<usize, UnpackError> {
    loop {
        let (used, made) = (stream.total_in() as usize, stream.total_out() as usize);
        let status = stream.process(&packed[used..], &mut out[made..], Action::Finish);
        match status {
            Ok(Status::StreamEnd) => return Ok(stream.total_out() as usize),
            Ok(Status::Ok | Status::GetCheck | Status::MemNeeded) => {}
            Err(liblzma::stream::Error::MemLimit | liblzma::stream::Error::Mem) => {
                return Err(UnpackError::Memory { compressor, limit: XZ_MEMORY });
            }
            Err(_) => return Err(UnpackError::Damaged { compressor }),
        }
        if stream.total_in() as usize == used && stream.total_out() as usize == made {
            let full = made == out.len();
            return Err(if full {
                UnpackError::TooLarge { limit: out.len() }
            } else {
                UnpackError::Damaged { compressor }
            });
        }
    }
}

#[cfg(test)]
mod tests;
