//! Small kernels to try things on: for tests, and for the fuzzer to begin with.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use super::Compression;

/// Bytes of the real-mode part.
pub const SETUP: usize = 2 * 512;
/// Where in the protected-mode part the payload begins.
pub const PAYLOAD: usize = 0x2a3;

/// Every compression that kernels are read in.
pub const ALL: [Compression; 7] = [
    Compression::Gzip,
    Compression::Xz,
    Compression::Lzma,
    Compression::Zstd,
    Compression::Lz4Legacy,
    Compression::Lz4Frame,
    Compression::Bzip2,
];

/// Compresses as the build of Linux does, by the same programs (`scripts/Makefile.lib`).
pub fn compress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let (program, args, package): (_, &[&str], _) = match compression {
        Compression::None => return bytes.to_vec(),
        Compression::Gzip => ("gzip", &["-n", "-9"], "gzip"),
        Compression::Xz => ("xz", &["--check=crc32", "--x86", "--lzma2=dict=32MiB"], "xz-utils"),
        Compression::Lzma => ("lzma", &["-9"], "xz-utils"),
        Compression::Zstd => ("zstd", &["-q", "-19"], "zstd"),
        Compression::Lz4Legacy => ("lz4", &["-l", "-9", "-", "-"], "lz4"),
        Compression::Lz4Frame => ("lz4", &["-12", "-z", "-"], "lz4"),
        Compression::Bzip2 => ("bzip2", &["-9"], "bzip2"),
        Compression::Lzo => ("lzop", &["-9"], "lzop"),
    };
    filter(program, args, package, bytes)
}

/// What a program makes of `input`.
///
/// # Panics
///
/// If it is not there, or fails.
pub fn filter(program: &str, args: &[&str], package: &str, input: &[u8]) -> Vec<u8> {
    filter_in(".", program, args, package, input)
}

/// The same in a directory.
///
/// # Panics
///
/// If it is not there, or fails.
#[expect(clippy::disallowed_methods, reason = "tests ask other programs, and feed them")]
pub fn filter_in(dir: &str, program: &str, args: &[&str], package: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("`{program}` does not start: {error}; `cargo xtask setup` installs {package}")
        });
    let mut stdin = child.stdin.take().expect("it is piped");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().expect("it was started")
    });
    assert!(output.status.success(), "`{program} {args:?}` fails");
    output.stdout
}

