//! Everything behind the contents: inodes, directories, and the tables that lead to them.
//!
//! Inodes of directories come after all others. So no other inode depends on where a directory's listing is, all of
//! them can be compressed at once, and a directory's listing finds the inodes that it names already in their places.

use super::{
    WriteError,
    decide::FilePlace,
    emit::Emitter,
    metadata::{Metadata, blocks, listed},
    numbers::{Numbers, Owners, Xattrs, subdirectories},
};
use crate::{
    Options,
    format::{
        ABSENT, InodeRef,
        block::{DataBlock, METADATA},
        directory::{Entry, Header, IndexEntry, RUN_MAX},
        fragment::Fragment,
        inode::{Body, Directory, File, Inode, Tail, Type, device},
        superblock::{Superblock, flag},
        xattr::XattrTable,
    },
    tree::{Content, Id, Kind, Tree},
};

/// Ways into a listing that a directory can have.
const MOST_INDEXES: usize = u16::MAX as usize;

/// Writes the tables of `tree`, whose contents are in the image at `places`, and says what goes to its beginning.
pub(super) fn write(
    emitter: &mut Emitter<'_, '_>,
    tree: &Tree,
    places: &[Option<FilePlace>],
    options: &Options,
) -> Result<Superblock, WriteError> {
    let mut inodes = Inodes {
        tree,
        places,
        numbers: Numbers::new(tree),
        owners: Owners::default(),
        xattrs: Xattrs::default(),
        refs: vec![InodeRef { block: 0, offset: 0 }; tree.nodes().len()],
        block_size: options.block_size.get().into(),
    };
    let (inode_table, directories) = inodes.write(emitter)?;
    let directory_table = directories.finish(emitter)?;
    let fragments = fragments(emitter);
    let fragment_table = if fragments.is_empty() { ABSENT } else { listed(emitter, &fragments)? };
    let export_table = if options.export { listed(emitter, &inodes.exports())? } else { ABSENT };
    let id_table = listed(emitter, &inodes.owners.records())?;
    let xattr_table = if inodes.xattrs.count() > 0 { xattrs(emitter, &inodes.xattrs)? } else { ABSENT };
    let set = |flag: u16, on: bool| if on { flag } else { 0 };
    Ok(Superblock {
        inodes: inodes.numbers.count(),
        made: options.made,
        block_size: options.block_size,
        fragments: emitter.placed.fragments.len() as u32,
        compressor: options.compressor.id(),
        flags: flag::DEDUPLICATED
            | set(flag::EXPORTABLE, options.export)
            | set(flag::TAIL_ENDS, options.tail_ends)
            | set(flag::NO_FRAGMENTS, fragments.is_empty())
            | set(flag::NO_XATTRS, xattr_table == ABSENT)
            | set(flag::OPTIONS, options.compressor.options(options.block_size).is_some()),
        ids: inodes.owners.count(),
        root: inodes.refs[Tree::ROOT.index()],
        bytes_used: emitter.output.position(),
        id_table,
        xattr_table,
        inode_table,
        directory_table,
        fragment_table,
        export_table,
    })
}

fn fragments(emitter: &Emitter<'_, '_>) -> Vec<u8> {
    let record = |(start, block): &(u64, DataBlock)| Fragment { start: *start, block: *block }.encode();
    emitter.placed.fragments.iter().flat_map(record).collect()
}

fn xattrs(emitter: &mut Emitter<'_, '_>, xattrs: &Xattrs<'_>) -> Result<u64, WriteError> {
    let (start, records) = xattrs.write(emitter)?;
    let places = blocks(emitter, &records)?;
    let at = emitter.output.position();
    emitter.output.append(&XattrTable { start, ids: xattrs.count() }.encode())?;
    let list: Vec<u8> = places.iter().flat_map(|place| place.to_le_bytes()).collect();
    emitter.output.append(&list)?;
    Ok(at)
}

/// The inodes while they are written.
struct Inodes<'t> {
    tree: &'t Tree,
    places: &'t [Option<FilePlace>],
    numbers: Numbers,
    owners: Owners,
    xattrs: Xattrs<'t>,
    /// By the number of the file in the tree.
    refs: Vec<InodeRef>,
    block_size: u64,
}

