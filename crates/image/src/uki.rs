//! A unified kernel image: an EFI stub with a kernel, its initramfs and its command line as PE sections.

use std::io::{self, BufWriter, Read, Write};

use bootway_exec::{Cx, MissingInput, StepOutput};
use bootway_plan::{ArtifactKind, Class, Explain, Name, Source, step};
use camino::Utf8PathBuf;
use thiserror::Error;

use crate::{
    class::{class_of, hint_of},
    format::{
        kernel::{self, Kernel},
        pe,
    },
    progress::Progress,
};

/// One less than the 2048 bytes that the kernel has for it on x86, for the NUL.
const MAX_CMDLINE: usize = 2047;
/// Larger than any stub; a file of this size is something else.
const MAX_STUB: u64 = 16 << 20;
/// How much of a kernel has all its headers.
const KERNEL_START: u64 = 64 << 10;
/// How much is copied between two looks at the cancellation.
const STRIDE: usize = 1 << 20;

/// What a section is made of.
enum Part {
    Bytes(Vec<u8>),
    File { path: Utf8PathBuf, size: u64 },
}

impl Part {
    const fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }
}

/// Makes a unified kernel image.
///
/// Sections come in the order of `ukify`: `.osrel`, `.cmdline`, `.uname`, `.initrd`, `.linux`; the kernel is last
/// because some unpack themselves over what follows them.
pub fn uki(cx: &Cx<'_>, step: &step::Uki) -> Result<Vec<StepOutput>, UkiError> {
    check_cmdline(&step.cmdline)?;
    let stub = read_stub(cx, step)?;
    let (kernel, version) = open_kernel(cx, &step.kernel)?;
    let os_release = match &step.os_release {
        Some(source) => fs_err::read(&cx.input(source)?.path)?,
        None => minimal_os_release(version.as_deref()).into_bytes(),
    };
    let mut sections = vec![
        (".osrel", vec![Part::Bytes(os_release)]),
        (".cmdline", vec![Part::Bytes(step.cmdline.clone().into_bytes())]),
    ];
    sections.extend(version.map(|version| (".uname", vec![Part::Bytes(version.into_bytes())])));
    if !step.initrd.is_empty() {
        sections.push((".initrd", initrd(cx, &step.initrd)?));
    }
    sections.push((".linux", vec![kernel]));
    let path = cx.out.join("uki.efi");
    write(cx, &step.stub, &stub, &sections, &path)?;
    Ok(vec![StepOutput { name: Name::fixed("uki"), kind: ArtifactKind::Efi, path }])
}

fn check_cmdline(cmdline: &str) -> Result<(), UkiError> {
    if cmdline.len() > MAX_CMDLINE {
        let last = cmdline.floor_char_boundary(MAX_CMDLINE);
        let tail: String =
            cmdline[..last].chars().rev().take(24).collect::<Vec<_>>().into_iter().rev().collect();
        return Err(UkiError::CmdlineLength { length: cmdline.len(), tail });
    }
    match cmdline.char_indices().find(|(_, character)| character.is_control()) {
        Some((at, character)) => Err(UkiError::CmdlineControl { at, character }),
        None => Ok(()),
    }
}

fn read_stub(cx: &Cx<'_>, step: &step::Uki) -> Result<Vec<u8>, UkiError> {
    let path = &cx.input(&step.stub)?.path;
    let mut stub = Vec::new();
    fs_err::File::open(path)?.take(MAX_STUB + 1).read_to_end(&mut stub)?;
    let invalid = |reason: String| UkiError::Stub { name: step.stub.clone(), reason };
    if stub.len() as u64 > MAX_STUB {
        return Err(invalid("it is larger than 16 MiB".to_owned()));
    }
    let pe = pe::parse(&stub).map_err(|error| invalid(error.to_string()))?;
    if pe.subsystem != pe::EFI_APPLICATION {
        return Err(invalid(format!("its subsystem is {}, and not EFI application (10)", pe.subsystem)));
    }
    Ok(stub)
}

/// The kernel as a part, and its version if it says one.
fn open_kernel(cx: &Cx<'_>, source: &Source) -> Result<(Part, Option<String>), UkiError> {
    let path = &cx.input(source)?.path;
    let file = fs_err::File::open(path)?;
    let size = file.metadata()?.len();
    let mut start = Vec::new();
    file.take(KERNEL_START).read_to_end(&mut start)?;
    let version = match kernel::parse(&start) {
        Some(Kernel::BzImage { version }) => version,
        Some(Kernel::Arm64) => None,
        Some(Kernel::Elf) | None => return Err(UkiError::Kernel { name: source.clone() }),
    };
    Ok((Part::File { path: path.clone(), size }, version))
}

/// Initramfs images, each beginning at a multiple of four as the kernel wants it.
fn initrd(cx: &Cx<'_>, sources: &[Source]) -> Result<Vec<Part>, UkiError> {
    let mut parts = Vec::new();
    for source in sources {
        let path = cx.input(source)?.path.clone();
        let size = fs_err::metadata(&path)?.len();
        parts.push(Part::File { path, size });
        parts.push(Part::Bytes(vec![0; (size.next_multiple_of(4) - size) as usize]));
    }
    Ok(parts)
}

