//! The inode table from its beginning to its end, whoever refers to it.

use std::collections::btree_map::Entry;

use super::{Ended, Fault, Inodes, Known, Place, Run};
use crate::{
    format::{
        InodeRef, NONE,
        directory::IndexEntry,
        inode::{Body, Inode},
    },
    read::{Image, ReadError, cursor::Cursor},
};

impl Run<'_> {
    /// Every inode; what follows one that cannot be read is not found.
    pub(super) fn inodes(&self) -> Result<Inodes, Ended> {
        let Image { blocks, superblock, tables, .. } = self.image;
        let (start, end) = (superblock.inode_table, tables.directories);
        let mut cursor = Cursor::new(blocks, start, end, InodeRef { block: 0, offset: 0 });
        let mut inodes = Inodes::new();
        let mut read = 0;
        while !cursor.is_at_end() {
            let position = cursor.normal_position();
            let place = || Place::Table { name: "inodes", at: position.at };
            let Some(inode) = self.readable(place, self.pass(&mut cursor)) else { return Ok(inodes) };
            let at = InodeRef { block: position.at - start, offset: position.offset as u16 };
            self.spend(size_of::<Known>() as u64)?;
            self.inode(&inode, at, &mut inodes);
            read += 1;
        }
        self.count(|checked| checked.inodes = read);
        let said = superblock.inodes.into();
        if read != said {
            let place = Place::Table { name: "inodes", at: start };
            self.problem(place, Fault::Disagrees { what: "the number of inodes", said, found: read });
        }
        Ok(inodes)
    }

    fn pass(&self, cursor: &mut Cursor<'_>) -> Result<Inode, ReadError> {
        let (inode, index) = Inode::decode_head(cursor)?;
        match &inode.body {
            Body::File(file) => {
                let count = file.block_count(self.image.superblock.block_size);
                cursor.skip("the list of a file's blocks", count.saturating_mul(4))?;
            }
            Body::Directory(_) => {
                for _ in 0..index {
                    IndexEntry::decode(cursor)?;
                }
            }
            Body::Symlink { .. } | Body::BlockDevice(_) | Body::CharDevice(_) | Body::Fifo | Body::Socket => {
            }
        }
        Ok(inode)
    }

    fn inode(&self, inode: &Inode, place: InodeRef, inodes: &mut Inodes) {
        let Image { superblock, tables, .. } = self.image;
        let number = inode.number;
        let here = || Place::inode(number);
        let missing = |what, index: u32, count| Fault::Missing { what, index: index.into(), count };
        if number > superblock.inodes {
            self.problem(here(), missing("inode", number, superblock.inodes.into()));
        }
        for owner in [inode.uid, inode.gid] {
            if u64::from(owner) >= tables.ids.count {
                self.problem(here(), missing("owner", owner.into(), tables.ids.count));
            }
        }
        let sets = tables.xattrs.map_or(0, |(_, sets)| sets.count);
        if let Some(index) = inode.xattrs.filter(|index| *index != NONE && u64::from(*index) >= sets) {
            self.problem(here(), missing("set of extended attributes", index, sets));
        }
        let known = Known { place, kind: inode.kind(), links: inode.links, names: 0 };
        match inodes.entry(number) {
            Entry::Vacant(place) => _ = place.insert(known),
            Entry::Occupied(_) => self.problem(here(), Fault::Rule("another inode has the same number")),
        }
    }
}
