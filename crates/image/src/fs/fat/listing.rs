//! The directories of a volume.

use std::{collections::BTreeMap, ops::Range};

use bootway_plan::{Bytes, TreePath};

use super::{
    ALIGN_FROM, BLOCK, FatProblem,
    geometry::FIRST_CLUSTER,
    name::{self, Name, Short},
    time::Stamp,
};
use crate::{Content, NodeKind, Tree};

/// Bytes of an entry.
const ENTRY: usize = 32;
/// Entries of a directory.
const MOST_ENTRIES: usize = 65_536;
/// The last cluster of a chain.
const END: u32 = 0x0FFF_FFF8;

/// What a directory holds, before it is known where.
pub(super) struct Listing<'a> {
    /// The root first, then as in the tree.
    directories: Vec<Directory<'a>>,
}

struct Directory<'a> {
    /// Index of the directory it is in.
    parent: usize,
    items: Vec<(Name, Item<'a>)>,
    entries: usize,
}

enum Item<'a> {
    /// By its index.
    Directory(usize),
    File(&'a Content),
}

/// Where everything is.
pub(super) struct Places {
    /// Clusters of every directory.
    directories: Vec<Range<u32>>,
    /// Clusters of every file, in the order of the listing; empty for an empty file.
    files: Vec<Range<u32>>,
    /// The first cluster behind all of them.
    pub(super) end: u32,
    /// Clusters in use.
    pub(super) used: u32,
}

