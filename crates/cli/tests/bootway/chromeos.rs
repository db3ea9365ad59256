//! Shims, as their user meets them: harvested to the bit, booted as on a Chromebook, and what goes wrong with them.
//!
//! The shim is the one that `cargo xtask fixtures shim` makes.

use std::os::unix::{
    fs::{FileExt as _, PermissionsExt as _},
    process::CommandExt as _,
};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    project::{Project, Run, digest, oracle, program, run},
    shim_fixture::shim_fixture,
};

/// Sector and number of sectors of a partition, by cgpt.
pub(crate) fn place(disk: &Utf8Path, number: u32) -> (u64, u64) {
    let of = |flag| {
        let said = oracle("cgpt", &["show", "-i", &number.to_string(), flag, disk.as_str()]);
        said.trim().parse().unwrap()
    };
    (of("-b"), of("-s"))
}

/// The shim, to be changed.
fn copied(project: &Project) -> Utf8PathBuf {
    let to = project.path().join("shim.bin");
    oracle("cp", &["--sparse=always", shim_fixture("shim.bin").as_str(), to.as_str()]);
    to
}

pub(crate) fn patch(disk: &Utf8Path, offset: u64, bytes: &[u8]) {
    let file = fs_err::OpenOptions::new().write(true).open(disk).unwrap();
    file.file().write_all_at(bytes, offset).unwrap();
}

/// A plan with this step alone.
fn step(step: &str) -> Project {
    Project::new(&format!("[[phase]]\nname = \"all\"\n  [[phase.step]]\n  name = \"it\"\n{step}\n"))
}

fn harvest(image: &Utf8Path, more: &str) -> Project {
    step(&format!("  harvest = {{ image = \"{image}\", {more} }}"))
}

fn build(project: &Project) -> Run {
    project.bootway(&["build", "test.plan.toml"])
}

fn out(project: &Project, name: &str) -> Utf8PathBuf {
    project.path().join(".bootway/test/out/it").join(name)
}

/// What went wrong, without what differs between two runs, or between two kernels that Debian has compiled.
#[track_caller]
fn error(project: &Project) -> String {
    let release = fs_err::read_to_string(shim_fixture("release")).unwrap();
    let said = project.fails(&[]).replace(shim_fixture("").as_str(), "[fixture]");
    said.replace(release.trim(), "[release]")
}

