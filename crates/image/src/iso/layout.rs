//! Where everything is on a disc, before a byte of it is written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bootway_plan::{TreePath, step};

use super::{
    BLOCK, IsoError,
    boot::CYLINDER,
    directory::{Extent, Records, identifier, time7},
    rock_ridge::Entries,
};
use crate::tree::{Content, Node, NodeKind, Tree};

/// Blocks before the descriptors, which belong to the system that starts the disc.
pub(super) const SYSTEM: u64 = 16;

/// The most that one record leads to, in whole blocks.
const PART: u64 = (u32::MAX as u64 / BLOCK) * BLOCK;

/// A number of a path table has 16 bits.
const DIRECTORIES: usize = u16::MAX as usize;

/// A disc.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) volume_id: &'a str,
    pub(super) epoch: u64,
    pub(super) time: [u8; 7],
    /// In the order of the path table.
    pub(super) directories: Vec<Directory>,
    /// In the order of their blocks.
    pub(super) files: Vec<File<'a>>,
    /// Where the first of the two path tables is, and how many bytes it has.
    pub(super) path_table: (u32, u64),
    /// Where the boot catalogue is, if anything starts.
    pub(super) catalogue: Option<u32>,
    pub(super) bios: Option<Boot>,
    pub(super) uefi: Option<Boot>,
    /// Of the files, without what fills up the last cylinder.
    blocks: u64,
}

/// Something that starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Boot {
    /// Which file.
    pub(super) file: usize,
    pub(super) block: u32,
    /// Bytes.
    pub(super) size: u64,
}

/// A directory.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) parent: usize,
    /// Its name in the directory above; one zero for the root.
    pub(super) name: Vec<u8>,
    pub(super) block: u32,
    pub(super) records: Records,
    targets: Vec<Target>,
}

/// A regular file.
#[derive(Debug)]
pub(super) struct File<'a> {
    pub(super) path: &'a TreePath,
    pub(super) content: &'a Content,
    pub(super) block: u32,
}

/// What a record leads to.
#[derive(Clone, Copy, Debug)]
enum Target {
    Directory(usize),
    /// The part of a file that begins at `from`.
    File {
        file: usize,
        from: u64,
    },
    Nothing,
}

/// What is known of a tree before it has places.
struct Shape<'a> {
    tree: &'a Tree,
    time: [u8; 7],
    /// What is in each directory.
    inside: BTreeMap<TreePath, Vec<(&'a TreePath, &'a Node)>>,
    /// How many names each regular file has, and its number.
    links: BTreeMap<&'a TreePath, (u32, u32)>,
    files: BTreeMap<&'a TreePath, usize>,
}

impl<'a> Layout<'a> {
    /// Of a disc with `tree`, as `step` says.
    pub(super) fn of(tree: &'a Tree, step: &'a step::Iso, epoch: u64) -> Result<Self, IsoError> {
        let time = time7(epoch).ok_or(IsoError::Epoch { epoch })?;
        let mut files = Vec::new();
        let shape = Shape::of(tree, time, &mut files);
        let mut directories = shape.directories()?;
        let starts = step.bios.is_some() || step.uefi.is_some();
        let mut next = SYSTEM + 2 + u64::from(starts);
        let table: u64 = directories.iter().map(|it| (8 + it.name.len() as u64).next_multiple_of(2)).sum();
        let path_table = (place(&mut next, 2 * table.div_ceil(BLOCK))?, table);
        for directory in &mut directories {
            directory.block = place(&mut next, directory.records.blocks())?;
        }
        let catalogue = if starts { Some(place(&mut next, 1)?) } else { None };
        for file in &mut files {
            file.block = place(&mut next, file.content.size().div_ceil(BLOCK))?;
        }
        let boot = |path: &TreePath, what| {
            let file = shape.files.get(shape.first(path)).copied();
            let file = file.ok_or_else(|| IsoError::NoLoader { path: path.clone(), what })?;
            Ok::<_, IsoError>(Boot { file, block: files[file].block, size: files[file].content.size() })
        };
        let bios = step.bios.as_ref().map(|it| boot(&it.loader, "a BIOS")).transpose()?;
        let uefi = step.uefi.as_ref().map(|path| boot(path, "UEFI")).transpose()?;
        Ok(Self {
            volume_id: &step.volume_id,
            epoch,
            time,
            directories,
            files,
            path_table,
            catalogue,
            bios,
            uefi,
            blocks: next,
        })
    }

    /// Bytes of all of it: whole cylinders of a stick, as some firmware counts in them.
    pub(super) fn size(&self) -> u64 {
        (self.blocks * BLOCK).next_multiple_of(CYLINDER)
    }

    /// What the records of directory `n` lead to.
    pub(super) fn extents(&self, n: usize) -> Vec<Extent> {
        let extent = |target: &Target| match *target {
            Target::Directory(n) => {
                let it = &self.directories[n];
                // A directory that is longer than its record can say has millions of files.
                let size = u32::try_from(it.records.size).unwrap_or(u32::MAX);
                Extent { block: it.block, size, is_directory: true, goes_on: false }
            }
            Target::File { file, from } => {
                let file = &self.files[file];
                let left = file.content.size() - from;
                let block = file.block + (from / BLOCK) as u32;
                Extent { block, size: left.min(PART) as u32, is_directory: false, goes_on: left > PART }
            }
            Target::Nothing => Extent { block: 0, size: 0, is_directory: false, goes_on: false },
        };
        self.directories[n].targets.iter().map(extent).collect()
    }
}

/// The next `blocks` blocks.
fn place(next: &mut u64, blocks: u64) -> Result<u32, IsoError> {
    let first = u32::try_from(*next).map_err(|_| IsoError::TooLarge { blocks: *next })?;
    *next += blocks;
    u32::try_from(*next).map_err(|_| IsoError::TooLarge { blocks: *next })?;
    Ok(first)
}

