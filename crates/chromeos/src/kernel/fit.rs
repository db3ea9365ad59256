//! Flattened image trees: what arm64 kernels are packed in.
//!
//! Source: Devicetree Specification 0.4, chapter 5 "Flattened Devicetree (DTB) Format"; U-Boot,
//! `doc/usage/fit/source_file_format.rst`.

use std::ops::Range;

use super::{Arch, BootKernel, Compression, KernelError, LIMIT, Layer, StreamError, Within, stream};

/// First bytes of every flattened device tree.
const MAGIC: [u8; 4] = [0xd0, 0x0d, 0xfe, 0xed];
/// Bytes of the header.
const HEADER: usize = 40;
/// Nodes inside of nodes; a FIT has three levels.
const DEPTH_MAX: usize = 16;
/// A FIT for every revision of a board has a few hundred.
const NODES_MAX: usize = 1 << 14;
/// Properties of all nodes.
const PROPERTIES_MAX: usize = 1 << 17;
/// Bytes of a name; the specification allows 31.
const NAME_MAX: usize = 256;

/// Whether `bytes` begin with a device tree.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// The kernel of the FIT that begins at byte `at` of the kernel partition.
pub(super) fn kernel(body: &[u8], at: usize) -> Result<BootKernel, KernelError> {
    let tree = Tree::parse(body, at)?;
    let configurations = tree.find(&["configurations"])?;
    let name = match tree.text(configurations, "default")? {
        Some(name) => name,
        None => tree.only_child(configurations)?,
    };
    let configuration = tree.find(&["configurations", name])?;
    let name = tree.need_text(configuration, "kernel")?;
    let node = tree.find(&["images", name])?;
    if let Some(arch) = tree.text(node, "arch")?.filter(|arch| *arch != "arm64") {
        return Err(tree.damaged(node, format!("`arch` of `{name}` is `{arch}`: arm64 is supported")));
    }
    let said = tree.text(node, "compression")?.unwrap_or("none");
    let data = tree.property(node, "data").ok_or_else(|| {
        tree.damaged(
            node,
            format!("`{name}` has no property `data`: data outside of the tree is not supported"),
        )
    })?;
    let stored = &body[data.clone()];
    let compression = match said {
        "none" => Compression::None,
        // Both formats go by this name, and differ in their first bytes.
        "lz4" if Compression::of(stored) == Some(Compression::Lz4Legacy) => Compression::Lz4Legacy,
        "lz4" => Compression::Lz4Frame,
        "lzma" => Compression::Lzma,
        "gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        "bzip2" => Compression::Bzip2,
        _ => {
            let what = format!("`compression` of `{name}` is `{said}`: lz4, lzma and none are used");
            return Err(tree.damaged(node, what));
        }
    };
    let layer = Layer { number: 1, compression, offset: at + data.start, within: Within::Partition };
    let fail = |error| KernelError::Stream { layer, error };
    let unpacked = stream::unpack(compression, stored, LIMIT, None).map_err(fail)?;
    if unpacked.consumed != stored.len() {
        return Err(fail(StreamError::Trailing { consumed: unpacked.consumed, stored: stored.len() }));
    }
    let image = unpacked.bytes;
    if image.get(0x38..0x3c) != Some(b"ARM\x64") {
        let what = format!("`{name}` is no arm64 Image: it has no `ARM\\x64` at byte 0x38");
        return Err(tree.damaged(node, what));
    }
    let payload = 0..image.len();
    let note = Some(format!("the Image is `{name}` of the FIT, where it is stored as {said}"));
    Ok(BootKernel { arch: Arch::Arm64, image, note, payload, compression: Compression::None })
}

/// A device tree, of which the names and places are known.
struct Tree<'a> {
    bytes: &'a [u8],
    /// Of the tree in the kernel partition.
    at: usize,
    nodes: Vec<Node<'a>>,
    properties: Vec<Property<'a>>,
}

struct Node<'a> {
    name: &'a str,
    parent: usize,
    /// Its token.
    offset: usize,
}

struct Property<'a> {
    name: &'a str,
    node: usize,
    value: Range<usize>,
}

impl<'a> Tree<'a> {
    fn parse(bytes: &'a [u8], at: usize) -> Result<Self, KernelError> {
        let mut tree = Self { bytes, at, nodes: Vec::new(), properties: Vec::new() };
        let total = tree.word(4)?;
        if total < HEADER || total > bytes.len() {
            let what = format!("`totalsize` is {total}: {HEADER} to {} are possible", bytes.len());
            return Err(tree.wrong(4, what));
        }
        tree.bytes = &bytes[..total];
        let (version, compatible) = (tree.word(20)?, tree.word(24)?);
        if version < 17 || compatible > 17 {
            let what = format!("`version` is {version}, `last_comp_version` {compatible}: 17 is supported");
            return Err(tree.wrong(20, what));
        }
        let tokens = tree.block("dt_struct", 8, 36)?;
        let strings = tree.block("dt_strings", 12, 32)?;
        // What is reserved in memory means nothing here, and still has to be inside.
        let reserved = tree.word(16)?;
        if reserved < HEADER || reserved > total {
            let what = format!("`off_mem_rsvmap` is {reserved}: {HEADER} to {total} are possible");
            return Err(tree.wrong(16, what));
        }
        tree.walk(tokens, strings)?;
        Ok(tree)
    }

