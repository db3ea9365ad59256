//! A disc, block by block.
//!
//! Source: ECMA-119, sections 8.3 (terminator), 8.4 (primary volume descriptor), 9.4 (path tables).

use std::io::{Read as _, Write};

use bootway_exec::Cx;
use bootway_plan::Digest;

use super::{
    BLOCK, IsoError, boot,
    directory::{Extent, encode, time17},
    layout::{Layout, SYSTEM},
    rock_ridge::{both16, both32},
};
use crate::{
    progress::Progress,
    tree::{Content, TreeError},
};

/// How much is copied between two looks at the cancellation.
const STRIDE: usize = 256 << 10;

/// The program that makes it, as the descriptor says.
const APPLICATION: &str = "BOOTWAY";

/// Bytes of a loader that is told where it is: more is none.
const LOADER: u64 = 16 << 20;

/// Bytes that a loader has at least: what it is told ends there.
const TOLD: u64 = 64;

/// Writes all of it.
pub(super) fn write<W: Write>(
    cx: &Cx<'_>,
    layout: &Layout<'_>,
    code: Option<&[u8; boot::CODE]>,
    to: W,
    progress: &mut Progress<'_>,
) -> Result<W, IsoError> {
    let directories: Vec<Vec<u8>> = (0..layout.directories.len())
        .map(|n| {
            let it = &layout.directories[n];
            it.records.encode(it.block, &layout.extents(n), layout.time)
        })
        .collect();
    let mut disc = Disc { cx, to, written: 0, progress };
    if layout.bios.is_some() || layout.uefi.is_some() {
        let id = Digest::of(&directories.concat());
        disc.put(&boot::first_sector(code, layout.bios, layout.uefi, layout.size(), &id))?;
    }
    disc.fill(SYSTEM)?;
    disc.put(&primary(layout))?;
    if let Some(catalogue) = layout.catalogue {
        disc.put(&starter(catalogue))?;
    }
    disc.put(b"\xFFCD001\x01")?;
    disc.fill(u64::from(layout.path_table.0))?;
    for big in [false, true] {
        disc.put(&path_table(layout, big))?;
        disc.align()?;
    }
    for bytes in &directories {
        disc.put(bytes)?;
    }
    if layout.catalogue.is_some() {
        disc.put(&boot::catalogue(layout.bios, layout.uefi))?;
    }
    for (n, file) in layout.files.iter().enumerate() {
        match layout.bios.filter(|it| it.file == n) {
            Some(bios) => {
                let mut bytes = loader(file.path, file.content)?;
                boot::tell(&mut bytes, bios);
                disc.put(&bytes)?;
            }
            None => disc.copy(file.path, file.content)?,
        }
        disc.align()?;
    }
    disc.fill(layout.size() / BLOCK)?;
    Ok(disc.to)
}

/// A disc that is being written.
struct Disc<'a, 'b, W> {
    cx: &'a Cx<'a>,
    to: W,
    written: u64,
    progress: &'a mut Progress<'b>,
}

impl<W: Write> Disc<'_, '_, W> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), IsoError> {
        self.to.write_all(bytes)?;
        self.written += bytes.len() as u64;
        self.progress.add(bytes.len() as u64);
        Ok(())
    }

    /// Zeros up to the next block.
    fn align(&mut self) -> Result<(), IsoError> {
        self.fill(self.written.div_ceil(BLOCK))
    }

    /// Zeros up to `block`.
    fn fill(&mut self, block: u64) -> Result<(), IsoError> {
        let zeros = [0; BLOCK as usize];
        while self.written < block * BLOCK {
            let more = (block * BLOCK - self.written).min(BLOCK);
            self.put(&zeros[..more as usize])?;
        }
        Ok(())
    }

    fn copy(&mut self, path: &bootway_plan::TreePath, content: &Content) -> Result<(), IsoError> {
        let expected = content.size();
        // One byte more than expected shows that the file has grown.
        let mut from = content.open()?.take(expected + 1);
        let mut buffer = vec![0; STRIDE.min(expected as usize + 1)];
        let mut found = 0;
        loop {
            if self.cx.cancel.is_cancelled() {
                return Err(IsoError::Cancelled);
            }
            let length = from.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            found += length as u64;
            self.put(&buffer[..length])?;
        }
        if found != expected {
            return Err(changed(path, content, expected, found));
        }
        Ok(())
    }
}

