//! Zip archives with a disk in them, unpacked to a file.
#![no_main]

mod seeds;

use bootway_chromeos::{fuzz_zip, kernel::specimen};
use bootway_exec::{Sandbox, SystemRunner};
use libfuzzer_sys::fuzz_target;

/// More is time, and not another path through the code.
const SIZE_MAX: u32 = 16 << 20;

thread_local! {
    static PLACE: Sandbox<'static> = Sandbox::new(Box::leak(Box::new(SystemRunner::default())));
}

fuzz_target!(init: seeds::write(archives), |bytes: &[u8]| {
    // A disk that is said to be large is a hole, and costs what its pages cost.
    let large = bytes.windows(4).any(|word| word == b"PK\x01\x02")
        && bytes.windows(28).filter(|header| header.starts_with(b"PK\x01\x02")).any(|header| {
            u32::from_le_bytes([header[24], header[25], header[26], header[27]]) > SIZE_MAX
        });
    if !large {
        PLACE.with(|place| drop(fuzz_zip(&place.cx(), bytes)));
    }
});

fn archives() -> Vec<(String, Vec<u8>)> {
    let disk = [7; 9000];
    let zip = |args: &[&str]| specimen::filter("zip", args, "zip", &disk);
    vec![
        ("streamed".to_owned(), zip(&["-q", "-", "-"])),
        ("stored".to_owned(), zip(&["-q", "-0", "-", "-"])),
        ("large".to_owned(), zip(&["-q", "-fz", "-", "-"])),
    ]
}
