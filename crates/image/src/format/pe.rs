//! PE files: reading their sections, and adding more to an EFI stub.
//!
//! Source: Microsoft, PE Format, revision of 2024; UAPI group, Unified Kernel Image (UAPI.5).

use thiserror::Error;

/// Bytes of a section header.
const SECTION_HEADER: usize = 40;
/// `IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ`.
const READ_ONLY_DATA: u32 = 0x4000_0040;
/// Stubs of systemd 252 say 512, and firmware protects memory by the page.
const PAGE: u32 = 4096;
/// The directory entry of the certificates, whose signature would no longer match.
const CERTIFICATES: usize = 4;

/// What is said in the headers of a PE file, as far as it is needed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pe {
    /// `0x8664` is x86-64, `0xaa64` arm64.
    pub(crate) machine: u16,
    /// 10 is an EFI application.
    pub(crate) subsystem: u16,
    /// In the order of the file.
    pub(crate) sections: Vec<Section>,
    /// Where the optional header begins.
    optional: usize,
    /// Where the section table begins.
    table: usize,
    section_alignment: u32,
    file_alignment: u32,
    size_of_headers: u32,
    signed: bool,
}

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// At most eight bytes.
    pub(crate) name: String,
    /// Where it is loaded, relative to the image.
    pub(crate) address: u32,
    /// Bytes in memory.
    pub(crate) size: u32,
    /// Where its bytes are in the file.
    pub(crate) file_offset: u32,
    /// Bytes in the file, a multiple of the file alignment.
    pub(crate) file_size: u32,
}

