//! Which inode has which number, and which owners and extended attributes it shares with others.

use std::collections::{BTreeMap, HashMap};

use super::WriteError;
use crate::{
    format::{
        InodeRef,
        xattr::{Key, Value, XattrId},
    },
    tree::{Id, Kind, Node, Tree},
    write::{emit::Emitter, metadata::Metadata},
};

/// The inodes of a tree, numbered so that the files of a directory have numbers in a row.
#[derive(Debug)]
pub(super) struct Numbers {
    /// By the number of the file in the tree; 0 for one that no name leads to.
    by_file: Vec<u32>,
    /// In the order of their numbers.
    pub(super) files: Vec<Id>,
    /// Directories, each before those in it, with its parent.
    pub(super) directories: Vec<(Id, Option<Id>)>,
}

impl Numbers {
    pub(super) fn new(tree: &Tree) -> Self {
        let mut numbers = vec![0; tree.nodes().len()];
        let (mut files, mut directories, mut open) = (Vec::new(), Vec::new(), vec![(Tree::ROOT, None)]);
        let mut number = |id: Id| {
            let number = &mut numbers[id.index()];
            if *number == 0 {
                files.push(id);
                *number = files.len() as u32;
            }
        };
        number(Tree::ROOT);
        while let Some((directory, parent)) = open.pop() {
            directories.push((directory, parent));
            let names = tree.names(directory).expect("only directories are opened");
            for id in names.values() {
                number(*id);
            }
            let inside = names.values().rev().filter(|id| tree.node(**id).is_directory());
            open.extend(inside.map(|id| (*id, Some(directory))));
        }
        Self { by_file: numbers, files, directories }
    }

    /// 1 to the number of files.
    pub(super) fn of(&self, id: Id) -> u32 {
        self.by_file[id.index()]
    }

    pub(super) fn count(&self) -> u32 {
        self.files.len() as u32
    }
}

/// The table of owners and groups.
#[derive(Debug, Default)]
pub(super) struct Owners {
    numbers: HashMap<u32, u16>,
    table: Vec<u32>,
}

impl Owners {
    /// The table has a count of 16 bits, and an empty one is damaged to Linux.
    const MOST: usize = 65_535;

    pub(super) fn number(&mut self, owner: u32) -> Result<u16, WriteError> {
        if let Some(number) = self.numbers.get(&owner) {
            return Ok(*number);
        }
        if self.table.len() == Self::MOST {
            return Err(WriteError::Owners { limit: Self::MOST });
        }
        let number = self.table.len() as u16;
        self.table.push(owner);
        self.numbers.insert(owner, number);
        Ok(number)
    }

    pub(super) fn count(&self) -> u16 {
        self.table.len() as u16
    }

    pub(super) fn records(&self) -> Vec<u8> {
        self.table.iter().flat_map(|owner| owner.to_le_bytes()).collect()
    }
}

/// The extended attributes of a file: names in full, and values.
type Set = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// The sets of extended attributes, each once.
#[derive(Debug, Default)]
pub(super) struct Xattrs<'t> {
    numbers: BTreeMap<&'t Set, u32>,
    sets: Vec<&'t Set>,
}

impl<'t> Xattrs<'t> {
    pub(super) fn number(&mut self, node: &'t Node) -> Option<u32> {
        (!node.xattrs.is_empty()).then(|| {
            *self.numbers.entry(&node.xattrs).or_insert_with(|| {
                self.sets.push(&node.xattrs);
                self.sets.len() as u32 - 1
            })
        })
    }

    pub(super) fn count(&self) -> u32 {
        self.sets.len() as u32
    }

    /// Puts keys and values into the image; gives their place and the records that name them.
    pub(super) fn write(&self, emitter: &mut Emitter<'_, '_>) -> Result<(u64, Vec<u8>), WriteError> {
        /// A value that is longer than a reference to it is written once.
        const REFERENCE: usize = 8;
        let (mut table, mut records) = (Metadata::default(), Vec::new());
        let mut written: HashMap<&[u8], InodeRef> = HashMap::new();
        for set in &self.sets {
            let place = table.position();
            let mut size = 0;
            for (name, value) in *set {
                let there = written.get(&**value).copied();
                let mut bytes = Vec::new();
                if !(Key { name: name.clone(), out_of_line: there.is_some() }).encode(&mut bytes) {
                    return Err(WriteError::Xattr { name: name.clone() });
                }
                table.push(emitter, &bytes)?;
                bytes.clear();
                if let Some(there) = there {
                    Value::There(there).encode(&mut bytes);
                } else {
                    if value.len() > REFERENCE {
                        written.insert(value, table.position());
                    }
                    Value::Here(value.clone()).encode(&mut bytes);
                }
                table.push(emitter, &bytes)?;
                size += name.len() as u32 + 1 + value.len() as u32;
            }
            records.extend_from_slice(&XattrId { place, count: set.len() as u32, size }.encode());
        }
        Ok((table.finish(emitter)?, records))
    }
}

/// Directories in a directory, which its link count counts.
pub(super) fn subdirectories(tree: &Tree, directory: Id) -> u32 {
    let names = tree.names(directory).into_iter().flat_map(BTreeMap::values);
    names.filter(|id| matches!(tree.node(**id).kind, Kind::Directory(_))).count() as u32
}