    /// A block, by the places in the header that have its offset and its size.
    fn block(&self, name: &str, offset: usize, size: usize) -> Result<Range<usize>, KernelError> {
        let (begin, length) = (self.word(offset)?, self.word(size)?);
        let end = begin + length;
        if begin < HEADER || end > self.bytes.len() {
            let what = format!(
                "`off_{name}` {begin} and `size_{name}` {length} lead outside of {HEADER} to {}",
                self.bytes.len()
            );
            return Err(self.wrong(offset, what));
        }
        Ok(begin..end)
    }

    fn walk(&mut self, tokens: Range<usize>, strings: Range<usize>) -> Result<(), KernelError> {
        let mut at = tokens.start;
        let mut path: Vec<usize> = Vec::new();
        loop {
            if at + 4 > tokens.end {
                return Err(self.wrong(at, "the structure ends without `FDT_END`".to_owned()));
            }
            let (offset, token) = (at, self.word(at)?);
            at += 4;
            match token {
                1 => {
                    let name = self.name(at, tokens.end)?;
                    at += (name.len() + 1).next_multiple_of(4);
                    if path.len() >= DEPTH_MAX || self.nodes.len() >= NODES_MAX {
                        let what = format!(
                            "more than {NODES_MAX} nodes, or more than {DEPTH_MAX} inside of each other"
                        );
                        return Err(self.wrong(offset, what));
                    }
                    if path.is_empty() && !self.nodes.is_empty() {
                        return Err(self.wrong(offset, "a second root".to_owned()));
                    }
                    let parent = path.last().copied().unwrap_or_default();
                    path.push(self.nodes.len());
                    self.nodes.push(Node { name, parent, offset });
                }
                2 if path.pop().is_some() => {}
                3 => {
                    let (size, name) = (self.word(at)?, self.word(at + 4)?);
                    let value = at + 8..at + 8 + size;
                    let Some(&node) = path.last().filter(|_| value.end <= tokens.end) else {
                        let what = format!(
                            "a property of {size} bytes ends outside of the structure, or has no node"
                        );
                        return Err(self.wrong(offset, what));
                    };
                    if self.properties.len() >= PROPERTIES_MAX {
                        return Err(self.wrong(offset, format!("more than {PROPERTIES_MAX} properties")));
                    }
                    let name = self.name(strings.start.saturating_add(name), strings.end)?;
                    at = value.end.next_multiple_of(4);
                    self.properties.push(Property { name, node, value });
                }
                4 => {}
                9 if path.is_empty() && !self.nodes.is_empty() => return Ok(()),
                _ => {
                    return Err(
                        self.wrong(offset, format!("the token {token:#x} is unknown, or out of place"))
                    );
                }
            }
        }
    }

    /// A string with its NUL before `end`.
    fn name(&self, at: usize, end: usize) -> Result<&'a str, KernelError> {
        let rest = self.bytes.get(at..end).unwrap_or_default();
        let rest = &rest[..rest.len().min(NAME_MAX)];
        let length = rest.iter().position(|byte| *byte == 0);
        let name = length.and_then(|length| std::str::from_utf8(&rest[..length]).ok());
        name.ok_or_else(|| {
            self.wrong(at, format!("no name of at most {NAME_MAX} bytes, in UTF-8, with a NUL"))
        })
    }

    fn word(&self, at: usize) -> Result<usize, KernelError> {
        let word = self.bytes.get(at..).and_then(<[u8]>::first_chunk);
        word.map(|word| u32::from_be_bytes(*word) as usize)
            .ok_or_else(|| self.wrong(at, format!("it ends at byte {}", self.bytes.len())))
    }

    /// The children of a node; the root is its own parent, and nobody's child.
    fn children(&self, node: usize) -> impl Iterator<Item = usize> {
        (1..self.nodes.len()).filter(move |child| self.nodes[*child].parent == node)
    }

    /// The node at `path`.
    fn find(&self, path: &[&str]) -> Result<usize, KernelError> {
        path.iter().try_fold(0, |node, name| {
            self.children(node)
                .find(|child| self.nodes[*child].name == *name)
                .ok_or_else(|| self.damaged(node, format!("there is no node `/{}`", path.join("/"))))
        })
    }

    fn only_child(&self, node: usize) -> Result<&'a str, KernelError> {
        let mut children = self.children(node);
        match (children.next(), children.next()) {
            (Some(only), None) => Ok(self.nodes[only].name),
            _ => {
                Err(self.damaged(node, "no property `default`, and not exactly one configuration".to_owned()))
            }
        }
    }

    fn property(&self, node: usize, name: &str) -> Option<Range<usize>> {
        let mut all = self.properties.iter();
        all.find(|property| property.node == node && property.name == name)
            .map(|property| property.value.clone())
    }

    /// The first string of a property.
    fn text(&self, node: usize, name: &str) -> Result<Option<&'a str>, KernelError> {
        self.property(node, name).map(|value| self.name(value.start, value.end)).transpose()
    }

    fn need_text(&self, node: usize, name: &str) -> Result<&'a str, KernelError> {
        self.text(node, name)?.ok_or_else(|| self.damaged(node, format!("there is no property `{name}`")))
    }

    /// Something is wrong with a node.
    fn damaged(&self, node: usize, what: String) -> KernelError {
        self.wrong(self.nodes.get(node).map_or(0, |node| node.offset), what)
    }

    /// Something is wrong at byte `offset` of the tree.
    fn wrong(&self, offset: usize, what: String) -> KernelError {
        let (structure, offset) = ("FIT", self.at.saturating_add(offset));
        KernelError::Damaged { structure, offset, within: Within::Partition, what }
    }
}

#[cfg(test)]
mod tests;
