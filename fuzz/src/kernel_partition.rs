//! Kernel partitions: keyblock, preamble, body, and the bzImage that is made of it.
#![no_main]

mod seeds;

use bootway_chromeos::{
    kernel::{Compression, boot_kernel, specimen},
    vboot::{KernelPartition, Keyblock, Pack, PackArch, PrivateKey, pack},
};
use libfuzzer_sys::fuzz_target;

/// The public keys of vboot, as Debian has them.
const KEYS: &str = "/usr/share/vboot/devkeys";

fuzz_target!(init: seeds::write(partitions), |bytes: &[u8]| {
    let Ok(partition) = KernelPartition::parse(bytes) else { return };
    let _ = (partition.cmdline(bytes), partition.remarks(), partition.verify(bytes));
    let Ok(kernel) = boot_kernel(bytes, &partition) else { return };
    assert!(kernel.payload.end <= kernel.image.len());
    let _ = kernel.version();
});

fn partitions() -> Vec<(String, Vec<u8>)> {
    let read = |name: &str| std::fs::read(format!("{KEYS}/{name}")).ok();
    let (Some(keyblock), Some(key)) = (read("kernel.keyblock"), read("kernel_data_key.vbprivk")) else {
        eprintln!("no keys in {KEYS}: beginning with nothing; apt install vboot-kernel-utils");
        return Vec::new();
    };
    let keyblock = Keyblock::parse(&keyblock).expect("vboot's own");
    let key = PrivateKey::parse(&key).expect("vboot's own");
    let bzimage = specimen::bzimage(&specimen::payload(Compression::Gzip, b"Linux version 6.1.0 (x)"));
    let fit = specimen::fit(&[&[0; 0x38][..], b"ARM\x64", &[0; 8]].concat(), "none");
    let one = |name: String, kernel: &[u8], arch, preamble_minor| {
        let pack_ =
            Pack { arch, preamble_minor, padding: 4096, ..Pack::new(kernel, "console= ro", &keyblock, &key) };
        (name, pack(&pack_).expect("it is small"))
    };
    let mut all: Vec<_> =
        (0..3).map(|minor| one(format!("x86-{minor}"), &bzimage, PackArch::X86, minor)).collect();
    all.push(one("arm".to_owned(), &fit, PackArch::Arm, 2));
    all
}
