//! A guest that needs no kernel: it says something on the first serial port, and leaves QEMU with code 33.

/// A boot sector that prints what follows it:
///
/// ```text
///     xor ax, ax; mov ds, ax; mov si, 0x7c1b
/// 7:  lodsb; test al, al; jz 18
///     mov dx, 0x3f8; out dx, al; jmp 7
/// 18: mov dx, 0xf4; mov al, 0x10; out dx, al
/// 24: hlt; jmp 24
/// ```
const SECTOR: [u8; 27] = [
    0x31, 0xc0, 0x8e, 0xd8, 0xbe, 0x1b, 0x7c, 0xac, 0x84, 0xc0, 0x74, 0x06, 0xba, 0xf8, 0x03, 0xee, 0xeb,
    0xf5, 0xba, 0xf4, 0x00, 0xb0, 0x10, 0xee, 0xf4, 0xeb, 0xfd,
];

/// Lines of a shell that write a disk of 1 MiB to `file`, whose guest says `text`.
pub(crate) fn disk(file: &str, text: &str) -> String {
    let octal: String = SECTOR.iter().map(|byte| format!("\\{byte:03o}")).collect();
    format!(
        "printf '{octal}{text}\\r\\n' > {file}; truncate -s 510 {file}\n\
         printf '\\125\\252' >> {file}; truncate -s 1M {file}\n"
    )
}
