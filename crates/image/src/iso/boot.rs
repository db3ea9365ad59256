//! What firmware reads: the boot catalogue, what a loader is told, and the table of a stick.
//!
//! Sources: "El Torito" 1.0, section 2; UEFI 2.10, section 13.3.2.1; `isohybrid.c` and `isolinux.asm` of syslinux 6.

use bootway_plan::Digest;
use camino::Utf8Path;

use super::{BLOCK, IsoError, layout::Boot};

/// Bytes of an entry of the catalogue.
const ENTRY: usize = 32;

/// Sectors of 512 bytes that a BIOS reads of a loader, which reads the rest by itself.
const LOADED: u16 = 4;

/// Bytes of code in a first sector, before what it is told.
pub(super) const CODE: usize = 432;

/// Bytes of a cylinder, as isohybrid counts: 64 heads of 32 sectors.
pub(super) const CYLINDER: u64 = 64 * 32 * 512;

/// The code of a first sector, out of a file that has it.
pub(super) fn mbr_code(path: &Utf8Path) -> Result<[u8; CODE], IsoError> {
    let bytes = fs_err::read(path)?;
    let code = bytes.first_chunk::<CODE>().filter(|_| (CODE..=512).contains(&bytes.len()));
    code.copied().ok_or_else(|| IsoError::Loader {
        path: path.to_string(),
        what: "a BIOS",
        why: format!("it has {} bytes, and the code of a first sector has {CODE} to 512", bytes.len()),
    })
}

/// The boot catalogue, in a block.
pub(super) fn catalogue(bios: Option<Boot>, uefi: Option<Boot>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK as usize);
    let mut validation = [0; ENTRY];
    validation[0] = 1;
    validation[1] = if bios.is_some() { 0 } else { 0xEF };
    validation[30..].copy_from_slice(&[0x55, 0xAA]);
    let sum = validation
        .as_chunks::<2>()
        .0
        .iter()
        .fold(0_u16, |sum, word| sum.wrapping_add(u16::from_le_bytes(*word)));
    validation[28..30].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
    bytes.extend(validation);
    match (bios, uefi) {
        (Some(bios), uefi) => {
            bytes.extend(entry(bios, LOADED));
            if let Some(uefi) = uefi {
                // The last header, with one entry.
                let mut header = [0; ENTRY];
                header[..4].copy_from_slice(&[0x91, 0xEF, 1, 0]);
                bytes.extend(header);
                bytes.extend(entry(uefi, sectors(uefi)));
            }
        }
        (None, Some(uefi)) => bytes.extend(entry(uefi, sectors(uefi))),
        (None, None) => {}
    }
    bytes.resize(BLOCK as usize, 0);
    bytes
}

/// Sectors of 512 bytes of all of it; none if the field has no room for them, and then UEFI takes what follows as far as
/// the disc goes. Source: UEFI 2.10, section 13.3.2.1.
fn sectors(boot: Boot) -> u16 {
    u16::try_from(boot.size.div_ceil(512)).unwrap_or(0)
}

/// Something that starts, without emulation.
fn entry(boot: Boot, sectors: u16) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[0] = 0x88;
    entry[6..8].copy_from_slice(&sectors.to_le_bytes());
    entry[8..12].copy_from_slice(&boot.block.to_le_bytes());
    entry
}

/// Tells a loader where it is: bytes 8 to 63 are for that.
pub(super) fn tell(loader: &mut [u8], boot: Boot) {
    let words = loader.get(64..).unwrap_or_default().chunks(4);
    let sum = words.fold(0_u32, |sum, word| {
        let mut bytes = [0; 4];
        bytes[..word.len()].copy_from_slice(word);
        sum.wrapping_add(u32::from_le_bytes(bytes))
    });
    let mut table = [0; 56];
    for (n, field) in [16, boot.block, boot.size as u32, sum].into_iter().enumerate() {
        table[4 * n..4 * n + 4].copy_from_slice(&field.to_le_bytes());
    }
    loader[8..64].copy_from_slice(&table);
}

/// The first sector of a stick with the image of `size` bytes.
pub(super) fn first_sector(
    code: Option<&[u8; CODE]>,
    bios: Option<Boot>,
    uefi: Option<Boot>,
    size: u64,
    id: &Digest,
) -> [u8; 512] {
    let mut sector = [0; 512];
    if let (Some(code), Some(bios)) = (code, bios) {
        sector[..CODE].copy_from_slice(code);
        sector[CODE..CODE + 8].copy_from_slice(&(u64::from(bios.block) * 4).to_le_bytes());
    }
    sector[440..444].copy_from_slice(&id.identity("disk")[..4]);
    // All of it, for whoever starts active partitions and for nobody else: "hidden NTFS", as isohybrid has it.
    partition(&mut sector[446..462], 0x80, 0x17, 0, size / 512);
    if let Some(uefi) = uefi {
        partition(&mut sector[462..478], 0, 0xEF, u64::from(uefi.block) * 4, uefi.size.div_ceil(512));
    }
    sector[510..].copy_from_slice(&[0x55, 0xAA]);
    sector
}

fn partition(entry: &mut [u8], flag: u8, kind: u8, first: u64, sectors: u64) {
    entry[0] = flag;
    entry[1..4].copy_from_slice(&chs(first));
    entry[4] = kind;
    entry[5..8].copy_from_slice(&chs((first + sectors).saturating_sub(1)));
    let field = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    entry[8..12].copy_from_slice(&field(first));
    entry[12..16].copy_from_slice(&field(sectors));
}

/// Head, sector and cylinder of a sector, as far as the fields go.
fn chs(sector: u64) -> [u8; 3] {
    let cylinder = sector / (64 * 32);
    if cylinder > 1023 {
        return [0xFE, 0xFF, 0xFF];
    }
    let (head, sector) = (sector / 32 % 64, sector % 32 + 1);
    [head as u8, (sector | (cylinder >> 2 & 0xC0)) as u8, cylinder as u8]
}
