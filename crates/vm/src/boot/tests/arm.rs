//! Machines for 64-bit ARM, emulated: a kernel of Debian's with a busybox of its own kind.
//!
//! `cargo xtask fixtures arm` fetches both.

use super::*;

fn arm_fixture(name: &str) -> Utf8PathBuf {
    let path = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fixtures/arm").join(name);
    assert!(path.exists(), "there is no `{path}`: run `cargo xtask fixtures arm`");
    path
}

fn boot_arm(machine: &str, more: &str) -> Seen {
    let step = format!(
        r#"{{"boot": "kernel", "kernel": "./vmlinuz", "initrd": "./initrd",
            "cmdline": "console=ttyAMA0 panic=-1 quiet", "machine": "m", {more}}}"#
    );
    let machine = format!(r#"{{"arch": "aarch64", "memory": "512MiB", {machine}}}"#);
    let kernel = fs_err::read(arm_fixture("vmlinuz")).unwrap();
    let busybox = fs_err::read(arm_fixture("busybox")).unwrap();
    let init = format!("#!/bin/busybox sh\n{SHELL}");
    let initrd = cpio::archive(&[("bin/busybox", &busybox), ("init", init.as_bytes())]);
    boot_files(
        &SystemRunner::default(),
        &step,
        &machine,
        &[("vmlinuz", &kernel), ("initrd", &initrd)],
        |_| {},
    )
}

/// One test draws random numbers, the other does, too, and both know the time: the program that a copy is woken up by is
/// one for its processor.
#[test]
fn an_arm_machine_is_saved_and_goes_on() {
    let draws = r#"{"name": "draws", "run": "echo $(uname -m) $(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' ')", "matches": "^aarch64 [0-9a-f]{32}$"}"#;
    let tests = format!(
        r#""check": [{{"name": "is ARM", "run": "uname -m", "equals": "aarch64"}}], "snapshot": "required",
           "test": [{{"name": "a", "check": [{draws}]}}, {{"name": "b", "check": [{draws}, {{"name": "off", "power-off": true}}]}}]"#
    );
    let seen = boot_arm(GENEROUS, &tests);
    assert!(seen.result.is_ok(), "{}\n{}\n{}", seen.failure(), seen.checks(), seen.console().join("\n"));
    let drawn: Vec<_> = seen.checks().lines().filter(|it| it.contains("draws")).map(str::to_owned).collect();
    let numbers: Vec<_> = drawn.iter().map(|it| it.split_once("aarch64").unwrap().1).collect();
    assert_eq!(numbers.len(), 2, "{drawn:?}");
    assert_ne!(numbers[0], numbers[1]);
}

/// QEMU hands the kernel to the firmware, and the firmware starts it.
#[test]
fn an_arm_machine_starts_with_uefi() {
    let checks = r#""check": [
        {"name": "was started by UEFI", "run": "ls -d /sys/firmware/efi && uname -m", "contains": "/sys/firmware/efi"}, {"name": "is ARM", "run": "uname -m", "equals": "aarch64"},
        {"name": "off", "power-off": true}]"#;
    let seen = boot_arm(&format!(r#""firmware": "uefi", {GENEROUS}"#), checks);
    assert!(seen.result.is_ok(), "{}\n{}\n{}", seen.failure(), seen.checks(), seen.console().join("\n"));
}

/// Every kind of disk is one that QEMU's `virt` knows, and so are screen and network.
#[test]
fn an_arm_machine_has_all_that_a_plan_can_say() {
    let machine = r#"{"arch": "aarch64", "accel": "tcg", "screen": true, "net": {"forward": {"ssh": 22}},
        "channel": "port", "disk": [
            {"size": "1MiB", "attach": "virtio"}, {"size": "1MiB", "attach": "usb"}, {"size": "1MiB", "attach": "sd"},
            {"size": "1MiB", "attach": "nvme"}, {"size": "1MiB", "attach": "sata"}],
        "limits": {"boot": "5min"}}"#;
    let step = r#"{"image": "./disk", "boot": "iso", "machine": "m", "check": [{"name": "up", "console": "UEFI firmware"}]}"#;
    let seen = boot_files(&SystemRunner::default(), step, machine, &[("disk", &vec![0; 1 << 20])], |_| {});
    assert!(seen.result.is_ok(), "{}\n{}\n{:?}", seen.failure(), seen.checks(), seen.events);
}

#[test]
fn an_arm_machine_without_its_qemu_is_told_with_how_to_get_it() {
    let runner = ScriptedRunner::default().on(Tool::QemuArm, Reply::missing());
    let step = r#"{"boot": "kernel", "kernel": "./vmlinuz", "machine": "m", "check": [{"name": "a", "run": "true"}]}"#;
    let machine = r#"{"arch": "aarch64"}"#;
    let seen = boot_files(&runner, step, machine, &[("vmlinuz", b"kernel")], |_| {});
    insta::assert_snapshot!(seen.story(), @"
    NotRun a: `qemu-system-aarch64` is not on PATH

    error: `qemu-system-aarch64` is not on PATH
      hint: install it: `apt-get install qemu-system-arm`, or enter `nix develop ./nix`
    ");
    assert_eq!(seen.class(), Some(Class::Environment));
}
