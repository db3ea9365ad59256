//! Archives of an initramfs, to a tree.
#![no_main]

mod seeds;

use bootway_chromeos::kernel::specimen;
use bootway_image::Tree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds::write(archives), |bytes: &[u8]| drop(Tree::from_cpio(bytes)));

fn archives() -> Vec<(String, Vec<u8>)> {
    let one = specimen::archive(&[("init", b"#!/bin/sh"), ("bin/sh", b"elf")]);
    let two = [one.clone(), specimen::archive(&[("etc/x", b"y")])].concat();
    // Every kind of file, as cpio(1) writes them.
    let names = b".\n./dev\n./dev/console\n./dev/null\n";
    let devices = specimen::filter("cpio", &["--quiet", "-o", "-H", "newc", "-D", "/"], "cpio", names);
    vec![("one".to_owned(), one), ("two".to_owned(), two), ("devices".to_owned(), devices)]
}
