//! File systems of a kind, for a while.
#![expect(clippy::disallowed_methods, reason = "tests start tools themselves in this crate")]

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

pub(super) struct Mounted {
    at: PathBuf,
    _dir: TempDir,
}

impl Mounted {
    pub(super) fn path(&self) -> &Path {
        &self.at
    }

    /// Free bytes, when all is on the disk.
    pub(super) fn free(&self) -> u64 {
        rustix::fs::syncfs(File::open(&self.at).unwrap()).unwrap();
        let stat = rustix::fs::statvfs(&self.at).unwrap();
        stat.f_bfree * stat.f_frsize
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &["--lazy", self.at.to_str().unwrap()], "");
    }
}

fn run(program: &str, args: &[&str], hint: &str) {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}: {hint}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn mount(args: &[&str], make: impl FnOnce(&str) -> String) -> Option<Mounted> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: a file system can be mounted by root only; run this test as root");
        return None;
    }
    let dir = TempDir::new().unwrap();
    let at = dir.path().join("mounted");
    std::fs::create_dir(&at).unwrap();
    let device = make(dir.path().join("image").to_str().unwrap());
    run("mount", &[args, &[&device, at.to_str().unwrap()]].concat(), "");
    Some(Mounted { at, _dir: dir })
}

/// In memory.
pub(super) fn tmpfs(options: &str) -> Option<Mounted> {
    mount(&["-t", "tmpfs", "-o", options], |_| "tmpfs".to_owned())
}

/// In a file; it shares blocks between files.
pub(super) fn xfs() -> Option<Mounted> {
    const SPACE: u64 = 300 << 20; // The least that mkfs.xfs takes.
    mount(&["-o", "loop"], |image| {
        File::create(image).unwrap().set_len(SPACE).unwrap();
        run("mkfs.xfs", &["-q", "-m", "reflink=1", image], "apt-get install xfsprogs");
        image.to_owned()
    })
}
