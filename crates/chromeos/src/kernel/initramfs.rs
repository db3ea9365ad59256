//! The initramfs that is linked into a kernel: found, confirmed, unpacked to its last byte.
//!
//! The linker puts it at a multiple of four, then pads to a multiple of eight, then writes its length as one word
//! (`INIT_RAM_FS` in Linux, `include/asm-generic/vmlinux.lds.h`; `usr/initramfs_data.S`). So every word that could be
//! such a length leads to at most two places where an initramfs could begin, and those have to begin like one.

use super::{
    Arch, Compression, Initramfs, KernelError, LIMIT, Layer, Within,
    cpio::{self, CpioError},
    elf::Elf,
    stream::{self, StreamError},
};

/// Places that are looked at, if more than one is confirmed.
const CANDIDATES_MAX: usize = 32;

/// The initramfs that is linked into `vmlinux`, a decompressed kernel for `arch`.
///
/// # Errors
///
/// If there is none, if it cannot be unpacked to its last byte, or if it has no `/init`.
pub fn initramfs(vmlinux: &[u8], arch: Arch) -> Result<Initramfs, KernelError> {
    let region = Region::of(vmlinux, arch)?;
    let candidates = region.confirmed();
    let (mut whole, mut failed, mut found) = (Vec::with_capacity(1), None, Vec::new());
    for candidate in candidates {
        let Candidate { offset, stored, compression } = candidate;
        match candidate.unpack(vmlinux) {
            Ok(initramfs) => {
                found.push(format!("{stored} bytes of {compression} at {offset}, which are whole"));
                whole.push(initramfs);
            }
            Err(error) => {
                found.push(format!("{stored} bytes of {compression} at {offset} ({error})"));
                failed = Some(error);
            }
        }
        if whole.len() > 1 {
            return Err(KernelError::Contradiction { found });
        }
    }
    let initramfs = match (whole.pop(), failed) {
        (Some(initramfs), _) => initramfs,
        (None, Some(error)) if found.len() == 1 => return Err(error),
        (None, Some(_)) => return Err(KernelError::Contradiction { found }),
        (None, None) => {
            return Err(KernelError::NoInitramfs { seen: region.seen(), searched: region.bytes.len() });
        }
    };
    let walk =
        cpio::walk(&initramfs.cpio).map_err(|error| KernelError::Cpio { offset: initramfs.offset, error })?;
    if !walk.has_init {
        return Err(KernelError::NoInit { files: walk.files, size: initramfs.cpio.len() });
    }
    Ok(initramfs)
}

/// Where to look.
struct Region<'a> {
    bytes: &'a [u8],
    /// Of the region in the kernel.
    offset: usize,
    /// The address of its first byte; only its last bits matter.
    address: usize,
    /// Bytes of the length word.
    word: usize,
}

impl<'a> Region<'a> {
    /// The initial data of an ELF file; all of anything else.
    fn of(vmlinux: &'a [u8], arch: Arch) -> Result<Self, KernelError> {
        let all = Self { bytes: vmlinux, offset: 0, address: 0, word: 8 };
        if arch == Arch::Arm64 || !Elf::is(vmlinux) {
            return Ok(all);
        }
        let elf = Elf::parse(vmlinux)?;
        let word = if elf.wide { 8 } else { 4 };
        Ok(match elf.section(".init.data")? {
            Some(section) => Self {
                bytes: &vmlinux[section.offset..section.offset + section.size],
                offset: section.offset,
                address: (section.address % 8) as usize,
                word,
            },
            None => Self { word, ..all },
        })
    }

    /// Every place that begins like an initramfs and is followed by its length; few, mostly one.
    fn confirmed(&self) -> Vec<Candidate> {
        let mut found = Vec::new();
        // The address of the word is a multiple of its size.
        let first = self.address.wrapping_neg() % self.word;
        for (index, word) in self.bytes.get(first..).unwrap_or_default().chunks_exact(self.word).enumerate() {
            let end = first + index * self.word;
            let wide = word.first_chunk().map(|word| u64::from_le_bytes(*word));
            let narrow = || word.first_chunk().map(|word| u64::from(u32::from_le_bytes(*word)));
            let length = wide.or_else(narrow).unwrap_or_default();
            if length == 0 || length > end as u64 {
                continue;
            }
            let last = end - length as usize;
            for start in last.saturating_sub(7)..=last {
                let magic =
                    (self.address + start).is_multiple_of(4).then(|| magic(&self.bytes[start..])).flatten();
                if let Some(compression) = magic {
                    found.push(Candidate {
                        offset: self.offset + start,
                        stored: length as usize,
                        compression,
                    });
                }
            }
            if found.len() >= CANDIDATES_MAX {
                break;
            }
        }
        found.sort_by_key(|candidate| candidate.offset);
        found
    }

