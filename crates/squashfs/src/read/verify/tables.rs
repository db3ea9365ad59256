//! The tables as blocks that follow each other, and their lists.

use super::{Ended, Fault, Inodes, Place, Run};
use crate::{
    format::{Bytes, InodeRef, block::METADATA, superblock::flag},
    read::{Image, source::Source, tables::Lookup},
};

/// LZ4's number; it is the one compressor that must have options.
const LZ4: u16 = 5;
/// What the end of an image is rounded up to.
const PADDING: u64 = 4096;

impl Run<'_> {
    /// Every metadata block, and whether tables end where the next begins.
    pub(super) fn tables(&self) -> Result<(), Ended> {
        let Image { blocks, superblock, tables, .. } = self.image;
        let source = &blocks.source;
        if superblock.compressor == LZ4 && superblock.flags & flag::OPTIONS == 0 {
            let place = Place::Table { name: "options", at: 96 };
            self.problem(place, Fault::Rule("lz4 must have options, and Linux does not mount it without"));
        }
        self.chain("inodes", superblock.inode_table, tables.directories, None)?;
        self.chain("directories", tables.directories, tables.directories_end, None)?;
        let mut end = superblock.bytes_used;
        if let Some((start, sets)) = tables.xattrs {
            self.lookup(sets, superblock.xattr_table, end)?;
            if let Some(keys_end) = self.start(sets, source) {
                self.chain("extended attributes", start, keys_end, None)?;
            }
            end = start;
        }
        for table in [Some(tables.ids), tables.export, Some(tables.fragments)].into_iter().flatten() {
            if table.count > 0 {
                self.lookup(table, table.list, end)?;
                end = self.start(table, source).unwrap_or(end);
            }
        }
        self.padding();
        Ok(())
    }

    fn start(&self, table: Lookup, source: &Source) -> Option<u64> {
        self.readable(|| Place::Table { name: table.table, at: table.list }, table.start(source))
    }

    /// The blocks of a table whose entries are of one size, which end at `blocks_end`, and its list, which ends at `end`.
    fn lookup(&self, table: Lookup, blocks_end: u64, end: u64) -> Result<(), Ended> {
        let place = || Place::Table { name: table.table, at: table.list };
        if table.list_end() != end {
            let (said, found) = (end, table.list_end());
            self.problem(place(), Fault::Disagrees { what: "the end of its list", said, found });
        }
        match self.start(table, &self.image.blocks.source) {
            Some(start) => self.chain(table.table, start, blocks_end, Some(table)),
            None => Ok(()),
        }
    }

    /// Blocks that follow each other from `start` to `end`, all but the last of them full.
    fn chain(&self, name: &'static str, start: u64, end: u64, table: Option<Lookup>) -> Result<(), Ended> {
        let (mut at, mut bytes, mut number) = (start, 0, 0);
        while at < end {
            let place = || Place::Table { name, at };
            self.spend(METADATA as u64)?;
            let Some(block) = self.readable(place, self.image.blocks.read_metadata(at, end)) else {
                return Ok(());
            };
            if let Some(table) = table.filter(|table| number < table.blocks()) {
                let said = self.image.blocks.source.u64(name, table.list + number * 8);
                match self.readable(place, said) {
                    Some(said) if said != at => {
                        let what = "the place of a block in the list";
                        self.problem(place(), Fault::Disagrees { what, said, found: at });
                    }
                    _ => {}
                }
            }
            if block.next < end && block.bytes.len() != METADATA {
                let (said, found) = (METADATA as u64, block.bytes.len() as u64);
                self.problem(
                    place(),
                    Fault::Disagrees { what: "the size of a block that is not the last", said, found },
                );
            }
            bytes += block.bytes.len() as u64;
            number += 1;
            at = block.next;
        }
        self.count(|checked| checked.metadata_blocks += number);
        if let Some(table) = table
            && bytes != table.count * table.entry
        {
            let place = Place::Table { name, at: start };
            let said = table.count * table.entry;
            self.problem(place, Fault::Disagrees { what: "the size of the table", said, found: bytes });
        }
        Ok(())
    }

    fn padding(&self) {
        let (source, used) = (&self.image.blocks.source, self.image.superblock.bytes_used);
        let end = used.next_multiple_of(PADDING).min(source.len());
        // What is longer than its padding is in something larger, of which nothing is known.
        if source.len() == end {
            let mut rest = vec![0; (end - used) as usize];
            match self.readable(|| Place::Padding, source.fill("the padding", used, &mut rest)) {
                Some(()) if rest.iter().any(|byte| *byte != 0) => {
                    self.problem(Place::Padding, Fault::Rule("it is not zeros"));
                }
                _ => {}
            }
        }
    }

    /// Whether the export table leads to the same inodes as the inode table.
    pub(super) fn export(&self, inodes: &Inodes) -> Result<(), Ended> {
        let Some(table) = self.image.tables.export else { return Ok(()) };
        let place = Place::Table { name: table.table, at: table.list };
        let Some(mut cursor) = self.readable(|| place.clone(), table.at(&self.image.blocks, 0)) else {
            return Ok(());
        };
        for number in 1..=self.image.superblock.inodes {
            self.spend(table.entry)?;
            let Some(packed) = self.readable(|| place.clone(), cursor.u64("the export table")) else {
                return Ok(());
            };
            self.count(|checked| checked.references += 1);
            match inodes.get(&number) {
                Some(known) if known.place == InodeRef::unpack(packed) => {}
                Some(known) => {
                    let (said, found) = (packed, known.place.pack());
                    let what = "the place in the export table";
                    self.problem(Place::inode(number), Fault::Disagrees { what, said, found });
                }
                None => self.problem(
                    Place::inode(number),
                    Fault::Rule("it is in the export table, and is not there"),
                ),
            }
        }
        Ok(())
    }

    /// Every set of extended attributes, used or not.
    pub(super) fn xattr_sets(&self) -> Result<(), Ended> {
        let Some((_, sets)) = self.image.tables.xattrs else { return Ok(()) };
        for index in 0..sets.count as u32 {
            let place = || Place::Table { name: sets.table, at: sets.list };
            // Where one record ends too early, the others are not either.
            if self.readable(place, self.image.xattr_id(index)).is_none() {
                return Ok(());
            }
            let Some(set) = self.readable(place, self.image.xattr_set(index)) else { continue };
            let bytes: usize = set.iter().map(|(name, value)| name.len() + value.len()).sum();
            self.spend(bytes as u64 + sets.entry)?;
            self.count(|checked| checked.xattr_sets += 1);
        }
        Ok(())
    }
}
