//! qcow2 images: headers, tables of clusters, and the partition table of the disk in them.
#![no_main]

mod image;
mod seeds;

use std::process::Command;

use bootway_plan::ArtifactKind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds::write(images), |bytes: &[u8]| image::examine(ArtifactKind::Qcow2, bytes));

/// What qemu-img makes, with the smallest clusters and with large ones.
#[expect(clippy::disallowed_methods, reason = "the images are somebody else's")]
fn images() -> Vec<(String, Vec<u8>)> {
    let disk = image::file().with_extension("raw");
    let mut bytes = vec![0; 48 << 10];
    for at in [0, 512, 20 << 10, 47 << 10] {
        bytes[at..at + 16].copy_from_slice(b"EFI PART\0\0\x01\0\x5c\0\0\0");
    }
    std::fs::write(&disk, bytes).expect("a file can be written");
    let kinds = [("small", "cluster_size=512"), ("older", "cluster_size=512,compat=0.10"), ("large", "cluster_size=4096")];
    let made = kinds.map(|(name, options)| {
        let path = image::file().with_extension(name);
        let status = Command::new("qemu-img")
            .args(["convert", "-f", "raw", "-O", "qcow2", "-o", options, disk.as_str(), path.as_str()])
            .status()
            .expect("install it with `apt-get install qemu-utils`");
        assert!(status.success(), "qemu-img: {status}");
        let bytes = std::fs::read(&path).expect("it was just written");
        let _ = std::fs::remove_file(&path);
        (name.to_owned(), bytes)
    });
    let _ = std::fs::remove_file(&disk);
    made.into()
}
