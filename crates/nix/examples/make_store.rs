//! A store to measure with, made without building anything: `make_store DIR PATHS FILES` writes `DIR/nix/store` with
//! so many paths that have so many files together, registers them there, and writes `DIR/registration` and `DIR/paths`,
//! the places of all of them.
//!
//! Files have the sizes that a system's have: most are small, a few are big. The same arguments make the same store.

use std::{error::Error, os::unix::fs::PermissionsExt as _};

use bootway_exec::{Cancel, Cmd, Sandbox, SystemRunner, Tool, run};
use bootway_nix::closure::{PathInfo, Registration, StorePath, nar};
use bootway_plan::Digest;
use camino::{Utf8Path, Utf8PathBuf};

/// Files of a directory.
const WIDTH: usize = 12;
/// One second after the beginning of time.
const TIME: rustix::fs::Timestamps = {
    let second = rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 };
    rustix::fs::Timestamps { last_access: second, last_modification: second }
};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, paths, files] = &args[..] else { return Err("usage: make_store DIR PATHS FILES".into()) };
    let (dir, paths, files): (_, usize, usize) = (Utf8Path::new(dir), paths.parse()?, files.parse()?);
    let store = dir.join("nix/store");
    fs_err::create_dir_all(&store)?;
    let mut registration = Registration::default();
    let mut made: Vec<StorePath> = Vec::new();
    let mut places = String::new();
    for number in 0..paths {
        let path: StorePath = format!("/nix/store/{}-package-{number}", letters(number)).parse()?;
        let place = store.join(path.name());
        package(&place, number, files * (number + 1) / paths - files * number / paths)?;
        let nar = nar(place.as_std_path(), &Cancel::default())?;
        let needs = made.iter().rev().step_by(7).take(3).cloned().collect();
        let info = PathInfo { nar_hash: nar.hash, nar_size: nar.size, deriver: None, references: needs };
        registration.paths.insert(path.clone(), info);
        places += &format!("{place}\n");
        made.push(path);
    }
    registration.verify()?;
    let file = dir.join("registration");
    fs_err::write(&file, registration.to_text())?;
    fs_err::write(dir.join("paths"), places)?;
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let load = ["--option", "build-users-group", "", "--store", dir.as_str(), "--load-db"];
    run(&sandbox.cx(), &Cmd::new(Tool::NixStore).args(load).stdin_file(&file))?;
    Ok(())
}

/// A package with `files` files, a tenth of them links, a tenth of them programs.
fn package(place: &Utf8Path, number: usize, files: usize) -> Result<(), Box<dyn Error>> {
    let mut dirs: Vec<Utf8PathBuf> = vec![place.to_owned()];
    for file in 0..files.max(1) {
        let depth = file / WIDTH % 4;
        let dir =
            (0..depth).fold(place.join(format!("share-{}", file / WIDTH)), |dir, n| dir.join(n.to_string()));
        if file % WIDTH == 0 {
            fs_err::create_dir_all(&dir)?;
            dirs.extend(dir.ancestors().take_while(|it| *it != place).map(Utf8Path::to_owned));
        }
        let name = dir.join(format!("file-{file}"));
        let seed = Digest::of(format!("{number} {file}").as_bytes());
        match seed.bytes()[0] {
            0..=25 => {
                fs_err::os::unix::fs::symlink(format!("file-{}", file.saturating_sub(1)), &name)?;
                rustix::fs::utimensat(
                    rustix::fs::CWD,
                    name.as_std_path(),
                    &TIME,
                    rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
                )?;
            }
            kind => {
                fs_err::write(&name, contents(&seed))?;
                let mode = if kind < 50 { 0o555 } else { 0o444 };
                seal(&name, mode)?;
            }
        }
    }
    dirs.sort();
    dirs.dedup();
    dirs.iter().rev().try_for_each(|dir| seal(dir, 0o555))
}

fn seal(path: &Utf8Path, mode: u32) -> Result<(), Box<dyn Error>> {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    rustix::fs::utimensat(rustix::fs::CWD, path.as_std_path(), &TIME, rustix::fs::AtFlags::empty())?;
    Ok(())
}

/// Two thirds below 4 KiB, most of the others below 32 KiB, one of a hundred and fifty up to 1 MiB.
fn contents(seed: &Digest) -> Vec<u8> {
    let [_, a, b, c, ..] = *seed.bytes();
    let within = usize::from(u16::from_le_bytes([b, c]));
    let size = match a {
        0..=169 => within % 4096,
        170..=239 => within % (32 << 10),
        240..=253 => within * 2,
        _ => within * 16,
    };
    let mut state = u64::from_le_bytes(seed.bytes()[8..16].try_into().expect("eight bytes")) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// 32 letters and digits, as a store names things.
fn letters(number: usize) -> String {
    let alphabet = b"0123456789abcdfghijklmnpqrsvwxyz";
    let digest = Digest::of(format!("package {number}").as_bytes());
    digest.bytes().iter().map(|byte| char::from(alphabet[usize::from(byte % 32)])).collect()
}
