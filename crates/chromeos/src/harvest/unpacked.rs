//! Compressed modules and firmware, unpacked where every kernel can read them.

use std::{
    cell::Cell,
    io::{self, Read},
};

use bootway_exec::Cx;
use bootway_image::{Content, unpacking};
use bootway_plan::TreePath;

use crate::HarvestError;

/// More than any module or firmware file is; what unpacks to more is damaged, or a bomb.
const MOST: u64 = 256 << 20;
/// More than all of them together are.
const MOST_TOGETHER: u64 = 4 << 30;
/// Suffixes of compressed files.
const SUFFIXES: [&str; 3] = [".gz", ".xz", ".zst"];

/// `name` without the suffix of a compression, if it has one.
pub(super) fn stem(name: &str) -> Option<&str> {
    SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).filter(|stem| !stem.is_empty())
}

/// Unpacks files into the scratch directory of a step.
pub(super) struct Unpacker<'a> {
    cx: &'a Cx<'a>,
    files: Cell<u64>,
    bytes: Cell<u64>,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(cx: &'a Cx<'a>) -> io::Result<Self> {
        fs_err::create_dir_all(cx.scratch.join("unpacked"))?;
        Ok(Self { cx, files: Cell::new(0), bytes: Cell::new(0) })
    }

    /// What `content`, the compressed file at `path` of an image, holds.
    pub(super) fn unpack(&self, path: &TreePath, content: &Content) -> Result<Content, HarvestError> {
        if self.cx.cancel.is_cancelled() {
            return Err(HarvestError::Cancelled);
        }
        let unpack = || {
            let number = self.files.get() + 1;
            self.files.set(number);
            let to = self.cx.scratch.join(format!("unpacked/{number}"));
            let from = unpacking(content.open()?)?;
            let size = io::copy(&mut from.take(MOST + 1), &mut fs_err::File::create_new(&to)?)?;
            self.bytes.set(self.bytes.get() + size);
            if size > MOST || self.bytes.get() > MOST_TOGETHER {
                let limit = if size > MOST { MOST } else { MOST_TOGETHER };
                let text = format!("it unpacks to more than {limit} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            Ok(Content::File { path: to, size, digest: None })
        };
        unpack().map_err(|source| HarvestError::Unpack { path: path.clone(), source })
    }
}
