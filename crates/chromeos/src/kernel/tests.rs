//! Kernels in every compression there is, made small, and damaged.

use insta::assert_snapshot;
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    specimen::{
        ALL, PAYLOAD, SETUP, archive, bzimage, compress, filter, filter_in, payload, shim_cpio, vmlinux,
    },
    *,
};
use crate::vboot::{self, Keyblock, Pack, PrivateKey};

/// Where a body begins in the partitions made here.
const BODY: usize = 0x10000;
/// A partition with a kernel in it, signed with a key that everybody has.
fn pack(kernel: &[u8], arch: vboot::PackArch) -> (Vec<u8>, KernelPartition) {
    const KEYS: &str = "/usr/share/vboot/devkeys";
    let read = |name: &str| {
        fs_err::read(format!("{KEYS}/{name}"))
            .unwrap_or_else(|error| panic!("{error}; apt install vboot-kernel-utils"))
    };
    let keyblock = Keyblock::parse(&read("kernel.keyblock")).unwrap();
    let key = PrivateKey::parse(&read("kernel_data_key.vbprivk")).unwrap();
    let pack = Pack { arch, ..Pack::new(kernel, "console= ro", &keyblock, &key) };
    let bytes = vboot::pack(&pack).unwrap();
    let partition = KernelPartition::parse(&bytes).unwrap();
    assert_eq!(partition.body.start, BODY);
    (bytes, partition)
}

/// A partition with a bzImage in it.
fn partition(bzimage: &[u8]) -> (Vec<u8>, KernelPartition) {
    pack(bzimage, vboot::PackArch::X86)
}

/// A partition of which only the body matters.
pub(crate) fn of_body(body: Range<usize>) -> KernelPartition {
    static ANY: std::sync::LazyLock<KernelPartition> =
        std::sync::LazyLock::new(|| pack(b"any", vboot::PackArch::Arm).1);
    KernelPartition {
        config: body.start..body.start,
        zero_page: body.start..body.start,
        bootloader: body.start..body.start,
        vmlinuz_header: None,
        body,
        ..ANY.clone()
    }
}

#[test]
fn every_pair_of_compressions_comes_out_as_it_was_packed() {
    let cpio = shim_cpio();
    for inner in [Compression::None].into_iter().chain(ALL) {
        let stored = compress(inner, &cpio);
        for wide in [true, false] {
            let vmlinux = vmlinux(&stored, wide);
            for outer in if wide { &ALL[..] } else { &ALL[..1] } {
                let bzimage = bzimage(&payload(*outer, &vmlinux));
                let (bytes, partition) = partition(&bzimage);
                let kernel = boot_kernel(&bytes, &partition).unwrap();
                assert_eq!((kernel.compression, kernel.note.as_deref()), (*outer, None));
                assert!(kernel.image == bzimage, "{outer}: the bzImage is another");
                let unpacked = kernel.decompress().unwrap_or_else(|error| panic!("{outer}:{inner}: {error}"));
                assert!(unpacked == vmlinux, "{outer}: the kernel is another");
                let found = initramfs(&unpacked, kernel.arch)
                    .unwrap_or_else(|error| panic!("{outer}:{inner}: {error}"));
                assert_eq!((found.compression, found.stored), (inner, stored.len()));
                assert!(found.cpio == cpio, "{outer}:{inner}: the archive is another");
                assert!(vmlinux[found.offset..].starts_with(&stored));
            }
        }
    }
}

#[test]
fn the_version_is_that_of_the_setup_header_and_of_the_banner() {
    let vmlinux = vmlinux(&shim_cpio(), true);
    let (bytes, mut partition) = partition(&bzimage(&payload(Compression::Gzip, &vmlinux)));
    let kernel = boot_kernel(&bytes, &partition).unwrap();
    assert_eq!(kernel.version().as_deref(), Some("6.1.0-test"));
    assert_eq!(banner(&vmlinux).as_deref(), Some("6.1.0-test"));
    partition.vmlinuz_header = None;
    let kernel = boot_kernel(&bytes, &partition).unwrap();
    assert_eq!(kernel.version().as_deref(), Some("6.1.0-test"), "unpacked, where no setup header is");
}

