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

/// What Info-ZIP makes: streamed, stored, and with 64-bit fields.
fn archives() -> Vec<(String, Vec<u8>)> {
    let dir = std::env::temp_dir().join(format!("bootway-fuzz-zip-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory can be made");
    std::fs::write(dir.join("shim.bin"), [7; 9000]).expect("a file can be written");
    let text = dir.to_str().expect("a directory in UTF-8");
    let zip = |name: &str, args: &[&str]| {
        let file = format!("{name}.zip");
        let args = [&["-q"], args, &[&*file, "shim.bin"]].concat();
        specimen::filter_in(text, "zip", &args, "zip", b"");
        (name.to_owned(), std::fs::read(dir.join(file)).expect("it was made"))
    };
    let mut all = vec![zip("deflated", &[]), zip("stored", &["-0"]), zip("large", &["-fz"])];
    all.push(("streamed".to_owned(), specimen::filter("zip", &["-q", "-", "-"], "zip", &[7; 9000])));
    let _ = std::fs::remove_dir_all(&dir);
    all
}