impl<'a> Listing<'a> {
    pub(super) fn of(tree: &'a Tree) -> Result<Self, FatProblem> {
        let mut index = BTreeMap::from([(TreePath::root(), 0)]);
        let mut found: Vec<(usize, Vec<(&TreePath, Item<'a>)>)> = vec![(0, Vec::new())];
        for (path, node) in tree.nodes.iter().filter(|(path, _)| !path.is_root()) {
            let parent = path.parent().and_then(|parent| index.get(&parent).copied()).unwrap_or(0);
            let item = if let Some(content) = item(tree, path, &node.kind)? {
                Item::File(content)
            } else {
                index.insert(path.clone(), found.len());
                found.push((parent, Vec::new()));
                Item::Directory(found.len() - 1)
            };
            found[parent].1.push((path, item));
        }
        let mut directories = Vec::with_capacity(found.len());
        for (n, (parent, items)) in found.into_iter().enumerate() {
            let paths: Vec<&TreePath> = items.iter().map(|(path, _)| *path).collect();
            let names = name::names(&paths)?;
            let entries = if n == 0 { 1 } else { 2 } + names.iter().map(Name::entries).sum::<usize>();
            if entries > MOST_ENTRIES {
                let path = paths[0].parent().unwrap_or_default();
                return Err(FatProblem::Directory { path, entries });
            }
            let items = names.into_iter().zip(items.into_iter().map(|(_, item)| item)).collect();
            directories.push(Directory { parent, items, entries });
        }
        Ok(Self { directories })
    }

    /// Gives out clusters of `cluster` bytes: to the directories first, then to the files.
    pub(super) fn place(&self, cluster: u64) -> Places {
        let mut places = Places { directories: Vec::new(), files: Vec::new(), end: FIRST_CLUSTER, used: 0 };
        for directory in &self.directories {
            let range = places.take((directory.entries * ENTRY) as u64, cluster);
            places.directories.push(range);
        }
        for content in self.files() {
            let size = content.size();
            if size >= ALIGN_FROM && cluster < BLOCK {
                let step = (BLOCK / cluster) as u32;
                places.end = (places.end - FIRST_CLUSTER).next_multiple_of(step) + FIRST_CLUSTER;
            }
            let range = if size == 0 { 0..0 } else { places.take(size, cluster) };
            places.files.push(range);
        }
        places
    }

    fn files(&self) -> impl Iterator<Item = &'a Content> {
        self.directories.iter().flat_map(|directory| &directory.items).filter_map(|(_, item)| match item {
            Item::File(content) => Some(*content),
            Item::Directory(_) => None,
        })
    }

    /// The contents that are not empty, and the first cluster of each.
    pub(super) fn contents(&self, places: &Places) -> impl Iterator<Item = (u32, &'a Content)> {
        let placed = places.files.iter().map(|range| range.start).zip(self.files());
        placed.filter(|(start, _)| *start != 0).collect::<Vec<_>>().into_iter()
    }

    /// The bytes of every directory, and the first cluster of each.
    pub(super) fn render(&self, places: &Places, label: &Short, stamp: Stamp) -> Vec<(u32, Vec<u8>)> {
        let mut files = places.files.iter();
        let directory = |(n, directory): (usize, &Directory<'_>)| {
            let start = places.directories[n].start;
            let mut bytes = Vec::with_capacity(directory.entries * ENTRY);
            if n == 0 {
                bytes.extend(entry(label, 0x08, 0, 0, stamp));
            } else {
                // The root is said to be in cluster 0.
                let parent =
                    if directory.parent == 0 { 0 } else { places.directories[directory.parent].start };
                bytes.extend(entry(b".          ", 0x10, start, 0, stamp));
                bytes.extend(entry(b"..         ", 0x10, parent, 0, stamp));
            }
            for (name, item) in &directory.items {
                name.long_entries(&mut bytes);
                bytes.extend(match item {
                    Item::Directory(n) => entry(&name.short, 0x10, places.directories[*n].start, 0, stamp),
                    Item::File(content) => {
                        let start = files.next().expect("every file was placed").start;
                        entry(&name.short, 0x20, start, content.size() as u32, stamp)
                    }
                });
            }
            (start, bytes)
        };
        self.directories.iter().enumerate().map(directory).collect()
    }
}

/// The content of a file, `None` for a directory.
fn item<'a>(tree: &'a Tree, path: &TreePath, kind: &'a NodeKind) -> Result<Option<&'a Content>, FatProblem> {
    let wrong = |what| Err(FatProblem::Kind { path: path.clone(), what });
    let content = match kind {
        NodeKind::Directory => return Ok(None),
        NodeKind::File(content) => content,
        NodeKind::HardLink { to } => match tree.nodes.get(to).map(|node| &node.kind) {
            Some(NodeKind::File(content)) => content,
            _ => return wrong("hard link to something that is no file"),
        },
        NodeKind::Symlink { .. } => return wrong("symbolic link"),
        NodeKind::CharDevice { .. } | NodeKind::BlockDevice { .. } => return wrong("device"),
        NodeKind::Fifo => return wrong("named pipe"),
        NodeKind::Socket => return wrong("socket"),
    };
    if content.size() > u32::MAX.into() {
        return Err(FatProblem::File { path: path.clone(), size: Bytes::new(content.size()) });
    }
    Ok(Some(content))
}

fn entry(name: &Short, attributes: u8, cluster: u32, size: u32, stamp: Stamp) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    let mut put = |at: usize, bytes: &[u8]| entry[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name);
    put(11, &[attributes, 0, stamp.hundredths]);
    put(14, &stamp.time.to_le_bytes());
    put(16, &stamp.date.to_le_bytes());
    put(18, &stamp.date.to_le_bytes());
    put(20, &((cluster >> 16) as u16).to_le_bytes());
    put(22, &stamp.time.to_le_bytes());
    put(24, &stamp.date.to_le_bytes());
    put(26, &(cluster as u16).to_le_bytes());
    put(28, &size.to_le_bytes());
    entry
}

impl Places {
    fn take(&mut self, bytes: u64, cluster: u64) -> Range<u32> {
        // Saturates where no volume reaches; whoever asked compares `end` with what there is.
        let clusters = u32::try_from(bytes.div_ceil(cluster)).unwrap_or(u32::MAX);
        let start = self.end;
        self.end = start.saturating_add(clusters);
        self.used = self.used.saturating_add(clusters);
        start..self.end
    }

    /// The allocation table, as far as it is not zero.
    pub(super) fn table(&self) -> Vec<u8> {
        let mut table = vec![0; self.end as usize * 4];
        let mut set = |at: u32, to: u32| table[at as usize * 4..][..4].copy_from_slice(&to.to_le_bytes());
        set(0, 0x0FFF_FFF8);
        set(1, 0x0FFF_FFFF);
        for range in self.directories.iter().chain(&self.files).filter(|range| !range.is_empty()) {
            for cluster in range.clone() {
                set(cluster, if cluster + 1 == range.end { END } else { cluster + 1 });
            }
        }
        table
    }
}