/// `EFI_APPLICATION`, the subsystem of what firmware starts.
pub(crate) const EFI_APPLICATION: u16 = 10;

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, InvalidPe> {
    let raw =
        at.checked_add(2).and_then(|end| bytes.get(at..end)).ok_or(InvalidPe::Truncated { offset: at })?;
    Ok(u16::from_le_bytes([raw[0], raw[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, InvalidPe> {
    let raw =
        at.checked_add(4).and_then(|end| bytes.get(at..end)).ok_or(InvalidPe::Truncated { offset: at })?;
    Ok(u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]))
}

/// Reads the headers at the beginning of a file; the first 64 KiB are enough for every file that has sane ones.
pub(crate) fn parse(bytes: &[u8]) -> Result<Pe, InvalidPe> {
    if !bytes.starts_with(b"MZ") {
        return Err(InvalidPe::Magic { what: "MZ", offset: 0 });
    }
    let coff = u32_at(bytes, 0x3c)? as usize;
    if u32_at(bytes, coff)? != 0x4550 {
        return Err(InvalidPe::Magic { what: "PE", offset: coff });
    }
    let optional = coff + 24;
    let optional_size = usize::from(u16_at(bytes, coff + 20)?);
    if u16_at(bytes, optional)? != 0x20b {
        return Err(InvalidPe::Magic { what: "PE32+ (0x20b)", offset: optional });
    }
    let directories = u32_at(bytes, optional + 108)? as usize;
    let signed = directories > CERTIFICATES && u32_at(bytes, optional + 112 + CERTIFICATES * 8)? != 0;
    let table = optional + optional_size;
    let count = usize::from(u16_at(bytes, coff + 6)?);
    let sections = (0..count).map(|index| section(bytes, table + index * SECTION_HEADER));
    Ok(Pe {
        machine: u16_at(bytes, coff + 4)?,
        subsystem: u16_at(bytes, optional + 68)?,
        sections: sections.collect::<Result<_, _>>()?,
        optional,
        table,
        section_alignment: alignment(u32_at(bytes, optional + 32)?)?,
        file_alignment: alignment(u32_at(bytes, optional + 36)?)?,
        size_of_headers: u32_at(bytes, optional + 60)?,
        signed,
    })
}

fn alignment(value: u32) -> Result<u32, InvalidPe> {
    if value.is_power_of_two() && value <= 1 << 24 { Ok(value) } else { Err(InvalidPe::Alignment { value }) }
}

fn section(bytes: &[u8], at: usize) -> Result<Section, InvalidPe> {
    let name = bytes.get(at..at + 8).ok_or(InvalidPe::Truncated { offset: at })?;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(8);
    Ok(Section {
        name: String::from_utf8_lossy(&name[..end]).into_owned(),
        size: u32_at(bytes, at + 8)?,
        address: u32_at(bytes, at + 12)?,
        file_size: u32_at(bytes, at + 16)?,
        file_offset: u32_at(bytes, at + 20)?,
    })
}

/// The whole of `stub` with the headers of more sections, and the sections: where the bytes of each go in the file.
///
/// `add` has names of at most eight bytes, and sizes in bytes. Each section begins at the next page after the one
/// before. The checksum is set to zero, which UEFI firmware does not look at.
///
/// # Errors
///
/// If the stub is not a PE file, is signed, already has one of the sections, or has no room for their headers; or if
/// the whole would be larger than 4 GiB.
pub(crate) fn with_sections(stub: &[u8], add: &[(&str, u64)]) -> Result<(Vec<u8>, Vec<Section>), InvalidPe> {
    let pe = parse(stub)?;
    let page = pe.section_alignment.max(PAGE);
    if pe.signed {
        return Err(InvalidPe::Signed);
    }
    let room = pe.sections.iter().filter(|section| section.file_size > 0).map(|section| section.file_offset);
    let room = room.min().unwrap_or(pe.size_of_headers).min(pe.size_of_headers) as usize;
    let first = pe.table + pe.sections.len() * SECTION_HEADER;
    let end = first + add.len() * SECTION_HEADER;
    if end > room || room > stub.len() || stub[first..end].iter().any(|byte| *byte != 0) {
        return Err(InvalidPe::NoRoom {
            needed: add.len(),
            free: room.saturating_sub(first) / SECTION_HEADER,
        });
    }
    let file_end =
        pe.sections.iter().map(|section| u64::from(section.file_offset) + u64::from(section.file_size));
    let mut offset = file_end.max().unwrap_or(0).max(stub.len() as u64);
    let memory_end = pe.sections.iter().map(|section| u64::from(section.address) + u64::from(section.size));
    let mut address = memory_end.max().unwrap_or(0);
    let mut out = stub.to_vec();
    let mut sections = Vec::new();
    let fits = |value: u64| u32::try_from(value).map_err(|_| InvalidPe::TooLarge);
    let mut data_size = u64::from(u32_at(stub, pe.optional + 8)?);
    for ((name, size), at) in add.iter().zip((first..).step_by(SECTION_HEADER)) {
        if pe.sections.iter().any(|section| section.name == *name) {
            return Err(InvalidPe::Twice { name: (*name).to_owned() });
        }
        offset = offset.next_multiple_of(pe.file_alignment.into());
        address = address.next_multiple_of(page.into());
        let file_size = size.next_multiple_of(pe.file_alignment.into());
        let section = Section {
            name: (*name).to_owned(),
            address: fits(address)?,
            size: fits(*size)?,
            file_offset: fits(offset)?,
            file_size: fits(file_size)?,
        };
        out[at..at + name.len()].copy_from_slice(name.as_bytes());
        let fields = [section.size, section.address, section.file_size, section.file_offset];
        for (field, at) in fields.iter().zip((at + 8..).step_by(4)) {
            out[at..at + 4].copy_from_slice(&field.to_le_bytes());
        }
        out[at + 36..at + 40].copy_from_slice(&READ_ONLY_DATA.to_le_bytes());
        address += size;
        offset += file_size;
        data_size += file_size;
        fits(offset)?;
        sections.push(section);
    }
    let count = (pe.sections.len() + add.len()) as u16; // There was room for their headers, so they are few.
    let mut set = |at: usize, value: u32| out[at..at + 4].copy_from_slice(&value.to_le_bytes());
    set(pe.optional + 8, fits(data_size)?);
    set(pe.optional + 56, fits(address.next_multiple_of(pe.section_alignment.into()))?);
    set(pe.optional + 64, 0);
    out[pe.optional - 18..pe.optional - 16].copy_from_slice(&count.to_le_bytes());
    Ok((out, sections))
}

/// The bytes are not a PE file, or not one that can be given more sections.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum InvalidPe {
    /// It ends inside its headers.
    #[error("its headers end at byte {offset}")]
    Truncated {
        /// Of what is missing.
        offset: usize,
    },
    /// It is something else.
    #[error("there is no `{what}` at byte {offset}")]
    Magic {
        /// What should be there.
        what: &'static str,
        /// Where.
        offset: usize,
    },
    /// An alignment is no power of two.
    #[error("its alignment {value} is not a power of two up to 16 MiB")]
    Alignment {
        /// As it is.
        value: u32,
    },
    /// Its signature would no longer match.
    #[error(
        "it is signed, and another section would break the signature: use the unsigned stub, and sign the result"
    )]
    Signed,
    /// Its headers are full.
    #[error("it has room for {free} more sections, and {needed} are needed")]
    NoRoom {
        /// How many section headers are needed.
        needed: usize,
        /// How many fit.
        free: usize,
    },
    /// It already has a section of this name.
    #[error("it already has a section `{name}`: use a stub, not a finished image")]
    Twice {
        /// Of the section.
        name: String,
    },
    /// Sizes in a PE file have 32 bits.
    #[error("the whole would be larger than the 4 GiB that a PE file can have: make the initrd smaller")]
    TooLarge,
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// A stub with one section and room for five more.
    pub(crate) fn stub() -> Vec<u8> {
        let mut out = vec![0; 1024];
        out[..2].copy_from_slice(b"MZ");
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x3c, &64_u32.to_le_bytes());
        put(64, b"PE\0\0\x64\x86\x01\x00");
        put(64 + 20, &240_u16.to_le_bytes()); // optional header
        put(88, &0x20b_u16.to_le_bytes());
        put(88 + 32, &4096_u32.to_le_bytes());
        put(88 + 36, &512_u32.to_le_bytes());
        put(88 + 56, &8192_u32.to_le_bytes());
        put(88 + 60, &512_u32.to_le_bytes());
        put(88 + 64, &0xdead_u32.to_le_bytes());
        put(88 + 68, &EFI_APPLICATION.to_le_bytes());
        put(88 + 108, &16_u32.to_le_bytes());
        put(328, b".text\0\0\0");
        put(328 + 8, &300_u32.to_le_bytes());
        put(328 + 12, &4096_u32.to_le_bytes());
        put(328 + 16, &512_u32.to_le_bytes());
        put(328 + 20, &512_u32.to_le_bytes());
        out
    }

    #[test]
    fn sections_follow_each_other_in_file_and_memory() {
        let (bytes, added) = with_sections(&stub(), &[(".osrel", 10), (".linux", 5000)]).unwrap();
        let pe = parse(&bytes).unwrap();
        assert_eq!(pe.sections[1..], added);
        insta::assert_debug_snapshot!(added.iter().map(|it| (it.address, it.size, it.file_offset, it.file_size)).collect::<Vec<_>>(), @"
        [
            (
                8192,
                10,
                1024,
                512,
            ),
            (
                12288,
                5000,
                1536,
                5120,
            ),
        ]
        ");
        assert_eq!(u32_at(&bytes, pe.optional + 56), Ok(20480));
        assert_eq!(u32_at(&bytes, pe.optional + 64), Ok(0), "the checksum of the stub is still there");
    }

    #[test]
    fn says_why_a_stub_will_not_do() {
        let mut signed = stub();
        signed[88 + 112 + 32] = 1;
        let many = [(".a", 1), (".b", 1), (".c", 1), (".d", 1)];
        let errors = [
            with_sections(b"MZ", &[]),
            with_sections(b"\x7fELF", &[]),
            with_sections(&signed, &[(".linux", 1)]),
            with_sections(&stub(), &[(".text", 1)]),
            with_sections(&stub(), &many),
            with_sections(&stub(), &[(".linux", 1 << 32)]),
        ];
        let messages = errors.map(|error| error.unwrap_err().to_string());
        insta::assert_snapshot!(messages.join("\n"), @"
        its headers end at byte 60
        there is no `MZ` at byte 0
        it is signed, and another section would break the signature: use the unsigned stub, and sign the result
        it already has a section `.text`: use a stub, not a finished image
        it has room for 3 more sections, and 4 are needed
        the whole would be larger than the 4 GiB that a PE file can have: make the initrd smaller
        ");
    }

    proptest! {
        #[test]
        fn damage_never_panics(flips in vec((0_usize..400, any::<u8>()), 0..12), cut in 0_usize..1025) {
            let mut bytes = stub();
            for (at, flip) in flips {
                bytes[at] ^= flip;
            }
            bytes.truncate(cut);
            drop(parse(&bytes));
            drop(with_sections(&bytes, &[(".linux", 5)]));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..600)) {
            let mut bytes = bytes;
            drop(parse(&bytes));
            bytes.splice(0..0, *b"MZ");
            drop(with_sections(&bytes, &[(".linux", 5)]));
        }
    }
}
