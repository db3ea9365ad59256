//! Machine code that boots.

/// A disk whose boot sector looks whether sector 1 begins with 0x55. If so, it says `kept` on the serial port and
/// stops. If not, it writes that, says `wrote`, and resets the machine through the keyboard controller.
///
/// Before it says anything it waits for 36 ticks of the clock: the firmware sends what it has to say itself bit by bit
/// from the clock's interrupt, and on a busy host that went between our letters.
pub(super) fn image() -> Vec<u8> {
    let code: &[&[u8]] = &[
        &[0x31, 0xC0, 0x8E, 0xD8, 0x8E, 0xC0], // xor ax, ax; mov ds, ax; mov es, ax
        &[0xBC, 0x00, 0x7C],                   // mov sp, 0x7C00
        &[0xB8, 0x01, 0x02, 0xBB, 0x00, 0x80], // read one sector to 0x8000
        &[0xB9, 0x02, 0x00, 0xB6, 0x00, 0xCD, 0x13], // of head 0, track 0, sector 2 (the second)
        &[0xBE, 0x80, 0x7C],                   // mov si, "kept"
        &[0x80, 0x3E, 0x00, 0x80, 0x55, 0x74, 0x19], // cmp byte [0x8000], 0x55; je say
        &[0xC6, 0x06, 0x00, 0x80, 0x55],       // mov byte [0x8000], 0x55
        &[0xB8, 0x01, 0x03, 0xBB, 0x00, 0x80], // write it
        &[0xB9, 0x02, 0x00, 0xB6, 0x00, 0xCD, 0x13],
        &[0xBE, 0x90, 0x7C],                               // mov si, "wrote"
        &[0xB3, 0x01, 0xEB, 0x02],                         // mov bl, 1; jmp over
        &[0x30, 0xDB],                                     // say: xor bl, bl
        &[0xFB, 0xB9, 0x24, 0x00],                         // over: sti; mov cx, 36
        &[0xF4, 0xE2, 0xFD, 0xFA],                         // 0: hlt; loop 0; cli
        &[0xBA, 0xF8, 0x03],                               // mov dx, 0x3F8
        &[0xAC, 0x84, 0xC0, 0x74, 0x03, 0xEE, 0xEB, 0xF8], // 1: lodsb; test al, al; jz 2; out dx, al; jmp 1
        &[0x84, 0xDB, 0x74, 0x04],                         // 2: test bl, bl; jz 3
        &[0xB0, 0xFE, 0xE6, 0x64],                         // mov al, 0xFE; out 0x64, al
        &[0xF4, 0xEB, 0xFD],                               // 3: hlt; jmp 3
    ];
    let code = code.concat();
    assert!(code.len() <= 0x80);
    let mut image = vec![0; 1 << 20];
    image[..code.len()].copy_from_slice(&code);
    image[0x80..0x86].copy_from_slice(b"kept\r\n");
    image[0x90..0x97].copy_from_slice(b"wrote\r\n");
    image[510..512].copy_from_slice(&[0x55, 0xAA]);
    image
}

/// A kernel for QEMU's `-kernel`, in the multiboot format, that does nothing for ever.
pub(super) fn silent_kernel() -> Vec<u8> {
    multiboot(&[0xFA, 0xF4, 0xEB, 0xFD]) // cli; 1: hlt; jmp 1
}

/// A kernel that says its command line on the serial port, and `READY ` in the last row of the screen; then it shows each
/// key that is pressed on both: the scan code and 0x40, as a character, so that `1` is `B` and Enter is `\`, which ends
/// the line of the serial port.
pub(super) fn typewriter() -> Vec<u8> {
    let code: &[&[u8]] = &[
        &[0x8B, 0x73, 0x10],                               // mov esi, [ebx + 16]: the command line
        &[0x66, 0xBA, 0xF8, 0x03],                         // mov dx, 0x3F8
        &[0xAC, 0x84, 0xC0, 0x74, 0x03, 0xEE, 0xEB, 0xF8], // 1: lodsb; test al, al; jz 2; out dx, al; jmp 1
        &[0xB0, 0x0A, 0xEE],                               // 2: mov al, 10; out dx, al
        &[0xBF, 0x00, 0x8F, 0x0B, 0x00],                   // mov edi, 0xB8F00: the last row
        &[0xBE, 0x00, 0x01, 0x10, 0x00, 0xB4, 0x07],       // mov esi, "READY "; mov ah, 7
        &[0xAC, 0x84, 0xC0, 0x74, 0x04, 0x66, 0xAB, 0xEB, 0xF7], // 3: lodsb; test al, al; jz 4; stosw; jmp 3
        &[0xE4, 0x64, 0xA8, 0x01, 0x74, 0xFA],             // 4: in al, 0x64; test al, 1; jz 4
        &[0xE4, 0x60, 0xA8, 0x80, 0x75, 0xF4], // in al, 0x60; test al, 0x80; jnz 4: a key is released
        &[0x04, 0x40, 0x66, 0xAB, 0xEE],       // add al, 0x40; stosw; out dx, al
        &[0x3C, 0x5C, 0x75, 0xEB],             // cmp al, 0x5C; jne 4
        &[0xB0, 0x0A, 0xEE, 0xEB, 0xE6],       // mov al, 10; out dx, al; jmp 4
    ];
    let mut bytes = multiboot(&code.concat());
    bytes[0x100..0x107].copy_from_slice(b"READY \0");
    bytes
}

/// Source: Multiboot Specification 0.6.96, section 3.1.
fn multiboot(code: &[u8]) -> Vec<u8> {
    const MAGIC: u32 = 0x1BAD_B002;
    const HAS_ADDRESSES: u32 = 1 << 16;
    const LOAD: u32 = 0x10_0000;
    let checksum = 0_u32.wrapping_sub(MAGIC).wrapping_sub(HAS_ADDRESSES);
    let entry = LOAD + 32;
    let header = [MAGIC, HAS_ADDRESSES, checksum, LOAD, LOAD, 0, 0, entry];
    let mut bytes = header.map(u32::to_le_bytes).concat();
    bytes.extend_from_slice(code);
    bytes.resize(8192, 0x90);
    bytes
}
