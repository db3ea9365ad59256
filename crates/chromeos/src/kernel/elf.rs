//! Sections of a kernel: the little of ELF that is needed to find its initial data.
//!
//! Source: System V Application Binary Interface, chapters 4 "ELF Header" and "Sections".

use super::{KernelError, Within};

/// A section's type that has no bytes in the file.
const NOBITS: u32 = 8;
/// The longest name that is looked for, with room.
const NAME_MAX: usize = 64;

/// A section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// Address in memory.
    pub(super) address: u64,
    /// First byte in the file.
    pub(super) offset: usize,
    /// Bytes in the file.
    pub(super) size: usize,
}

/// A little-endian ELF file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elf<'a> {
    bytes: &'a [u8],
    /// Whether its words have 64 bits.
    pub(super) wide: bool,
    /// Offset of the table of sections, the size of an entry, and their number.
    table: usize,
    entry: usize,
    count: usize,
    /// Which section holds the names.
    names: usize,
}

impl<'a> Elf<'a> {
    /// Whether `bytes` claim to be one.
    pub(super) fn is(bytes: &[u8]) -> bool {
        bytes.starts_with(b"\x7fELF")
    }

    /// Reads the header, and checks that the table of sections is inside of the file.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, KernelError> {
        let wide = match bytes.get(4) {
            Some(1) => false,
            Some(2) => true,
            class => {
                return Err(damaged("ELF header", 4, format!("`EI_CLASS` is {class:?}: 1 or 2 is needed")));
            }
        };
        if bytes.get(5) != Some(&1) {
            return Err(damaged(
                "ELF header",
                5,
                format!("`EI_DATA` is {:?}: 1, little-endian, is needed", bytes.get(5)),
            ));
        }
        let (shoff, tail, entry) = if wide { (0x28, 0x3a, 64) } else { (0x20, 0x2e, 40) };
        let view = Self { bytes, wide, table: 0, entry, count: 0, names: 0 };
        let table = view.word(shoff)?;
        let [size, count, names] = [0, 2, 4].map(|at| view.half(tail + at));
        let (size, count, names) = (size?, count?, names?);
        if size != entry {
            return Err(damaged("ELF header", tail, format!("`e_shentsize` is {size}: {entry} is needed")));
        }
        let end = usize::try_from(table).ok().and_then(|table| table.checked_add(count * entry));
        let Some(table) = end.filter(|end| *end <= bytes.len()).map(|end| end - count * entry) else {
            let what =
                format!("{count} sections at {table:#x} end outside of the file of {:#x} bytes", bytes.len());
            return Err(damaged("ELF header", shoff, what));
        };
        if names >= count {
            let what = format!("`e_shstrndx` is {names}, and there are {count} sections");
            return Err(damaged("ELF header", tail + 4, what));
        }
        Ok(Self { table, count, names, ..view })
    }

    /// The section called `name`.
    pub(super) fn section(&self, name: &str) -> Result<Option<Section>, KernelError> {
        let Some(names) = self.section_at(self.names)? else { return Ok(None) };
        let names = &self.bytes[names.offset..names.offset + names.size];
        for index in 0..self.count {
            let at = self.word32(self.table + index * self.entry)? as usize;
            let text = names.get(at..).unwrap_or_default();
            let text = &text[..text.len().min(NAME_MAX)];
            let end = text.iter().position(|byte| *byte == 0);
            if end.is_some_and(|end| &text[..end] == name.as_bytes()) {
                return self.section_at(index);
            }
        }
        Ok(None)
    }

    /// A section by its number; nothing if it has no bytes in the file.
    fn section_at(&self, index: usize) -> Result<Option<Section>, KernelError> {
        let at = self.table + index * self.entry;
        let [address, offset, size] = if self.wide { [0x10, 0x18, 0x20] } else { [0x0c, 0x10, 0x14] }
            .map(|field| self.word(at + field));
        let (address, offset, size) = (address?, offset?, size?);
        if self.word32(at + 4)? == NOBITS {
            return Ok(None);
        }
        let end = offset.checked_add(size).filter(|end| *end <= self.bytes.len() as u64);
        if end.is_none() {
            let what = format!(
                "{size:#x} bytes at {offset:#x} end outside of the file of {:#x} bytes",
                self.bytes.len()
            );
            return Err(damaged("ELF section header", at, what));
        }
        Ok(Some(Section { address, offset: offset as usize, size: size as usize }))
    }

    fn word(&self, at: usize) -> Result<u64, KernelError> {
        if self.wide { self.take(at).map(u64::from_le_bytes) } else { self.word32(at).map(u64::from) }
    }

    fn word32(&self, at: usize) -> Result<u32, KernelError> {
        self.take(at).map(u32::from_le_bytes)
    }

    fn half(&self, at: usize) -> Result<usize, KernelError> {
        self.take(at).map(|bytes| usize::from(u16::from_le_bytes(bytes)))
    }

    fn take<const N: usize>(&self, at: usize) -> Result<[u8; N], KernelError> {
        let bytes = self.bytes.get(at..).and_then(<[u8]>::first_chunk);
        bytes
            .copied()
            .ok_or_else(|| damaged("ELF header", at, format!("the file ends at {}", self.bytes.len())))
    }
}

fn damaged(structure: &'static str, offset: usize, what: String) -> KernelError {
    KernelError::Damaged { structure, offset, within: Within::Vmlinux, what }
}