#[test]
fn a_partition_without_a_setup_header_gets_one_that_starts_the_same_kernel() {
    let vmlinux = vmlinux(&shim_cpio(), true);
    let bzimage = bzimage(&payload(Compression::Xz, &vmlinux));
    let (bytes, mut partition) = partition(&bzimage);
    partition.vmlinuz_header = None;
    let kernel = boot_kernel(&bytes, &partition).unwrap();
    assert_eq!(kernel.image[5 * 512..], bzimage[SETUP..], "the protected-mode part is as it was");
    assert_eq!(kernel.decompress().unwrap(), vmlinux);
    // What boot loaders look at: sectors, magic numbers, loaded high, where it starts, no loader and no command line.
    assert_eq!(kernel.image[0x1f1], 4);
    assert_eq!(kernel.image[0x1fe..0x208], *b"\x55\xaa\xeb\x7eHdrS\x0f\x02");
    assert_eq!((kernel.image[0x210], kernel.image[0x211]), (0, 1));
    assert_eq!(kernel.image[0x214..0x218], 0x10_0000_u32.to_le_bytes());
    assert_eq!(kernel.image[0x228..0x22c], [0; 4]);
    assert_snapshot!(kernel.note.unwrap(), @"the partition has no real-mode part (its preamble is older than 2.1), so the bzImage begins with one of bootway's own, and cannot be started by UEFI");
}

#[test]
fn the_real_mode_part_is_what_its_source_says() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/kernel/setup/realmode.s");
    let run = |program: &str, args: &[&str]| drop(filter_in(dir, program, args, "binutils", b""));
    run("as", &["--32", source, "-o", "object"]);
    run("ld", &["-m", "elf_i386", "-Ttext", "0", "-e", "0", "--oformat", "binary", "-o", "binary", "object"]);
    let assembled = fs_err::read(format!("{dir}/binary")).unwrap();
    assert_eq!(setup::realmode_code(), &assembled[0x280..]);
}

/// Debian's own kernel, by the script that Linux has for it.
#[test]
fn a_kernel_of_debian_unpacks_as_its_own_script_does() {
    let kernels = fs_err::read_dir("/boot").unwrap().map(|entry| entry.unwrap().path());
    let path = kernels
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")))
        .max();
    let path = path.expect("no kernel in /boot; apt install linux-image-cloud-amd64");
    let bzimage = fs_err::read(&path).unwrap();
    let header = (usize::from(bzimage[0x1f1]) + 1) * 512;
    let size = u32::from_le_bytes(*bzimage[0x1f4..].first_chunk().unwrap()) as usize * 16;
    let word = |at: usize| u32::from_le_bytes(*bzimage[at..].first_chunk().unwrap()) as usize;
    let stored = &bzimage[header + word(0x248)..][..word(0x24c)];
    let payload = header + word(0x248)..header + word(0x248) + stored.len();
    let kernel = BootKernel {
        arch: Arch::X8664,
        image: bzimage[..header + size].to_vec(),
        note: None,
        payload,
        compression: Compression::of(stored).unwrap(),
    };
    let unpacked = kernel.decompress().unwrap();
    // `extract-vmlinux` cuts at the magic number and lets the program ignore the size word.
    let (program, cut) = match kernel.compression {
        Compression::Gzip => ("gzip", 0),
        Compression::Xz => ("xz", 4),
        Compression::Zstd => ("zstd", 4),
        Compression::Lz4Legacy => ("lz4", 4),
        other => panic!("Debian compresses with {other} now"),
    };
    let witness = filter(program, &["-dc"], program, &stored[..stored.len() - cut]);
    assert!(unpacked == witness);
    let release = path.file_name().unwrap().to_string_lossy().replace("vmlinuz-", "");
    assert_eq!(kernel.version().unwrap(), release);
    assert_eq!(banner(&unpacked).unwrap(), release);
    // It has no initramfs of its own, but that of 512 bytes which every kernel has.
    let error = initramfs(&unpacked, kernel.arch).unwrap_err();
    assert!(matches!(error, KernelError::NoInit { files: 3, size: 512 }), "{error}");
}

