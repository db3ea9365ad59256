//! Whether an output is what it is said to be.

use std::{
    fs::Metadata,
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
};

use bootway_exec::Cancel;
use bootway_plan::{ArtifactKind, Class, EntryKind, Explain, Manifest, TreePath, step::Owners};
use bootway_squashfs::read::Image;
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::{
    class::class_of,
    compress::{self, Magic},
    format::{
        cpio::{self, ScanError},
        gpt, kernel, pe, program, qcow2, superblock,
    },
    fs::iso::{IsoError, IsoReport},
    oci::{Container, Unreadable},
    tree::{self, Node, NodeKind, TreeError},
};

/// How much of a file has the headers of everything that is recognised by them.
const START: u64 = 64 << 10;
/// What unpacks to more than this is not an initramfs.
const MAX_INITRAMFS: u64 = 8 << 30;
/// Squashfs images are padded to this, so that a loop device can show all of them.
const SQUASHFS_PAD: u64 = 4096;

/// Looks whether the file or directory at `path` is an artifact of this kind, by what is in it.
///
/// # Errors
///
/// If it is not, with what was expected and what was found.
pub fn verify(kind: ArtifactKind, path: &Utf8Path) -> Result<(), VerifyError> {
    let wrong =
        |expected: &'static str, found: String| VerifyError::Wrong { path: path.to_owned(), expected, found };
    let metadata = fs_err::metadata(path)?;
    if kind == ArtifactKind::Tree {
        return if metadata.is_dir() { verify_tree(path) } else { Err(wrong("a tree", "a file".to_owned())) };
    }
    if kind == ArtifactKind::Container {
        // A layout is a directory too.
        return container(path)?.map_or(Ok(()), |reason| Err(wrong("a container image", reason)));
    }
    if !metadata.is_file() {
        return Err(wrong("a file", "a directory, or something else".to_owned()));
    }
    let size = metadata.len();
    if size == 0 {
        return Err(wrong("a file with something in it", "an empty file".to_owned()));
    }
    let start = read_start(path)?;
    let found = |reason: Option<String>, expected: &'static str| match reason {
        None => Ok(()),
        Some(reason) => Err(wrong(expected, reason)),
    };
    match kind {
        ArtifactKind::Tree | ArtifactKind::Container | ArtifactKind::File => Ok(()),
        ArtifactKind::Kernel => {
            let reason = kernel::parse(&start).is_none().then(|| starts_with(&start));
            found(reason, "a Linux kernel: a bzImage with `HdrS`, an arm64 Image, or ELF")
        }
        ArtifactKind::ChromeosKernel => {
            // The crate that knows what is in one looks at the rest.
            let reason = (!start.starts_with(b"CHROMEOS")).then(|| starts_with(&start));
            found(reason, "a ChromeOS kernel partition: it begins with `CHROMEOS`")
        }
        ArtifactKind::Initramfs => found(initramfs(path)?, "a newc archive with an /init"),
        ArtifactKind::Squashfs => found(squashfs(path, &start, size), "a squashfs 4.0 image"),
        ArtifactKind::Ext4 => found(ext(&start, size), "an ext2, ext3 or ext4 file system"),
        ArtifactKind::Efi => found(efi(&start, size), "an EFI program"),
        ArtifactKind::Disk => {
            let read = gpt::read(&mut fs_err::File::open(path)?);
            found(read.err().map(|error| chain(&error)), "a disk with a whole GUID partition table")
        }
        ArtifactKind::Qcow2 => found(qcow2(path, size)?, "a qcow2 image with a whole GUID partition table"),
        ArtifactKind::Tar => found(tar(path, &start)?, "a tar archive"),
        ArtifactKind::Text => found(text(path)?, "UTF-8 text"),
        ArtifactKind::Program => found(program(&start, &metadata), "a program that can be started"),
        ArtifactKind::Iso => found(iso(path)?, "an ISO 9660 image that firmware can start from"),
    }
}

fn read_start(path: &Utf8Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    fs_err::File::open(path)?.take(START).read_to_end(&mut start)?;
    Ok(start)
}

