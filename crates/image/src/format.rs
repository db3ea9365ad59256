//! Formats: bytes ↔ values. Nothing in here opens a file.

pub(crate) mod cpio;
pub(crate) mod modinfo;
