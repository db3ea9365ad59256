//! Names as FAT has them: a short one for every file, and a long one where the short one does not say it.

use std::collections::BTreeSet;

use bootway_plan::TreePath;

use super::FatProblem;

/// Eight characters and three, padded with spaces.
pub(super) type Short = [u8; 11];

/// UTF-16 units of a name.
const LONGEST: usize = 255;
/// UTF-16 units in one entry of a long name.
const PER_ENTRY: usize = 13;

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The alias, or the name itself.
    pub(super) short: Short,
    /// Empty if the short one says it all.
    pub(super) long: Vec<u16>,
}

impl Name {
    /// Entries that it takes in its directory.
    pub(super) fn entries(&self) -> usize {
        1 + self.long.len().div_ceil(PER_ENTRY)
    }

    /// The entries of the long name, in the order of the disk: the last part first.
    pub(super) fn long_entries(&self, out: &mut Vec<u8>) {
        let checksum = self.short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        let parts = self.long.chunks(PER_ENTRY);
        for (n, part) in parts.enumerate().rev() {
            let ordinal = (n + 1) as u8;
            let last = part.len() + n * PER_ENTRY == self.long.len();
            let mut units = [0xFFFF; PER_ENTRY];
            units[..part.len()].copy_from_slice(part);
            if let Some(end) = units.get_mut(part.len()) {
                *end = 0;
            }
            let mut entry = [0; 32];
            entry[0] = if last { ordinal | 0x40 } else { ordinal };
            entry[11] = 0x0F;
            entry[13] = checksum;
            let slots = (1..11).chain(14..26).chain(28..32).step_by(2);
            // Every range has an even length, so the steps stay on units.
            for (at, unit) in slots.zip(units) {
                entry[at..at + 2].copy_from_slice(&unit.to_le_bytes());
            }
            out.extend_from_slice(&entry);
        }
    }
}

/// The names of a directory's files, in the order of `paths`.
pub(super) fn names(paths: &[&TreePath]) -> Result<Vec<Name>, FatProblem> {
    let mut seen = std::collections::BTreeMap::new();
    for path in paths {
        check(path)?;
        if let Some(other) = seen.insert(path.name().to_uppercase(), *path) {
            return Err(FatProblem::Case { one: (*other).clone(), other: (*path).clone() });
        }
    }
    // What fits as it is has its alias first; the others are numbered around them.
    let mut taken: BTreeSet<Short> = paths.iter().filter_map(|path| exact(path.name())).collect();
    let mut next = std::collections::BTreeMap::new();
    let name = |path: &&TreePath| {
        let name = path.name();
        if let Some(short) = exact(name) {
            let same = name.bytes().all(|byte| !byte.is_ascii_lowercase());
            return Name { short, long: if same { Vec::new() } else { name.encode_utf16().collect() } };
        }
        let (stem, extension) = basis(name);
        let number = next.entry((stem.clone(), extension.clone())).or_insert(1_u32);
        let short = loop {
            let short = numbered(&stem, &extension, *number);
            *number += 1;
            if taken.insert(short) {
                break short;
            }
        };
        Name { short, long: name.encode_utf16().collect() }
    };
    Ok(paths.iter().map(name).collect())
}

/// Eleven characters of `label`, as a volume can have them.
pub(super) fn volume_label(label: &str) -> Short {
    let mut short = [b' '; 11];
    for (slot, character) in short.iter_mut().zip(label.chars()) {
        let upper = character.to_ascii_uppercase();
        *slot = if is_short(upper) || upper == ' ' { upper as u8 } else { b'_' };
    }
    if short == [b' '; 11] { *b"NO NAME    " } else { short }
}

fn check(path: &TreePath) -> Result<(), FatProblem> {
    let name = path.name();
    let wrong = |character: &char| {
        (*character as u32) < 0x20 || r#""*/:<>?\|"#.contains(*character) || *character == '\x7F'
    };
    if let Some(character) = name.chars().find(wrong) {
        return Err(FatProblem::Character { path: path.clone(), character });
    }
    if name.ends_with(['.', ' ']) {
        return Err(FatProblem::Ending { path: path.clone() });
    }
    let units = name.encode_utf16().count();
    if units > LONGEST { Err(FatProblem::Long { path: path.clone(), units }) } else { Ok(()) }
}

