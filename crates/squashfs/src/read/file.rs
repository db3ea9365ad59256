//! The contents of a file.

use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom},
    sync::Arc,
};

use super::{
    Body, Image, InodeRef, ReadError,
    cursor::{Cursor, Position},
};
use crate::format::{Bytes, block::DataBlock, fragment::Fragment, inode};

/// Places of a block list that are remembered; what is between them is read again to go back.
const MARKS: usize = 512;

/// The contents of a file: from [`Image::read`].
///
/// It reads from any place; a block is unpacked once as long as reads stay in it. What it keeps does not grow with the
/// file.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::io::Read;
///
/// use bootway_squashfs::read::Image;
///
/// let image = Image::open("root.squashfs")?;
/// let mut text = String::new();
/// image.read(&image.entry("etc/os-release")?)?.read_to_string(&mut text)?;
/// # Ok(())
/// # }
/// ```
pub struct FileReader<'a> {
    image: &'a Image,
    file: inode::File,
    /// How many blocks are in the list.
    blocks: u64,
    /// At the word of the block `next`.
    list: Cursor<'a>,
    next: u64,
    /// Where the bytes of the block `next` are.
    at: u64,
    marks: Marks,
    current: Option<Current>,
    packed: Vec<u8>,
    buffer: Vec<u8>,
    position: u64,
}

/// A part of a file: see [`FileReader::next_chunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// Bytes.
    Data(&'a [u8]),
    /// So many zeros which the image does not store.
    Hole(u64),
}

/// What the buffer holds.
#[derive(Clone)]
struct Current {
    index: u64,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Buffer,
    Hole(usize),
    Fragment { bytes: Arc<[u8]>, start: usize, len: usize },
}

impl<'a> FileReader<'a> {
    pub(super) fn new(image: &'a Image, place: InodeRef) -> Result<Self, ReadError> {
        let (inode, list) = image.inode(place)?;
        let Body::File(file) = inode.body else { return Err(ReadError::NotAFile) };
        let blocks = file.block_count(image.superblock.block_size);
        let marks = Marks { every: 64, all: vec![(list.position(), file.start)] };
        Ok(Self {
            image,
            blocks,
            list,
            next: 0,
            at: file.start,
            marks,
            file,
            current: None,
            packed: Vec::new(),
            buffer: Vec::new(),
            position: 0,
        })
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.file.size
    }

    /// Reads from `offset` on, at most to the end of a block; 0 bytes only at the end of the file or into nothing.
    pub fn read_at(&mut self, out: &mut [u8], offset: u64) -> Result<usize, ReadError> {
        if offset >= self.file.size || out.is_empty() {
            return Ok(0);
        }
        let log = self.image.superblock.block_size.log();
        self.load(offset >> log)?;
        let within = (offset & u64::from(self.image.superblock.block_size.get() - 1)) as usize;
        let n = match self.chunk() {
            Chunk::Data(bytes) => {
                let bytes = &bytes[within..];
                let n = bytes.len().min(out.len());
                out[..n].copy_from_slice(&bytes[..n]);
                n
            }
            Chunk::Hole(len) => {
                let n = (len as usize - within).min(out.len());
                out[..n].fill(0);
                n
            }
        };
        Ok(n)
    }

