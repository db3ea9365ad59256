//! Opens what libFuzzer makes up as an image, and does with it everything that the reader can.
//!
//! `cargo xtask fuzz` runs it, and says what is too long and too large. It first writes the images to begin with into
//! the directory that the environment names: a program of its own for that would need everything built twice.
#![no_main]

mod squashfs_seeds;

use bootway_squashfs::read::{Image, Verify};
use libfuzzer_sys::fuzz_target;

/// Bytes that one input may unpack to; more would be time, and not another path through the code.
const UNPACKED_MAX: u64 = 4 << 20;
/// Names that are looked at.
const NAMES_MAX: usize = 2000;

fuzz_target!(init: init(), |bytes: &[u8]| {
    let Ok(image) = Image::from_bytes(bytes) else { return };
    let mut left = UNPACKED_MAX;
    for entry in image.entries().take(NAMES_MAX).map_while(Result::ok) {
        let _ = image.xattrs(&entry);
        let Ok(mut reader) = image.read(&entry) else { continue };
        let mut last = [0];
        let _ = reader.read_at(&mut last, reader.size().saturating_sub(1).min(UNPACKED_MAX * 16));
        while let Ok(Some(chunk)) = reader.next_chunk() {
            // A hole costs nothing but its turn.
            let cost = match chunk {
                bootway_squashfs::read::Chunk::Data(bytes) => bytes.len() as u64,
                bootway_squashfs::read::Chunk::Hole(_) => 64,
            };
            let Some(rest) = left.checked_sub(cost) else { break };
            left = rest;
        }
    }
    let verified = image.verify(&Verify {
        limit: UNPACKED_MAX,
        threads: std::num::NonZero::new(1),
        ..Verify::default()
    });
    if verified.is_sound() {
        // What is sound can be walked to its end.
        assert_eq!(image.entries().filter(Result::is_err).count(), 0);
    }
});

fn init() {
    if let Some(dir) = std::env::var_os("BOOTWAY_FUZZ_SEEDS") {
        squashfs_seeds::write(dir.as_ref()).expect("a seed cannot be written");
    }
}
