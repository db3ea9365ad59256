//! Machines that start as Chromebooks do.

use super::*;

/// A firmware that finds `kernel` good, and looked at a few things.
fn finds(kernel: Vec<u8>) -> impl Fn(&Utf8Path) -> Looked {
    move |image| {
        assert_eq!(fs_err::read(image).unwrap(), b"disk");
        let check = |name: &str, detail: &str| FirmwareCheck {
            name: name.to_owned(),
            good: true,
            detail: detail.to_owned(),
        };
        Looked {
            checks: vec![check("table", "12 partitions"), check("keyblock", "signed by itself")],
            chosen: Ok(Chosen { kernel: kernel.clone(), cmdline: "signed cros_secure".to_owned() }),
        }
    }
}

/// Boots on a Chromebook whose firmware is `loader`, with the real QEMU.
fn boot_chromebook(keys: &str, checks: &str, loader: &Loader<'_>) -> Seen {
    let step =
        format!(r#"{{"boot": "chromeos", "image": "./disk", "machine": "m", {keys} "check": [{checks}]}}"#);
    let machine = r#"{"accel": "tcg", "memory": "64MiB", "limits": {"boot": "5min"}}"#;
    boot_loaded(&SystemRunner::default(), &step, machine, &[("disk", b"disk")], |_| {}, loader)
}

/// The command line reaches the kernel without being on QEMU's, the screen is read, keys are pressed, and text goes into
/// the serial port.
#[test]
fn a_screen_is_read_and_keys_are_pressed() {
    let checks = r#"
        {"name": "command line", "console": "signed cros_secure console=tty1 console=ttyS0,115200 no-scroll\n"},
        {"name": "prompt", "screen": "READY", "type": "1a\n"},
        {"name": "keys on the screen", "screen": "READY B^\\"},
        {"name": "keys on the console", "console": "B^\\", "type": "ignored by this kernel"},
        {"name": "shift", "screen": "READY", "type": "Z"},
        {"name": "two keys", "screen": "READY B^\\jl"}"#;
    let seen = boot_chromebook("", checks, &finds(sector::typewriter()));
    assert!(seen.result.is_ok(), "{}\n{}\n{}", seen.failure(), seen.checks(), seen.console().join("\n"));
    insta::assert_snapshot!(seen.checks(), @"
    Passed firmware: table: 12 partitions
    Passed firmware: keyblock: signed by itself
    Passed command line: -
    Passed prompt: -
    Passed keys on the screen: -
    Passed keys on the console: -
    Passed shift: -
    Passed two keys: -
    ");
    assert!(seen.console().contains(&"screen| READY"), "{:?}", seen.console());
    let line = seen.events.iter().find_map(|event| match event {
        EventKind::Command { line } => Some(line),
        _ => None,
    });
    assert!(line.is_some_and(|line| line.contains("--preconfig") && !line.contains("signed")));
}

#[test]
fn what_is_appended_is_the_plans_to_say() {
    let checks = r#"{"name": "command line", "console": "signed cros_secure quiet\n"}"#;
    let seen = boot_chromebook(r#""cmdline": "quiet", "#, checks, &finds(sector::typewriter()));
    assert!(seen.result.is_ok(), "{}", seen.failure());
}

#[test]
fn text_that_is_not_on_the_screen_is_told_with_what_is() {
    let checks = r#"{"name": "menu", "screen": "MENU", "within": "3s"}, {"name": "b", "console": "x"}"#;
    let seen = boot_chromebook("", checks, &finds(sector::typewriter()));
    insta::assert_snapshot!(seen.story(), @"
    Passed firmware: table: 12 partitions
    Passed firmware: keyblock: signed by itself
    TimedOut menu: `MENU` was not on the screen within 3 s; its console said last: `bzImage signed cros_secure console=tty1 console=ttyS0,115200 no-scroll`; its screen shows `READY`
    NotRun b: not reached: `menu` took too long

    error: check `menu` failed, and 1 more did not pass: `MENU` was not on the screen within 3 s; its console said last: `bzImage signed cros_secure console=tty1 console=ttyS0,115200 no-scroll`; its screen shows `READY`
    ");
    assert_eq!(seen.class(), Some(Class::Check));
}

/// Looks at the disk, and nothing starts.
fn refused(loader: &Loader<'_>) -> Seen {
    let step = r#"{"boot": "chromeos", "image": "./disk", "machine": "m", "check": [{"name": "up", "console": "x"}]}"#;
    let runner = ScriptedRunner::default();
    let seen = boot_loaded(&runner, step, r#"{"accel": "tcg"}"#, &[("disk", b"disk")], |_| {}, loader);
    assert_eq!(runner.to_string(), "", "QEMU was started");
    seen
}

#[test]
fn what_the_firmware_finds_bad_is_a_verdict_of_its_own_and_nothing_starts() {
    let seen = refused(&|_| {
        let check = |name: &str, good, detail: &str| FirmwareCheck {
            name: name.to_owned(),
            good,
            detail: detail.to_owned(),
        };
        let checks = vec![
            check("table", true, "12 partitions"),
            check("kern_guid", false, "the command line names another partition"),
            check("root", false, "no partition is called `shimboot_rootfs:NAME`"),
        ];
        Looked { checks, chosen: Ok(Chosen { kernel: Vec::new(), cmdline: String::new() }) }
    });
    insta::assert_snapshot!(seen.story(), @"
    Passed firmware: table: 12 partitions
    Failed firmware: kern_guid: the command line names another partition
    Failed firmware: root: no partition is called `shimboot_rootfs:NAME`
    NotRun up: kern_guid: the command line names another partition, and 1 more did not pass

    error: kern_guid: the command line names another partition, and 1 more did not pass
    ");
    assert_eq!(seen.class(), Some(Class::Check));
}

#[test]
fn an_image_without_a_kernel_is_told_with_why() {
    let seen = refused(&|_| {
        let failure = Failure::new(Class::Check, "no signature")
            .because("the firmware finds no kernel to start on this disk")
            .hint("sign it");
        Looked { checks: Vec::new(), chosen: Err(failure) }
    });
    insta::assert_snapshot!(seen.story(), @"
    NotRun up: the firmware finds no kernel to start on this disk

    error: the firmware finds no kernel to start on this disk
      caused by: no signature
      hint: sign it
    ");
    assert_eq!(seen.class(), Some(Class::Check));
}

#[test]
fn a_command_line_that_is_too_long_is_told_before_anything_starts() {
    let seen = refused(&|_| Looked {
        checks: Vec::new(),
        chosen: Ok(Chosen { kernel: Vec::new(), cmdline: "x".repeat(2040) }),
    });
    insta::assert_snapshot!(seen.story(), @"
    NotRun up: the kernel's command line has 2084 bytes, and there is room for 2047: shorten the step's `cmdline`

    error: the kernel's command line has 2084 bytes, and there is room for 2047: shorten the step's `cmdline`
    ");
}

/// What a shim and a boot loader say when they give up ends the boot, unless it is what a check waits for.
#[test]
fn a_boot_loader_that_gives_up_is_not_waited_for() {
    let boot = |said: &'static str, check: &str| {
        let runner = ScriptedRunner::default().on(Tool::QemuX86, Reply::ok(said));
        let step = format!(
            r#"{{"boot": "chromeos", "image": "./disk", "machine": "m", "check": [
                {{"name": "first", "console": "{check}"}}, {{"name": "up", "console": "login"}}]}}"#
        );
        let files: &[(&str, &[u8])] = &[("disk", b"disk")];
        boot_loaded(&runner, &step, r#"{"accel": "tcg"}"#, files, |_| {}, &finds(Vec::new())).story()
    };
    let error =
        "bootway-bootloader: error: no root file system: no partition is called shimboot_rootfs:NAME\n";
    insta::assert_snapshot!(boot(error, "menu"), @"
    Passed firmware: table: 12 partitions
    Passed firmware: keyblock: signed by itself
    Failed first: the boot loader did not get to a root file system: `bootway-bootloader: error: no root file system: no partition is called shimboot_rootfs:NAME`
    NotRun up: the boot loader did not get to a root file system: `bootway-bootloader: error: no root file system: no partition is called shimboot_rootfs:NAME`

    error: the boot loader did not get to a root file system: `bootway-bootloader: error: no root file system: no partition is called shimboot_rootfs:NAME`
    ");
    insta::assert_snapshot!(boot("switch_root: can't execute '/sbin/init': No such file\n", "menu"), @"
    Passed firmware: table: 12 partitions
    Passed firmware: keyblock: signed by itself
    Failed first: the shim finds nothing to start on its root partition: there is no boot loader, or what it needs is missing: `switch_root: can't execute '/sbin/init': No such file`
    NotRun up: the shim finds nothing to start on its root partition: there is no boot loader, or what it needs is missing: `switch_root: can't execute '/sbin/init': No such file`

    error: the shim finds nothing to start on its root partition: there is no boot loader, or what it needs is missing: `switch_root: can't execute '/sbin/init': No such file`
    ");
    assert!(boot(error, "no root file system").contains("Passed first"));
}