    /// What follows, up to the end of its block, as it is stored; none at the end of the file. It moves the place where
    /// [`Read::read`] goes on.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, ReadError> {
        if self.position >= self.file.size {
            return Ok(None);
        }
        let size = u64::from(self.image.superblock.block_size.get());
        let (index, within) = (self.position / size, self.position % size);
        self.load(index)?;
        self.position = self.file.size.min((index + 1) * size);
        Ok(Some(match self.chunk() {
            Chunk::Data(bytes) => Chunk::Data(&bytes[within as usize..]),
            Chunk::Hole(len) => Chunk::Hole(len - within),
        }))
    }

    fn chunk(&self) -> Chunk<'_> {
        match self.current.as_ref().map(|current| &current.content) {
            Some(Content::Buffer) => Chunk::Data(&self.buffer),
            Some(Content::Hole(len)) => Chunk::Hole(*len as u64),
            Some(Content::Fragment { bytes, start, len }) => Chunk::Data(&bytes[*start..*start + *len]),
            None => Chunk::Hole(0),
        }
    }

    /// Makes the block of that number the current one; the file goes that far.
    fn load(&mut self, index: u64) -> Result<(), ReadError> {
        if self.current.as_ref().is_some_and(|current| current.index == index) {
            return Ok(());
        }
        self.current = None;
        let size = u64::from(self.image.superblock.block_size.get());
        let expected = size.min(self.file.size - index * size) as usize;
        let content = if index == self.blocks { self.tail(expected)? } else { self.block(index, expected)? };
        self.current = Some(Current { index, content });
        Ok(())
    }

    fn tail(&self, expected: usize) -> Result<Content, ReadError> {
        let tail =
            self.file.tail.expect("only a file with a tail has fewer blocks in its list than it needs");
        let start = tail.offset as usize;
        let bytes = self.image.fragment(tail.fragment)?;
        if start + expected > bytes.len() {
            let (offset, end) = (start as u64, (start + expected) as u64);
            return Err(ReadError::Tail { offset, end, len: bytes.len() });
        }
        Ok(Content::Fragment { bytes, start, len: expected })
    }

    fn block(&mut self, index: u64, expected: usize) -> Result<Content, ReadError> {
        if index < self.next {
            let (number, (position, at)) = self.marks.before(index);
            self.list.seek(position);
            (self.next, self.at) = (number, at);
        }
        loop {
            let (number, at) = (self.next, self.at);
            let block = self.word()?;
            if number < index {
                continue;
            }
            return if block == DataBlock::Hole {
                Ok(Content::Hole(expected))
            } else {
                let blocks = &self.image.blocks;
                blocks.data(at, block, expected, &mut self.packed, &mut self.buffer)?;
                if self.buffer.len() == expected {
                    Ok(Content::Buffer)
                } else {
                    Err(ReadError::BlockLen { at, found: self.buffer.len(), expected })
                }
            };
        }
    }

    /// The word of the next block in the list.
    fn word(&mut self) -> Result<DataBlock, ReadError> {
        self.marks.mark(self.next, self.list.position(), self.at);
        let word = self.list.u32("the list of a file's blocks")?;
        let block = DataBlock::decode(word, self.image.superblock.block_size.get())?;
        // Beyond the image it cannot be read, so that this never wraps for long.
        self.at = self.at.saturating_add(block.len().into());
        self.next += 1;
        Ok(block)
    }
}

impl Image {
    pub(super) fn fragment_entry(&self, index: u32) -> Result<Fragment, ReadError> {
        let mut cursor = self.tables.fragments.at(&self.blocks, index.into())?;
        Fragment::decode(&mut cursor, self.superblock.block_size.get())
    }

    /// An unpacked fragment.
    pub(super) fn fragment(&self, index: u32) -> Result<Arc<[u8]>, ReadError> {
        let fragment = self.fragment_entry(index)?;
        self.blocks.fragment(fragment.start, fragment.block, self.superblock.block_size.get() as usize)
    }
}

/// Every so many blocks, where their words and their bytes are. They thin out as they become many.
struct Marks {
    every: u64,
    all: Vec<(Position, u64)>,
}

impl Marks {
    fn mark(&mut self, number: u64, position: Position, at: u64) {
        if number == self.all.len() as u64 * self.every {
            if self.all.len() == MARKS {
                let mut index = 0;
                self.all.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                self.every *= 2;
            }
            // True again, because there is an even number of them: this is the next in the new order, too.
            self.all.push((position, at));
        }
    }

    /// The last one that is not after a block, and its number.
    fn before(&self, number: u64) -> (u64, (Position, u64)) {
        let index = (number / self.every).min(self.all.len() as u64 - 1);
        (index * self.every, self.all[index as usize])
    }
}

impl Read for FileReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.read_at(out, self.position)?;
        self.position += n as u64;
        Ok(n)
    }
}

impl Seek for FileReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.file.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        let outside =
            || io::Error::new(io::ErrorKind::InvalidInput, "a place before the beginning of the file");
        self.position = position.ok_or_else(outside)?;
        Ok(self.position)
    }
}

impl fmt::Debug for FileReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, position) = (self.file.size, self.position);
        f.debug_struct("FileReader").field("size", &size).field("position", &position).finish_non_exhaustive()
    }
}
