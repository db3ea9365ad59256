//! Inodes of all fourteen types.

use super::{Bytes, Malformed, NONE, block::METADATA, directory::IndexEntry};

/// What an inode is; the extended types have the same meaning with more fields, and numbers greater by seven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub(crate) enum Type {
    Directory = 1,
    File = 2,
    Symlink = 3,
    BlockDevice = 4,
    CharDevice = 5,
    Fifo = 6,
    Socket = 7,
}

/// Added to a basic type.
const EXTENDED: u16 = 7;
/// Bytes that a symbolic link can say.
const TARGET_MAX: u32 = 65535;
/// Counted in a directory's size for `.` and `..`, which are not written.
const DOTS: u32 = 3;

impl Type {
    /// From a directory entry, where extended types do not occur.
    pub(crate) fn decode(number: u16) -> Result<Self, Malformed> {
        Ok(match number {
            1 => Self::Directory,
            2 => Self::File,
            3 => Self::Symlink,
            4 => Self::BlockDevice,
            5 => Self::CharDevice,
            6 => Self::Fifo,
            7 => Self::Socket,
            _ => return Err(Malformed::value("the type of a file", number, "it must be 1 to 7")),
        })
    }
}

/// A file, whatever its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inode {
    /// Permission bits, 0 to 0o7777.
    pub(crate) mode: u16,
    /// Which of the table of owners.
    pub(crate) uid: u16,
    /// Which of the same table.
    pub(crate) gid: u16,
    /// Seconds since 1970.
    pub(crate) mtime: u32,
    /// 1 to the number of inodes.
    pub(crate) number: u32,
    /// How many names; for a directory, 2 and one for each directory in it.
    pub(crate) links: u32,
    /// Which set of extended attributes.
    pub(crate) xattrs: Option<u32>,
    pub(crate) body: Body,
}

/// What differs between the types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Directory(Directory),
    File(File),
    Symlink {
        /// 1 to 65,535 bytes.
        target: Box<[u8]>,
    },
    /// Of this number, see [`device`].
    BlockDevice(u32),
    /// Of this number, see [`device`].
    CharDevice(u32),
    Fifo,
    Socket,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    /// The block in which the listing begins, from the beginning of the directory table.
    pub(crate) block: u32,
    /// Where in that block.
    pub(crate) offset: u16,
    /// Bytes of the listing: 0 for an empty directory. Three more are written.
    pub(crate) size: u32,
    /// The number of the inode of its parent; the root has none, for which writers have 0 or the number of inodes and 1.
    pub(crate) parent: u32,
    /// Ways into a long listing, 65,535 at most.
    pub(crate) index: Vec<IndexEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// The place of its first block from the beginning of the image.
    pub(crate) start: u64,
    /// Bytes.
    pub(crate) size: u64,
    /// Bytes of it that are holes.
    pub(crate) sparse: u64,
    /// Where its last bytes are, if not in a block of their own.
    pub(crate) tail: Option<Tail>,
    /// A word for each of its blocks: see [`DataBlock`](super::block::DataBlock).
    pub(crate) blocks: Vec<u32>,
}

/// A part of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tail {
    /// Which fragment.
    pub(crate) fragment: u32,
    /// Where in it, uncompressed.
    pub(crate) offset: u32,
}

impl Inode {
    pub(crate) fn kind(&self) -> Type {
        match &self.body {
            Body::Directory(_) => Type::Directory,
            Body::File(_) => Type::File,
            Body::Symlink { .. } => Type::Symlink,
            Body::BlockDevice(_) => Type::BlockDevice,
            Body::CharDevice(_) => Type::CharDevice,
            Body::Fifo => Type::Fifo,
            Body::Socket => Type::Socket,
        }
    }