#[test]
fn a_kernel_too_old_to_say_where_its_payload_is_is_whole_all_the_same() {
    let mut bzimage = bzimage(&payload(Compression::Gzip, b"no matter"));
    bzimage[0x206] = 7;
    let (bytes, partition) = partition(&bzimage);
    let kernel = boot_kernel(&bytes, &partition).unwrap();
    assert_eq!(kernel.image, bzimage);
    assert_snapshot!(kernel.decompress().unwrap_err(), @"the boot protocol of the kernel is 2.07, and the place of the payload is known from 2.08 on (Linux 2.6.26)");
}

#[test]
fn what_is_neither_a_bzimage_nor_a_fit_is_named() {
    let name = |at: usize, magic: &[u8]| {
        let mut bytes = vec![0; BODY + 0x4000];
        bytes[BODY + at..][..magic.len()].copy_from_slice(magic);
        boot_kernel(&bytes, &of_body(BODY..BODY + 0x4000)).unwrap_err().to_string()
    };
    assert_snapshot!(name(0x24, &0x016f_2818_u32.to_le_bytes()), @"the body at byte 65536 of the kernel partition is a zImage for 32-bit Arm: a bzImage or a FIT for arm64 is needed");
    assert_snapshot!(name(0, b"ANDROID!"), @"the body at byte 65536 of the kernel partition is an Android boot image: a bzImage or a FIT for arm64 is needed");
    assert_snapshot!(name(0, b"\x27\x05\x19\x56"), @"the body at byte 65536 of the kernel partition is a legacy uImage: a bzImage or a FIT for arm64 is needed");
    assert_snapshot!(name(0, b"whatever"), @"the body at byte 65536 of the kernel partition is unknown (it begins with [77, 68, 61, 74, 65, 76, 65, 72], and its zero page at byte 65536 has no setup header): a bzImage or a FIT for arm64 is needed");
}

/// Everything that is done with a partition, in one word.
fn all_of(
    bytes: &[u8],
    partition: &KernelPartition,
) -> Result<(BootKernel, Vec<u8>, Initramfs), KernelError> {
    let kernel = boot_kernel(bytes, partition)?;
    let vmlinux = kernel.decompress()?;
    let initramfs = initramfs(&vmlinux, kernel.arch)?;
    Ok((kernel, vmlinux, initramfs))
}

#[test]
fn every_byte_of_the_setup_header_and_its_copy_is_held_against_the_other() {
    let vmlinux = vmlinux(&compress(Compression::Xz, &shim_cpio()), true);
    let (bytes, partition) = partition(&bzimage(&payload(Compression::Gzip, &vmlinux)));
    let good = all_of(&bytes, &partition).unwrap();
    let header = partition.vmlinuz_header.clone().unwrap().start;
    for (begin, in_header) in [(header, true), (partition.zero_page.start, false)] {
        for at in (0x1f1..0x26c).filter(|at| !in_header || !(0x1fe..0x200).contains(at)) {
            let mut bytes = bytes.clone();
            bytes[begin + at] ^= 0x10;
            match all_of(&bytes, &partition) {
                Ok((kernel, vmlinux, initramfs)) => {
                    assert_eq!((&vmlinux, &initramfs), (&good.1, &good.2), "{at:#x}");
                    let same = kernel.image == good.0.image;
                    assert!(same || in_header && kernel.image[at] == bytes[begin + at], "{at:#x}");
                    // What differs is said, but for what boot loaders write.
                    let of_loader =
                        matches!(at, 0x1fa..=0x1ff | 0x210..=0x211 | 0x218..=0x21f | 0x224..=0x22b);
                    assert!(kernel.note.is_some() || of_loader, "{at:#x}");
                }
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        text.contains(" at byte ") && text.contains("of the kernel partition"),
                        "{at:#x}: {text}"
                    );
                }
            }
        }
    }
}

