#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::print_stdout, clippy::unwrap_used, clippy::allow_attributes, clippy::allow_attributes_without_reason)]
use bootway_chromeos::{kernel::*, vboot::*};
use std::time::Instant;
use sha2::Digest;
fn hex(b: &[u8]) -> String { sha2::Sha256::digest(b).iter().map(|b| format!("{b:02x}")).collect() }
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let all = std::fs::read(&path).unwrap();
    let start: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let len: usize = std::env::args().nth(3).unwrap().parse().unwrap();
    let bytes = &all[start * 512..(start + len) * 512];
    let t = Instant::now();
    let mut part = KernelPartition::parse(bytes).unwrap();
    println!("parse {:?} body {:?} config {:?} header {:?}", t.elapsed(), part.body, part.config, part.vmlinuz_header);
    if std::env::args().nth(4).as_deref() == Some("old") { part.vmlinuz_header = None; }
    let t = Instant::now();
    let kernel = boot_kernel(bytes, &part).unwrap();
    println!("boot_kernel {:?} {} bytes {:?} {:?} {:?}", t.elapsed(), kernel.image.len(), kernel.note, kernel.payload, kernel.compression);
    let t = Instant::now();
    let vmlinux = kernel.decompress().unwrap();
    println!("decompress {:?} {}", t.elapsed(), vmlinux.len());
    let t = Instant::now();
    let init = initramfs(&vmlinux, kernel.arch);
    println!("initramfs {:?}", t.elapsed());
    match init { Ok(i) => println!("{} {} {} {} {}", i.offset, i.stored, i.compression, i.cpio.len(), hex(&i.cpio)), Err(e) => println!("{e}") }
    let t = Instant::now();
    let c = config(&vmlinux);
    println!("config {:?} {:?}", t.elapsed(), c.as_ref().map(|c| c.len()));
    let t = Instant::now();
    println!("{:?} {:?} {:?}", kernel.version(), banner(&vmlinux), t.elapsed());
    println!("bzImage {} vmlinux {}", hex(&kernel.image), hex(&vmlinux));
    let v = fitness::Version::parse(&kernel.version().unwrap()).unwrap();
    for (a, b) in fitness::abilities(c.as_ref(), &vmlinux).into_iter().zip(fitness::abilities(None, &vmlinux)) { println!("  {:30} {:?} {} | {:?} {}", a.name, a.verdict, a.evidence, b.verdict, b.evidence); }
    println!("{:?} {:?} {:?}", fitness::systemd(v), fitness::compressed_firmware(v, c.as_ref()), fitness::compressed_modules(v, c.as_ref()));
    if let Some(out) = std::env::args().nth(5) { std::fs::write(out, &kernel.image).unwrap(); }
}