impl<'a> Shape<'a> {
    fn of(tree: &'a Tree, time: [u8; 7], files: &mut Vec<File<'a>>) -> Self {
        let (mut inside, mut links, mut by_path) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for ((path, node), serial) in tree.nodes.iter().zip(1..) {
            if let Some(parent) = path.parent() {
                inside.entry(parent).or_insert_with(Vec::new).push((path, node));
            }
            match &node.kind {
                NodeKind::HardLink { to } => links.entry(to).or_insert((0, 0)).0 += 1,
                NodeKind::File(content) => {
                    let (count, number) = links.entry(path).or_insert((0, 0));
                    (*count, *number) = (*count + 1, serial);
                    by_path.insert(path, files.len());
                    files.push(File { path, content, block: 0 });
                }
                _ => {}
            }
        }
        Self { tree, time, inside, links, files: by_path }
    }

    /// The first name of the file at `path`.
    fn first<'b>(&'b self, path: &'b TreePath) -> &'b TreePath {
        match self.tree.nodes.get(path).map(|node| &node.kind) {
            Some(NodeKind::HardLink { to }) => to,
            _ => path,
        }
    }

    fn entries(&self, path: &TreePath, node: &Node, serial: u32) -> Entries {
        let first = self.first(path);
        let (links, serial) = match self.links.get(first) {
            Some(known) => *known,
            None => (if node.kind == NodeKind::Directory { 2 } else { 1 }, serial),
        };
        Entries::of(node, links, serial, self.time)
    }

    /// Level by level, each in the order of the one above and of its names, as path tables are.
    fn directories(&self) -> Result<Vec<Directory>, IsoError> {
        let root = TreePath::root();
        let serials: BTreeMap<&TreePath, u32> = self.tree.nodes.keys().zip(1..).collect();
        let serial = |path: &TreePath| serials.get(path).copied().unwrap_or(0);
        let top = Node::new(0o755, NodeKind::Directory);
        let node_of = |path: &TreePath| self.tree.nodes.get(path).unwrap_or(&top);
        let mut directories: Vec<Directory> = Vec::new();
        let mut waiting = VecDeque::from([(root.clone(), root, 0, vec![0])]);
        while let Some((path, above, parent, name)) = waiting.pop_front() {
            let own = directories.len();
            let no_room = || IsoError::Name {
                path: path.clone(),
                why: "what Rock Ridge says about it has more than 2048 bytes: shorten the link".to_owned(),
            };
            let mut it =
                Directory { parent, name, block: 0, records: Records::default(), targets: Vec::new() };
            let mut used = 0;
            let mut dot = self.entries(&path, node_of(&path), serial(&path));
            if path.is_root() {
                dot = dot.of_root();
            }
            it.records.add(vec![0], &dot, &mut used).ok_or_else(no_room)?;
            it.targets.push(Target::Directory(own));
            let dots = self.entries(&above, node_of(&above), serial(&above));
            it.records.add(vec![1], &dots, &mut used).ok_or_else(no_room)?;
            it.targets.push(Target::Directory(parent));
            for (identifier, inner, node) in self.sorted(&path) {
                let entries = self.entries(inner, node, serial(inner)).name(inner.name());
                for target in self.targets(inner, node, directories.len() + 1 + waiting.len()) {
                    let added = it.records.add(identifier.clone(), &entries, &mut used);
                    added.ok_or_else(|| IsoError::Name {
                        path: inner.clone(),
                        why: "its name and where it leads have more than 2048 bytes: shorten them".to_owned(),
                    })?;
                    it.targets.push(target);
                }
                if node.kind == NodeKind::Directory {
                    waiting.push_back((inner.clone(), path.clone(), own, identifier));
                }
            }
            directories.push(it);
            if directories.len() > DIRECTORIES {
                let why = format!("a disc has at most {DIRECTORIES} directories: leave some out");
                return Err(IsoError::Name { path, why });
            }
        }
        Ok(directories)
    }

    /// What is in a directory, in the order of its names on the disc.
    fn sorted(&self, path: &TreePath) -> Vec<(Vec<u8>, &'a TreePath, &'a Node)> {
        let mut used = BTreeSet::new();
        let inside = self.inside.get(path).into_iter().flatten();
        let mut sorted: Vec<_> = inside
            .map(|(path, node)| {
                (identifier(path.name(), node.kind == NodeKind::Directory, &mut used), *path, *node)
            })
            .collect();
        // Stems first, then what is behind the point; a shorter one is before a longer one that begins like it.
        sorted.sort_by(|(one, ..), (other, ..)| {
            let parts =
                |name: &[u8]| -> Vec<Vec<u8>> { name.split(|it| *it == b'.').map(<[u8]>::to_vec).collect() };
            parts(one).cmp(&parts(other))
        });
        sorted
    }

    /// What the records of a file lead to; `next` is the number of the next directory.
    fn targets(&self, path: &TreePath, node: &Node, next: usize) -> Vec<Target> {
        match &node.kind {
            NodeKind::Directory => vec![Target::Directory(next)],
            NodeKind::File(_) | NodeKind::HardLink { .. } => {
                let Some(file) = self.files.get(self.first(path)).copied() else {
                    return vec![Target::Nothing];
                };
                let size = match &self.tree.nodes[self.first(path)].kind {
                    NodeKind::File(content) => content.size(),
                    _ => 0,
                };
                (0..size.div_ceil(PART).max(1)).map(|n| Target::File { file, from: n * PART }).collect()
            }
            _ => vec![Target::Nothing],
        }
    }
}
