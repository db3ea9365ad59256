//! What a file system uses, by name.
//!
//! Source: Linux `fs/ext4/ext4.h`, and the names of `mke2fs` from e2fsprogs `lib/e2p/feature.c`.

use super::window::le32;

/// One feature: in which of the three words, and its bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Feature(Word, u8);

/// What a kernel that does not know a feature may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// Everything.
    Compatible,
    /// Nothing.
    Incompatible,
    /// Read.
    ReadOnly,
}

pub(super) const JOURNAL: Feature = Feature(Word::Compatible, 2);
pub(super) const SPARSE_SUPER2: Feature = Feature(Word::Compatible, 9);
pub(super) const FILETYPE: Feature = Feature(Word::Incompatible, 1);
pub(super) const RECOVER: Feature = Feature(Word::Incompatible, 2);
pub(super) const META_BG: Feature = Feature(Word::Incompatible, 4);
pub(super) const BIT64: Feature = Feature(Word::Incompatible, 7);
pub(super) const CSUM_SEED: Feature = Feature(Word::Incompatible, 13);
pub(super) const LARGEDIR: Feature = Feature(Word::Incompatible, 14);
pub(super) const SPARSE_SUPER: Feature = Feature(Word::ReadOnly, 0);
pub(super) const HUGE_FILE: Feature = Feature(Word::ReadOnly, 3);
pub(super) const GDT_CSUM: Feature = Feature(Word::ReadOnly, 4);
pub(super) const BIGALLOC: Feature = Feature(Word::ReadOnly, 9);
pub(super) const METADATA_CSUM: Feature = Feature(Word::ReadOnly, 10);
pub(super) const SHARED_BLOCKS: Feature = Feature(Word::ReadOnly, 14);

/// The incompatible ones that are understood: the rest changes how a file system must be read.
const READABLE: u32 = 1 << 1 // filetype
    | 1 << 2 // needs_recovery
    | 1 << 4 // meta_bg
    | 1 << 6 // extent
    | 1 << 7 // 64bit
    | 1 << 8 // mmp
    | 1 << 9 // flex_bg
    | 1 << 10 // ea_inode
    | 1 << 13 // metadata_csum_seed
    | 1 << 14 // large_dir
    | 1 << 15 // inline_data
    | 1 << 16 // encrypt: files that are not encrypted are as ever
    | 1 << 17; // casefold: names are stored as they were given

const NAMES: [(Word, u8, &str); 45] = [
    (Word::Compatible, 0, "dir_prealloc"),
    (Word::Compatible, 1, "imagic_inodes"),
    (Word::Compatible, 2, "has_journal"),
    (Word::Compatible, 3, "ext_attr"),
    (Word::Compatible, 4, "resize_inode"),
    (Word::Compatible, 5, "dir_index"),
    (Word::Compatible, 6, "lazy_bg"),
    (Word::Compatible, 8, "snapshot_bitmap"),
    (Word::Compatible, 9, "sparse_super2"),
    (Word::Compatible, 10, "fast_commit"),
    (Word::Compatible, 11, "stable_inodes"),
    (Word::Compatible, 12, "orphan_file"),
    (Word::Incompatible, 0, "compression"),
    (Word::Incompatible, 1, "filetype"),
    (Word::Incompatible, 2, "needs_recovery"),
    (Word::Incompatible, 3, "journal_dev"),
    (Word::Incompatible, 4, "meta_bg"),
    (Word::Incompatible, 6, "extent"),
    (Word::Incompatible, 7, "64bit"),
    (Word::Incompatible, 8, "mmp"),
    (Word::Incompatible, 9, "flex_bg"),
    (Word::Incompatible, 10, "ea_inode"),
    (Word::Incompatible, 12, "dirdata"),
    (Word::Incompatible, 13, "metadata_csum_seed"),
    (Word::Incompatible, 14, "large_dir"),
    (Word::Incompatible, 15, "inline_data"),
    (Word::Incompatible, 16, "encrypt"),
    (Word::Incompatible, 17, "casefold"),
    (Word::ReadOnly, 0, "sparse_super"),
    (Word::ReadOnly, 1, "large_file"),
    (Word::ReadOnly, 3, "huge_file"),
    (Word::ReadOnly, 4, "uninit_bg"),
    (Word::ReadOnly, 5, "dir_nlink"),
    (Word::ReadOnly, 6, "extra_isize"),
    (Word::ReadOnly, 7, "snapshot"),
    (Word::ReadOnly, 8, "quota"),
    (Word::ReadOnly, 9, "bigalloc"),
    (Word::ReadOnly, 10, "metadata_csum"),
    (Word::ReadOnly, 11, "replica"),
    (Word::ReadOnly, 12, "read-only"),
    (Word::ReadOnly, 13, "project"),
    (Word::ReadOnly, 14, "shared_blocks"),
    (Word::ReadOnly, 15, "verity"),
    (Word::ReadOnly, 16, "orphan_present"),
    (Word::ReadOnly, 2, "btree_dir"),
];

/// The three words of a superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    compatible: u32,
    incompatible: u32,
    read_only: u32,
}

impl Features {
    /// Of a superblock. What `ChromeOS` sets to forbid writing is no feature.
    pub(super) fn of(raw: &[u8; 1024]) -> Self {
        let read_only = le32(raw, 100);
        let read_only = if read_only >> 24 == 0xff { read_only & 0x00ff_ffff } else { read_only };
        Self { compatible: le32(raw, 92), incompatible: le32(raw, 96), read_only }
    }

    const fn word(self, word: Word) -> u32 {
        match word {
            Word::Compatible => self.compatible,
            Word::Incompatible => self.incompatible,
            Word::ReadOnly => self.read_only,
        }
    }

    /// Whether it uses `feature`.
    pub(super) const fn has(self, feature: Feature) -> bool {
        self.word(feature.0) >> feature.1 & 1 == 1
    }

    /// What it is called: ext2 and ext3 are what their own drivers could mount.
    pub(super) const fn kind(self) -> &'static str {
        // `filetype`, `needs_recovery`, `meta_bg`; `sparse_super`, `large_file`, `btree_dir`.
        if self.incompatible & !0x16 != 0 || self.read_only & !0x7 != 0 {
            "ext4"
        } else if self.has(JOURNAL) {
            "ext3"
        } else {
            "ext2"
        }
    }

    /// All that it uses.
    pub(super) fn names(self) -> Vec<String> {
        let words = [Word::Compatible, Word::Incompatible, Word::ReadOnly];
        let bits = words.into_iter().flat_map(|word| (0..32).map(move |bit| (word, bit)));
        bits.filter(|(word, bit)| self.word(*word) >> bit & 1 == 1)
            .map(|(word, bit)| name(word, bit))
            .collect()
    }

    /// What must be known to read it, and is not: by name and bit.
    pub(super) fn unreadable(self) -> Vec<String> {
        let unknown = self.incompatible & !READABLE;
        let bits = (0..32).filter(|bit| unknown >> bit & 1 == 1);
        bits.map(|bit| format!("{} (incompatible, {:#x})", name(Word::Incompatible, bit), 1_u32 << bit))
            .collect()
    }
}

fn name(word: Word, bit: u8) -> String {
    if let Some((_, _, name)) = NAMES.iter().find(|it| it.0 == word && it.1 == bit) {
        return (*name).to_owned();
    }
    let letter = match word {
        Word::Compatible => 'C',
        Word::Incompatible => 'I',
        Word::ReadOnly => 'R',
    };
    format!("FEATURE_{letter}{bit}")
}
