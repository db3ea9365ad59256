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

/// A boot sector that says `BOOT-DEMO ready` and `demo login: `, answers with what it is told up to the end of a line, says
/// `reboot: Power down`, and switches the machine off (q35: port 0x604):
///
/// ```text
///     xor ax, ax; mov ds, ax; mov si, hello; call say
/// 10: mov dx, 0x3fd
/// 13: in al, dx; test al, 1; jz 13
///     mov dx, 0x3f8; in al, dx; out dx, al; cmp al, '\n'; jne 10
///     mov si, bye; call say
///     mov dx, 0x604; mov ax, 0x2000; out dx, ax
/// 40: hlt; jmp 40
/// say: lodsb; test al, al; jz 54; mov dx, 0x3f8; out dx, al; jmp say
/// 54: ret
/// ```
const TALKS: [u8; 55] = [
    0x31, 0xc0, 0x8e, 0xd8, 0xbe, 0x37, 0x7c, 0xe8, 0x21, 0x00, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74,
    0xfb, 0xba, 0xf8, 0x03, 0xec, 0xee, 0x3c, 0x0a, 0x75, 0xef, 0xbe, 0x55, 0x7c, 0xe8, 0x0a, 0x00, 0xba,
    0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4, 0xeb, 0xfd, 0xac, 0x84, 0xc0, 0x74, 0x06, 0xba, 0xf8, 0x03,
    0xee, 0xeb, 0xf5, 0xc3,
];

/// A disk of 1 MiB with a guest that talks, and switches itself off.
pub(crate) fn talking_disk() -> Vec<u8> {
    let mut disk = TALKS.to_vec();
    disk.extend(b"BOOT-DEMO ready\r\ndemo login: \0\rreboot: Power down\r\n\0");
    disk.resize(510, 0);
    disk.extend([0x55, 0xaa]);
    disk.resize(1 << 20, 0);
    disk
}
