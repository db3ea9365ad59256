//! bzImages: the setup header, the two halves put together, and where the payload is.
//!
//! Source: Linux, `Documentation/x86/boot.rst`; vboot, `host/lib/host_kernel.c`, which takes a bzImage apart.

use super::{Arch, BootKernel, Compression, KernelError, Within, part, release};
use crate::vboot::KernelPartition;

mod realmode;

/// Where the setup header begins, in a bzImage and in boot parameters.
const BEGIN: usize = 0x1f1;
/// The last byte of the first version of the header that has a payload.
const END: usize = 0x250;
/// From this protocol on, the header says where the payload is.
const PAYLOAD_SINCE: u16 = 0x208;

/// Where the fields are that anything depends on.
const FIELDS: [(usize, &str); 5] = [
    (BEGIN, "setup_sects"),
    (0x1f4, "syssize"),
    (0x206, "version"),
    (0x248, "payload_offset"),
    (0x24c, "payload_length"),
];

/// What of the setup header anything depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    /// Sectors of the real-mode part, without the first one.
    setup_sects: u8,
    /// Paragraphs of 16 bytes of the protected-mode part.
    syssize: u32,
    /// Major in the high byte, minor in the low one.
    protocol: u16,
    /// From the begin of the protected-mode part.
    payload_offset: u32,
    /// With its size word.
    payload_length: u32,
}

impl Header {
    /// Reads it from `bytes`, which begin where a bzImage would; nothing if they do not have it.
    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.get(0x202..0x206)? != b"HdrS" {
            return None;
        }
        let byte = |at: usize| bytes.get(at).copied();
        let half = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let protocol = half(0x206)?;
        let says = protocol >= PAYLOAD_SINCE;
        Some(Self {
            setup_sects: byte(BEGIN)?,
            syssize: word(0x1f4)?,
            protocol,
            payload_offset: if says { word(0x248)? } else { 0 },
            payload_length: if says { word(0x24c)? } else { 0 },
        })
    }

    /// One of [`FIELDS`].
    fn field(self, at: usize) -> u32 {
        match at {
            BEGIN => self.setup_sects.into(),
            0x1f4 => self.syssize,
            0x206 => self.protocol.into(),
            0x248 => self.payload_offset,
            _ => self.payload_length,
        }
    }

    /// Bytes of the real-mode part.
    fn setup_size(self) -> usize {
        // Zero means four, for the oldest of boot loaders.
        let sectors = if self.setup_sects == 0 { 4 } else { usize::from(self.setup_sects) };
        (sectors + 1) * 512
    }
}

/// The protocol of a bzImage; 0 if it is none.
pub(super) fn protocol(image: &[u8]) -> u16 {
    Header::parse(image).map_or(0, |header| header.protocol)
}

/// The version that the real-mode part says.
pub(super) fn version(image: &[u8]) -> Option<String> {
    let header = Header::parse(image)?;
    let pointer = u16::from_le_bytes(*image.get(0x20e..)?.first_chunk()?);
    let at = usize::from(pointer) + 0x200;
    (pointer != 0).then(|| release(image.get(at..header.setup_size())?)).flatten()
}

#[cfg(test)]
pub(super) fn realmode_code() -> &'static [u8] {
    &realmode::CODE
}

/// The bzImage of a kernel partition.
pub(super) fn kernel(bytes: &[u8], partition: &KernelPartition) -> Result<BootKernel, KernelError> {
    let zero_page = part(bytes, "zero page", &partition.zero_page)?;
    let body = part(bytes, "body", &partition.body)?;
    let Some(copy) = Header::parse(zero_page).filter(|_| zero_page.len() >= END) else {
        return Err(unknown(body, partition));
    };
    let offset = partition.zero_page.start + 0x1f4;
    let size = copy.syssize as usize * 16;
    let room = partition.config.start.saturating_sub(partition.body.start).min(body.len());
    if size == 0 || size > room {
        let what = format!(
            "`syssize` is {:#x}, {size} bytes, and there are {room} up to the config page",
            copy.syssize
        );
        return Err(damaged("zero page", offset, what));
    }
    let protected = &body[..size];
    let (mut image, note) = match partition.vmlinuz_header.as_ref().filter(|range| !range.is_empty()) {
        Some(range) => {
            let setup = part(bytes, "setup header", range)?;
            (setup.to_vec(), compare(setup, range.start, zero_page, copy, partition)?)
        }
        None => (realmode::setup(zero_page), Some(realmode::NOTE.to_owned())),
    };
    let begin = image.len();
    image.extend_from_slice(protected);
    let (from, length) = (copy.payload_offset as usize, copy.payload_length as usize);
    if copy.protocol < PAYLOAD_SINCE {
        let payload = begin..begin;
        return Ok(BootKernel { arch: Arch::X8664, image, note, payload, compression: Compression::None });
    }
    if length == 0 || from + length > size {
        let what = format!(
            "`payload_offset` {from} and `payload_length` {length} end at {}, and the kernel has {size} bytes",
            from + length
        );
        return Err(damaged("zero page", partition.zero_page.start + 0x248, what));
    }
    let payload = begin + from..begin + from + length;
    let stored = &image[payload.clone()];
    let compression = match Compression::of(stored) {
        Some(compression) => compression,
        None if stored.starts_with(b"\x7fELF") => Compression::None,
        None => {
            let begin = stored[..stored.len().min(8)].to_vec();
            return Err(KernelError::UnknownPayload { offset: payload.start, begin });
        }
    };
    Ok(BootKernel { arch: Arch::X8664, image, note, payload, compression })
}