impl Inodes<'_> {
    /// Writes all inodes; says where, and gives the listings, which come behind them.
    fn write(&mut self, emitter: &mut Emitter<'_, '_>) -> Result<(u64, Metadata), WriteError> {
        emitter.flush()?;
        let start = emitter.output.position();
        let mut open = self.write_files(emitter, start)?;
        let mut listings = Metadata::default();
        // Behind its children, a directory finds them in their places.
        for (id, parent) in std::mem::take(&mut self.numbers.directories).into_iter().rev() {
            let directory = self.list(emitter, &mut listings, id, parent)?;
            self.refs[id.index()] =
                InodeRef { block: emitter.output.position() - start, offset: open.len() as u16 };
            let links = 2 + subdirectories(self.tree, id);
            let inode = self.inode(id, links, Body::Directory(directory))?;
            inode.encode(&mut open);
            while open.len() >= METADATA {
                let rest = open.split_off(METADATA);
                blocks(emitter, &open)?;
                open = rest;
            }
        }
        blocks(emitter, &open)?;
        Ok((start, listings))
    }

    /// Writes the inodes of everything but directories; gives what does not fill a block.
    fn write_files(&mut self, emitter: &mut Emitter<'_, '_>, start: u64) -> Result<Vec<u8>, WriteError> {
        let mut bytes = Vec::new();
        let mut at = Vec::new();
        let files = std::mem::take(&mut self.numbers.files);
        for id in files.iter().copied().filter(|id| !self.tree.node(*id).is_directory()) {
            at.push((id, bytes.len()));
            let body = self.body(emitter, id)?;
            self.inode(id, self.tree.links(id), body)?.encode(&mut bytes);
        }
        self.numbers.files = files;
        let open = bytes.split_off(bytes.len() / METADATA * METADATA);
        let mut begins = blocks(emitter, &bytes)?;
        begins.push(emitter.output.position());
        for (id, at) in at {
            let block = begins[at / METADATA] - start;
            self.refs[id.index()] = InodeRef { block, offset: (at % METADATA) as u16 };
        }
        Ok(open)
    }

    fn inode(&mut self, id: Id, links: u32, body: Body) -> Result<Inode, WriteError> {
        let node = self.tree.node(id);
        Ok(Inode {
            mode: node.mode,
            uid: self.owners.number(node.uid)?,
            gid: self.owners.number(node.gid)?,
            mtime: node.mtime,
            number: self.numbers.of(id),
            links,
            xattrs: self.xattrs.number(node),
            body,
        })
    }

    fn body(&self, emitter: &Emitter<'_, '_>, id: Id) -> Result<Body, WriteError> {
        let device =
            |major: u32, minor: u32| device::encode(major, minor).ok_or(WriteError::Device { major, minor });
        Ok(match &self.tree.node(id).kind {
            Kind::Directory(_) => unreachable!("directories come later"),
            Kind::File(content) => Body::File(self.file(emitter, id, content)),
            Kind::Symlink(target) => Body::Symlink { target: target.clone() },
            Kind::CharDevice { major, minor } => Body::CharDevice(device(*major, *minor)?),
            Kind::BlockDevice { major, minor } => Body::BlockDevice(device(*major, *minor)?),
            Kind::Fifo => Body::Fifo,
            Kind::Socket => Body::Socket,
        })
    }

    fn file(&self, emitter: &Emitter<'_, '_>, id: Id, content: &Content) -> File {
        let size = content.size();
        if size == 0 {
            return File { start: 0, size, sparse: 0, tail: None, blocks: Vec::new() };
        }
        let place = self.places.get(id.index()).and_then(Option::as_ref).expect("every file was fed");
        let mut sparse = 0;
        let mut blocks = vec![DataBlock::Hole.encode(); place.blocks as usize];
        let mut solid =
            place.first.map_or(&[][..], |first| &emitter.placed.blocks[first.0 as usize..]).iter();
        let start = solid.as_slice().first().map_or(0, |(start, _)| *start);
        let mut index = 0;
        let end = place.blocks..place.blocks;
        for hole in place.holes.iter().chain(std::iter::once(&end)) {
            for word in &mut blocks[index as usize..hole.start as usize] {
                *word = solid.next().expect("its blocks are in the image").1.encode();
            }
            let end = (u64::from(hole.end) * self.block_size).min(size);
            sparse += end.saturating_sub(u64::from(hole.start) * self.block_size);
            index = hole.end;
        }
        let tail = place.tail.map(|tail| Tail { fragment: tail.fragment, offset: tail.offset });
        File { start, size, sparse, tail, blocks }
    }

    /// Appends the listing of a directory.
    fn list(
        &self,
        emitter: &mut Emitter<'_, '_>,
        listings: &mut Metadata,
        id: Id,
        parent: Option<Id>,
    ) -> Result<Directory, WriteError> {
        let begin = listings.position();
        let (mut size, mut index, mut indexed) = (0_usize, Vec::new(), begin.block);
        let mut run = Run::default();
        let names = self.tree.names(id).expect("only directories are listed");
        for (name, child) in names {
            let (inode, number) = (self.refs[child.index()], self.numbers.of(*child));
            if !run.takes(inode, number) {
                size += run.write(emitter, listings)?;
            }
            if run.count == 0 {
                let at = listings.position();
                if at.block != indexed && index.len() < MOST_INDEXES {
                    indexed = at.block;
                    index.push(IndexEntry { index: size as u32, block: at.block as u32, name: name.clone() });
                }
                run = Run { block: inode.block, base: number, ..run };
            }
            run.push(name, inode, number, self.kind(*child));
        }
        size += run.write(emitter, listings)?;
        // The root's parent is a number that no inode has.
        let parent = parent.map_or(self.numbers.count() + 1, |parent| self.numbers.of(parent));
        let size = u32::try_from(size).map_err(|_| WriteError::Listing { bytes: size as u64 })?;
        Ok(Directory { block: begin.block as u32, offset: begin.offset, size, parent, index })
    }

    fn kind(&self, id: Id) -> Type {
        match &self.tree.node(id).kind {
            Kind::Directory(_) => Type::Directory,
            Kind::File(_) => Type::File,
            Kind::Symlink(_) => Type::Symlink,
            Kind::CharDevice { .. } => Type::CharDevice,
            Kind::BlockDevice { .. } => Type::BlockDevice,
            Kind::Fifo => Type::Fifo,
            Kind::Socket => Type::Socket,
        }
    }

    /// For each number, where its inode is.
    fn exports(&self) -> Vec<u8> {
        self.numbers.files.iter().flat_map(|id| self.refs[id.index()].pack().to_le_bytes()).collect()
    }
}

