//! FITs by `dtc`, and what damage does to them.

use insta::assert_snapshot;
use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::kernel::{
    boot_kernel, initramfs,
    specimen::{self, compress, filter, shim_cpio},
    tests::of_body,
};

/// An arm64 Image with an embedded initramfs.
fn image() -> Vec<u8> {
    let stored = compress(Compression::Gzip, &shim_cpio());
    let mut image = vec![0x1f; 0x38];
    image.extend(b"ARM\x64");
    image.extend(b"....Linux version 5.15.1-arm64 (x) #1\n\0");
    image.resize(0x3000, 0);
    image.extend(&stored);
    image.resize(image.len().next_multiple_of(8), 0);
    image.extend((stored.len() as u64).to_le_bytes());
    image.resize(0x8000, 0);
    image
}

/// The source of a FIT as depthcharge wants it.
fn source(compression: &str) -> String {
    format!(
        r#"/dts-v1/;
/ {{
    description = "Chrome OS kernel image with one or more FDT blobs";
    images {{
        kernel@1 {{
            data = /incbin/("data");
            type = "kernel_noload";
            arch = "arm64";
            os = "linux";
            compression = "{compression}";
            load = <0>;
            entry = <0>;
        }};
        fdt@1 {{
            description = "google,krane";
            data = [d00dfeed];
            type = "flat_dt";
            arch = "arm64";
            compression = "none";
            hash@1 {{ algo = "sha1"; }};
        }};
    }};
    configurations {{
        default = "conf@1";
        conf@1 {{
            kernel = "kernel@1";
            fdt = "fdt@1";
            compatible = "google,krane-rev1", "google,krane";
        }};
    }};
}};
"#
    )
}

/// What `dtc` makes of it, with `stored` as the kernel.
fn fit(source: &str, stored: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join("data"), stored).unwrap();
    let args = ["-q", "-q", "-i", dir.path().to_str().unwrap(), "-I", "dts", "-O", "dtb", "-"];
    filter("dtc", &args, "device-tree-compiler", source.as_bytes())
}

fn read(fit: &[u8]) -> Result<BootKernel, KernelError> {
    let bytes = [vec![0; 0x10000], fit.to_vec(), vec![0; 4096]].concat();
    boot_kernel(&bytes, &of_body(0x10000..bytes.len()))
}

#[test]
fn images_come_out_of_every_fit_as_they_were_packed() {
    let image = image();
    for (name, compression) in [
        ("lz4", Compression::Lz4Frame),
        ("lz4", Compression::Lz4Legacy),
        ("lzma", Compression::Lzma),
        ("none", Compression::None),
        ("gzip", Compression::Gzip),
        ("zstd", Compression::Zstd),
    ] {
        let kernel = read(&fit(&source(name), &compress(compression, &image))).unwrap();
        assert_eq!((kernel.arch, kernel.compression), (Arch::Arm64, Compression::None));
        assert!(kernel.image == image, "{name}: the Image is another");
        assert_eq!(kernel.decompress().unwrap(), image);
        assert_eq!(kernel.version().as_deref(), Some("5.15.1-arm64"));
        assert!(initramfs(&kernel.image, kernel.arch).unwrap().cpio == shim_cpio());
    }
    let kernel = read(&fit(&source("lzma"), &compress(Compression::Lzma, &image))).unwrap();
    assert_snapshot!(kernel.note.unwrap(), @"the Image is `kernel@1` of the FIT, where it is stored as lzma");
}

#[test]
fn the_smallest_fit_is_one_to_dtc_too() {
    let fit = specimen::fit(&compress(Compression::Lz4Frame, &image()), "lz4");
    assert!(read(&fit).unwrap().image == image());
    let text = filter("dtc", &["-q", "-q", "-I", "dtb", "-O", "dts", "-"], "device-tree-compiler", &fit);
    assert!(String::from_utf8(text).unwrap().contains("default = \"conf\";"));
}

#[test]
fn a_single_configuration_needs_no_default() {
    let source = source("none").replace("default = \"conf@1\";", "");
    assert!(read(&fit(&source, &image())).unwrap().image == image());
}

