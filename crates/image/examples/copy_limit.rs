//! What no writer of images can beat: `copy_limit OUT DIR…` reads every file below the directories once and writes
//! all their bytes once, one behind the other.

use std::{
    error::Error,
    fs::File,
    io::{Read, Write},
};

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut out = File::create(args.next().ok_or("usage: copy_limit OUT DIR…")?)?;
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    for entry in args.flat_map(walkdir::WalkDir::new) {
        let entry = entry?;
        if !entry.file_type().is_file() {
            continue;
        }
        let mut file = File::open(entry.path())?;
        loop {
            if filled == BUFFER {
                out.write_all(&buffer)?;
                filled = 0;
            }
            match file.read(&mut buffer[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
    }
    out.write_all(&buffer[..filled])?;
    Ok(())
}
