//! What the linker wrote, what it might have written, and what somebody else did.

use bootway_plan::Explain;
use insta::assert_snapshot;

use super::*;
use crate::kernel::specimen::{ALL, archive, compress, shim_cpio, vmlinux};

fn found(stored: &[u8]) -> Result<Initramfs, KernelError> {
    initramfs(&vmlinux(stored, true), Arch::X8664)
}

#[test]
fn an_arm64_image_is_searched_as_a_whole() {
    let cpio = shim_cpio();
    for compression in [Compression::Gzip, Compression::None] {
        let stored = compress(compression, &cpio);
        let mut image = vec![0; 0x38];
        image.extend(b"ARM\x64");
        image.resize(0x2004, 3);
        image.extend(&stored);
        image.resize(image.len().next_multiple_of(8), 0);
        image.extend((stored.len() as u64).to_le_bytes());
        image.extend([9; 100]);
        let found = initramfs(&image, Arch::Arm64).unwrap();
        assert_eq!((found.offset, found.stored, found.compression), (0x2004, stored.len(), compression));
        assert!(found.cpio == cpio);
    }
}

#[test]
fn a_flip_in_the_stream_names_layer_offset_and_compression() {
    let cpio = shim_cpio();
    for compression in ALL {
        let stored = compress(compression, &cpio);
        for part in 2..8 {
            let mut stored = stored.clone();
            let at = stored.len() * part / 8;
            stored[at] ^= 0x20;
            match found(&stored) {
                Err(error) => {
                    let text = error.to_string();
                    let layer = format!(
                        "layer 2, the initramfs: {compression} at byte 8492 of the decompressed kernel: "
                    );
                    let archive = "layer 2, the initramfs at byte 8492 of the decompressed kernel: the cpio";
                    assert!(text.starts_with(&layer) || text.starts_with(archive), "{text}");
                }
                // No checksum: the flip is in a file's data.
                Ok(found) => {
                    assert_eq!((compression, found.cpio.len()), (Compression::Lz4Legacy, cpio.len()));
                }
            }
        }
    }
    let mut stored = compress(Compression::Xz, &cpio);
    let middle = stored.len() / 2;
    stored[middle] ^= 1;
    assert_snapshot!(found(&stored).unwrap_err(), @"layer 2, the initramfs: xz at byte 8492 of the decompressed kernel: damaged at byte 8349 of 16464: lzma data error");
}

#[test]
fn a_cut_stream_is_not_taken_for_a_whole_one() {
    let stored = compress(Compression::Zstd, &shim_cpio());
    assert_snapshot!(found(&stored[..stored.len() - 20]).unwrap_err(), @"layer 2, the initramfs: zstd at byte 8492 of the decompressed kernel: it does not end within its 16164 bytes");
}

#[test]
fn the_size_word_of_older_builds_is_allowed_and_another_is_not() {
    let cpio = shim_cpio();
    for compression in ALL.into_iter().filter(|compression| *compression != Compression::Gzip) {
        let stored = [compress(compression, &cpio), (cpio.len() as u32).to_le_bytes().to_vec()].concat();
        assert!(found(&stored).unwrap().cpio == cpio, "{compression}");
    }
    let stored = [compress(Compression::Xz, &cpio), vec![1, 2, 3, 4]].concat();
    assert_snapshot!(found(&stored).unwrap_err(), @"layer 2, the initramfs: xz at byte 8492 of the decompressed kernel: it ends after 16464 bytes, and 16468 are said to be its own");
}

#[test]
fn archives_and_streams_may_follow_each_other_as_the_kernel_allows() {
    let first = archive(&[("kernel/firmware", b"early"), ("dev", b"")]);
    let second = shim_cpio();
    let stored = [first.clone(), compress(Compression::Xz, &second), vec![0; 6]].concat();
    let all = found(&stored).unwrap();
    assert_eq!(all.compression, Compression::None);
    assert!(all.cpio == [first.clone(), second.clone()].concat());
    let both = [first, second].concat();
    let one = found(&compress(Compression::Zstd, &both)).unwrap();
    assert!(one.cpio == both, "two archives in one stream");
}

#[test]
fn an_archive_that_is_compressed_twice_is_named() {
    let stored = compress(Compression::Gzip, &compress(Compression::Zstd, &shim_cpio()));
    assert_snapshot!(found(&stored).unwrap_err(), @"layer 3, inside of the initramfs: zstd at byte 8492 of the decompressed kernel is compressed again, once unpacked: the kernel would not start with it");
}

