//! zlib streams, by libdeflate.

use libdeflater::{CompressionError, CompressionLvl, Compressor};

use super::CodecError;

/// The version that is linked: the library does not tell, so a test holds this to `Cargo.lock`.
pub(super) const VERSION: &str = "1.26.1";
/// Most that the options record may say: `unsquashfs` refuses an image that says more.
const MAX_RECORDED: u8 = 9;
/// What no record means.
const USUAL: u8 = 9;
/// Logarithm of the window, always the largest that zlib has.
const WINDOW: u16 = 15;

/// Keeps the match finder and a buffer that has been zeroed once.
pub(super) struct Packer {
    compressor: Compressor,
    buffer: Vec<u8>,
}

impl Packer {
    pub(super) fn new(level: u8) -> Result<Self, CodecError> {
        let level = CompressionLvl::new(level.into())
            .map_err(|error| CodecError::library("libdeflate", format!("{error:?}")))?;
        Ok(Self { compressor: Compressor::new(level), buffer: Vec::new() })
    }

    /// Leaves `out` empty if it would not be smaller.
    pub(super) fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        if self.buffer.len() < raw.len() {
            self.buffer.resize(raw.len(), 0);
        }
        let room = raw.len().saturating_sub(1);
        match self.compressor.zlib_compress(raw, &mut self.buffer[..room]) {
            Ok(size) => out.extend_from_slice(&self.buffer[..size]),
            Err(CompressionError::InsufficientSpace) => {}
        }
    }
}

pub(super) fn recipe(level: u8) -> String {
    format!("libdeflate {VERSION} level {level}")
}

/// Level (u32), logarithm of the window (u16), strategies (u16); nothing for level 9.
pub(super) fn options(level: u8) -> Option<Vec<u8>> {
    let recorded = level.min(MAX_RECORDED);
    (recorded != USUAL).then(|| {
        let mut record = u32::from(recorded).to_le_bytes().to_vec();
        record.extend(WINDOW.to_le_bytes());
        record.extend(0_u16.to_le_bytes());
        record
    })
}
