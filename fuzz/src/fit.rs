//! Flattened image trees, with the Image in them unpacked and searched.
#![no_main]

mod seeds;

use bootway_chromeos::kernel::{Compression, fuzz_fit, initramfs, specimen};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds::write(fits), |bytes: &[u8]| {
    if let Ok(kernel) = fuzz_fit(bytes) {
        assert!(kernel.image.len() <= 8 << 20);
        let _ = (kernel.version(), initramfs(&kernel.image, kernel.arch));
    }
});

fn fits() -> Vec<(String, Vec<u8>)> {
    let image = [&[0; 0x38][..], b"ARM\x64", b"Linux version 5.4.1 (x)\0"].concat();
    let all = [("none", Compression::None), ("lz4", Compression::Lz4Frame), ("lzma", Compression::Lzma)];
    all.map(|(name, compression)| {
        (name.to_owned(), specimen::fit(&specimen::compress(compression, &image), name))
    })
    .into()
}