    /// Appends the inode, as the basic type if that holds it.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let extended = match &self.body {
            Body::Directory(directory) => directory.needs_extended(),
            Body::File(file) => file.needs_extended() || self.links != 1,
            Body::Symlink { .. } | Body::BlockDevice(_) | Body::CharDevice(_) | Body::Fifo | Body::Socket => {
                false
            }
        } || self.xattrs.is_some();
        let kind = self.kind() as u16 + if extended { EXTENDED } else { 0 };
        for half in [kind, self.mode, self.uid, self.gid] {
            out.extend_from_slice(&half.to_le_bytes());
        }
        put(out, [self.mtime, self.number]);
        match &self.body {
            Body::Directory(directory) => self.encode_directory(directory, extended, out),
            Body::File(file) => self.encode_file(file, extended, out),
            Body::Symlink { target } => {
                put(out, [self.links, target.len() as u32]);
                out.extend_from_slice(target);
                self.encode_xattrs(extended, out);
            }
            Body::BlockDevice(device) | Body::CharDevice(device) => {
                put(out, [self.links, *device]);
                self.encode_xattrs(extended, out);
            }
            Body::Fifo | Body::Socket => {
                put(out, [self.links]);
                self.encode_xattrs(extended, out);
            }
        }
    }

    fn encode_xattrs(&self, extended: bool, out: &mut Vec<u8>) {
        if extended {
            put(out, [self.xattrs.unwrap_or(NONE)]);
        }
    }

    fn encode_directory(&self, directory: &Directory, extended: bool, out: &mut Vec<u8>) {
        let size = directory.size + DOTS;
        if extended {
            put(out, [self.links, size, directory.block, directory.parent]);
            out.extend_from_slice(&(directory.index.len() as u16).to_le_bytes());
            out.extend_from_slice(&directory.offset.to_le_bytes());
            put(out, [self.xattrs.unwrap_or(NONE)]);
            for entry in &directory.index {
                entry.encode(out);
            }
        } else {
            put(out, [directory.block, self.links]);
            out.extend_from_slice(&(size as u16).to_le_bytes());
            out.extend_from_slice(&directory.offset.to_le_bytes());
            put(out, [directory.parent]);
        }
    }

    fn encode_file(&self, file: &File, extended: bool, out: &mut Vec<u8>) {
        let (fragment, offset) = file.tail.map_or((NONE, 0), |tail| (tail.fragment, tail.offset));
        if extended {
            for long in [file.start, file.size, file.sparse] {
                out.extend_from_slice(&long.to_le_bytes());
            }
            put(out, [self.links, fragment, offset, self.xattrs.unwrap_or(NONE)]);
        } else {
            put(out, [file.start as u32, fragment, offset, file.size as u32]);
        }
        for word in &file.blocks {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Everything but the list of a file's blocks and the index of a directory, which follow and can be long:
    /// [`File::block_count`] and the second value say how long.
    pub(crate) fn decode_head<B: Bytes>(from: &mut B) -> Result<(Self, u16), B::Error> {
        let what = "an inode";
        let [kind, mode, uid, gid] = [from.u16(what)?, from.u16(what)?, from.u16(what)?, from.u16(what)?];
        let [mtime, number] = [from.u32(what)?, from.u32(what)?];
        let (basic, extended) = if kind > EXTENDED { (kind - EXTENDED, true) } else { (kind, false) };
        let Ok(basic) = Type::decode(basic) else {
            return Err(Malformed::value("the type of an inode", kind, "it must be 1 to 14").into());
        };
        if number == 0 {
            return Err(Malformed::value("the number of an inode", number, "it must not be 0").into());
        }
        let mut inode = Self { mode, uid, gid, mtime, number, links: 1, xattrs: None, body: Body::Fifo };
        let mut index = 0;
        match basic {
            Type::Directory => index = inode.decode_directory(from, extended)?,
            Type::File => inode.decode_file(from, extended)?,
            Type::Symlink => {
                inode.links = from.u32(what)?;
                let len = from.u32(what)?;
                if len == 0 || len > TARGET_MAX {
                    let rule = "it must be 1 to 65535";
                    return Err(Malformed::value("the size of a symbolic link", len, rule).into());
                }
                let target = from.boxed(what, len as usize)?;
                if target.contains(&0) {
                    return Err(
                        Malformed::Name { name: target, rule: "of a link's target has a zero byte" }.into()
                    );
                }
                inode.body = Body::Symlink { target };
                inode.decode_xattrs(from, extended)?;
            }
            Type::BlockDevice | Type::CharDevice => {
                inode.links = from.u32(what)?;
                let device = from.u32(what)?;
                let block = basic == Type::BlockDevice;
                inode.body = if block { Body::BlockDevice(device) } else { Body::CharDevice(device) };
                inode.decode_xattrs(from, extended)?;
            }
            Type::Fifo | Type::Socket => {
                inode.links = from.u32(what)?;
                inode.body = if basic == Type::Fifo { Body::Fifo } else { Body::Socket };
                inode.decode_xattrs(from, extended)?;
            }
        }
        Ok((inode, index))
    }

    /// The whole inode. Lists are as long as the bytes have them: for sources whose length is a limit.
    #[cfg(test)]
    pub(crate) fn decode<B: Bytes>(from: &mut B, block_size: crate::BlockSize) -> Result<Self, B::Error> {
        let (mut inode, index) = Self::decode_head(from)?;
        match &mut inode.body {
            Body::Directory(directory) => {
                for _ in 0..index {
                    directory.index.push(IndexEntry::decode(from)?);
                }
            }
            Body::File(file) => {
                for _ in 0..file.block_count(block_size) {
                    file.blocks.push(from.u32("the list of a file's blocks")?);
                }
            }
            Body::Symlink { .. } | Body::BlockDevice(_) | Body::CharDevice(_) | Body::Fifo | Body::Socket => {
            }
        }
        Ok(inode)
    }

    fn decode_xattrs<B: Bytes>(&mut self, from: &mut B, extended: bool) -> Result<(), B::Error> {
        if extended {
            self.xattrs = Some(from.u32("an inode")?).filter(|index| *index != NONE);
        }
        Ok(())
    }

    fn decode_directory<B: Bytes>(&mut self, from: &mut B, extended: bool) -> Result<u16, B::Error> {
        let what = "the inode of a directory";
        let (block, size, offset, parent, index);
        if extended {
            [self.links, size, block, parent] =
                [from.u32(what)?, from.u32(what)?, from.u32(what)?, from.u32(what)?];
            [index, offset] = [from.u16(what)?, from.u16(what)?];
            self.decode_xattrs(from, extended)?;
        } else {
            [block, self.links] = [from.u32(what)?, from.u32(what)?];
            size = u32::from(from.u16(what)?);
            offset = from.u16(what)?;
            parent = from.u32(what)?;
            index = 0;
        }
        if usize::from(offset) >= METADATA {
            let rule = "it must be below 8192";
            return Err(Malformed::value("the offset of a directory's listing", offset, rule).into());
        }
        let size = size.saturating_sub(DOTS);
        self.body = Body::Directory(Directory { block, offset, size, parent, index: Vec::new() });
        Ok(index)
    }

    fn decode_file<B: Bytes>(&mut self, from: &mut B, extended: bool) -> Result<(), B::Error> {
        let what = "the inode of a file";
        let (start, fragment, offset, size);
        let mut sparse = 0;
        if extended {
            [start, size, sparse] = [from.u64(what)?, from.u64(what)?, from.u64(what)?];
            [self.links, fragment, offset] = [from.u32(what)?, from.u32(what)?, from.u32(what)?];
            self.decode_xattrs(from, extended)?;
        } else {
            start = u64::from(from.u32(what)?);
            [fragment, offset] = [from.u32(what)?, from.u32(what)?];
            size = u64::from(from.u32(what)?);
        }
        if size > i64::MAX as u64 {
            return Err(Malformed::value("the size of a file", size, "it must be below 2^63").into());
        }
        let tail = (fragment != NONE).then_some(Tail { fragment, offset });
        self.body = Body::File(File { start, size, sparse, tail, blocks: Vec::new() });
        Ok(())
    }
}

impl Directory {
    fn needs_extended(&self) -> bool {
        self.size + DOTS > u16::MAX.into() || !self.index.is_empty()
    }
}

impl File {
    fn needs_extended(&self) -> bool {
        self.start > u32::MAX.into() || self.size > u32::MAX.into() || self.sparse != 0
    }

    /// How many blocks it has: what does not fill one is in a fragment, or in a last block if there is none.
    pub(crate) fn block_count(&self, block_size: crate::BlockSize) -> u64 {
        let whole = self.size >> block_size.log();
        let rest = self.size & u64::from(block_size.get() - 1) != 0;
        whole + u64::from(rest && self.tail.is_none())
    }
}

fn put<const N: usize>(out: &mut Vec<u8>, words: [u32; N]) {
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

/// Device numbers as Linux writes them in 32 bits: 12 bits of major number, 20 of minor.
pub(crate) mod device {
    /// None if one of them is too large.
    pub(crate) fn encode(major: u32, minor: u32) -> Option<u32> {
        (major < 1 << 12 && minor < 1 << 20).then_some(minor & 0xff | major << 8 | (minor & !0xff) << 12)
    }

    /// Major and minor number.
    pub(crate) const fn decode(device: u32) -> (u32, u32) {
        (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00)
    }
}