#[test]
fn damaged_setup_headers_are_explained() {
    let (bytes, partition) = partition(&bzimage(&payload(Compression::Gzip, b"small")));
    let with = |at: usize, value: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        boot_kernel(&bytes, &partition).unwrap_err().to_string()
    };
    let zero_page = partition.zero_page.start;
    let header = partition.vmlinuz_header.clone().unwrap().start;
    assert_snapshot!(with(zero_page + 0x1f4, &[0xff; 4]), @"zero page at byte 74228 of the kernel partition: `syssize` is 0xffffffff, 68719476720 bytes, and there are 4096 up to the config page");
    assert_snapshot!(with(zero_page + 0x24c, &[0xff; 4]), @"setup header at byte 78412 of the kernel partition: `payload_length` is 0x19, and 0xffffffff in the copy at byte 74316 (zero page)");
    assert_snapshot!(with(zero_page + 0x202, b"hdrs"), @"the body at byte 65536 of the kernel partition is unknown (it begins with [90, 90, 90, 90, 90, 90, 90, 90], and its zero page at byte 73728 has no setup header): a bzImage or a FIT for arm64 is needed");
    assert_snapshot!(with(header + 0x202, b"hdrs"), @"setup header at byte 78338 of the kernel partition: it has no magic number `HdrS`");
    assert_snapshot!(with(header + 0x1fe, &[0, 0]), @"setup header at byte 78334 of the kernel partition: `boot_flag` is not 0xaa55");
    assert_snapshot!(with(header + 0x1f1, &[9]), @"setup header at byte 78321 of the kernel partition: `setup_sects` is 9, which makes 5120 bytes, and the preamble says 1024");
    assert_snapshot!(with(header + 0x206, &[9]), @"setup header at byte 78342 of the kernel partition: `version` is 0x209, and 0x20f in the copy at byte 74246 (zero page)");
    assert_snapshot!(with(BODY + PAYLOAD, b"what"), @"the payload at byte 1699 of the boot image begins with [77, 68, 61, 74, 00, 00, 00, 00], which is no compression that Linux knows");
    let short = boot_kernel(&bytes[..header + 100], &partition).unwrap_err();
    assert_snapshot!(short, @"body at byte 65536 of the kernel partition: it would end at byte 81920, and the kernel partition ends at 77924");
}

#[test]
fn a_cut_at_every_page_is_an_error_that_names_what_is_missing() {
    let vmlinux = vmlinux(&shim_cpio(), true);
    let (bytes, partition) = partition(&bzimage(&payload(Compression::Lzma, &vmlinux)));
    for length in (0..bytes.len()).step_by(4096) {
        let error = all_of(&bytes[..length], &partition).unwrap_err().to_string();
        assert!(error.contains("at byte"), "{length}: {error}");
    }
}

#[test]
fn a_flip_in_a_payload_is_found_whatever_it_is_compressed_with() {
    let vmlinux = vmlinux(&shim_cpio(), true);
    for compression in ALL {
        let (bytes, partition) = partition(&bzimage(&payload(compression, &vmlinux)));
        let kernel = boot_kernel(&bytes, &partition).unwrap();
        for part in 1..8 {
            let mut kernel = kernel.clone();
            let at = kernel.payload.start + kernel.payload.len() * part / 8;
            kernel.image[at] ^= 0x20;
            let result = kernel.decompress();
            // The LZ4 legacy format has no checksum, but for the sizes.
            let unnoticed = compression == Compression::Lz4Legacy && result.is_ok();
            let error = || result.as_ref().unwrap_err().to_string();
            assert!(
                unnoticed
                    || error().starts_with(&format!(
                        "layer 1, the kernel: {compression} at byte 1699 of the boot image: "
                    )),
                "{result:?}"
            );
        }
    }
}

