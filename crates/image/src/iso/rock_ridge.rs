//! What Rock Ridge says about a file, behind its record: its name, mode, owner, times, target.
//!
//! Sources: IEEE P1281 (SUSP 1.12), section 5; IEEE P1282 (RRIP 1.12), section 4.1.

use crate::tree::{Node, NodeKind};

/// Bytes of an entry that says where the rest is.
const CE: usize = 28;

/// The most that an entry has.
const ENTRY: usize = 255;

/// Who says what the entries mean. Source: RRIP 1.12, section 4.3.
const ER: (&[u8], &[u8], &[u8]) = (
    b"RRIP_1991A",
    b"THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS",
    b"PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR \
      FOR CONTACT INFORMATION.",
);

/// Entries of a file, in order; each has at most 255 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries(Vec<Vec<u8>>);

/// Entries that fit behind a record, and those that go elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// Behind the record; if `rest` has something, with room for where that is at its end.
    pub(super) here: Vec<u8>,
    /// Elsewhere.
    pub(super) rest: Vec<u8>,
}

impl Entries {
    /// Of `node`, with `links` names and the number `serial`.
    pub(super) fn of(node: &Node, links: u32, serial: u32, time: [u8; 7]) -> Self {
        let mut entries = Self::default();
        // File types of stat(2).
        let kind = match &node.kind {
            NodeKind::Directory => 0o040_000,
            NodeKind::File(_) | NodeKind::HardLink { .. } => 0o100_000,
            NodeKind::Symlink { .. } => 0o120_000,
            NodeKind::CharDevice { .. } => 0o020_000,
            NodeKind::BlockDevice { .. } => 0o060_000,
            NodeKind::Fifo => 0o010_000,
            NodeKind::Socket => 0o140_000,
        };
        let mode = kind | u32::from(node.mode);
        let fields = [mode, links, node.uid, node.gid, serial];
        entries.add(*b"PX", &fields.map(both32).concat());
        // Modified, accessed, changed.
        entries.add(*b"TF", &[&[0x0E][..], &time, &time, &time].concat());
        match &node.kind {
            NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
                // As Linux reads it: a device number of 64 bits, the upper half first. Source: fs/isofs/rock.c.
                entries.add(*b"PN", &[both32(*major), both32(*minor)].concat());
            }
            NodeKind::Symlink { target } => entries.target(target),
            _ => {}
        }
        entries
    }

    /// What the record of the root's own directory begins with.
    pub(super) fn of_root(mut self) -> Self {
        let (id, text, source) = ER;
        let head = [id.len() as u8, text.len() as u8, source.len() as u8, 1];
        self.0.insert(0, b"SP\x07\x01\xBE\xEF\x00".to_vec());
        self.add(*b"ER", &[&head[..], id, text, source].concat());
        self
    }

    /// Adds a name, in pieces if it is long.
    pub(super) fn name(mut self, name: &str) -> Self {
        let mut pieces = name.as_bytes().chunks(ENTRY - 5).peekable();
        while let Some(piece) = pieces.next() {
            let goes_on = u8::from(pieces.peek().is_some());
            self.add(*b"NM", &[&[goes_on], piece].concat());
        }
        self
    }

    /// Adds where a symbolic link leads, component by component.
    fn target(&mut self, target: &str) {
        let mut components: Vec<Vec<u8>> = Vec::new();
        if target.starts_with('/') {
            components.push(vec![8, 0]);
        }
        for part in target.split('/').filter(|part| !part.is_empty()) {
            match part {
                "." => components.push(vec![2, 0]),
                ".." => components.push(vec![4, 0]),
                part => {
                    // A component that goes on has the first bit set.
                    let mut pieces = part.as_bytes().chunks(ENTRY - 5 - 2).peekable();
                    while let Some(piece) = pieces.next() {
                        let goes_on = u8::from(pieces.peek().is_some());
                        components.push([&[goes_on, piece.len() as u8], piece].concat());
                    }
                }
            }
        }
        let mut entries: Vec<Vec<u8>> = vec![Vec::new()];
        for component in components {
            let last = entries.last_mut().expect("there is one");
            if last.len() + component.len() > ENTRY - 5 {
                entries.push(component);
            } else {
                last.extend(component);
            }
        }
        let count = entries.len();
        for (n, components) in entries.into_iter().enumerate() {
            let goes_on = u8::from(n + 1 < count);
            self.add(*b"SL", &[&[goes_on][..], &components].concat());
        }
    }

    fn add(&mut self, signature: [u8; 2], data: &[u8]) {
        let mut entry = signature.to_vec();
        entry.extend([(data.len() + 4) as u8, 1]);
        entry.extend_from_slice(data);
        self.0.push(entry);
    }

    /// Behind a record there is `room`.
    pub(super) fn split(&self, room: usize) -> Split {
        let all: usize = self.0.iter().map(Vec::len).sum();
        if all <= room {
            return Split { here: self.0.concat(), rest: Vec::new() };
        }
        let mut split = Split::default();
        for entry in &self.0 {
            if split.rest.is_empty() && split.here.len() + entry.len() + CE <= room {
                split.here.extend_from_slice(entry);
            } else {
                split.rest.extend_from_slice(entry);
            }
        }
        split
    }
}

impl Split {
    /// Bytes behind the record.
    pub(super) const fn len(&self) -> usize {
        self.here.len() + if self.rest.is_empty() { 0 } else { CE }
    }

    /// What is behind the record, where the rest is in `block` from `offset` on.
    pub(super) fn behind(&self, block: u32, offset: u32) -> Vec<u8> {
        let mut bytes = self.here.clone();
        if !self.rest.is_empty() {
            bytes.extend_from_slice(b"CE\x1C\x01");
            bytes.extend([block, offset, self.rest.len() as u32].map(both32).concat());
        }
        bytes
    }
}

/// A number in both orders. Source: ECMA-119, section 7.3.3.
pub(super) fn both32(value: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&value.to_le_bytes());
    bytes[4..].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// The same. Source: ECMA-119, section 7.2.3.
pub(super) fn both16(value: u16) -> [u8; 4] {
    let mut bytes = [0; 4];
    bytes[..2].copy_from_slice(&value.to_le_bytes());
    bytes[2..].copy_from_slice(&value.to_be_bytes());
    bytes
}