/// A file of an archive.
fn member(name: &str, mode: u32, data: &[u8]) -> Vec<u8> {
    let mut out = b"070701".to_vec();
    for field in [1, mode as usize, 0, 0, 1, 0, data.len(), 0, 0, 0, 0, name.len() + 1, 0] {
        out.extend(format!("{field:08X}").bytes());
    }
    out.extend(name.bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(data);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// An archive with an `/init`, padded as `gen_init_cpio` and `cpio` do.
pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out: Vec<u8> = files.iter().flat_map(|(name, data)| member(name, 0o100_755, data)).collect();
    out.extend(member("TRAILER!!!", 0, b""));
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

/// A small initramfs that has something in it to find by mistake.
pub fn shim_cpio() -> Vec<u8> {
    let noise: Vec<u8> = (0..4000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    archive(&[
        ("bin/busybox", &noise),
        ("init", b"#!/bin/sh\nexec /bin/bootstrap.sh\n"),
        ("lib/x", &[7; 9000]),
    ])
}

/// A kernel as an ELF file whose initial data hold `initramfs` as the linker puts it, among other things.
pub fn vmlinux(initramfs: &[u8], wide: bool) -> Vec<u8> {
    let (header, entry, word) = if wide { (64, 64, 8) } else { (52, 40, 4) };
    let mut out = vec![0; 0x1000];
    out[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', if wide { 2 } else { 1 }, 1]);
    // Text, with what could be taken for streams: the constants of the decompressors.
    out.extend(b"Linux version 6.1.0-test (someone@somewhere) #1 SMP\n\0");
    out.extend(b"\x02\x21\x4c\x18....\xfd7zXZ\0..\x1f\x8b\x08\x00070701\x28\xb5\x2f\xfdBZh\x5d\0\0");
    out.resize(0x2000, 0x90);
    let begin = out.len();
    out.extend((0..64_u32).flat_map(|n| (n * 8).to_le_bytes()));
    out.extend(b"\xfd7zXZ\0\0 a magic number, and no length");
    out.resize(out.len().next_multiple_of(8) + 4, 0);
    let length = initramfs.len();
    out.extend(initramfs);
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend(&(length as u64).to_le_bytes()[..word]);
    out.extend([0xaa; 64]);
    out.resize(out.len().next_multiple_of(8), 0);
    let size = out.len() - begin;
    let names = out.len();
    out.extend(b"\0.text\0.init.data\0.shstrtab\0.bss\0");
    let names_size = out.len() - names;
    out.resize(out.len().next_multiple_of(8), 0);
    let table = out.len();
    let put = |out: &mut Vec<u8>, value: usize| out.extend(&(value as u64).to_le_bytes()[..word]);
    // Name, type, address, offset and size.
    let sections = [
        (0, 0, 0, 0, 0),
        (1, 1, 0xffff_ffff_8100_0000_usize, 0x1000, 0x1000),
        (28, 8, 0xffff_ffff_8300_0000, 0x7000_0000, 0x7000_0000),
        (7, 1, 0xffff_ffff_8200_0000, begin, size),
        (18, 3, 0, names, names_size),
    ];
    for (name, kind, address, offset, size) in sections {
        let at = out.len();
        out.extend(u32::to_le_bytes(name));
        out.extend(u32::to_le_bytes(kind));
        for value in [0, address, offset, size] {
            put(&mut out, value);
        }
        out.resize(at + entry, 0);
    }
    let (shoff, tail) = if wide { (0x28, 0x3a) } else { (0x20, 0x2e) };
    out[shoff..shoff + word].copy_from_slice(&(table as u64).to_le_bytes()[..word]);
    for (at, value) in [(tail, entry), (tail + 2, sections.len()), (tail + 4, 4), (tail - 6, header)] {
        out[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
    }
    out
}

/// A bzImage whose payload is `stored`.
pub fn bzimage(stored: &[u8]) -> Vec<u8> {
    let size = (PAYLOAD + stored.len() + 100).next_multiple_of(16);
    let mut out = vec![0; SETUP + size];
    out[0x1f1] = 1;
    out[0x1f4..0x1f8].copy_from_slice(&(size as u32 / 16).to_le_bytes());
    out[0x1fe..0x208].copy_from_slice(b"\x55\xaa\xeb\x6aHdrS\x0f\x02");
    out[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    out[0x211] = 1;
    out[0x214..0x218].copy_from_slice(&0x10_0000_u32.to_le_bytes());
    out[0x248..0x24c].copy_from_slice(&(PAYLOAD as u32).to_le_bytes());
    out[0x24c..0x250].copy_from_slice(&(stored.len() as u32).to_le_bytes());
    out[0x300..0x320].copy_from_slice(b"6.1.0-test (someone@somewhere) #");
    out[SETUP..SETUP + PAYLOAD].fill(0x90);
    out[SETUP + PAYLOAD..][..stored.len()].copy_from_slice(stored);
    out
}

/// A payload: `vmlinux`, compressed, with the size word that the build appends.
pub fn payload(compression: Compression, vmlinux: &[u8]) -> Vec<u8> {
    let mut stored = compress(compression, vmlinux);
    if compression != Compression::Gzip {
        stored.extend((vmlinux.len() as u32).to_le_bytes());
    }
    stored
}

/// A FIT with `stored` as its kernel, in the fewest nodes that there can be.
pub fn fit(stored: &[u8], compression: &str) -> Vec<u8> {
    let mut strings: Vec<u8> = Vec::new();
    let mut tokens: Vec<u8> = Vec::new();
    let node = |tokens: &mut Vec<u8>, name: &str| {
        tokens.extend([0, 0, 0, 1]);
        tokens.extend(name.bytes());
        tokens.push(0);
        tokens.resize(tokens.len().next_multiple_of(4), 0);
    };
    let mut property = |tokens: &mut Vec<u8>, name: &str, value: &[u8]| {
        tokens.extend([0, 0, 0, 3]);
        tokens.extend((value.len() as u32).to_be_bytes());
        tokens.extend((strings.len() as u32).to_be_bytes());
        tokens.extend(value);
        tokens.resize(tokens.len().next_multiple_of(4), 0);
        strings.extend(name.bytes());
        strings.push(0);
    };
    for name in ["", "images", "kernel"] {
        node(&mut tokens, name);
    }
    property(&mut tokens, "compression", &[compression.as_bytes(), &[0]].concat());
    property(&mut tokens, "arch", b"arm64\0");
    property(&mut tokens, "data", stored);
    tokens.extend([0, 0, 0, 2, 0, 0, 0, 2]);
    node(&mut tokens, "configurations");
    property(&mut tokens, "default", b"conf\0");
    node(&mut tokens, "conf");
    property(&mut tokens, "kernel", b"kernel\0");
    tokens.extend([0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 9]);
    let (first, second) = (tokens.len() as u32, strings.len() as u32);
    let header = [0xd00d_feed, 56 + first + second, 56, 56 + first, 40, 17, 16, 0, second, first];
    let mut out: Vec<u8> = header.into_iter().flat_map(u32::to_be_bytes).collect();
    out.extend([0; 16]);
    out.extend(tokens);
    out.extend(strings);
    out
}