/// Entries that will share a header.
#[derive(Default)]
struct Run {
    block: u64,
    base: u32,
    count: usize,
    entries: Vec<u8>,
}

impl Run {
    /// Whether one more entry fits under the header.
    fn takes(&self, inode: InodeRef, number: u32) -> bool {
        self.count == 0
            || (self.count < RUN_MAX
                && self.entries.len() < METADATA
                && self.block == inode.block
                && i16::try_from(i64::from(number) - i64::from(self.base)).is_ok())
    }

    fn push(&mut self, name: &[u8], inode: InodeRef, number: u32, kind: Type) {
        let delta = i64::from(number) - i64::from(self.base);
        let delta = i16::try_from(delta).expect("another header takes what is further away");
        Entry { offset: inode.offset, delta, kind, name }.encode(&mut self.entries);
        self.count += 1;
    }

    /// Writes and forgets the run; says how many bytes it has.
    fn write(&mut self, emitter: &mut Emitter<'_, '_>, listings: &mut Metadata) -> Result<usize, WriteError> {
        if self.count == 0 {
            return Ok(0);
        }
        let header = Header { count: self.count as u32, block: self.block as u32, base: self.base };
        listings.push(emitter, &header.encode())?;
        listings.push(emitter, &self.entries)?;
        let size = Header::LEN + self.entries.len();
        self.entries.clear();
        self.count = 0;
        Ok(size)
    }
}