/// Holds the setup header of `setup`, at byte `at` of the partition, against its copy in the zero page.
///
/// What only boot loaders set may differ; of the rest, what nothing depends on is a note.
fn compare(
    setup: &[u8],
    at: usize,
    zero_page: &[u8],
    copy: Header,
    partition: &KernelPartition,
) -> Result<Option<String>, KernelError> {
    let bad = |field: usize, what: String| Err(damaged("setup header", at + field, what));
    let Some(header) = Header::parse(setup) else {
        return bad(0x202, "it has no magic number `HdrS`".to_owned());
    };
    if setup.get(0x1fe..0x200) != Some(b"\x55\xaa") {
        return bad(0x1fe, "`boot_flag` is not 0xaa55".to_owned());
    }
    if header.setup_size() != setup.len() {
        let what = format!(
            "`setup_sects` is {}, which makes {} bytes, and the preamble says {}",
            header.setup_sects,
            header.setup_size(),
            setup.len()
        );
        return bad(BEGIN, what);
    }
    if let Some((field, name)) =
        FIELDS.into_iter().find(|(field, _)| header.field(*field) != copy.field(*field))
    {
        let (here, there) = (header.field(field), copy.field(field));
        let what = format!(
            "`{name}` is {here:#x}, and {there:#x} in the copy at byte {} (zero page)",
            partition.zero_page.start + field
        );
        return bad(field, what);
    }
    // The length of the header is that of the jump over it.
    let end = (0x202 + usize::from(setup[0x201])).min(setup.len()).min(zero_page.len());
    let differs = (BEGIN..end).find(|at| !is_of_boot_loader(*at) && setup[*at] != zero_page[*at]);
    Ok(differs.map(|field| {
        format!(
            "the setup header and its copy in the zero page differ at {field:#x}: the setup header was taken"
        )
    }))
}

/// Whether boot loaders, and vboot as one of them, write to this byte of the header.
const fn is_of_boot_loader(at: usize) -> bool {
    // `vid_mode`, `root_dev` and `boot_flag`; `type_of_loader` and `loadflags`; `ramdisk_image` and `ramdisk_size`;
    // `heap_end_ptr`, `ext_loader_ver`, `ext_loader_type` and `cmd_line_ptr`.
    matches!(at, 0x1fa..=0x1ff | 0x210..=0x211 | 0x218..=0x21f | 0x224..=0x22b)
}

fn unknown(body: &[u8], partition: &KernelPartition) -> KernelError {
    let begins = |at: usize, magic: &[u8]| body.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let what = if begins(0x24, &0x016f_2818_u32.to_le_bytes()) {
        "a zImage for 32-bit Arm".to_owned()
    } else if begins(0, b"\x27\x05\x19\x56") {
        "a legacy uImage".to_owned()
    } else if begins(0, b"ANDROID!") {
        "an Android boot image".to_owned()
    } else {
        let begin = &body[..body.len().min(8)];
        format!(
            "unknown (it begins with {begin:02x?}, and its zero page at byte {} has no setup header)",
            partition.zero_page.start
        )
    };
    KernelError::Unknown { offset: partition.body.start, what }
}

fn damaged(structure: &'static str, offset: usize, what: String) -> KernelError {
    KernelError::Damaged { structure, offset, within: Within::Partition, what }
}
