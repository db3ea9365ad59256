//! Where each table is, and the entries of those that are looked up by number.

use super::{ReadError, blocks::Blocks, cursor::Cursor, source::Source};
use crate::format::{
    ABSENT, Bytes, InodeRef,
    block::METADATA,
    fragment::Fragment,
    superblock::Superblock,
    xattr::{XattrId, XattrTable},
};

/// A table whose entries are all of one size: blocks of them, and a list of where those blocks are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup {
    /// What its entries are called.
    pub(crate) table: &'static str,
    /// What an entry is called.
    pub(crate) what: &'static str,
    /// Where the list is.
    pub(crate) list: u64,
    /// How many entries there are.
    pub(crate) count: u64,
    /// Bytes of an entry.
    pub(crate) entry: u64,
}

impl Lookup {
    /// How many blocks there are.
    pub(crate) const fn blocks(self) -> u64 {
        (self.count * self.entry).div_ceil(METADATA as u64)
    }

    /// Where the list ends.
    pub(crate) const fn list_end(self) -> u64 {
        self.list.saturating_add(self.blocks() * 8)
    }

    /// Where the blocks begin; where the list does if there are none.
    pub(crate) fn start(self, source: &Source) -> Result<u64, ReadError> {
        if self.count == 0 { Ok(self.list) } else { source.u64(self.table, self.list) }
    }

    /// From the entry of that number on.
    pub(crate) fn at(self, blocks: &Blocks, index: u64) -> Result<Cursor<'_>, ReadError> {
        if index >= self.count {
            return Err(ReadError::Index { what: self.what, index, count: self.count });
        }
        let at = index * self.entry;
        let block = blocks.source.u64(self.table, self.list + at / METADATA as u64 * 8)?;
        let place = InodeRef { block: 0, offset: (at % METADATA as u64) as u16 };
        Ok(Cursor::new(blocks, block, self.list, place))
    }
}

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Tables {
    /// Where inodes end and directories begin.
    pub(crate) directories: u64,
    /// Where directories end.
    pub(crate) directories_end: u64,
    pub(crate) fragments: Lookup,
    pub(crate) export: Option<Lookup>,
    pub(crate) ids: Lookup,
    /// Where keys and values begin, and the sets of them.
    pub(crate) xattrs: Option<(u64, Lookup)>,
    /// Owners and groups, at most 65,535.
    pub(crate) owners: Vec<u32>,
}

impl Tables {
    pub(crate) fn read(blocks: &Blocks, superblock: &Superblock) -> Result<Self, ReadError> {
        let source = &blocks.source;
        let lookup =
            |table, what, list, count: u32, entry| Lookup { table, what, list, count: count.into(), entry };
        let ids = lookup("owners", "owner", superblock.id_table, superblock.ids.into(), 4);
        let list = if superblock.fragments == 0 { 0 } else { superblock.fragment_table };
        let fragments = lookup("fragments", "fragment", list, superblock.fragments, Fragment::LEN as u64);
        let export = (superblock.export_table != ABSENT).then(|| {
            lookup(
                "references to inodes",
                "reference to inode",
                superblock.export_table,
                superblock.inodes,
                8,
            )
        });
        let mut end = superblock.bytes_used;
        let mut xattrs = None;
        if superblock.xattr_table != ABSENT {
            let mut header = [0; XattrTable::LEN];
            source.fill("the table of extended attributes", superblock.xattr_table, &mut header)?;
            let header = XattrTable::decode(&mut &header[..])?;
            let list = superblock.xattr_table + XattrTable::LEN as u64;
            let sets = lookup(
                "sets of extended attributes",
                "set of extended attributes",
                list,
                header.ids,
                XattrId::LEN as u64,
            );
            fits(sets, end)?;
            end = before("the extended attributes", header.start, superblock.xattr_table)?;
            xattrs = Some((header.start, sets));
        }
        for table in [Some(ids), export, Some(fragments)].into_iter().flatten() {
            if table.count > 0 {
                fits(table, end)?;
                end = before(table.table, table.start(source)?, table.list)?;
            }
        }
        if superblock.directory_table > end {
            before("the directories", superblock.directory_table, end)?;
        }
        let directories = superblock.directory_table;
        let mut tables =
            Self { directories, directories_end: end, fragments, export, ids, xattrs, owners: Vec::new() };
        let mut cursor = ids.at(blocks, 0)?;
        for _ in 0..superblock.ids {
            tables.owners.push(cursor.u32("an owner")?);
        }
        Ok(tables)
    }

    pub(crate) fn owner(&self, index: u16) -> Result<u32, ReadError> {
        let all = &self.owners;
        let missing = ReadError::Index { what: "owner", index: index.into(), count: all.len() as u64 };
        all.get(usize::from(index)).copied().ok_or(missing)
    }
}

/// The list of a table ends before what follows it.
fn fits(table: Lookup, end: u64) -> Result<(), ReadError> {
    before(table.table, table.list_end(), end.saturating_add(1)).map(|_| ())
}

fn before(what: &'static str, at: u64, end: u64) -> Result<u64, ReadError> {
    if at < end { Ok(at) } else { Err(ReadError::Beyond { what, at, end: at, len: end.saturating_sub(1) }) }
}
