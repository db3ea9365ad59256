//! Starts the programs that are asked.

use std::{
    ffi::OsStr,
    process::{Command, Output},
};

/// Runs a program to its end.
///
/// # Panics
///
/// If it is not there, with how to install it.
#[track_caller]
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Output {
    #[expect(clippy::disallowed_methods, reason = "tests ask other programs")]
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| {
        panic!("cannot start `{program}` ({error}): run `apt-get install {}`", package(program))
    })
}

/// Runs a program that has to succeed, and gives what it printed.
#[track_caller]
pub(crate) fn output<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Vec<u8> {
    let output = run(program, arguments);
    let said = [output.stderr.as_slice(), &output.stdout].concat();
    let said = String::from_utf8_lossy(&said[..said.len().min(4000)]);
    assert!(output.status.success(), "`{program}`: {}: {said}", output.status);
    output.stdout
}

fn package(program: &str) -> &str {
    match program {
        "mksquashfs" | "unsquashfs" => "squashfs-tools",
        "sqfs2tar" | "rdsquashfs" => "squashfs-tools-ng",
        "mount" | "umount" => "mount",
        other => other,
    }
}

/// A small disk of its own, in memory; gone when it is dropped.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// A disk of `size`, such as `1m`.
    pub(crate) fn new(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let place = dir.path().to_str().unwrap();
        let output = run("mount", ["-t", "tmpfs", "-o", &options, "tmpfs", place]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "mount: {said}: run this test as root");
        Self(dir)
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", ["--lazy".as_ref(), self.path().as_os_str()]);
    }
}
