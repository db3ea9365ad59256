//! Guests that were recorded, and guests that really boot.

use std::sync::{Mutex, PoisonError};

use bootway_exec::{Input, Reply, Runner, Sandbox, ScriptedRunner, SystemRunner, Tool};
use bootway_plan::{ArtifactKind, Bytes, Digest, Failure, Name, Source, Stream, step::MachineSpec};
use camino::{Utf8Path, Utf8PathBuf};

use super::*;

mod cpio;
mod sector;

/// The file that tests boot.
fn kernel() -> Utf8PathBuf {
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
fn initramfs(init: &str) -> Vec<u8> {
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

/// What happened in a boot.
struct Seen {
    result: Result<Vec<StepOutput>, VmError>,
    events: Vec<EventKind>,
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

    fn class(&self) -> Option<Class> {
        self.result.as_ref().err().map(VmError::class)
    }
}

/// Boots `files`, which the step calls `./NAME`.
fn boot_files(runner: &dyn Runner, step: &str, machine: &str, files: &[(&str, &[u8])], late: impl FnOnce(&Sandbox)) -> Seen {
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
    let result = vm(&sandbox.cx(), &step, &machines);
    Seen { result, events: sandbox.events() }
}

fn add(sandbox: &mut Sandbox, name: &str, path: Utf8PathBuf) {
    let source: Source = format!("./{name}").parse().unwrap();
    let input = Input { path, kind: ArtifactKind::File, digest: Digest::of(b""), size: Bytes::new(0), made: false };
    sandbox.inputs.insert(source, input);
}

/// Boots a real kernel with a busybox initramfs under emulation.
fn boot_init(init: &str, checks: &str, machine: &str) -> Seen {
    let step = format!(
        r#"{{"boot": "kernel", "kernel": "./vmlinuz", "initrd": "./initrd", "cmdline": "console=ttyS0 panic=-1",
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
const SHELL: &str = r"
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
    let verdicts: Vec<_> = seen.checks().lines().map(|line| line.split(':').next().unwrap().to_owned()).collect();
    insta::assert_snapshot!(verdicts.join("\n"), @"
    Passed kernel says hello
    Passed adds
    Passed exits
    Passed is exact

     c[1m
    it's`
    Passed talks while the kernel does
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
    xxxxxxxxxxxxxxxxxxxxxxxxxxx…`
    Passed ten thousand lines
    2
    3
    4
    5
    6
    7
    8
    9
    10
    11
    12
    13
    14
    15
    16
    17
    18
    19
    20
    21
    22
    23
    24
    25
    26
    27
    28
    29
    30
    31
    32
    33
    34
    35
    36
    37
    38
    39
    40
    41
    42
    43
    44
    45
    46
    47
    48
    49
    50
    51
    52
    53
    54
    55
    56
    57
    58
    59
    60
    61
    62
    63
    64
    65
    66
    67
    68
    69
    70
    71
    72
    73
    74
    75
    76
    77
    78
    79
    80
    81
    82
    83
    …`
    Passed leaves a mark
    Passed reboots
    Passed forgets
    Passed off
    ");
    assert!(seen.console().iter().any(|line| line.ends_with("# seq 1 10000")));
    assert!(seen.console().contains(&"9999"), "the console shows what a command printed");
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
    insta::assert_snapshot!(format!("{}\n{}", seen.checks(), seen.failure()), @"
    Failed says yes: `echo no` printed `no`, wanted exactly `yes`
    Failed says more: `echo no` printed `no`, wanted `yes` in it
    Failed says less: `echo no` printed `no`, which must not have `no` in it
    Failed matches: `echo no` printed `no`, wanted a match of `^yes`
    Failed works: `nothing-here` exited with code 127, wanted 0; printed `sh: eval: nothing-here: not found`
    Passed is right: printed `yes`
    TimedOut hangs: `echo begun; sleep 1000` was still running after 2 s
    NotRun is not reached: check `says yes` failed, and 6 more did not pass: `echo no` printed `no`, wanted exactly `yes`

    error: check `says yes` failed, and 6 more did not pass: `echo no` printed `no`, wanted exactly `yes`
    ");
    assert_eq!(seen.class(), Some(Class::Check));
}

#[test]
fn a_panic_is_told_at_once() {
    let checks = r#"{"name": "shell", "run": "true"}, {"name": "off", "power-off": true}"#;
    let seen = boot_init("exit 1", checks, GENEROUS);
    insta::assert_snapshot!(format!("{}\n{}", seen.checks(), seen.failure()), @"
    Failed shell: the guest's kernel panicked: `[    1.607581] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100`
    NotRun off: the guest's kernel panicked: `[    1.607581] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100`

    error: the guest's kernel panicked: `[    1.607581] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100`
    ");
    assert_eq!(seen.class(), Some(Class::Check));
}

#[test]
fn a_guest_that_never_prints_is_told_with_what_to_try() {
    let step = r#"{"boot": "kernel", "kernel": "./vmlinuz", "machine": "m", "cmdline": "console=tty0",
        "check": [{"name": "shell", "run": "true"}]}"#;
    let machine = r#"{"accel": "tcg", "limits": {"boot": "2s"}}"#;
    // Nothing that a processor does: `jmp` to itself.
    let seen = boot_files(&SystemRunner::default(), step, machine, &[("vmlinuz", &sector::silent_kernel())], |_| {});
    insta::assert_snapshot!(format!("{}\n{}", seen.checks(), seen.failure()), @"
    TimedOut shell: the guest had no shell within 2 s; its console said nothing

    error: the guest had no shell within 2 s; its console said nothing
      hint: add `console=ttyS0` to the step's `cmdline`, so that the kernel uses the serial console
    ");
    assert_eq!(seen.class(), Some(Class::Check));
}

/// A boot sector writes to its disk, resets, and finds what it wrote; the image stays as it was.
#[test]
fn the_image_is_only_read_and_writes_outlive_a_reboot() {
    let step = r#"{"image": "./disk", "machine": "m", "check": [
        {"name": "first", "console": "wrote"}, {"name": "second", "console": "kept"}]}"#;
    let machine = r#"{"accel": "tcg", "firmware": "bios", "memory": "64MiB"}"#;
    let image = sector::image();
    let path = Mutex::new(Utf8PathBuf::new());
    let seen = boot_files(&SystemRunner::default(), step, machine, &[("disk", &image)], |sandbox| {
        let disk = sandbox.root().join("disk");
        let mut mode = fs_err::metadata(&disk).unwrap().permissions();
        mode.set_readonly(true);
        fs_err::set_permissions(&disk, mode).unwrap();
        *path.lock().unwrap_or_else(PoisonError::into_inner) = disk;
    });
    assert!(seen.result.is_ok(), "{}\n{}", seen.failure(), seen.console().join("\n"));
    assert!(seen.events.iter().any(|event| matches!(event, EventKind::Note { text } if text.contains("was reset while"))));
}

#[test]
fn a_missing_qemu_is_told_with_how_to_get_it() {
    let step = r#"{"boot": "kernel", "kernel": "./vmlinuz", "machine": "m", "check": [{"name": "a", "run": "true"}]}"#;
    let seen = boot_reply(Reply::missing(), step, r#"{"accel": "tcg"}"#);
    insta::assert_snapshot!(format!("{}\n{}", seen.checks(), seen.failure()), @"
    NotRun a: `qemu-system-x86_64` is not on PATH

    error: `qemu-system-x86_64` is not on PATH
      hint: install it: `apt-get install qemu-system-x86`, or enter `nix develop ./nix`
    ");
    assert_eq!(seen.class(), Some(Class::Environment));
}

#[test]
fn a_qemu_that_dies_at_once_is_told_with_what_it_said() {
    let step = r#"{"image": "./disk", "machine": "m", "check": [{"name": "a", "console": "x"}]}"#;
    let reply = Reply::exits(1).stderr("qemu-system-x86_64: -drive file=disk: Could not open 'disk'\nsecond line");
    let seen = boot_reply(reply, step, r#"{"accel": "tcg", "firmware": "bios"}"#);
    let text = format!("{}\n{}", seen.checks(), seen.failure());
    insta::with_settings!({filters => vec![(r"after 0\.\d s", "after [time]")]}, { insta::assert_snapshot!(text, @"
    NotRun a: QEMU exited with code 1 after 0 s

    error: QEMU exited with code 1 after 0 s
      caused by: qemu-system-x86_64: -drive file=disk: Could not open 'disk'
        second line
    "); });
    assert_eq!(seen.class(), Some(Class::Environment));
}

/// The real QEMU dies of a kernel that is none.
#[test]
fn a_kernel_that_is_none_is_not_the_end_of_a_guest() {
    let step = r#"{"boot": "kernel", "kernel": "./vmlinuz", "machine": "m", "check": [{"name": "a", "run": "true"}]}"#;
    let seen = boot_files(&SystemRunner::default(), step, r#"{"accel": "tcg"}"#, &[("vmlinuz", b"text")], |_| {});
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
    insta::assert_snapshot!(format!("{}\n{}", seen.checks(), seen.failure()), @"
    Passed up: -
    Failed a: the guest's kernel panicked: `[    1.204981] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)`
    NotRun b: the guest's kernel panicked: `[    1.204981] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)`

    error: the guest's kernel panicked: `[    1.204981] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)`
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
    error: check `a` needs exactly one of `console`, `run`, `reboot = true` and `power-off = true`
    error: `matches` of check `a` is not a regular expression: found open group without closing ')'
    error: there is no machine `laptop`: use one of `m`
    "#);
}

#[test]
fn someone_who_asks_to_stop_is_heard() {
    let step = r#"{"boot": "kernel", "kernel": "./vmlinuz", "check": [{"name": "a", "run": "true"}]}"#;
    let seen = boot_files(&SystemRunner::default(), step, r#"{"accel": "tcg"}"#, &[], |sandbox| sandbox.cancel.cancel());
    assert_eq!(seen.class(), Some(Class::Cancelled));
    assert!(seen.checks().starts_with("NotRun a"));
}