/// Whether a short name can have it.
fn is_short(character: char) -> bool {
    character.is_ascii_uppercase() || character.is_ascii_digit() || "!#$%&'()-@^_`{}~".contains(character)
}

/// The short form of a name that has one but for the case of its letters.
fn exact(name: &str) -> Option<Short> {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let fits =
        |part: &str, len| part.len() <= len && part.chars().all(|it| is_short(it.to_ascii_uppercase()));
    if stem.is_empty() || name.ends_with('.') || !fits(stem, 8) || !fits(extension, 3) {
        return None;
    }
    Some(pack(&stem.to_ascii_uppercase(), &extension.to_ascii_uppercase()))
}

fn pack(stem: &str, extension: &str) -> Short {
    let mut short = [b' '; 11];
    short[..stem.len()].copy_from_slice(stem.as_bytes());
    short[8..8 + extension.len()].copy_from_slice(extension.as_bytes());
    short
}

/// What the alias of a longer name begins with, and its extension.
///
/// Source: FAT32 File System Specification 1.03, "The Basis-Name Generation Algorithm".
fn basis(name: &str) -> (String, String) {
    let name = name.trim_start_matches(['.', ' ']);
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let short = |part: &str, len| {
        let kept = part.chars().filter(|it| !matches!(it, ' ' | '.')).map(|it| it.to_ascii_uppercase());
        kept.map(|it| if is_short(it) { it } else { '_' }).take(len).collect()
    };
    (short(stem, 8), short(extension, 3))
}

fn numbered(stem: &str, extension: &str, number: u32) -> Short {
    let tail = format!("~{number}");
    pack(&format!("{}{tail}", &stem[..stem.len().min(8 - tail.len())]), extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shorts(names_of: &[&str]) -> Vec<String> {
        let paths: Vec<TreePath> = names_of.iter().map(|name| TreePath::root().join(name).unwrap()).collect();
        let names = names(&paths.iter().collect::<Vec<_>>()).unwrap();
        let text = |name: &Name| {
            format!("{}{}", String::from_utf8_lossy(&name.short), if name.long.is_empty() { "" } else { "+" })
        };
        names.iter().map(text).collect()
    }

    #[test]
    fn aliases_are_those_of_the_specification() {
        assert_eq!(
            shorts(&[
                "BOOTX64.EFI",
                "bootx64.efi2",
                "loader.conf",
                "Grub",
                "a.b.c",
                ".hidden",
                "with space",
                "über.txt"
            ]),
            [
                "BOOTX64 EFI",
                "BOOTX6~1EFI+",
                "LOADER~1CON+",
                "GRUB       +",
                "AB~1    C  +",
                "HIDDEN~1   +",
                "WITHSP~1   +",
                "_BER~1  TXT+"
            ]
        );
    }

    #[test]
    fn an_alias_is_never_the_name_of_another() {
        assert_eq!(
            shorts(&["LONGNA~1", "longname-one", "longname-two"]),
            ["LONGNA~1   ", "LONGNA~2   +", "LONGNA~3   +"]
        );
        let many: Vec<String> = (0..120).map(|n| format!("a rather long name {n}")).collect();
        let all: BTreeSet<String> =
            shorts(&many.iter().map(String::as_str).collect::<Vec<_>>()).into_iter().collect();
        assert_eq!(all.len(), 120);
        assert!(all.contains("ARAT~120   +"), "{all:?}");
    }

    #[test]
    fn labels_are_cut_to_what_a_volume_holds() {
        assert_eq!(&volume_label("efi system partition"), b"EFI SYSTEM ");
        assert_eq!(&volume_label("a:b"), b"A_B        ");
        assert_eq!(&volume_label(""), b"NO NAME    ");
    }
}