fn starts_with(start: &[u8]) -> String {
    format!("a file that begins with `{}`", start[..start.len().min(16)].escape_ascii())
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

fn qcow2(path: &Utf8Path, size: u64) -> io::Result<Option<String>> {
    let mut disk = match qcow2::Reader::open(fs_err::File::open(path)?.into_file(), size) {
        Ok(disk) => disk,
        Err(error) => return Ok(Some(error.to_string())),
    };
    if let Err(error) = disk.check() {
        return Ok(Some(error.to_string()));
    }
    Ok(gpt::read(&mut disk).err().map(|error| chain(&error)))
}

fn squashfs(path: &Utf8Path, start: &[u8], size: u64) -> Option<String> {
    if !superblock::is_squashfs(start) {
        return Some(starts_with(start));
    }
    if let Err(error) = Image::open(path) {
        return Some(format!("one that cannot be read: {error}"));
    }
    (!size.is_multiple_of(SQUASHFS_PAD)).then(|| format!("{size} bytes, which is not a multiple of 4096"))
}

fn ext(start: &[u8], size: u64) -> Option<String> {
    let Some(ext) = superblock::ext(start) else { return Some("no superblock at byte 1024".to_owned()) };
    let wanted = ext.blocks.checked_mul(ext.block_size);
    match wanted {
        Some(wanted) if wanted <= size => None,
        _ => Some(format!("{size} bytes for {} blocks of {} bytes", ext.blocks, ext.block_size)),
    }
}

fn efi(start: &[u8], size: u64) -> Option<String> {
    let pe = match pe::parse(start) {
        Ok(pe) => pe,
        Err(error) => return Some(error.to_string()),
    };
    if pe.subsystem != pe::EFI_APPLICATION {
        return Some(format!("a PE file of subsystem {}, and not 10", pe.subsystem));
    }
    let outside = |it: &&pe::Section| u64::from(it.file_offset) + u64::from(it.file_size) > size;
    let section = pe.sections.iter().find(outside)?;
    Some(format!("{size} bytes, and a section `{}` that ends after them", section.name))
}

/// Reads every archive in the file to its end, as the kernel would.
fn initramfs(path: &Utf8Path) -> Result<Option<String>, VerifyError> {
    let mut from = BufReader::with_capacity(256 << 10, fs_err::File::open(path)?);
    let mut has_init = false;
    let mut seen = |_: &cpio::Header, name: &[u8], _: &mut dyn Read| {
        has_init |= matches!(name, b"init" | b"./init" | b"/init");
        Ok(())
    };
    loop {
        let magic = Magic::of(from.fill_buf()?);
        let result = match magic {
            Magic::Plain => cpio::scan(&mut from, MAX_INITRAMFS, &mut seen).map(drop),
            _ => unpack(magic, &mut from, &mut seen),
        };
        if let Err(error) = result {
            return Ok(Some(format!("a damaged one (compression: {}): {error}", magic.as_str())));
        }
        // Archives may follow each other, with zeros between them; behind a compressed one nothing can be seen.
        while magic == Magic::Plain && from.fill_buf()?.first() == Some(&0) {
            from.consume(1);
        }
        if magic != Magic::Plain || from.fill_buf()?.is_empty() {
            return Ok((!has_init).then(|| "one without".to_owned()));
        }
    }
}

fn unpack(
    magic: Magic,
    from: impl Read,
    seen: impl FnMut(&cpio::Header, &[u8], &mut dyn Read) -> io::Result<()>,
) -> Result<(), ScanError> {
    let mut from = compress::decoder(magic, from)?.take(MAX_INITRAMFS);
    cpio::scan(&mut from, MAX_INITRAMFS, seen)?;
    // Only at its end a stream shows whether its checksum is right.
    io::copy(&mut from, &mut io::sink())?;
    Ok(())
}

fn program(start: &[u8], metadata: &Metadata) -> Option<String> {
    match program::parse(start, metadata.len()) {
        Err(reason) => Some(reason),
        Ok(_) if metadata.permissions().mode() & 0o111 == 0 => Some(format!(
            "one that nobody may execute: its mode is {:04o}",
            metadata.permissions().mode() & 0o7777
        )),
        Ok(_) => None,
    }
}

/// Everything that firmware looks at, in all the places where it looks.
fn iso(path: &Utf8Path) -> Result<Option<String>, VerifyError> {
    let report = match IsoReport::read(fs_err::File::open(path)?.file()) {
        Ok(Some(report)) => report,
        Ok(None) => return Ok(Some("no primary volume descriptor at byte 32768".to_owned())),
        Err(IsoError::Io(error)) => return Err(error.into()),
        Err(error) => return Ok(Some(format!("a damaged one: {error}"))),
    };
    Ok(if !report.flaws.is_empty() {
        Some(format!("a damaged one: {}", report.flaws.join("; ")))
    } else if report.boot.is_empty() {
        Some(format!("a data image `{}`: it has no boot catalogue", report.label))
    } else {
        None
    })
}

/// Every digest is computed anew, and every layer read to its end.
fn container(path: &Utf8Path) -> Result<Option<String>, VerifyError> {
    Ok(match Container::read(path) {
        Ok(Some(container)) => {
            let flaws = container.report.flaws;
            (!flaws.is_empty()).then(|| format!("a damaged one: {}", flaws.join("; ")))
        }
        Ok(None) if fs_err::metadata(path)?.is_dir() => {
            Some("a directory without an `oci-layout`".to_owned())
        }
        Ok(None) => Some(format!("{}, and no archive with an image in it", starts_with(&read_start(path)?))),
        Err(Unreadable::Io(error)) if error.raw_os_error().is_some() => return Err(error.into()),
        Err(error) => Some(format!("a damaged one: {error}")),
    })
}

fn tar(path: &Utf8Path, start: &[u8]) -> Result<Option<String>, VerifyError> {
    let mut header = [0; 512];
    let unpacked = compress::decoder(Magic::of(start), fs_err::File::open(path)?)
        .and_then(|mut from| from.read_exact(&mut header));
    if let Err(error) = unpacked {
        return Ok(Some(format!("{}: {error}", starts_with(start))));
    }
    // The checksum is over the header with its own field as spaces: POSIX.1-1988, ustar.
    let field = String::from_utf8_lossy(&header[148..156]).into_owned();
    let said = u32::from_str_radix(field.trim_matches(['\0', ' ']), 8).ok();
    let own: u32 = header[148..156].iter().map(|byte| u32::from(*byte)).sum();
    let sum = header.iter().map(|byte| u32::from(*byte)).sum::<u32>() - own + 8 * u32::from(b' ');
    Ok((said != Some(sum)).then(|| "a first header whose checksum is wrong".to_owned()))
}

fn text(path: &Utf8Path) -> Result<Option<String>, VerifyError> {
    let bytes = fs_err::read(path)?;
    let error = std::str::from_utf8(&bytes).err();
    Ok(error
        .map(|error| format!("byte {:#04x} at offset {}", bytes[error.valid_up_to()], error.valid_up_to())))
}

/// The manifest and the directory agree on every name, kind and size.
fn verify_tree(dir: &Utf8Path) -> Result<(), VerifyError> {
    let manifest: Manifest = tree::read_manifest(dir)?;
    let on_disk = tree::load_directory(dir, Owners::Root, &Cancel::default())?;
    let wrong = |path: &TreePath, expected, found: &str| VerifyError::Wrong {
        path: tree::join(dir, path),
        expected,
        found: found.to_owned(),
    };
    if let Some(path) = on_disk.nodes.keys().find(|path| !manifest.entries.contains_key(path)) {
        return Err(wrong(path, "what the manifest says", "a file that is not in it"));
    }
    for (path, entry) in &manifest.entries {
        let size_of = |path: &TreePath| match manifest.entries.get(path).map(|entry| &entry.kind) {
            Some(EntryKind::File { size, .. }) => Some(*size),
            _ => None,
        };
        let there = on_disk.nodes.get(path).map(|node: &Node| &node.kind);
        let agrees = match (&entry.kind, there) {
            (EntryKind::File { size, .. }, Some(NodeKind::File(content))) => *size == content.size(),
            (EntryKind::HardLink { to }, Some(NodeKind::File(content))) => {
                size_of(to) == Some(content.size())
            }
            (EntryKind::Symlink { target }, Some(NodeKind::Symlink { target: there })) => target == there,
            // Devices, pipes and sockets are in the manifest only.
            (EntryKind::Directory, Some(NodeKind::Directory))
            | (
                EntryKind::CharDevice { .. }
                | EntryKind::BlockDevice { .. }
                | EntryKind::Fifo
                | EntryKind::Socket,
                None,
            )
            | (EntryKind::Fifo, Some(NodeKind::Fifo)) => true,
            // In a layer the kernel must see what is gone.
            (
                EntryKind::CharDevice { major, minor },
                Some(NodeKind::CharDevice { major: is_major, minor: is_minor }),
            ) => (major, minor) == (is_major, is_minor),
            _ => false,
        };
        if !agrees {
            let found = match there {
                None => "nothing".to_owned(),
                Some(NodeKind::File(content)) => format!("a file of {} bytes", content.size()),
                Some(NodeKind::Directory) => "a directory".to_owned(),
                Some(NodeKind::Symlink { target }) => format!("a link to `{target}`"),
                Some(_) => "something else".to_owned(),
            };
            return Err(wrong(path, "what the manifest says", &found));
        }
    }
    Ok(())
}

/// An output is not what it is said to be.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A tree cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// It is something else.
    #[error("`{path}` is not {expected}: found {found}")]
    Wrong {
        /// Which file.
        path: Utf8PathBuf,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
}

impl Explain for VerifyError {
    fn class(&self) -> Class {
        match self {
            Self::Io(error) => class_of(error),
            Self::Wrong { .. } => Class::Step,
            Self::Tree(error) => error.class(),
        }
    }
}

#[cfg(test)]
mod tests;