/// All of a boot loader.
fn loader(path: &bootway_plan::TreePath, content: &Content) -> Result<Vec<u8>, IsoError> {
    let size = content.size();
    if !(TOLD..=LOADER).contains(&size) {
        let why = format!("it has {size} bytes, and a loader for discs has {TOLD} to {LOADER}");
        return Err(IsoError::Loader { path: path.to_string(), what: "a BIOS", why });
    }
    let mut bytes = Vec::new();
    content.open()?.take(LOADER).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != size {
        return Err(changed(path, content, size, bytes.len() as u64));
    }
    Ok(bytes)
}

fn changed(path: &bootway_plan::TreePath, content: &Content, expected: u64, found: u64) -> IsoError {
    let path = match content {
        Content::File { path, .. } => path.clone(),
        Content::Slices { file, .. } => file.path().to_owned(),
        Content::Bytes(_) => path.as_str().into(),
    };
    TreeError::Changed { path, expected, found }.into()
}

/// The primary volume descriptor.
fn primary(layout: &Layout<'_>) -> Vec<u8> {
    let text = |text: &str, room: usize| -> Vec<u8> {
        let mut bytes = text.as_bytes()[..text.len().min(room)].to_vec();
        bytes.resize(room, b' ');
        bytes
    };
    let root = &layout.directories[0];
    let extent = Extent {
        block: root.block,
        size: u32::try_from(root.records.size).unwrap_or(u32::MAX),
        is_directory: true,
        goes_on: false,
    };
    let (table, size) = layout.path_table;
    let second = table + size.div_ceil(BLOCK) as u32;
    let blocks = u32::try_from(layout.size() / BLOCK).unwrap_or(u32::MAX);
    let time = time17(layout.epoch);
    let mut bytes = b"\x01CD001\x01\x00".to_vec();
    bytes.extend(text("LINUX", 32));
    bytes.extend(text(layout.volume_id, 32));
    bytes.extend([0; 8]);
    bytes.extend(both32(blocks));
    bytes.extend([0; 32]);
    bytes.extend([1, 1, BLOCK as u16].map(both16).concat());
    bytes.extend(both32(size as u32));
    bytes.extend(table.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(second.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(encode(&[0], &extent, layout.time, &[]));
    // The set, who published and prepared it, and the program.
    bytes.extend(text("", 128 * 3));
    bytes.extend(text(APPLICATION, 128));
    // Files with a copyright, an abstract, a bibliography: none.
    bytes.extend(text("", 37 * 3));
    // Made and changed; it does not end, and is good from the beginning.
    bytes.extend(time);
    bytes.extend(time);
    bytes.extend(NEVER);
    bytes.extend(NEVER);
    bytes.extend([1, 0]);
    bytes.resize(BLOCK as usize, 0);
    bytes
}

/// No time. Source: ECMA-119, section 8.4.26.1.
const NEVER: [u8; 17] = *b"0000000000000000\0";

/// The descriptor that says where the boot catalogue is. Source: "El Torito" 1.0, figure 7.
fn starter(catalogue: u32) -> Vec<u8> {
    let mut bytes = b"\x00CD001\x01EL TORITO SPECIFICATION".to_vec();
    bytes.resize(71, 0);
    bytes.extend(catalogue.to_le_bytes());
    bytes.resize(BLOCK as usize, 0);
    bytes
}

fn path_table(layout: &Layout<'_>, big: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for directory in &layout.directories {
        let parent = directory.parent as u16 + 1;
        bytes.extend([directory.name.len() as u8, 0]);
        if big {
            bytes.extend(directory.block.to_be_bytes());
            bytes.extend(parent.to_be_bytes());
        } else {
            bytes.extend(directory.block.to_le_bytes());
            bytes.extend(parent.to_le_bytes());
        }
        bytes.extend_from_slice(&directory.name);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
    }
    bytes
}
