//! Guests that were recorded, and guests that really boot.

use bootway_exec::{Input, Reply, Runner, Sandbox, ScriptedRunner, SystemRunner, Tool};
use bootway_plan::{
    ArtifactKind, Bytes, Digest, Failure, Name, Source, Stream,
    step::{Arch, Attach, MachineSpec},
};
use camino::{Utf8Path, Utf8PathBuf};

use super::*;
use crate::{ImageFile, Media, commands};

mod arm;
mod checks;
mod chromebook;
mod cpio;
mod exact;
mod files;
mod opened;
mod picture;
mod qcow2;
mod sector;
mod suite;
mod tpm;

/// The file that tests boot.
pub(crate) fn kernel() -> Utf8PathBuf {
    if let Ok(path) = std::env::var("BOOTWAY_TEST_KERNEL") {
        return path.into();
    }
    let found = Utf8Path::new("/boot").read_dir_utf8().into_iter().flatten().flatten();
    let mut kernels: Vec<_> = found.filter(|entry| entry.file_name().starts_with("vmlinuz-")).collect();
    kernels.sort_by(|a, b| a.file_name().cmp(b.file_name()));
    let kernel = kernels.pop().unwrap_or_else(|| {
        panic!(
            "there is no kernel to boot in /boot: `cargo xtask setup` installs one, or \
             `apt-get install linux-image-cloud-amd64`, or set BOOTWAY_TEST_KERNEL to the path of one"
        )
    });
    kernel.path().to_owned()
}

/// An initramfs with busybox, whose `/init` is a shell script.
pub(crate) fn initramfs(init: &str) -> Vec<u8> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| fs_err::read(path).ok());
    let busybox = busybox.expect("install busybox-static: `apt-get install busybox-static`");
    cpio::archive(&[("bin/busybox", &busybox), ("init", format!("#!/bin/busybox sh\n{init}").as_bytes())])
}

/// A plan's `vm` step, with its machines.
fn parse(step: &str, machine: &str) -> (step::Vm, Machines) {
    let step: step::Vm = toml_of(step);
    let machine: MachineSpec = toml_of(machine);
    (step, Machines::from([(Name::fixed("m"), machine)]))
}

fn toml_of<T: serde::de::DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {json}"))
}

/// For machines that are no Chromebooks.
fn no_loader(image: &Utf8Path) -> Looked {
    panic!("`{image}` is looked at by a Chromebook's firmware");
}

/// What happened in a boot.
struct Seen {
    result: Result<Vec<StepOutput>, VmError>,
    events: Vec<EventKind>,
    /// The image afterwards.
    disk: Option<Vec<u8>>,
    /// Files that stay with the run, by their path in its directory.
    kept: Vec<(String, Vec<u8>)>,
}

impl Seen {
    /// The checks: verdict, name, detail.
    fn checks(&self) -> String {
        let check = |event: &EventKind| match event {
            EventKind::Check { name, verdict, detail, .. } => {
                Some(format!("{verdict:?} {name}: {}\n", detail.as_deref().unwrap_or("-")))
            }
            _ => None,
        };
        self.events.iter().filter_map(check).collect()
    }

    fn console(&self) -> Vec<&str> {
        let mut lines = Vec::new();
        for event in &self.events {
            if let EventKind::Line { stream: Stream::Console, text } = event {
                lines.push(text.as_str());
            }
        }
        lines
    }

    fn failure(&self) -> String {
        self.result.as_ref().map_or_else(|error| Failure::of(error).to_string(), |_| "no failure".to_owned())
    }

    /// Checks and failure, without the kernel's time.
    fn story(&self) -> String {
        let text = format!("{}\n{}", self.checks(), self.failure());
        let stamp = regex_lite::Regex::new(r"\[ *[0-9]+\.[0-9]{6}\]").unwrap();
        stamp.replace_all(&text, "[time]").into_owned()
    }

    fn class(&self) -> Option<Class> {
        self.result.as_ref().err().map(VmError::class)
    }
}

/// Boots `files`, which the step calls `./NAME`.
fn boot_files(
    runner: &dyn Runner,
    step: &str,
    machine: &str,
    files: &[(&str, &[u8])],
    late: impl FnOnce(&Sandbox),
) -> Seen {
    boot_loaded(runner, step, machine, files, late, &no_loader)
}

