//! Formats: bytes ↔ values. Nothing in here opens a file.

pub(crate) mod cpio;
pub(crate) mod gpt;
pub(crate) mod guid;
pub(crate) mod iso;
pub(crate) mod kernel;
pub(crate) mod mbr;
pub(crate) mod modinfo;
pub(crate) mod oci;
pub(crate) mod pe;
pub(crate) mod program;
pub(crate) mod qcow2;
pub(crate) mod superblock;
pub(crate) mod tar;