fn minimal_os_release(version: Option<&str>) -> String {
    let version = version.map(|version| format!("VERSION_ID={version}\nPRETTY_NAME=\"Linux {version}\"\n"));
    format!("ID=linux\nNAME=Linux\n{}", version.unwrap_or_else(|| "PRETTY_NAME=Linux\n".to_owned()))
}

fn write(
    cx: &Cx<'_>,
    name: &Source,
    stub: &[u8],
    parts: &[(&str, Vec<Part>)],
    path: &Utf8PathBuf,
) -> Result<(), UkiError> {
    let sizes: Vec<(&str, u64)> =
        parts.iter().map(|(name, parts)| (*name, parts.iter().map(Part::size).sum())).collect();
    let (head, sections) = pe::with_sections(stub, &sizes)
        .map_err(|error| UkiError::Stub { name: name.clone(), reason: error.to_string() })?;
    let progress = Progress::bytes(cx, sizes.iter().map(|(_, size)| size).sum());
    let mut to = BufWriter::with_capacity(STRIDE, fs_err::File::create_new(path)?);
    to.write_all(&head)?;
    let mut at = head.len() as u64;
    let pad = |to: &mut BufWriter<_>, from: u64, until: u64| -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(until - from), to).map(drop)
    };
    for ((_, parts), section) in parts.iter().zip(&sections) {
        pad(&mut to, at, section.file_offset.into())?;
        for part in parts {
            match part {
                Part::Bytes(bytes) => to.write_all(bytes)?,
                Part::File { path, size } => copy(cx, path, *size, &mut to, &progress)?,
            }
        }
        at = u64::from(section.file_offset) + u64::from(section.file_size);
        pad(&mut to, u64::from(section.file_offset) + u64::from(section.size), at)?;
    }
    to.flush()?;
    Ok(())
}

fn copy(
    cx: &Cx<'_>,
    path: &Utf8PathBuf,
    size: u64,
    to: &mut impl Write,
    progress: &Progress<'_>,
) -> Result<(), UkiError> {
    // One byte more than expected shows that the file has grown.
    let mut from = fs_err::File::open(path)?.take(size + 1);
    let mut buffer = vec![0; STRIDE];
    let mut found = 0;
    loop {
        if cx.cancel.is_cancelled() {
            return Err(UkiError::Cancelled);
        }
        let length = from.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        found += length as u64;
        to.write_all(&buffer[..length])?;
        progress.add(length as u64);
    }
    if found == size { Ok(()) } else { Err(UkiError::Changed { path: path.clone(), expected: size, found }) }
}

/// A unified kernel image cannot be made.
#[derive(Debug, Error)]
pub enum UkiError {
    /// A file of the host.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The engine did not provide an input.
    #[error(transparent)]
    Input(#[from] MissingInput),
    /// The kernel would cut the command line off.
    #[error("`cmdline` has {length} bytes, and the kernel takes 2047: it would be cut off after `…{tail}`")]
    CmdlineLength {
        /// Bytes.
        length: usize,
        /// The last that would be read.
        tail: String,
    },
    /// A command line is one line of text.
    #[error("`cmdline` has the control character {character:?} at byte {at}: write it as one line")]
    CmdlineControl {
        /// From 0.
        at: usize,
        /// Which.
        character: char,
    },
    /// The stub cannot take the sections.
    #[error("`{name}` cannot be the stub: {reason}")]
    Stub {
        /// As the plan names it.
        name: Source,
        /// What is wrong with it.
        reason: String,
    },
    /// The kernel is none that a stub can start.
    #[error(
        "`{name}` is no kernel that an EFI stub can start: name a bzImage (`boot/vmlinuz-*`) or an arm64 `Image`"
    )]
    Kernel {
        /// As the plan names it.
        name: Source,
    },
    /// A file is not what it was when the step began.
    #[error("`{path}` has changed while it was read: it had {expected} bytes, and has {found}")]
    Changed {
        /// Which.
        path: Utf8PathBuf,
        /// Bytes, when its size was asked.
        expected: u64,
        /// Bytes that were read, up to one more than expected.
        found: u64,
    },
    /// Someone asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Explain for UkiError {
    fn class(&self) -> Class {
        match self {
            Self::Io(error) => class_of(error),
            Self::Changed { .. } => Class::Step,
            Self::Input(error) => error.class(),
            Self::CmdlineLength { .. }
            | Self::CmdlineControl { .. }
            | Self::Stub { .. }
            | Self::Kernel { .. } => Class::Plan,
            Self::Cancelled => Class::Cancelled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io(error) => hint_of(error),
            Self::Stub { .. } => Some(
                "the Debian package `systemd-boot-efi` has `usr/lib/systemd/boot/efi/linuxx64.efi.stub`"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
