//! The plan for Chromebooks: both layouts, four ways with drivers, and what other people's tools say of the disks.
//!
//! The shim is the one that `cargo xtask fixtures shim` makes.

use std::os::unix::fs::FileExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    chromeos::{as_ordinary_user, bad_checks, patch, place, sign_again},
    project::{Project, Run, digest, from_error, program, run, start},
    shim_fixture::shim_fixture,
};

const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/plans/shimboot.plan.toml");

/// The first program of a root: says what it has, and that it is up.
const INIT: &str = r#"#!/bin/busybox sh
export PATH=/bin
exec >/dev/console 2>&1 </dev/console
/bin/busybox --install -s /bin
say() { echo "test-root: $*"; }
say "modules of $(ls /lib/modules 2>/dev/null | wc -l) kernels, $(modprobe dummy 2>/dev/null && echo dummy is loaded)"
say "firmware $([ -n "$(find /lib/firmware -type f 2>/dev/null)" ] && echo is there)"
touch /written && say "written"
say "up"
exec sleep 600
"#;

/// A root as an archive, whose owners and modes do not depend on who makes it.
fn root(project: &Project) -> Utf8PathBuf {
    let dir = project.path().join("root");
    for name in ["bin", "dev", "etc", "proc", "run", "sys", "tmp", "usr/lib"] {
        fs_err::create_dir_all(dir.join(name)).unwrap();
    }
    let init = project.write("root/init", INIT);
    fs_err::set_permissions(init, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    project.write("root/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    project.write("root/usr/lib/once", vec![7; 70_000]);
    fs_err::hard_link(dir.join("usr/lib/once"), dir.join("usr/lib/twice")).unwrap();
    fs_err::os::unix::fs::symlink("usr/lib/once", dir.join("link")).unwrap();
    fs_err::copy("/bin/busybox", dir.join("bin/busybox"))
        .unwrap_or_else(|error| panic!("{error}: apt-get install busybox-static"));
    let tar = project.path().join("root.tar");
    let sorted = ["--sort=name", "--mtime=@0", "-C", dir.as_str()];
    let ours = ["--owner=0", "--group=0", "--mode=a+rX", "--exclude=./usr/lib/*", "-cf", tar.as_str(), "."];
    ask("tar", &[sorted.as_slice(), &ours].concat());
    let theirs =
        ["--owner=7", "--group=8", "--mode=4755", "-rf", tar.as_str(), "./usr/lib/once", "./usr/lib/twice"];
    ask("tar", &[sorted.as_slice(), &theirs].concat());
    tar
}

/// Builds the plan with variables in `work` below the project, up to `phase`.
fn build(project: &Project, work: &str, phase: &str, vars: &[&str]) -> Run {
    let args = args(project, work, phase, vars);
    project.bootway(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

fn args(project: &Project, work: &str, phase: &str, vars: &[&str]) -> Vec<String> {
    let root = project.path().join("root.tar");
    let root = if root.exists() { root } else { self::root(project) };
    let mut all = vec![
        format!("shim={}", shim_fixture("shim.bin")),
        format!("recovery={}", shim_fixture("recovery.bin")),
        format!("root={root}"),
        "root-format=tar".to_owned(),
        "rootfs-least=1MiB".to_owned(),
        "ready=test-root: up".to_owned(),
    ];
    all.extend(vars.iter().map(|it| (*it).to_owned()));
    let args = ["build", PLAN, "--work", work, "--no-report", "--phase", phase].map(str::to_owned);
    args.into_iter().chain(all.into_iter().flat_map(|var| ["--var".to_owned(), var])).collect()
}

fn disk(project: &Project, work: &str) -> Utf8PathBuf {
    project.path().join(work).join("out/disk/disk.raw")
}

#[track_caller]
fn ask(name: &str, args: &[&str]) -> String {
    let output = run(program(name).args(args));
    assert_eq!(output.code, 0, "{name} {args:?}: {}{}", output.stdout, output.stderr);
    output.stdout
}

/// Number, start, size and label of every partition, by cgpt.
fn partitions(disk: &Utf8Path) -> Vec<(u32, u64, u64, String)> {
    let of = |number: u32, flag: &str| {
        ask("cgpt", &["show", "-i", &number.to_string(), flag, disk.as_str()]).trim().to_owned()
    };
    let quick = ask("cgpt", &["show", "-q", disk.as_str()]);
    let numbers = quick.lines().map(|line| line.split_whitespace().nth(2).unwrap().parse().unwrap());
    numbers
        .map(|number| {
            (number, of(number, "-b").parse().unwrap(), of(number, "-s").parse().unwrap(), of(number, "-l"))
        })
        .collect()
}

fn bytes(disk: &Utf8Path, sector: u64, sectors: u64) -> Vec<u8> {
    let mut bytes = vec![0; (sectors * 512) as usize];
    fs_err::File::open(disk).unwrap().file().read_exact_at(&mut bytes, sector * 512).unwrap();
    bytes
}

/// Partition `number` as a file of its own.
fn carved(project: &Project, disk: &Utf8Path, number: u32) -> Utf8PathBuf {
    let (_, start, sectors, _) = partitions(disk).into_iter().find(|it| it.0 == number).unwrap();
    project.write(&format!("part{number}"), bytes(disk, start, sectors))
}

/// What sgdisk, cgpt and e2fsck say of a disk with `roots` ext partitions behind the first three.
#[track_caller]
fn judged(project: &Project, disk: &Utf8Path) -> String {
    assert!(ask("sgdisk", &["-v", disk.as_str()]).contains("No problems found"));
    let shown = ask("cgpt", &["show", "-n", disk.as_str()]);
    assert_eq!(bytes(disk, 2, 1)[128 + 48..128 + 56], 0x015A_0000_0000_0000_u64.to_le_bytes());
    let kernel = fs_err::read(shim_fixture("kern-a.bin")).unwrap();
    let slot = bytes(disk, 4096, 65_536);
    let (same, rest) = slot.split_at(kernel.len());
    assert!(same == kernel && rest.iter().all(|byte| *byte == 0), "the kernel is what was signed");
    for (number, ..) in partitions(disk) {
        if number != 2 {
            ask("e2fsck", &["-fn", carved(project, disk, number).as_str()]);
        }
    }
    let lines = shown.lines().skip(4).filter(|line| !line.contains("UUID") && !line.contains("Sec GPT"));
    let lines: Vec<String> =
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.join("\n").replace("\nType: ", " ").replace("\nAttr: ", " ")
}

#[test]
fn the_layout_of_nixos_shimboot_has_drivers_in_a_partition_of_their_own() {
    let project = Project::new("");
    let built = build(&project, "work", "assemble", &[]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    insta::assert_snapshot!(judged(&project, &disk(&project, "work")), @r#"
    2048 2048 1 Label: "STATE" 0FC63DAF-8483-4772-8E79-3D69D8477DE4 [0]
    4096 65536 2 Label: "KERNEL" FE3A2A5D-4F32-41A7-B725-ACCC3285A309 [15a]
    69632 40960 3 Label: "BOOT" 3CB8E202-3B7E-47DD-8A3C-7FF2A13CFCEC [0]
    110592 43008 4 Label: "shimboot_rootfs:vendor" 0FC63DAF-8483-4772-8E79-3D69D8477DE4 [0]
    153600 210944 5 Label: "shimboot_rootfs:bootway" 3CB8E202-3B7E-47DD-8A3C-7FF2A13CFCEC [0]
    "#);
}

#[test]
fn the_layout_of_shimboot_has_one_root() {
    let project = Project::new("");
    let built =
        build(&project, "work", "assemble", &["layout=shimboot", "drivers=inject", "rootfs-name=debian"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    insta::assert_snapshot!(judged(&project, &disk(&project, "work")), @r#"
    2048 2048 1 Label: "" 0FC63DAF-8483-4772-8E79-3D69D8477DE4 [0]
    4096 65536 2 Label: "kernel" FE3A2A5D-4F32-41A7-B725-ACCC3285A309 [15a]
    69632 40960 3 Label: "" 3CB8E202-3B7E-47DD-8A3C-7FF2A13CFCEC [0]
    110592 212992 4 Label: "shimboot_rootfs:debian" 0FC63DAF-8483-4772-8E79-3D69D8477DE4 [0]
    "#);
}

#[test]
fn a_root_survives_with_its_owners_modes_and_links_and_gets_what_it_lacks() {
    let project = Project::new("");
    let built = build(&project, "work", "assemble", &["drivers=inject", "recovery="]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let disk = disk(&project, "work");
    let part = carved(&project, &disk, 4);
    let stat = |path: &str| ask("debugfs", &["-R", &format!("stat {path}"), part.as_str()]);
    let once = stat("/usr/lib/once");
    for said in ["Mode:  04755", "User:     7   Group:     8", "Links: 2", "Size: 70000"] {
        assert!(once.contains(said), "{said}: {once}");
    }
    assert!(stat("/link").contains("Fast link dest: \"usr/lib/once\""));
    assert!(stat("/etc/machine-id").contains("Size: 0"));
    assert!(stat("/sbin/init").contains("Fast link dest: \"/init\""));
    insta::assert_snapshot!(ask("debugfs", &["-R", "cat /etc/shimboot-build.json", part.as_str()]), @r#"
    {
      "build_date": "2025-01-01T00:00:00Z",
      "build_host": "bootway",
      "board": "dedede",
      "rootfs_flavor": "base",
      "drivers_mode": "inject",
      "firmware_upstream": "false",
      "nix_version": "none",
      "script_version": "bootway",
      "git_commit": "unknown",
      "image_size_mb": 0
    }
    "#);
    // The same root again, now out of the disk that it is in.
    let image = format!("root={disk}");
    let again =
        build(&project, "again", "assemble", &["drivers=inject", "recovery=", "root-format=image", &image]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(digest(&disk), digest(&self::disk(&project, "again")));
}

#[test]
fn two_builds_are_the_same_to_the_byte_and_sparse() {
    let project = Project::new("");
    for work in ["one", "other"] {
        let built = build(&project, work, "assemble", &["drivers=both"]);
        assert_eq!(built.code, 0, "{}", built.stderr);
    }
    let (one, other) = (disk(&project, "one"), disk(&project, "other"));
    assert_eq!(digest(&one), digest(&other));
    let metadata = fs_err::metadata(&one).unwrap();
    let allocated = std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
    assert!(allocated < metadata.len() / 2, "{allocated} of {}", metadata.len());
}

#[test]
fn a_root_with_next_to_nothing_in_it_is_a_mistake() {
    let project = Project::new("");
    let built = build(&project, "work", "assemble", &["rootfs-least=500MiB"]);
    assert_eq!(built.code, 3);
    let error = built.stderr.split("error: ").nth(1).unwrap_or_default();
    insta::assert_snapshot!(error.split("\n  rerun").next().unwrap_or_default(), @"
    step `disk` failed
      caused by: the content of partition `shimboot_rootfs:bootway` is suspiciously small: 1.97 MiB, and `min-content` is 500 MiB
      hint: look whether it is the tree that was meant; if it is, lower `min-content` or leave it out
    ");
    assert!(!disk(&project, "work").exists());
}

/// What the guest said, and that every check passed.
fn boots(vars: &[&str]) -> String {
    let project = Project::new("");
    let built = build(&project, "work", "all", vars);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let log = fs_err::read_to_string(project.path().join("work/runs/latest/events.jsonl")).unwrap();
    let console = log.lines().filter(|line| line.contains("\"stream\":\"console\""));
    let said = console.filter_map(|line| {
        let text = &line[line.find("test-root: ").or_else(|| line.find("bootway-bootloader: mounted"))?..];
        Some(text.split('"').next()?.to_owned())
    });
    let mut lines: Vec<String> = Vec::new();
    for line in said {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

#[test]
fn drivers_in_a_partition_of_their_own_are_there_when_the_root_is_up() {
    insta::assert_snapshot!(boots(&["drivers=vendor"]), @"
    bootway-bootloader: mounted /dev/sda5 ext4 rw
    test-root: modules of 1 kernels, dummy is loaded
    test-root: firmware is there
    test-root: written
    test-root: up
    ");
}

#[test]
fn drivers_in_the_root_are_there_when_it_is_up() {
    insta::assert_snapshot!(boots(&["drivers=inject", "layout=shimboot"]), @"
    bootway-bootloader: mounted /dev/sda4 ext4 rw
    test-root: modules of 1 kernels, dummy is loaded
    test-root: firmware is there
    test-root: written
    test-root: up
    ");
}

#[test]
fn drivers_in_both_places_are_there_when_the_root_is_up() {
    insta::assert_snapshot!(boots(&["drivers=both", "layout=shimboot"]), @"
    bootway-bootloader: mounted /dev/sda5 ext4 rw
    test-root: modules of 1 kernels, dummy is loaded
    test-root: firmware is there
    test-root: written
    test-root: up
    ");
}

#[test]
fn a_root_without_drivers_boots() {
    insta::assert_snapshot!(boots(&["drivers=none"]), @"
    bootway-bootloader: mounted /dev/sda4 ext4 rw
    test-root: modules of 0 kernels, 
    test-root: firmware 
    test-root: written
    test-root: up
    ");
}

#[test]
fn a_packed_root_can_be_written_once_it_is_up() {
    insta::assert_snapshot!(boots(&["root-kind=squashfs"]), @"
    bootway-bootloader: mounted /dev/sda5 squashfs with an overlay in memory
    test-root: modules of 1 kernels, dummy is loaded
    test-root: firmware is there
    test-root: written
    test-root: up
    ");
}

/// As whoever runs the tests: no device-mapper, no loop device. cryptsetup takes it apart again.
#[test]
fn a_locked_root_opens_with_its_passphrase_and_is_whole() {
    let project = Project::new("");
    let key = project.write("key", "correct horse");
    let built = build(&project, "work", "assemble", &["luks=yes", &format!("luks-key={key}")]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let part = carved(&project, &disk(&project, "work"), 5);
    let header = project.path().join("header");
    let unlock = [
        "reencrypt",
        "--decrypt",
        "--disable-locks",
        "--force-offline-reencrypt",
        "--batch-mode",
        "--header",
        header.as_str(),
        "--key-file",
        key.as_str(),
        part.as_str(),
    ];
    ask("cryptsetup", &unlock);
    ask("e2fsck", &["-fn", part.as_str()]);
    assert!(ask("debugfs", &["-R", "stat /usr/lib/once", part.as_str()]).contains("Links: 2"));
}

/// Damages a stick that boots, and what its test says of it. What the firmware and the shim look for is looked for before
/// anything is started; what only the boot loader can see ends the guest as soon as it says so.
#[test]
fn what_is_missing_on_a_stick_is_a_verdict_of_its_own() {
    let project = Project::new(&format!("[[phase]]\nname = \"test\"\n{}", DAMAGED.map(vm).concat()));
    let built = build(&project, "work", "assemble", &["drivers=none"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    for name in DAMAGED {
        let stick = project.path().join(format!("{name}.raw"));
        ask("cp", &["--sparse=always", disk(&project, "work").as_str(), stick.as_str()]);
        damage(&project, &stick, name);
    }
    let run = project.bootway(&["build", "test.plan.toml", "--work", "vms", "--keep-going"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    let said = DAMAGED.map(|it| format!("# {it}\n{}", bad_checks(&project, "vms", it)));
    insta::with_settings!({filters => vec![(r"\[ *[0-9]+\.[0-9]{6}\]", "[time]")]}, {
        insta::assert_snapshot!(said.join("\n"), @"
        # wrong-kern-guid
        failed firmware: kern_guid leads to a partition: no partition has the GUID `00000000-1111-2222-3333-444444444444` of the signed command line: its init waits for it, and gives up
        not-run menu: kern_guid leads to a partition: no partition has the GUID `00000000-1111-2222-3333-444444444444` of the signed command line: its init waits for it, and gives up
        not-run the root is up: kern_guid leads to a partition: no partition has the GUID `00000000-1111-2222-3333-444444444444` of the signed command line: its init waits for it, and gives up
        # no-boot-loader
        failed firmware: the partition after the kernel has a boot loader: partition 3 (`BOOT`) is ext2 without sbin/init
        not-run menu: the partition after the kernel has a boot loader: partition 3 (`BOOT`) is ext2 without sbin/init
        not-run the root is up: the partition after the kernel has a boot loader: partition 3 (`BOOT`) is ext2 without sbin/init
        # no-root
        failed firmware: a root file system for the boot loader: no partition but the vendor's has a name that begins with `shimboot_rootfs:`: its menu is empty
        not-run menu: a root file system for the boot loader: no partition but the vendor's has a name that begins with `shimboot_rootfs:`: its menu is empty
        not-run the root is up: a root file system for the boot loader: no partition but the vendor's has a name that begins with `shimboot_rootfs:`: its menu is empty
        # a-root-that-is-no-file-system
        failed the root is up: the boot loader did not get to a root file system: `bootway-bootloader: error: /dev/sda4 has no file system that the boot loader knows: ext2, ext3, ext4, squashfs, or LUKS with one`
        # a-root-without-init
        failed the root is up: the boot loader did not get to a root file system: `bootway-bootloader: error: there is no /sbin/init, /init or /usr/lib/systemd/systemd in the root file system`
        # half-a-boot-loader
        failed menu: the shim finds nothing to start on its root partition: there is no boot loader, or what it needs is missing: `switch_root: can't execute '/sbin/init': No such file or directory`
        not-run the root is up: the shim finds nothing to start on its root partition: there is no boot loader, or what it needs is missing: `switch_root: can't execute '/sbin/init': No such file or directory`
        ");
    });
}

const DAMAGED: [&str; 6] = [
    "wrong-kern-guid",
    "no-boot-loader",
    "no-root",
    "a-root-that-is-no-file-system",
    "a-root-without-init",
    "half-a-boot-loader",
];

fn vm(name: &str) -> String {
    [
        "  [[phase.step]]",
        &format!("  name = \"{name}\""),
        "  [phase.step.vm]",
        &format!("  image = \"./{name}.raw\""),
        "  boot = \"chromeos\"",
        "  check = [",
        r#"    { name = "menu", console = "bootway-bootloader: menu", type = "1\n", within = "3min" },"#,
        r#"    { name = "the root is up", console = "test-root: up", within = "3min" },"#,
        "  ]\n",
    ]
    .join("\n")
}

fn damage(project: &Project, stick: &Utf8Path, name: &str) {
    match name {
        "wrong-kern-guid" => {
            sign_again(project, stick, "kern_guid=%U", "kern_guid=00000000-1111-2222-3333-444444444444");
        }
        "no-boot-loader" => without(project, stick, 3, "bin/init"),
        "no-root" => {
            ask("cgpt", &["add", "-i", "4", "-l", "rootfs", stick.as_str()]);
        }
        "a-root-that-is-no-file-system" => patch(stick, place(stick, 4).0 * 512, &[0; 4096]),
        "a-root-without-init" => without(project, stick, 4, "init"),
        "half-a-boot-loader" => without(project, stick, 3, "bin/busybox"),
        name => panic!("`{name}`"),
    }
}

/// Removes a file of a partition.
fn without(project: &Project, stick: &Utf8Path, number: u32, path: &str) {
    let part = carved(project, stick, number);
    ask("debugfs", &["-w", "-R", &format!("rm /{path}"), part.as_str()]);
    patch(stick, place(stick, number).0 * 512, &fs_err::read(&part).unwrap());
}

#[test]
fn an_ordinary_user_without_loop_devices_makes_the_same_disk_and_boots_it() {
    let project = Project::new("");
    let built = build(&project, "root", "assemble", &[]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    // Where everybody may read.
    for name in ["shim.bin", "recovery.bin"] {
        ask("cp", &["--sparse=always", shim_fixture(name).as_str(), project.path().join(name).as_str()]);
    }
    let plans = Utf8Path::new(PLAN).parent().unwrap();
    ask(
        "cp",
        &["-r", plans.as_str(), plans.parent().unwrap().join("bootloader").as_str(), project.path().as_str()],
    );
    let at = |name: &str| project.path().join(name);
    let vars = [
        format!("shim={}", at("shim.bin")),
        format!("recovery={}", at("recovery.bin")),
        format!("root={}", at("root.tar")),
        "root-format=tar".to_owned(),
        "rootfs-least=1MiB".to_owned(),
        "ready=test-root: up".to_owned(),
    ];
    let (plan, work) = (at("plans/shimboot.plan.toml"), at("user"));
    let mut args = vec!["build", plan.as_str(), "--work", work.as_str(), "--phase", "all"];
    for var in &vars {
        args.extend(["--var", var]);
    }
    let built = as_ordinary_user(&project, &args);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert_eq!(digest(&disk(&project, "user")), digest(&disk(&project, "root")));
}

/// Every file below a directory, with its size.
fn listing(dir: &Utf8Path) -> Vec<String> {
    let files = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().map(Result::unwrap);
    files.map(|it| format!("{} {}", it.path().display(), it.metadata().unwrap().len())).collect()
}

#[test]
fn a_preview_changes_nothing_and_needs_no_tool_of_chromeos() {
    let project = Project::new("");
    root(&project);
    let tools = project.path().join("tools");
    fs_err::create_dir(&tools).unwrap();
    let qemu = "/usr/bin/qemu-system-x86_64";
    fs_err::os::unix::fs::symlink(qemu, tools.join("qemu-system-x86_64")).unwrap();
    let before = listing(project.path());
    let vars =
        [format!("shim={}", shim_fixture("shim.bin")), format!("root={}", project.path().join("root"))];
    let args = ["build", PLAN, "--dry-run", "--work", "work", "--var", &vars[0], "--var", &vars[1]];
    let run = run(project.command(&args).env("PATH", tools));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(listing(project.path()), before);
    let steps: Vec<&str> = run.stdout.lines().filter(|it| it.starts_with("# ")).collect();
    insta::assert_snapshot!(steps.join("\n"), @"
    # shim (harvest)
    # state (tree): no program, done in process
    # boot-tree (tree): no program, done in process
    # root-base (tree): no program, done in process
    # rootfs (tree): no program, done in process
    # disk (disk): no program, done in process
    # looks-right (inspect): no program, done in process
    # boots (vm)
    ");
}

#[test]
fn all_that_is_missing_is_said_at_once_before_anything_is_made() {
    let project = Project::new("");
    let none = project.path().join("none");
    let vars = ["shim", "recovery", "bootloader", "root"].map(|it| format!("{it}={none}/{it}"));
    let mut args = vec!["build", PLAN, "--work", "work"];
    for var in &vars {
        args.extend(["--var", var]);
    }
    fs_err::create_dir(&none).unwrap();
    let run = run(project.command(&args).env("PATH", &none));
    let said = project.redact(&from_error(&run.stderr));
    insta::assert_snapshot!(format!("exit code {}\n{said}", run.code), @"
    exit code 4
    error: this machine lacks 5 things that the plan needs
      caused by: `[dir]/none/bootloader` (needed by `boot-tree`): make it, or fix the path in the plan
      caused by: `[dir]/none/recovery` (needed by `shim`): make it, or fix the path in the plan
      caused by: `[dir]/none/root` (needed by `root-base`): make it, or fix the path in the plan
      caused by: `[dir]/none/shim` (needed by `shim`): make it, or fix the path in the plan
      caused by: program `qemu-system-x86_64` (needed by `boots`): install it: `apt-get install qemu-system-x86`, or enter `nix develop ./nix`
      hint: on Debian: apt-get install qemu-system-x86
    ");
    assert_eq!(fs_err::read_dir(project.path().join("work/out")).map_or(0, Iterator::count), 0);
}

/// Stopped anywhere on its way to another disk: the old one is whole or gone, nothing of a new one is left, and the next
/// run makes what an undisturbed one makes.
#[test]
fn ctrl_c_leaves_no_half_of_a_disk() {
    let project = Project::new("");
    let built = build(&project, "other", "assemble", &["rootfs-name=other"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let wanted = digest(&disk(&project, "other"));
    let mut stopped = 0;
    for begun in ["shim", "rootfs", "disk"] {
        let built = build(&project, "work", "assemble", &[]);
        assert_eq!(built.code, 0, "{}", built.stderr);
        let old = digest(&disk(&project, "work"));
        let code = interrupted(&project, begun);
        stopped += usize::from(code == 130);
        let now = disk(&project, "work");
        assert!(
            !now.exists() || [&old, &wanted].contains(&&digest(&now)),
            "half a disk, stopped at `{begun}`"
        );
        let left = listing(&project.path().join("work")).into_iter();
        let left: Vec<_> = left.filter(|it| it.contains("partial") || it.contains("scratch")).collect();
        assert_eq!(left, Vec::<String>::new(), "stopped at `{begun}`");
        let built = build(&project, "work", "assemble", &["rootfs-name=other"]);
        assert_eq!(built.code, 0, "{}", built.stderr);
        assert_eq!(digest(&disk(&project, "work")), wanted, "stopped at `{begun}`");
    }
    assert!(stopped > 0, "every run ended before it was stopped");
}

/// The exit code of a build in `work` of a disk with another name, after SIGINT when step `begun` has begun.
fn interrupted(project: &Project, begun: &str) -> i32 {
    let runs = project.path().join("work/runs");
    let before = fs_err::read_dir(&runs).unwrap().count();
    let args = args(project, "work", "assemble", &["rootfs-name=other"]);
    let mut child =
        start(project.command(&args.iter().map(String::as_str).collect::<Vec<_>>()).arg("--fresh"));
    let pid = rustix::process::Pid::from_child(&child);
    let has_begun = || {
        let log = fs_err::read_to_string(runs.join("latest/events.jsonl")).unwrap_or_default();
        fs_err::read_dir(&runs).unwrap().count() > before
            && log.contains(&format!("\"step\":\"{begun}\",\"kind\":\"started\""))
    };
    while !has_begun() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    if child.try_wait().unwrap().is_none() {
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }
    child.wait().unwrap().code().unwrap()
}
