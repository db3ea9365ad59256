//! Directories from the root on: whether their entries, their inodes and their indexes agree.

use std::collections::{BTreeSet, VecDeque};

use super::{Ended, Fault, Inodes, Place, Run};
use crate::{
    format::{
        directory::{IndexEntry, Listed},
        inode::{Body, Directory, Inode, Type},
    },
    read::{Image, ReadError, cursor::Cursor},
};

impl Run<'_> {
    /// Every directory once, and then the numbers of names.
    pub(super) fn names(&self, inodes: &mut Inodes) -> Result<(), Ended> {
        let root = self.image.superblock.root;
        let Some((root, _)) =
            self.readable(|| Place::Table { name: "inodes", at: 0 }, self.image.inode(root))
        else {
            return Ok(());
        };
        let root = root.number;
        if inodes
            .get(&root)
            .is_none_or(|known| known.kind != Type::Directory || known.place != self.image.superblock.root)
        {
            self.obstacle(Place::inode(root), Fault::Rule("the root is not a directory of the inode table"));
            return Ok(());
        }
        let mut entered = BTreeSet::from([root]);
        let mut left = vec![root];
        while let Some(number) = left.pop() {
            self.directory(number, inodes, &mut |child| {
                if entered.insert(child) {
                    left.push(child);
                }
            })?;
        }
        for (number, known) in inodes.iter().filter(|(number, _)| **number != root) {
            let here = Place::inode(*number);
            match known.kind {
                _ if known.names == 0 => self.problem(here, Fault::Rule("it has no name")),
                Type::Directory if known.names > 1 => {
                    self.problem(here, Fault::Rule("the directory has two names"));
                }
                Type::Directory if !entered.contains(number) => {
                    self.problem(here, Fault::Rule("the directory cannot be reached from the root"));
                }
                Type::Directory => {}
                _ if known.names != known.links => {
                    let (said, found) = (known.links.into(), known.names.into());
                    self.problem(here, Fault::Disagrees { what: "the number of names", said, found });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn directory(&self, number: u32, inodes: &mut Inodes, enter: &mut dyn FnMut(u32)) -> Result<(), Ended> {
        let here = || Place::inode(number);
        let Some(known) = inodes.get(&number) else { return Ok(()) };
        let links = known.links;
        let Some((directory, mut index)) = self.readable(here, index(self.image, known.place)) else {
            return Ok(());
        };
        self.spend(directory.size.into())?;
        let (mut listing, mut cursor) = self.image.listing(&directory);
        let (mut names, mut directories) = (0_u64, 0_u64);
        loop {
            let block = cursor.normal_position().at;
            let Some(listed) = self.readable(here, listing.next(&mut cursor)) else { return Ok(()) };
            let Some(listed) = listed else { break };
            names += 1;
            if let Some(header) = listed.header {
                self.indexed(number, &mut index, header, block, &listed.name);
            }
            if listed.kind == Type::Directory {
                directories += 1;
            }
            self.entry(number, &listed, inodes, enter);
        }
        if !index.is_empty() {
            self.problem(here(), Fault::Rule("its index leads to where no header is"));
        }
        // There are two traditions, and Linux does not care.
        if ![2 + directories, 2 + names].contains(&links.into()) {
            let what = "the number of links";
            self.problem(here(), Fault::Disagrees { what, said: links.into(), found: 2 + directories });
        }
        self.count(|checked| {
            checked.directories += 1;
            checked.names += names;
        });
        Ok(())
    }

    fn entry(&self, directory: u32, listed: &Listed, inodes: &mut Inodes, enter: &mut dyn FnMut(u32)) {
        let wrong = |rule| {
            self.problem(Place::inode(directory), Fault::Name { name: listed.name.clone(), rule });
        };
        let Some(known) = inodes.get_mut(&listed.number) else {
            return wrong("has the number of no inode");
        };
        known.names = known.names.saturating_add(1);
        if known.place != listed.inode {
            return wrong("leads to a place where its inode is not");
        }
        if known.kind != listed.kind {
            return wrong("is another kind of file than its inode");
        }
        if listed.kind == Type::Directory {
            let inode = self.image.inode(known.place);
            if let Ok((Inode { body: Body::Directory(child), .. }, _)) = inode
                && child.parent != directory
            {
                let (said, found) = (child.parent.into(), directory.into());
                self.problem(
                    Place::inode(listed.number),
                    Fault::Disagrees { what: "its parent", said, found },
                );
            }
            enter(listed.number);
        }
    }

    /// A header of a listing, with what the index says of it if it does.
    fn indexed(&self, number: u32, index: &mut VecDeque<IndexEntry>, header: u32, block: u64, name: &[u8]) {
        if index.front().is_none_or(|entry| entry.index != header) {
            return;
        }
        let Some(entry) = index.pop_front() else { return };
        let (said, found) = (entry.block.into(), block - self.image.tables.directories);
        if said != found {
            let what = "the block of a header in its index";
            self.problem(Place::inode(number), Fault::Disagrees { what, said, found });
        }
        if *entry.name != *name {
            self.problem(
                Place::inode(number),
                Fault::Name { name: entry.name, rule: "in its index is not that of the header" },
            );
        }
    }
}

/// A directory and its index; an index has 65,535 entries at most.
fn index(
    image: &Image,
    place: crate::format::InodeRef,
) -> Result<(Directory, VecDeque<IndexEntry>), ReadError> {
    let (start, end) = (image.superblock.inode_table, image.tables.directories);
    let mut cursor = Cursor::new(&image.blocks, start, end, place);
    let (inode, count) = Inode::decode_head(&mut cursor)?;
    let Body::Directory(directory) = inode.body else { return Err(ReadError::NotADirectory) };
    let index = (0..count).map(|_| IndexEntry::decode(&mut cursor)).collect::<Result<_, _>>()?;
    Ok((directory, index))
}
