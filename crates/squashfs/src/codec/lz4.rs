//! LZ4 blocks, by the C library, which alone has the high compression.

use lz4::block::{CompressionMode, compress_bound, compress_to_buffer};

use super::CodecError;

/// `LZ4HC_CLEVEL_MAX`, as `mksquashfs -Xhc`.
const HIGHEST: i32 = 12;
/// The raw block format; squashfs has no other.
const LEGACY: u32 = 1;

/// Keeps a buffer; the library's own memory is on the stack, or small beside the work of the high compression.
pub(super) struct Packer {
    mode: CompressionMode,
    buffer: Vec<u8>,
}

impl Packer {
    pub(super) fn new(high: bool) -> Self {
        let mode = if high { CompressionMode::HIGHCOMPRESSION(HIGHEST) } else { CompressionMode::DEFAULT };
        Self { mode, buffer: Vec::new() }
    }

    pub(super) fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        let bound =
            compress_bound(raw.len()).map_err(|error| CodecError::library("liblz4", error.to_string()))?;
        if self.buffer.len() < bound {
            self.buffer.resize(bound, 0);
        }
        // With room for the worst case, every failure is one.
        let size = compress_to_buffer(raw, Some(self.mode), false, &mut self.buffer)
            .map_err(|error| CodecError::library("liblz4", error.to_string()))?;
        if size < raw.len() {
            out.extend_from_slice(&self.buffer[..size]);
        }
        Ok(())
    }
}

pub(super) fn recipe(high: bool) -> String {
    let how = if high { format!("high {HIGHEST}") } else { "fast".to_owned() };
    format!("liblz4 {} {how}", lz4::version())
}

/// Version of the block format (u32), flags (u32; 1: high compression). The kernel wants it in every image.
pub(super) fn options(high: bool) -> Vec<u8> {
    let mut record = LEGACY.to_le_bytes().to_vec();
    record.extend(u32::from(high).to_le_bytes());
    record
}