#[test]
fn a_harvest_is_exact_to_the_bit() {
    let recovery = shim_fixture("recovery.bin");
    let project = harvest(
        &shim_fixture("shim.bin"),
        &format!("recovery = \"{recovery}\", expect = [\"initramfs:init\", \"lib/modules/*/modules.dep\"]"),
    );
    let built = build(&project);
    assert_eq!(built.code, 0, "{}", built.stderr);
    for name in ["bzImage", "initramfs.cpio"] {
        assert_eq!(digest(&out(&project, name)), digest(&shim_fixture(name)), "{name}");
    }
    let [ours, theirs] = [out(&project, "cmdline.txt"), shim_fixture("cmdline")].map(fs_err::read_to_string);
    assert_eq!(ours.unwrap().trim_end(), theirs.unwrap().trim_end());
    // The partition, all of it: what was packed, and zeros.
    let kernel = fs_err::read(out(&project, "kernel.bin")).unwrap();
    let packed = fs_err::read(shim_fixture("kern-a.bin")).unwrap();
    let (same, rest) = kernel.split_at(packed.len());
    assert!(same == packed && rest.iter().all(|byte| *byte == 0));
    assert_eq!(kernel.len() as u64, place(&shim_fixture("shim.bin"), 2).1 * 512);
    let key = "/usr/share/vboot/devkeys/recovery_key.vbpubk";
    oracle("vbutil_kernel", &["--verify", out(&project, "kernel.bin").as_str(), "--signpubkey", key]);
    // Links, compression and collisions are resolved.
    let drivers = out(&project, "drivers");
    let read = |name: &str| fs_err::read_to_string(drivers.join(name)).unwrap();
    let (fw, options) = ("lib/firmware/", "lib/modprobe.d/");
    assert!(!drivers.join(fw).join("elan_i2c.bin").is_symlink());
    insta::assert_snapshot!([read(&format!("{fw}elan_i2c.bin")), read(&format!("{fw}rtw88.bin")), read(&format!("{fw}rtw89.bin")), read(&format!("{options}cros.conf"))].concat(), @"
    touch fw
    xz firmware
    zst firmware
    alias net-pf-10 off
    ");
    assert!(!drivers.join(fw).join("dangling.bin").is_symlink(), "what leads nowhere is left out");
    let release = fs_err::read_to_string(shim_fixture("release")).unwrap();
    let modules = drivers.join("lib/modules").join(release.trim());
    let compressed = walkdir::WalkDir::new(&modules)
        .into_iter()
        .flatten()
        .filter(|it| it.file_name().to_string_lossy().ends_with(".gz"));
    assert_eq!(compressed.count(), 0);
    // modprobe of Debian agrees that all are there.
    let shown =
        oracle("modprobe", &["-d", drivers.as_str(), "-S", release.trim(), "--show-depends", "dummy", "tun"]);
    assert!(shown.contains("insmod"), "{shown}");
}

#[test]
fn a_zip_and_its_chunks_give_what_the_disk_gives() {
    let of = |name: &str| {
        let project = harvest(&shim_fixture(name), "modules = false, firmware = false, modprobe = false");
        let built = build(&project);
        assert_eq!(built.code, 0, "{}", built.stderr);
        ["kernel.bin", "bzImage", "initramfs.cpio"].map(|name| digest(&out(&project, name)))
    };
    let plain = of("shim.bin");
    assert_eq!(of("shim.bin.zip"), plain);
    assert_eq!(of("chunks"), plain);
}

#[test]
fn another_digest_is_another_image() {
    let project = harvest(&shim_fixture("shim.bin"), &format!("sha256 = \"{}\"", "0".repeat(64)));
    let has = digest(&shim_fixture("shim.bin"));
    insta::assert_snapshot!(error(&project).replace(&has, "[its SHA-256]"), @"
    exit code 5
    error: step `it` failed
      caused by: `[fixture]/shim.bin` has another SHA-256 than `0000000000000000000000000000000000000000000000000000000000000000`: `[its SHA-256]`
      hint: if the image was published with the new digest, put that into the plan
      rerun: bootway build test.plan.toml --step it
    ");
}

#[test]
fn an_ordinary_user_harvests_without_loop_devices() {
    let project = harvest(Utf8Path::new("./shim.bin"), "");
    copied(&project);
    let built = as_ordinary_user(&project, &["build", "test.plan.toml"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert_eq!(digest(&out(&project, "bzImage")), digest(&shim_fixture("bzImage")));
}

#[test]
fn a_label_is_looked_for_and_not_a_number() {
    let project = harvest(Utf8Path::new("./shim.bin"), "kernel = \"KERN-A\", modules = false");
    let shim = copied(&project);
    oracle("cgpt", &["add", "-i", "2", "-l", "ELSE", shim.as_str()]);
    insta::assert_snapshot!(error(&project), @"
    exit code 5
    error: step `it` failed
      caused by: `[dir]/shim.bin` has no partition labelled `KERN-A`: there are 1 `STATE`, 2 `ELSE`, 3 `ROOT-A`, 4 `KERN-B`, 5 `ROOT-B`, 6 `KERN-C`, 7 `ROOT-C`, 8 `OEM`, 9 `reserved`, 10 `reserved`, 11 `RWFW`, 12 `EFI-SYSTEM`
      hint: name one of these with `kernel`, or leave it out for the one that the firmware would start
      rerun: bootway build test.plan.toml --step it
    ");
    assert!(!out(&project, "").exists(), "nothing is made of it");
    // The same partition under another number is found by its label.
    let (start, size) = place(&shim, 2);
    oracle("cgpt", &["add", "-i", "2", "-t", "unused", shim.as_str()]);
    oracle(
        "cgpt",
        &["add", "-i", "4", "-b", &start.to_string(), "-s", &size.to_string(), "-l", "KERN-A", shim.as_str()],
    );
    oracle("cgpt", &["add", "-i", "5", "-t", "unused", shim.as_str()]);
    let (start, size) = place(&shim, 3);
    oracle("cgpt", &["add", "-i", "3", "-t", "unused", shim.as_str()]);
    oracle(
        "cgpt",
        &[
            "add",
            "-i",
            "5",
            "-b",
            &start.to_string(),
            "-s",
            &size.to_string(),
            "-t",
            "rootfs",
            "-l",
            "ROOT-A",
            shim.as_str(),
        ],
    );
    let built = build(&project);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert_eq!(digest(&out(&project, "bzImage")), digest(&shim_fixture("bzImage")));
}

#[test]
fn a_flipped_bit_in_the_kernel_is_named_with_its_layer() {
    let project = harvest(Utf8Path::new("./shim.bin"), "modules = false");
    let shim = copied(&project);
    let at = place(&shim, 2).0 * 512 + 0x10000 + 1_500_000;
    let mut byte = [0];
    fs_err::File::open(&shim).unwrap().file().read_exact_at(&mut byte, at).unwrap();
    patch(&shim, at, &[byte[0] ^ 1]);
    insta::with_settings!({filters => vec![("byte [0-9]+( of [0-9]+)?", "byte [n]")]}, {
        insta::assert_snapshot!(error(&project), @r#"
        exit code 5
        error: step `it` failed
          caused by: cannot take the kernel in partition `KERN-A` apart
          caused by: layer 1, the kernel: gzip at byte [n] of the boot image: damaged at byte [n]: corrupt gzip stream does not have a matching checksum
          hint: the image may be damaged: hold it against its SHA-256 (`sha256 = "…"` in the step), or get it again
          rerun: bootway build test.plan.toml --step it
        "#);
    });
    assert!(!out(&project, "").exists(), "nothing is made of it");
}

#[test]
fn a_shim_without_modules_is_an_error_unless_none_are_wanted() {
    let project = harvest(Utf8Path::new("./shim.bin"), "");
    let shim = copied(&project);
    let tree = project.path().join("bare");
    fs_err::create_dir_all(tree.join("sbin")).unwrap();
    project.write("bare/sbin/init", "#!/bin/sh\n");
    let root = project.write("bare.ext2", []);
    fs_err::File::options().write(true).open(&root).unwrap().set_len(8 << 20).unwrap();
    oracle("mke2fs", &["-q", "-F", "-t", "ext2", "-d", tree.as_str(), root.as_str()]);
    patch(&shim, place(&shim, 3).0 * 512, &fs_err::read(&root).unwrap());
    insta::assert_snapshot!(error(&project), @"
    exit code 5
    error: step `it` failed
      caused by: the shim has no `lib/modules/[release]`, the modules of its kernel: it has none at all; `modules = false` takes none
      rerun: bootway build test.plan.toml --step it
    ");
    let none = harvest(&shim, "modules = false");
    let built = build(&none);
    assert_eq!(built.code, 0, "{}", built.stderr);
}

#[test]
fn inspect_says_who_signed_what_and_what_it_is_fit_for() {
    let release = fs_err::read_to_string(shim_fixture("release")).unwrap();
    let about = |name: &str| {
        let said = Project::new("").bootway(&["inspect", shim_fixture(name).as_str(), "--json"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let said: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        let findings = said["chromeos"]["findings"].as_array().unwrap().iter().map(|it| {
            let [judgement, name, answer] = ["judgement", "name", "answer"]
                .map(|key| it[key].as_str().unwrap().replace(release.trim(), "[release]"));
            assert!(it["evidence"].as_array().is_none_or(|it| !it.is_empty()), "{name} has no evidence");
            format!("{judgement} {name}: {answer}\n")
        });
        format!("# {name}\n{}", findings.collect::<String>())
    };
    insta::assert_snapshot!([about("shim.bin"), about("recovery.bin")].concat(), @"
    # shim.bin
    good partition table: both copies are sound
    fact board: bootway
    fact release: 13505.15.0 (Chrome 87)
    good kernel in KERN-A (2): is what was signed
    doubtful keyblock of KERN-A (2): signed with the published recovery_key, for DEV REC !MINIOS
    fact kernel in KERN-B (4): none
    good root in ROOT-A (3): is what was signed
    good refuses an unsigned root: no
    fact programs in the initramfs: busybox, cgpt
    good kern_guid leads to a partition: yes
    good the partition after the kernel has a boot loader: yes
    good state partition: as old shims want it
    fact kernel version: [release]
    good newest systemd that runs: any
    fact features of ext4 that it mounts: all
    fact reads firmware in xz: no
    fact reads firmware in zstd: no
    fact decompresses modules: no
    good kernel has ext4: yes
    good kernel has squashfs: yes
    fact kernel has squashfs with gzip: yes
    fact kernel has squashfs with xz: yes
    fact kernel has squashfs with lz4: yes
    fact kernel has squashfs with zstd: yes
    good kernel has overlay: yes
    fact kernel has fuse: with a module
    fact kernel has vfat: yes
    fact kernel has btrfs: no
    fact kernel has devtmpfs: yes
    fact kernel has cgroup2: yes
    fact kernel has device mapper: yes
    good kernel has dm-crypt: yes
    fact kernel has dm-verity: yes
    fact kernel has loop devices: yes
    fact kernel has zram: with a module
    fact kernel has usb-storage: yes
    fact kernel has nvme: yes
    fact kernel has kexec: no
    fact kernel has virtual terminals: yes
    fact kernel has console on virtual terminals: yes
    fact kernel has serial ports: yes
    fact kernel has console on a serial port: yes
    fact kernel has user namespaces: yes
    fact kernel has a ban on mounts over symlinks: no
    # recovery.bin
    good partition table: both copies are sound
    fact board: bootway
    fact release: 15236.80.0 (Chrome 109)
    good kernel in KERN-A (2): is what was signed
    doubtful keyblock of KERN-A (2): signed with the published recovery_key, for !DEV DEV REC !MINIOS
    good partition 4 by kern_b_hash of KERN-A (2): is what was signed
    good kernel in KERN-B (4): is what was signed
    doubtful keyblock of KERN-B (4): signed with the published kernel_subkey, for !DEV DEV !REC !MINIOS
    fact kind of image: a recovery image, no shim
    good root in ROOT-A (3): is what was signed
    ");
}

const VM: &str = "  [phase.step.vm]\n  image = \"./shim.bin\"\n  boot = \"chromeos\"\n";

/// The program in an empty `/dev`, without a loop device, a mount or root, in namespaces that only it has.
pub(crate) fn as_ordinary_user(project: &Project, args: &[&str]) -> Run {
    let binary = project.path().join("bootway");
    fs_err::copy(env!("CARGO_BIN_EXE_bootway"), &binary).unwrap();
    let mut command = program("unshare");
    if rustix::process::geteuid().is_root() {
        fs_err::set_permissions(project.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        command.uid(65_534).gid(65_534);
    }
    let script = "mount -t tmpfs none /dev && : > /dev/null && exec unshare --user --map-user=1000 --map-group=1000 \"$@\"";
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", binary.as_str()])
        .args(args);
    run(command.current_dir(project.path()).env("CI", "1").env("HOME", project.path()))
}

/// What was decided, in order: verdict, name, and what was seen if it is not as it must be.
pub(crate) fn checks(project: &Project, work: &str, step: &str) -> String {
    let report = fs_err::read_to_string(project.path().join(work).join("runs/latest/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let step = report["steps"].as_array().unwrap().iter().find(|it| it["id"] == step).unwrap();
    let line = |it: &serde_json::Value| {
        let [verdict, name] = ["verdict", "name"].map(|key| it[key].as_str().unwrap());
        let detail = it["detail"].as_str().filter(|_| verdict != "passed").map(|it| format!(": {it}"));
        format!("{verdict} {name}{}\n", detail.unwrap_or_default())
    };
    step["checks"].as_array().unwrap().iter().map(line).collect()
}

/// Those that are not good.
pub(crate) fn bad_checks(project: &Project, work: &str, step: &str) -> String {
    checks(project, work, step).lines().filter(|it| !it.starts_with("passed")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shim_as_it_is_boots_as_on_a_chromebook() {
    for attach in ["usb", "sd", "nvme"] {
        let plan = format!(
            "{VM}  attach = \"{attach}\"\n  check = [\n{}{}{}  ]",
            "    { name = \"its initramfs runs\", console = \"shim: kernel on\", within = \"3min\" },\n",
            "    { name = \"a module can be loaded\", console = \"module dummy is loaded\", within = \"1min\" },\n",
            "    { name = \"its root's init runs\", console = \"shim-root: done\", within = \"1min\" },\n",
        );
        let project = step(&plan);
        copied(&project);
        let built = build(&project);
        assert_eq!(built.code, 0, "{attach}: {}", built.stderr);
        if attach == "usb" {
            insta::assert_snapshot!(checks(&project, ".bootway/test", "it"), @"
            passed firmware: a partition table that the firmware accepts
            passed firmware: both copies of the partition table
            passed firmware: kernel partition 2
            passed firmware: kernel partition 4
            passed firmware: kernel partition 6
            passed firmware: kernel partition 2: headers
            passed firmware: kernel partition 2: keyblock
            passed firmware: kernel partition 2: recovery mode
            passed firmware: kernel partition 2: preamble
            passed firmware: kernel partition 2: body
            passed firmware: the command line
            passed firmware: kernel partition 2 is started
            passed firmware: kern_guid leads to a partition
            passed firmware: the partition after the kernel has a boot loader
            passed its initramfs runs
            passed a module can be loaded
            passed its root's init runs
            ");
        }
    }
}

/// A stick that this shim's firmware would not start, or whose kernel would not find what it needs, by what is done to
/// it: what the firmware says of it, before anything is started.
#[track_caller]
fn refused(damage: impl FnOnce(&Project, &Utf8Path)) -> String {
    let project = step(&format!("{VM}  check = [{{ name = \"it boots\", console = \"never\" }}]"));
    let shim = copied(&project);
    damage(&project, &shim);
    let run = build(&project);
    assert_eq!(run.code, 6, "{}", run.stderr);
    let log = fs_err::read_to_string(project.path().join(".bootway/test/runs/latest/events.jsonl")).unwrap();
    assert!(!log.contains("\"console\""), "a guest was started");
    bad_checks(&project, ".bootway/test", "it")
}

/// The shim's kernel with something else in its command line, signed again.
pub(crate) fn sign_again(project: &Project, shim: &Utf8Path, from: &str, to: &str) {
    let cmdline = fs_err::read_to_string(shim_fixture("cmdline")).unwrap();
    assert!(cmdline.contains(from), "{cmdline}");
    let config = project.write("config", cmdline.trim().replace(from, to));
    let keys = "/usr/share/vboot/devkeys/installer_kernel";
    let (old, new) = (shim_fixture("kern-a.bin"), project.path().join("signed-again"));
    let (block, key) = (format!("{keys}.keyblock"), format!("{keys}_data_key.vbprivk"));
    let what = ["--repack", new.as_str(), "--oldblob", old.as_str(), "--config", config.as_str()];
    let how = ["--keyblock", &block, "--signprivate", &key, "--version", "1"];
    oracle("vbutil_kernel", &[what, how].concat());
    patch(shim, place(shim, 2).0 * 512, &fs_err::read(&new).unwrap());
}

#[test]
fn a_kern_guid_that_is_no_partitions_is_a_verdict_of_its_own() {
    let said = refused(|project, shim| {
        sign_again(project, shim, "kern_guid=%U", "kern_guid=00000000-1111-2222-3333-444444444444");
    });
    insta::with_settings!({filters => vec![("byte [0-9]+", "byte [n]")]}, {
        insta::assert_snapshot!(said, @"
        failed firmware: kern_guid leads to a partition: no partition has the GUID `00000000-1111-2222-3333-444444444444` of the signed command line: its init waits for it, and gives up
        not-run it boots: kern_guid leads to a partition: no partition has the GUID `00000000-1111-2222-3333-444444444444` of the signed command line: its init waits for it, and gives up
        ");
    });
}

#[test]
fn a_missing_boot_loader_is_a_verdict_of_its_own() {
    // Not a file system.
    let blank = refused(|_, shim| patch(shim, place(shim, 3).0 * 512 + 1024, &[0; 1024]));
    // Not there.
    let gone = refused(|_, shim| {
        oracle("cgpt", &["add", "-i", "3", "-t", "unused", shim.as_str()]);
    });
    insta::with_settings!({filters => vec![("byte [0-9]+", "byte [n]")]}, {
        insta::assert_snapshot!([blank, gone].join("\n"), @"
        failed firmware: the partition after the kernel has a boot loader: partition 3 (`ROOT-A`) has no file system that the initramfs mounts: no ext file system: byte [n] has 0x0000, and not the 0xef53 of a superblock
        not-run it boots: the partition after the kernel has a boot loader: partition 3 (`ROOT-A`) has no file system that the initramfs mounts: no ext file system: byte [n] has 0x0000, and not the 0xef53 of a superblock
        failed firmware: the partition after the kernel has a boot loader: there is no partition 3, and the kernel is in partition 2
        not-run it boots: the partition after the kernel has a boot loader: there is no partition 3, and the kernel is in partition 2
        ");
    });
}

#[test]
fn a_kernel_that_the_firmware_does_not_start_is_a_verdict_of_its_own() {
    // None has a try left.
    let tried = refused(|_, shim| {
        oracle("cgpt", &["add", "-i", "2", "-T", "0", "-S", "0", shim.as_str()]);
    });
    // It is not what was signed.
    let changed =
        refused(|_, shim| patch(shim, place(shim, 2).0 * 512 + 0x10000 + 1_500_000, b"not what was signed"));
    insta::with_settings!({filters => vec![("byte [0-9]+", "byte [n]")]}, {
        insta::assert_snapshot!([tried, changed].join("\n"), @"
        failed firmware: a kernel partition to start: none of the kernel partitions (3) may be started: give one a priority and `tries` or `successful`
        not-run it boots: the firmware finds no kernel to start on this disk: a kernel partition to start: none of the kernel partitions (3) may be started: give one a priority and `tries` or `successful`
        failed firmware: kernel partition 2: body: it is not signed with the public developer key `recovery_kernel_data_key` (RSA8192 SHA512), or was changed afterwards
        not-run it boots: the firmware finds no kernel to start on this disk: kernel partition 2: body: it is not signed with the public developer key `recovery_kernel_data_key` (RSA8192 SHA512), or was changed afterwards
        ");
    });
}
