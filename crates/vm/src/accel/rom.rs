//! A firmware that proves that a processor works: 64 KiB, for `-bios`.
//!
//! It runs what KVM implementations that are not quite KVM cannot do, or do by emulation, instruction by
//! instruction: kernel code in long mode with paging. It ends QEMU through its `isa-debug-exit` device with
//! [`EXIT_CODE`].

/// How often the loop turns: 25 ms on a processor of 2 GHz, 0.2 s under emulation by QEMU, over 20 s on a KVM that
/// emulates instruction by instruction (2.3 million a second were measured).
const TURNS: u32 = 50_000_000;

/// What the ROM writes to `isa-debug-exit`, which makes it `2 n + 1`.
const EXIT: u8 = 16;

/// How QEMU ends when the ROM has come to its end.
pub(crate) const EXIT_CODE: i32 = 2 * EXIT as i32 + 1;

/// Of the ROM in bytes: the real-mode segment that the reset vector is in.
const SIZE: usize = 0x1_0000;

/// Where the ROM is below 1 MiB, as well as below 4 GiB.
const BASE: u32 = 0xF_0000;

const PROTECTED: u16 = 0x40;
const LONG: u16 = 0xC0;
const GDT: u16 = 0x200;
const GDT_POINTER: u16 = GDT + 4 * 8;
const RESET: usize = 0xFFF0;

/// Null, 32-bit code, data, 64-bit code. They are marked as accessed, as a processor cannot write that into a ROM.
const DESCRIPTORS: [u64; 4] = [0, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF, 0x00AF_9B00_0000_FFFF];

/// The bytes of the ROM.
///
/// Sources: Intel SDM volume 3, sections 9.1.4 (reset vector), 9.8.5 (to long mode) and 4.5 (page tables).
pub(crate) fn image() -> Vec<u8> {
    let mut rom = vec![0xF4; SIZE]; // hlt
    put(&mut rom, 0, &[&real_mode()]);
    put(&mut rom, PROTECTED.into(), &[&protected_mode()]);
    put(&mut rom, LONG.into(), &[&long_mode()]);
    put(&mut rom, GDT.into(), &[&DESCRIPTORS.map(u64::to_le_bytes).concat()]);
    let limit = (DESCRIPTORS.len() as u16 * 8 - 1).to_le_bytes();
    put(&mut rom, GDT_POINTER.into(), &[&limit, &(BASE + u32::from(GDT)).to_le_bytes()]);
    put(&mut rom, RESET, &[&[0xE9, 0x0D, 0x00]]); // jmp 0, counted from behind itself
    rom
}

fn put(rom: &mut [u8], at: usize, parts: &[&[u8]]) {
    let bytes = parts.concat();
    rom[at..at + bytes.len()].copy_from_slice(&bytes);
}

fn real_mode() -> Vec<u8> {
    [
        &[0xFA][..],                     // cli
        &[0x2E, 0x66, 0x0F, 0x01, 0x16], // lgdt cs:[GDT_POINTER]
        &GDT_POINTER.to_le_bytes(),
        &[0x0F, 0x20, 0xC0, 0x0C, 0x01, 0x0F, 0x22, 0xC0], // cr0 |= PE
        &[0x66, 0xEA],                                     // jmp 0x08:PROTECTED
        &(BASE + u32::from(PROTECTED)).to_le_bytes(),
        &[0x08, 0x00],
    ]
    .concat()
}

/// Maps the first 2 MiB to themselves with one large page, and switches to long mode. RAM begins as zeros.
fn protected_mode() -> Vec<u8> {
    let store = |at: u32, value: u32| [&[0xC7, 0x05][..], &at.to_le_bytes(), &value.to_le_bytes()].concat();
    [
        &[0xB8, 0x10, 0x00, 0x00, 0x00, 0x8E, 0xD8, 0x8E, 0xD0][..], // mov eax, 0x10; mov ds, ax; mov ss, ax
        &store(0x1000, 0x2003), // level 4, entry 0: level 3, present, writable
        &store(0x2000, 0x3003), // level 3, entry 0: level 2
        &store(0x3000, 0x0083), // level 2, entry 0: 2 MiB from 0
        &[0xB8, 0x00, 0x10, 0x00, 0x00, 0x0F, 0x22, 0xD8], // cr3 = 0x1000
        &[0x0F, 0x20, 0xE0, 0x83, 0xC8, 0x20, 0x0F, 0x22, 0xE0], // cr4 |= PAE
        &[0xB9, 0x80, 0x00, 0x00, 0xC0, 0x0F, 0x32], // rdmsr EFER
        &[0x0D, 0x00, 0x01, 0x00, 0x00, 0x0F, 0x30], // EFER |= LME
        &[0x0F, 0x20, 0xC0, 0x0D, 0x00, 0x00, 0x00, 0x80, 0x0F, 0x22, 0xC0], // cr0 |= PG
        &[0xEA],                // jmp 0x18:LONG
        &(BASE + u32::from(LONG)).to_le_bytes(),
        &[0x18, 0x00],
    ]
    .concat()
}

fn long_mode() -> Vec<u8> {
    [
        &[0xB9][..], // mov ecx, TURNS
        &TURNS.to_le_bytes(),
        &[0xFF, 0xC9, 0x75, 0xFC],             // 1: dec ecx; jnz 1b
        &[0x0F, 0x20, 0xD8, 0x0F, 0x22, 0xD8], // mov rax, cr3; mov cr3, rax
        &[0x66, 0xBA, 0xF8, 0x03],             // mov dx, 0x3F8, the first serial port
        &[0xB0, b'o', 0xEE, 0xB0, b'k', 0xEE, 0xB0, b'\n', 0xEE], // mov al, …; out dx, al
        &[0x66, 0xBA, 0xF4, 0x00],             // mov dx, 0xF4, isa-debug-exit
        &[0xB0, EXIT, 0xEE],                   // mov al, EXIT; out dx, al
        &[0xF4, 0xEB, 0xFD],                   // 2: hlt; jmp 2b
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_do_not_overlap() {
        assert!(real_mode().len() <= PROTECTED.into());
        assert!(usize::from(PROTECTED) + protected_mode().len() <= LONG.into());
        assert!(usize::from(LONG) + long_mode().len() <= GDT.into());
    }
}
