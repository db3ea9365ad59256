//! Decompressed kernels: sections, the embedded initramfs, the configuration, and what they say they can do.
#![no_main]

mod seeds;

use bootway_chromeos::kernel::{Arch, Compression, banner, config, fitness, initramfs, specimen};
use bootway_image::Tree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds::write(kernels), |bytes: &[u8]| {
    for arch in [Arch::X8664, Arch::Arm64] {
        if let Ok(found) = initramfs(bytes, arch) {
            assert!(found.offset + found.stored <= bytes.len());
            let _ = Tree::from_cpio(&found.cpio);
        }
    }
    let config = config(bytes);
    let _ = fitness::abilities(config.as_ref(), bytes);
    if let Some(version) = banner(bytes).and_then(|text| fitness::Version::parse(&text)) {
        let _ = (fitness::systemd(version), fitness::compressed_modules(version, config.as_ref()));
    }
});

fn kernels() -> Vec<(String, Vec<u8>)> {
    let cpio = specimen::archive(&[("init", b"x"), ("bin/sh", b"elf")]);
    let mut all = Vec::new();
    for compression in [Compression::None].into_iter().chain(specimen::ALL) {
        let stored = specimen::compress(compression, &cpio);
        for wide in [true, false] {
            all.push((format!("{compression}-{wide}"), specimen::vmlinux(&stored, wide)));
        }
    }
    let config = specimen::compress(Compression::Gzip, b"CONFIG_SQUASHFS=y\nCONFIG_LOCALVERSION=\"-x\"\n");
    all.push(("config".to_owned(), [b"Linux version 6.1.0 (x)\0IKCFG_ST", &*config, b"IKCFG_ED"].concat()));
    all
}