#[test]
fn the_archive_that_every_kernel_has_is_no_shim() {
    let cpio = archive(&[("dev", b""), ("dev/console", b""), ("root", b"")]);
    let error = found(&compress(Compression::Gzip, &cpio)).unwrap_err();
    assert_eq!(error, KernelError::NoInit { files: 3, size: cpio.len() });
    assert_snapshot!(error, @"not a shim: the initramfs of this kernel has 3 files in 512 bytes and no `/init`: it is the default archive of a kernel without one");
    assert_snapshot!(error.hint().unwrap(), @"RMA shims have their initramfs in the kernel; a recovery image or an installed system is no shim");
}

#[test]
fn a_kernel_without_an_initramfs_says_what_was_looked_for() {
    let mut kernel = vmlinux(&shim_cpio(), true);
    let length = (shim_cpio().len() as u64).to_le_bytes();
    let at = memchr::memmem::rfind(&kernel, &length).unwrap();
    kernel[at] ^= 0x80;
    assert_snapshot!(initramfs(&kernel, Arch::X8664).unwrap_err(), @"no initramfs in the decompressed kernel: of 25976 bytes that were searched, 5 begin like one, and none of these is followed by the length that the linker writes");
    assert_snapshot!(found(b"").unwrap_err(), @"no initramfs in the decompressed kernel: of 376 bytes that were searched, 1 begin like one, and none of these is followed by the length that the linker writes");
}

#[test]
fn junk_is_named() {
    let cpio = shim_cpio();
    assert_snapshot!(found(&[cpio.clone(), b"junk".to_vec()].concat()).unwrap_err(), @"layer 2, the initramfs: what follows at byte 34092 of the decompressed kernel is neither padding nor an archive: [6a, 75, 6e, 6b]");
    let inside = [cpio.clone(), b"junk".to_vec()].concat();
    assert_snapshot!(found(&compress(Compression::Gzip, &inside)).unwrap_err(), @"layer 2, the initramfs at byte 8492 of the decompressed kernel: the cpio archive is followed at byte 25600 by [6a, 75, 6e, 6b], which is neither padding nor an archive");
    let mut damaged = cpio;
    damaged[20] = b'x';
    assert_snapshot!(found(&damaged).unwrap_err(), @"layer 2, the initramfs at byte 8492 of the decompressed kernel: the cpio header has a field at byte 14 that is not hexadecimal");
}

#[test]
fn of_two_places_the_one_that_is_whole_is_taken_and_two_whole_ones_contradict() {
    let cpio = shim_cpio();
    let stored = compress(Compression::Xz, &cpio);
    let place = |bytes: &[u8]| {
        let mut out = bytes.to_vec();
        out.resize(out.len().next_multiple_of(8), 0);
        out.extend((bytes.len() as u64).to_le_bytes());
        out
    };
    let mut damaged = stored.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let one = [place(&damaged), place(&stored)].concat();
    let found = initramfs(&one, Arch::Arm64).unwrap();
    assert_eq!(found.offset, place(&damaged).len());
    let two = [place(&stored), place(&stored)].concat();
    assert_snapshot!(initramfs(&two, Arch::Arm64).unwrap_err(), @"2 places in the decompressed kernel claim to be its initramfs, and contradict each other: 16464 bytes of xz at 0, which are whole; 16464 bytes of xz at 16472, which are whole");
    let none = [place(&damaged), place(&damaged)].concat();
    assert!(matches!(initramfs(&none, Arch::Arm64), Err(KernelError::Contradiction { .. })));
}

#[test]
fn every_byte_of_the_elf_header_and_its_sections_may_be_damaged() {
    let stored = compress(Compression::Gzip, &shim_cpio());
    for wide in [true, false] {
        let kernel = vmlinux(&stored, wide);
        let good = initramfs(&kernel, Arch::X8664).unwrap();
        let table = kernel.len() - 5 * if wide { 64 } else { 40 };
        for at in (0..64).chain(table..kernel.len()) {
            let mut kernel = kernel.clone();
            kernel[at] ^= 0x81;
            match initramfs(&kernel, Arch::X8664) {
                // Found in the whole file, if its section is not.
                Ok(found) => {
                    assert_eq!((found.offset, found.cpio == good.cpio), (good.offset, true), "{at:#x}");
                }
                Err(KernelError::NoInitramfs { .. }) => {}
                Err(error) => assert!(error.to_string().starts_with("ELF "), "{at:#x}: {error}"),
            }
        }
    }
}
