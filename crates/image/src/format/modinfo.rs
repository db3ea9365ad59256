//! What a kernel module says about itself: the `.modinfo` section of its ELF file.
//!
//! Source: Linux, `include/linux/module.h`, `MODULE_INFO`: `tag=value` strings, each with a NUL.

use object::{Object, ObjectSection};
use thiserror::Error;

/// What a module says about itself, as far as loading it is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modinfo {
    /// Its name, with underscores.
    pub name: Option<String>,
    /// Modules that must be there before it.
    pub depends: Vec<String>,
    /// Modules or aliases that should be there as well.
    pub softdeps: Vec<String>,
    /// Files that it may ask `lib/firmware` for.
    pub firmware: Vec<String>,
    /// The kernel that it was built for: its release, then options, with spaces between.
    pub vermagic: Option<String>,
    /// Other names under which the kernel asks for it, as patterns.
    pub aliases: Vec<String>,
}

/// Reads the `.modinfo` section of an uncompressed module.
pub fn parse(elf: &[u8]) -> Result<Modinfo, InvalidModule> {
    let file = object::File::parse(elf).map_err(|_| InvalidModule::Elf)?;
    let section = file.section_by_name(".modinfo").ok_or(InvalidModule::NoModinfo)?;
    let data = section.data().map_err(|_| InvalidModule::NoModinfo)?;
    let mut info = Modinfo::default();
    for line in data.split(|byte| *byte == 0) {
        let line = String::from_utf8_lossy(line);
        let Some((tag, value)) = line.split_once('=') else { continue };
        match tag {
            "name" => info.name = Some(value.to_owned()),
            "depends" => {
                info.depends.extend(value.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
            }
            "firmware" => info.firmware.push(value.to_owned()),
            "vermagic" => info.vermagic = Some(value.to_owned()),
            "alias" => info.aliases.push(value.to_owned()),
            "softdep" => {
                let words = value.split_whitespace().filter(|word| !matches!(*word, "pre:" | "post:"));
                info.softdeps.extend(words.map(str::to_owned));
            }
            _ => {}
        }
    }
    Ok(info)
}

/// The bytes are not a kernel module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidModule {
    /// No ELF file.
    #[error("it is not an ELF file")]
    Elf,
    /// An ELF file, but not a module.
    #[error("it has no `.modinfo` section")]
    NoModinfo,
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// A module with nothing in it but `lines`: an ELF header, two sections, and a string table.
    pub(crate) fn module(lines: &[&str]) -> Vec<u8> {
        let info: Vec<u8> = lines.iter().flat_map(|line| line.bytes().chain([0])).collect();
        let names = b"\0.modinfo\0.shstrtab\0";
        let mut out = b"\x7fELF\x02\x01\x01".to_vec();
        out.resize(16, 0);
        out.extend([1, 0, 62, 0, 1, 0, 0, 0]); // ET_REL, EM_X86_64, version 1
        out.extend([0; 16]); // entry, program headers
        let headers_at = (64 + info.len() + names.len()).next_multiple_of(8);
        out.extend((headers_at as u64).to_le_bytes());
        out.extend([0; 4]);
        for half in [64_u16, 0, 0, 64, 3, 2] {
            out.extend(half.to_le_bytes());
        }
        out.extend(&info);
        out.extend(names);
        out.resize(headers_at + 64, 0);
        let mut section = |name: u32, kind: u32, at: usize, size: usize| {
            out.extend(name.to_le_bytes());
            out.extend(kind.to_le_bytes());
            out.extend([0; 16]);
            out.extend((at as u64).to_le_bytes());
            out.extend((size as u64).to_le_bytes());
            out.extend([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
            out.extend([0; 8]);
        };
        section(1, 1, 64, info.len());
        section(10, 3, 64 + info.len(), names.len());
        out
    }

    #[test]
    fn reads_what_a_module_says() {
        let lines = [
            "license=GPL",
            "softdep=pre: crc32c post: aead2",
            "alias=fs-ext4",
            "alias=ext3",
            "depends=crc16,mbcache",
            "name=ext4",
            "firmware=a/b.bin",
            "vermagic=6.1.0 SMP mod_unload ",
        ];
        let expected = Modinfo {
            name: Some("ext4".to_owned()),
            depends: vec!["crc16".to_owned(), "mbcache".to_owned()],
            softdeps: vec!["crc32c".to_owned(), "aead2".to_owned()],
            aliases: vec!["fs-ext4".to_owned(), "ext3".to_owned()],
            firmware: vec!["a/b.bin".to_owned()],
            vermagic: Some("6.1.0 SMP mod_unload ".to_owned()),
        };
        assert_eq!(parse(&module(&lines)), Ok(expected));
        assert_eq!(parse(b"not a module"), Err(InvalidModule::Elf));
    }

    proptest! {
        #[test]
        fn damage_never_panics(flips in vec(any::<(prop::sample::Index, u8)>(), 0..12), cut in any::<prop::sample::Index>()) {
            let mut bytes = module(&["depends=a,b", "name=c"]);
            for (at, flip) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            drop(parse(&bytes));
        }
    }
}