#[test]
fn what_a_payload_says_of_itself_has_to_be_right() {
    let said = |stored: Vec<u8>, compression: Compression| {
        let (bytes, partition) = partition(&bzimage(&stored));
        let kernel = boot_kernel(&bytes, &partition).unwrap();
        assert_eq!(kernel.compression, compression);
        kernel.decompress().unwrap_err().to_string()
    };
    let xz = compress(Compression::Xz, &[7; 5000]);
    let sized = |size: u32| [xz.clone(), size.to_le_bytes().to_vec()].concat();
    assert_snapshot!(said(sized(5001), Compression::Xz), @"layer 1, the kernel: xz at byte 1699 of the boot image: it holds 5000 bytes, and its size word says 5001");
    assert_snapshot!(said([xz.clone(), vec![0; 8]].concat(), Compression::Xz), @"layer 1, the kernel: xz at byte 1699 of the boot image: it ends after 92 bytes, and 96 are said to be its own");
    assert_snapshot!(said(xz[..xz.len() - 9].to_vec(), Compression::Xz), @"layer 1, the kernel: xz at byte 1699 of the boot image: it does not end within its 79 bytes");
    assert_snapshot!(said([compress(Compression::Lzo, b"x"), vec![1, 0, 0, 0]].concat(), Compression::Lzo), @"layer 1, the kernel: lzo at byte 1699 of the boot image: LZO is known by its name only: there is no reader for it");
    let mut gzip = compress(Compression::Gzip, &[7; 5000]);
    gzip.extend([0; 5]);
    assert_snapshot!(said(gzip, Compression::Gzip), @"layer 1, the kernel: gzip at byte 1699 of the boot image: it ends after 40 bytes, and 45 are said to be its own");
}

#[test]
fn bombs_stop_at_the_limit() {
    let zeros = vec![0; 70 << 20];
    for compression in ALL {
        let bomb = compress(compression, &zeros);
        for expected in [None, Some(1), Some(usize::MAX)] {
            let error = stream::unpack(compression, &bomb, 1 << 20, expected).unwrap_err();
            assert_eq!(error, StreamError::TooLarge { limit: 1 << 20 }, "{compression}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_never_panics(
        compression in prop::sample::select(&ALL[..]),
        flips in vec((any::<Index>(), 1_u8..), 1..4),
        cut in any::<Option<Index>>(),
        in_headers in any::<bool>(),
    ) {
        let cpio = archive(&[("init", b"x")]);
        let elf = vmlinux(&compress(compression, &cpio), true);
        let (mut bytes, partition) = partition(&bzimage(&payload(Compression::Gzip, &elf)));
        for (at, flip) in flips {
            let from = if in_headers { partition.config.end } else { BODY };
            let at = from + at.index(bytes.len() - from);
            bytes[at] ^= flip;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        drop(all_of(&bytes, &partition));
    }

    #[test]
    fn damage_to_an_unpacked_kernel_never_panics(
        compression in prop::sample::select(&[Compression::None, Compression::Xz, Compression::Lz4Frame][..]),
        wide in any::<bool>(),
        flips in vec((any::<Index>(), 1_u8..), 1..6),
        cut in any::<Option<Index>>(),
    ) {
        let mut elf = vmlinux(&compress(compression, &archive(&[("init", b"x")])), wide);
        for (at, flip) in flips {
            let at = at.index(elf.len());
            elf[at] ^= flip;
        }
        if let Some(cut) = cut {
            elf.truncate(cut.index(elf.len()));
        }
        drop((initramfs(&elf, Arch::X8664), config(&elf), banner(&elf)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..3000), elf in any::<bool>()) {
        let mut bytes = bytes;
        if elf {
            bytes.splice(0..0, *b"\x7fELF\x02\x01");
        }
        drop((initramfs(&bytes, Arch::X8664), initramfs(&bytes, Arch::Arm64), config(&bytes)));
        for compression in ALL {
            drop(stream::unpack(compression, &bytes, 1 << 20, None));
        }
    }
}