#[test]
fn what_is_missing_is_named() {
    let source = source("none");
    let without =
        |from: &str, to: &str| read(&fit(&source.replace(from, to), &image())).unwrap_err().to_string();
    assert_snapshot!(without("default = \"conf@1\"", "default = \"conf@2\""), @"FIT at byte 98756 of the kernel partition: there is no node `/configurations/conf@2`");
    assert_snapshot!(without("kernel = \"kernel@1\"", "kernel = \"kernel@9\""), @"FIT at byte 65664 of the kernel partition: there is no node `/images/kernel@9`");
    assert_snapshot!(without("kernel = \"kernel@1\";", ""), @"FIT at byte 98796 of the kernel partition: there is no property `kernel`");
    assert_snapshot!(without("data = /incbin", "other = /incbin"), @"FIT at byte 65676 of the kernel partition: `kernel@1` has no property `data`: data outside of the tree is not supported");
    assert_snapshot!(without("compression = \"none\";\n            load", "compression = \"lzo\";\n            load"), @"FIT at byte 65676 of the kernel partition: `compression` of `kernel@1` is `lzo`: lz4, lzma and none are used");
    assert_snapshot!(without("arch = \"arm64\";\n            os", "arch = \"arm\";\n            os"), @"FIT at byte 65676 of the kernel partition: `arch` of `kernel@1` is `arm`: arm64 is supported");
    assert_snapshot!(read(&fit(&source, b"something else")).unwrap_err(), @r"FIT at byte 65676 of the kernel partition: `kernel@1` is no arm64 Image: it has no `ARM\x64` at byte 0x38");
}

#[test]
fn damaged_streams_are_layer_one() {
    let mut stored = compress(Compression::Lz4Frame, &image());
    stored.truncate(stored.len() - 10);
    assert_snapshot!(read(&fit(&source("lz4"), &stored)).unwrap_err(), @"layer 1, the kernel: lz4 at byte 65704 of the kernel partition: it does not end within its 16441 bytes");
    let stored = [compress(Compression::Lzma, &image()), vec![1; 3]].concat();
    assert_snapshot!(read(&fit(&source("lzma"), &stored)).unwrap_err(), @"layer 1, the kernel: lzma at byte 65704 of the kernel partition: it ends after 16570 bytes, and 16573 are said to be its own");
}

#[test]
fn every_field_of_the_header_is_checked_or_means_nothing() {
    let good = fit(&source("lz4"), &compress(Compression::Lz4Frame, &image()));
    let expected = read(&good).unwrap();
    for at in 0..HEADER {
        for flip in [0x01, 0x40, 0x80] {
            let mut fit = good.clone();
            fit[at] ^= flip;
            match read(&fit) {
                // `totalsize` grows into what follows, blocks stay where they are; the boot processor means nothing.
                Ok(kernel) => assert_eq!(kernel, expected, "{at}"),
                Err(KernelError::Unknown { .. }) => assert!(at < 4, "{at}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        text.starts_with("FIT at byte ") && text.contains("of the kernel partition: "),
                        "{at}: {text}"
                    );
                }
            }
        }
    }
}

#[test]
fn hostile_trees_are_bounded() {
    let deep = format!("/dts-v1/; / {{ {} {} }};", "a { ".repeat(40), "}; ".repeat(40));
    assert_snapshot!(read(&fit(&deep, b"")).unwrap_err(), @"FIT at byte 65720 of the kernel partition: more than 16384 nodes, or more than 16 inside of each other");
    // As many empty nodes as fit.
    let mut tree = fit("/dts-v1/; / { };", b"");
    let begin = u32::from_be_bytes(*tree[8..].first_chunk().unwrap()) as usize;
    tree.truncate(begin);
    tree.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    for _ in 0..100_000 {
        tree.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
    }
    let (total, length) = (tree.len() as u32, (tree.len() - begin) as u32);
    tree[4..8].copy_from_slice(&total.to_be_bytes());
    tree[12..16].copy_from_slice(&total.to_be_bytes());
    tree[32..36].fill(0);
    tree[36..40].copy_from_slice(&length.to_be_bytes());
    assert_snapshot!(read(&tree).unwrap_err(), @"FIT at byte 262196 of the kernel partition: more than 16384 nodes, or more than 16 inside of each other");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damage_never_panics(flips in vec((any::<Index>(), 1_u8..), 1..6), cut in any::<Option<Index>>()) {
        static GOOD: std::sync::LazyLock<Vec<u8>> =
            std::sync::LazyLock::new(|| fit(&source("lz4"), &compress(Compression::Lz4Frame, &image())));
        let mut fit = GOOD.clone();
        for (at, flip) in flips {
            let at = at.index(fit.len());
            fit[at] ^= flip;
        }
        if let Some(cut) = cut {
            fit.truncate(cut.index(fit.len()));
        }
        drop(kernel(&fit, 0));
    }

    #[test]
    fn arbitrary_tokens_never_panic(words in vec(prop_oneof![0_u32..12, any::<u32>()], 10..200)) {
        let mut fit: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let total = fit.len() as u32;
        let header = [0xd00d_feed, total, 40, 40, 40, 17, 16, 0, total - 40, total - 40];
        for (at, word) in header.into_iter().enumerate() {
            fit[at * 4..at * 4 + 4].copy_from_slice(&u32::to_be_bytes(word));
        }
        drop(kernel(&fit, 0));
    }
}
