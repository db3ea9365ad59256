//! Disks that are qcow2 images.

use bootway_exec::{Cmd, Sandbox, SystemRunner, run};

use super::{boot_files, sector};

const STEP: &str = r#"{"image": "./disk", "machine": "m", "check": [
    {"name": "first", "console": "wrote"}, {"name": "second", "console": "kept"}]}"#;
const MACHINE: &str = r#"{"accel": "tcg", "firmware": "bios", "memory": "64MiB"}"#;

/// What `qemu-img` makes of the disk.
fn made(args: &[&str], disk: &[u8]) -> Vec<u8> {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let (raw, made) = (sandbox.root().join("raw"), sandbox.root().join("made"));
    fs_err::write(&raw, disk).unwrap();
    let paths = [raw.as_str(), made.as_str()];
    let args = args.iter().map(|arg| match *arg {
        "RAW" => paths[0],
        "MADE" => paths[1],
        other => other,
    });
    run(&sandbox.cx(), &Cmd::user("qemu-img").args(args)).expect("`apt-get install qemu-utils`");
    fs_err::read(made).unwrap()
}

/// It boots as the disk that is in it, what it writes outlives a reboot, and the image stays as it was.
#[test]
fn an_image_is_started_as_the_disk_in_it() {
    let image = made(&["convert", "-O", "qcow2", "RAW", "MADE"], &sector::image());
    let seen = boot_files(&SystemRunner::default(), STEP, MACHINE, &[("disk", &image)], |_| ());
    assert!(seen.result.is_ok(), "{}\n{}", seen.failure(), seen.console().join("\n"));
    assert!(seen.disk.as_ref() == Some(&image), "the image was written to");
}

/// QEMU opens whatever an image says that it is over: an image from elsewhere must not choose files of this machine.
#[test]
fn an_image_over_another_file_is_refused() {
    let image = made(&["create", "-q", "-f", "qcow2", "-b", "RAW", "-F", "raw", "MADE"], &sector::image());
    let seen = boot_files(&SystemRunner::default(), STEP, MACHINE, &[("disk", &image)], |_| ());
    let said = seen.failure();
    assert!(said.contains("/disk` is a qcow2 image that has a part of its data in another file"), "{said}");
    assert!(said.contains("hint: make it one file: `qemu-img convert -O qcow2 IMAGE WHOLE`"), "{said}");
}