    /// How many places begin like an initramfs.
    fn seen(&self) -> usize {
        let first = self.address.wrapping_neg() % 4;
        let words = (first..self.bytes.len()).step_by(4);
        words.filter(|at| magic(&self.bytes[*at..]).is_some()).count()
    }
}

/// What an initramfs that begins with `bytes` is compressed with.
fn magic(bytes: &[u8]) -> Option<Compression> {
    if cpio::is(bytes) { Some(Compression::None) } else { Compression::of(bytes) }
}

/// A place that is confirmed by a length word.
#[derive(Clone, Copy)]
struct Candidate {
    offset: usize,
    stored: usize,
    compression: Compression,
}

impl Candidate {
    /// Does what the kernel does with it: archives and streams of archives follow each other, with zeros between them.
    fn unpack(&self, vmlinux: &[u8]) -> Result<Initramfs, KernelError> {
        let Self { offset, stored, compression } = *self;
        let region = vmlinux.get(offset..offset + stored).expect("a candidate is inside of the kernel");
        let mut cpio = Vec::new();
        let mut at = 0;
        while let Some(&first) = region.get(at) {
            let rest = &region[at..];
            if cpio::is(rest) {
                let walk =
                    cpio::walk(rest).map_err(|error| KernelError::Cpio { offset: offset + at, error })?;
                push(&mut cpio, rest[..walk.end].to_vec());
                at += walk.end;
            } else if first == 0 {
                at += 1;
            } else if let Some(compression) = Compression::of(rest) {
                let layer = Layer { number: 2, compression, offset: offset + at, within: Within::Vmlinux };
                let limit = LIMIT.saturating_sub(cpio.len());
                let (bytes, consumed) = unpack_stream(layer, rest, limit)?;
                push(&mut cpio, bytes);
                at += consumed;
            } else {
                let begin = rest[..rest.len().min(8)].to_vec();
                return Err(KernelError::Junk { offset: offset + at, begin });
            }
        }
        Ok(Initramfs { offset, stored, compression, cpio })
    }
}

/// Appends archives at a multiple of four, where the kernel expects them.
fn push(cpio: &mut Vec<u8>, bytes: Vec<u8>) {
    if cpio.is_empty() {
        *cpio = bytes;
    } else {
        cpio.resize(cpio.len().next_multiple_of(4), 0);
        cpio.extend(bytes);
    }
}

/// Unpacks one stream, which must hold nothing but archives. Returns how many bytes it takes, too.
fn unpack_stream(layer: Layer, rest: &[u8], limit: usize) -> Result<(Vec<u8>, usize), KernelError> {
    let fail = |error| KernelError::Stream { layer, error };
    // gzip ends with the size of what it holds.
    let expected = (layer.compression == Compression::Gzip).then(|| size_word(rest)).flatten();
    let mut unpacked = stream::unpack(layer.compression, rest, limit, expected).map_err(fail)?;
    let left = &rest[unpacked.consumed..];
    // Kernels 5.8 to 5.15 append the size, as they do for their own payload; the kernel does not look at it.
    if left.len() == 4 && size_word(left) == Some(unpacked.bytes.len()) {
        unpacked.consumed += 4;
    } else if left.first().is_some_and(|byte| *byte != 0) && magic(left).is_none() {
        return Err(fail(StreamError::Trailing { consumed: unpacked.consumed, stored: rest.len() }));
    }
    let walk =
        cpio::walk(&unpacked.bytes).map_err(|error| KernelError::Cpio { offset: layer.offset, error })?;
    let junk = &unpacked.bytes[walk.end..];
    if junk.is_empty() {
        return Ok((unpacked.bytes, unpacked.consumed));
    }
    if let Some(compression) = Compression::of(junk) {
        return Err(KernelError::Nested { layer: Layer { number: 3, compression, ..layer } });
    }
    let error = CpioError::Junk { offset: walk.end, begin: junk[..junk.len().min(8)].to_vec() };
    Err(KernelError::Cpio { offset: layer.offset, error })
}

/// The last four bytes, as a number.
fn size_word(bytes: &[u8]) -> Option<usize> {
    bytes.last_chunk().map(|word| u32::from_le_bytes(*word) as usize)
}

#[cfg(test)]
mod tests;