/// The same with what a Chromebook's firmware does.
fn boot_loaded(
    runner: &dyn Runner,
    step: &str,
    machine: &str,
    files: &[(&str, &[u8])],
    late: impl FnOnce(&Sandbox),
    loader: &Loader<'_>,
) -> Seen {
    let mut sandbox = Sandbox::new(runner);
    let dir = sandbox.root().to_owned();
    for (name, bytes) in files {
        let path = dir.join(name);
        fs_err::write(&path, bytes).unwrap();
        add(&mut sandbox, name, path);
    }
    if step.contains("./vmlinuz") && !files.iter().any(|(name, _)| *name == "vmlinuz") {
        add(&mut sandbox, "vmlinuz", kernel());
    }
    late(&sandbox);
    let (step, machines) = parse(step, machine);
    let result = vm(&sandbox.cx(), &step, &machines, loader);
    let (disk, kept) = (fs_err::read(sandbox.root().join("disk")).ok(), kept_in(sandbox.cx().kept));
    Seen { result, events: sandbox.events(), disk, kept }
}

/// Files in `dir` and the directories in it.
fn kept_in(dir: &Utf8Path) -> Vec<(String, Vec<u8>)> {
    let (mut found, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(next) = dirs.pop() {
        for entry in next.read_dir_utf8().into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                dirs.push(entry.into_path());
            } else {
                let name = entry.path().strip_prefix(dir).unwrap().to_string();
                found.push((name, fs_err::read(entry.path()).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn add(sandbox: &mut Sandbox, name: &str, path: Utf8PathBuf) {
    let source: Source = format!("./{name}").parse().unwrap();
    let input =
        Input { path, kind: ArtifactKind::File, digest: Digest::of(b""), size: Bytes::new(0), made: false };
    sandbox.inputs.insert(source, input);
}

/// Boots a real kernel with a busybox initramfs under emulation.
fn boot_init(init: &str, checks: &str, machine: &str) -> Seen {
    let step = format!(
        r#"{{"boot": "kernel", "kernel": "./vmlinuz", "initrd": "./initrd", "cmdline": "console=ttyS0 panic=-1 no_timer_check",
            "machine": "m", "check": [{checks}]}}"#
    );
    let machine = format!(r#"{{"accel": "tcg", "memory": "256MiB", {machine}}}"#);
    boot_files(&SystemRunner::default(), &step, &machine, &[("initrd", &initramfs(init))], |_| {})
}

/// Boots on paper: QEMU answers with `reply`.
fn boot_reply(reply: Reply, step: &str, machine: &str) -> Seen {
    let runner = ScriptedRunner::default().on(Tool::QemuX86, reply);
    boot_files(&runner, step, machine, &[("vmlinuz", b"kernel"), ("disk", b"disk")], |_| {})
}

/// Mounts what a system has, and starts a shell on the console.
pub(crate) const SHELL: &str = r"
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
while :; do setsid cttyhack sh; done
";

/// So long that only a guest that is stuck takes longer, however busy the host is.
const GENEROUS: &str = r#""limits": {"boot": "5min", "check": "5min", "power-off": "5min"}"#;

#[test]
fn a_guest_is_booted_asked_rebooted_and_switched_off() {
    let checks = r#"
        {"name": "kernel says hello", "console": "Linux version 6"},
        {"name": "adds", "run": "echo $((1+1))", "equals": "2"},
        {"name": "exits", "run": "exit 3", "exit": 3},
        {"name": "is exact", "run": "printf 'a\tb\n\n c\u001b[1m\n'; echo \"it's\" >&2", "contains": "a\tb\n\n c\u001b[1m\nit's"},
        {"name": "talks while the kernel does", "matches": "^(x{70}\n){199}x{70}$",
         "run": "for i in $(seq 1 200); do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; echo \"<3>noise $i\" >/dev/kmsg; done"},
        {"name": "ten thousand lines", "run": "seq 1 10000", "matches": "^1\n2\n[\\s\\S]*\n9999\n10000$"},
        {"name": "leaves a mark", "run": "touch /mark; ls /mark", "equals": "/mark"},
        {"name": "reboots", "reboot": true},
        {"name": "forgets", "run": "ls /mark", "exit": 1, "contains": "No such file"},
        {"name": "off", "power-off": true}"#;
    let seen = boot_init(SHELL, checks, GENEROUS);
    assert!(seen.result.is_ok(), "{}\n{}\n{}", seen.failure(), seen.checks(), seen.console().join("\n"));
    let passed =
        seen.events.iter().filter(|event| matches!(event, EventKind::Check { verdict: Verdict::Passed, .. }));
    assert_eq!(passed.count(), 10, "{}", seen.checks());
    assert!(seen.console().iter().any(|line| line.ends_with("# seq 1 10000")));
    assert!(seen.console().contains(&"9999"), "the console shows what a command printed");
    let complaints: Vec<_> = seen
        .events
        .iter()
        .filter(|event| matches!(event, EventKind::Line { stream: Stream::Stderr, .. }))
        .collect();
    assert!(complaints.is_empty(), "QEMU has nothing to complain about: {complaints:?}");
}

#[test]
fn wrong_answers_are_told_and_the_next_check_is_decided() {
    let checks = r#"
        {"name": "says yes", "run": "echo no", "equals": "yes"},
        {"name": "says more", "run": "echo no", "contains": "yes"},
        {"name": "says less", "run": "echo no", "lacks": "no"},
        {"name": "matches", "run": "echo no", "matches": "^yes"},
        {"name": "works", "run": "nothing-here"},
        {"name": "is right", "run": "echo yes", "equals": "yes"},
        {"name": "hangs", "run": "echo begun; sleep 1000", "within": "2s"},
        {"name": "is not reached", "run": "true"}"#;
    let seen = boot_init(SHELL, checks, GENEROUS);
    insta::assert_snapshot!(seen.story(), @"
    Failed says yes: `echo no` printed `no`, wanted exactly `yes`
    Failed says more: `echo no` printed `no`, wanted `yes` in it
    Failed says less: `echo no` printed `no`, which must not have `no` in it
    Failed matches: `echo no` printed `no`, wanted a match of `^yes`
    Failed works: `nothing-here` exited with code 127, wanted 0; printed `sh: eval: nothing-here: not found`
    Passed is right: printed `yes`
    TimedOut hangs: `echo begun; sleep 1000` was still running after 2 s; it printed last: `begun`
    NotRun is not reached: not reached: `hangs` took too long

    error: check `says yes` failed, and 6 more did not pass: `echo no` printed `no`, wanted exactly `yes`
    ");
    assert_eq!(seen.class(), Some(Class::Check));
}

#[test]
fn a_panic_is_told_at_once() {
    let checks = r#"{"name": "shell", "run": "true"}, {"name": "off", "power-off": true}"#;
    let seen = boot_init("exit 1", checks, GENEROUS);
    insta::assert_snapshot!(seen.story(), @"
    Failed shell: the guest's kernel panicked: `[time] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100`
    NotRun off: the guest's kernel panicked: `[time] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100`

    error: the guest's kernel panicked: `[time] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100`
      hint: process 1 of the guest, its `/init` or `/sbin/init`, ended: it must never do so
    ");
    assert_eq!(seen.class(), Some(Class::Check));
}

#[test]
fn a_guest_that_never_prints_is_told_with_what_to_try() {
    let step = r#"{"boot": "kernel", "kernel": "./vmlinuz", "machine": "m", "cmdline": "console=tty0",
        "check": [{"name": "shell", "run": "true"}]}"#;
    let machine = r#"{"accel": "tcg", "limits": {"boot": "2s"}}"#;
    // Nothing that a processor does: `jmp` to itself.
    let seen =
        boot_files(&SystemRunner::default(), step, machine, &[("vmlinuz", &sector::silent_kernel())], |_| {});
    // Whether SeaBIOS comes to its last point is a matter of milliseconds.
    insta::assert_snapshot!(seen.story().replace("ROM...`", "ROM..`"), @"
    TimedOut shell: the guest had no shell within 2 s; its console said last: `Booting from ROM..`

    error: the guest had no shell within 2 s; its console said last: `Booting from ROM..`
      hint: if it only needs more time, raise `boot` in the machine's `limits`
    ");
    assert_eq!(seen.class(), Some(Class::Check));
}

/// A boot sector writes to its disk, resets, and finds what it wrote; the image stays as it was.
#[test]
fn the_image_is_only_read_and_writes_outlive_a_reboot() {
    let image = sector::image();
    for attach in ["virtio", "usb", "sd", "nvme"] {
        let step = format!(
            r#"{{"image": "./disk", "machine": "m", "attach": "{attach}", "check": [
            {{"name": "first", "console": "wrote"}}, {{"name": "second", "console": "kept"}}]}}"#
        );
        let machine = r#"{"accel": "tcg", "firmware": "bios", "memory": "64MiB"}"#;
        let runner = opened::Spy::on("disk");
        let seen = boot_files(&runner, &step, machine, &[("disk", &image)], |sandbox| {
            let disk = sandbox.root().join("disk");
            let mut mode = fs_err::metadata(&disk).unwrap().permissions();
            mode.set_readonly(true);
            fs_err::set_permissions(&disk, mode).unwrap();
        });
        assert!(seen.result.is_ok(), "{attach}: {}\n{}", seen.failure(), seen.console().join("\n"));
        assert!(seen.disk.as_ref() == Some(&image), "{attach}: the image was written to");
        let ways = runner.ways();
        assert!(
            !ways.is_empty() && ways.iter().all(|way| *way == opened::READ_ONLY),
            "{attach}: QEMU opened it with flags {ways:?}"
        );
        assert!(
            seen.events
                .iter()
                .any(|event| matches!(event, EventKind::Note { text } if text.contains("was reset while")))
        );
    }
}

#[test]
fn a_missing_qemu_is_told_with_how_to_get_it() {
    let step = r#"{"boot": "kernel", "kernel": "./vmlinuz", "machine": "m", "check": [{"name": "a", "run": "true"}]}"#;
    let seen = boot_reply(Reply::missing(), step, r#"{"accel": "tcg"}"#);
    insta::assert_snapshot!(seen.story(), @"
    NotRun a: `qemu-system-x86_64` is not on PATH

    error: `qemu-system-x86_64` is not on PATH
      hint: install it: `apt-get install qemu-system-x86`, or enter `nix develop ./nix`
    ");
    assert_eq!(seen.class(), Some(Class::Environment));
}

#[test]
fn a_qemu_that_dies_at_once_is_told_with_what_it_said() {
    let step = r#"{"image": "./disk", "machine": "m", "check": [{"name": "a", "console": "x"}]}"#;
    let reply =
        Reply::exits(1).stderr("qemu-system-x86_64: -drive file=disk: Could not open 'disk'\nsecond line");
    let seen = boot_reply(reply, step, r#"{"accel": "tcg", "firmware": "bios"}"#);
    insta::assert_snapshot!(seen.story(), @"
    NotRun a: QEMU exited with code 1 at once

    error: QEMU exited with code 1 at once
      caused by: qemu-system-x86_64: -drive file=disk: Could not open 'disk'
        second line
    ");
    assert_eq!(seen.class(), Some(Class::Environment));
}

/// The real QEMU dies of a kernel that is none.
#[test]
fn a_kernel_that_is_none_is_not_the_end_of_a_guest() {
    let step = r#"{"boot": "kernel", "kernel": "./vmlinuz", "machine": "m", "check": [{"name": "a", "run": "true"}]}"#;
    let seen =
        boot_files(&SystemRunner::default(), step, r#"{"accel": "tcg"}"#, &[("vmlinuz", b"text")], |_| {});
    assert_eq!(seen.class(), Some(Class::Environment), "{}", seen.failure());
    assert!(seen.failure().contains("QEMU exited with code 1"), "{}", seen.failure());
}

#[test]
fn a_recorded_panic_is_told_before_qemu_ends() {
    let step = r#"{"image": "./disk", "machine": "m", "check": [
        {"name": "up", "console": "Linux version"}, {"name": "a", "run": "true"}, {"name": "b", "run": "true"}]}"#;
    let reply = Reply::ok("[    0.000000] Linux version 6.1.0\r\n[    1.2049")
        .stdout("81] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n")
        .stdout("[    1.205000] CPU: 0 PID: 1\r\n");
    let seen = boot_reply(reply, step, r#"{"accel": "tcg", "firmware": "bios"}"#);
    insta::assert_snapshot!(seen.story(), @"
    Passed up: -
    Failed a: the guest's kernel panicked: `[time] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)`
    NotRun b: the guest's kernel panicked: `[time] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)`

    error: the guest's kernel panicked: `[time] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)`
      hint: `root=` of the kernel's command line names no file system that the kernel can read
    ");
}

#[test]
fn what_a_plan_says_wrongly_is_told_before_anything_starts() {
    let failure = |step: &str| {
        let seen = boot_reply(Reply::ok(""), step, r#"{"accel": "tcg"}"#);
        assert_eq!(seen.class(), Some(Class::Plan));
        seen.failure()
    };
    let all = [
        failure(r#"{"check": []}"#),
        failure(r#"{"boot": "kernel", "image": "./disk", "check": []}"#),
        failure(r#"{"image": "./disk", "check": [{"name": "a", "run": "x", "reboot": true}]}"#),
        failure(r#"{"image": "./disk", "check": [{"name": "a", "run": "x", "matches": "("}]}"#),
        failure(r#"{"image": "./disk", "machine": "laptop", "check": []}"#),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    error: `boot = "disk"` needs `image`: add it to the step
    error: `boot = "kernel"` needs `kernel`: add it to the step
    error: check `a` needs exactly one of `console`, `screen`, `run`, `ssh`, `wait-unit`, `wait-ip`, `wait-file`, `screenshot`, `copy-in`, `copy-out`, `reboot = true` and `power-off = true`
    error: `matches` of check `a` is not a regular expression: found open group without closing ')'
    error: there is no machine `laptop`: use one of `m`
    "#);
}

#[test]
fn someone_who_asks_to_stop_is_heard() {
    let step = r#"{"boot": "kernel", "kernel": "./vmlinuz", "check": [{"name": "a", "run": "true"}]}"#;
    let seen = boot_files(&SystemRunner::default(), step, r#"{"accel": "tcg"}"#, &[], |sandbox| {
        sandbox.cancel.cancel();
    });
    assert_eq!(seen.class(), Some(Class::Cancelled));
    assert!(seen.checks().starts_with("NotRun a"));
}

/// A disk without a boot loader ends at once, not when the time is up.
#[test]
fn a_disk_that_nothing_starts_from_is_told_by_both_firmwares() {
    let step = r#"{"image": "./disk", "machine": "m", "check": [{"name": "up", "console": "login:"}]}"#;
    for firmware in ["uefi", "bios"] {
        let machine = format!(r#"{{"accel": "tcg", "firmware": "{firmware}", {GENEROUS}}}"#);
        let seen =
            boot_files(&SystemRunner::default(), step, &machine, &[("disk", &vec![0; 1 << 20])], |_| {});
        assert_eq!(seen.class(), Some(Class::Check));
        let found = matches!(seen.result, Err(VmError::NothingToStart { .. }));
        assert!(found, "{firmware}: {}\n{}", seen.story(), seen.console().join("\n"));
    }
}

/// What a preview shows is what runs, and nothing else does.
#[test]
fn the_preview_is_the_transcript() {
    let runner = ScriptedRunner::default().on(Tool::QemuX86, Reply::ok("up\n"));
    let step = r#"{"image": "./disk", "machine": "m", "check": [{"name": "up", "console": "up"}]}"#;
    let machine = r#"{"accel": "tcg", "firmware": "uefi", "cpus": 2}"#;
    let mut preview = String::new();
    let seen = boot_files(&runner, step, machine, &[("disk", b"disk")], |sandbox| {
        let (step, machines) = parse(step, machine);
        let machine = Machine::resolve(step.machine.as_ref(), &machines, step.boot).unwrap();
        let media = Media {
            images: vec![ImageFile { path: sandbox.root().join("disk"), attach: Attach::Virtio }],
            ..Media::default()
        };
        let firmware = FirmwareFiles::find(machine.arch);
        assert!(firmware.is_some(), "install ovmf: `apt-get install ovmf`");
        let host = Host { accel: AccelKind::Tcg, firmware };
        preview = commands(&machine, step.boot, &media, &host, sandbox.cx().scratch)
            .iter()
            .map(|cmd| format!("$ {cmd}\n"))
            .collect();
    });
    assert!(seen.result.is_ok(), "{}", seen.failure());
    assert_eq!(runner.to_string(), preview);
}

#[test]
fn what_a_host_lacks_is_told_with_how_to_get_it() {
    let all = [
        VmError::NoFirmware { arch: Arch::X8664 },
        VmError::NoFirmware { arch: Arch::Aarch64 },
        VmError::NoKvm { reason: "this host has no /dev/kvm".to_owned() },
        VmError::NoControl { limit: Duration::from_mins(1) },
        VmError::StepLimit { limit: Duration::from_millis(1500) },
    ];
    let all: Vec<_> = all.iter().map(|error| Failure::of(error).to_string()).collect();
    insta::assert_snapshot!(all.join("\n"), @r#"
    error: this host has no UEFI firmware for QEMU
      hint: install it: `apt-get install ovmf`, or set the machine's `firmware = "bios"`
    error: this host has no UEFI firmware for QEMU and 64-bit ARM
      hint: install it: `apt-get install qemu-efi-aarch64`
    error: the machine asks for KVM: this host has no /dev/kvm
      hint: set the machine's `accel = "auto"`, or use a host with KVM
    error: QEMU did not answer on its control socket within 60 s
    error: the guest still ran when the step's limit of 1.5 s was reached
      hint: raise the step's `limit`, or find out why it takes so long
    "#);
}
