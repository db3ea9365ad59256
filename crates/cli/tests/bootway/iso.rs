//! Discs: what is inside one that others made, and one that installs, whole.
//!
//! The whole one downloads some 80 MB from Debian's mirror; most of its time is four guests without KVM.

use std::{
    fmt::Write as _,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
};

use camino::Utf8Path;

use crate::project::{Project, oracle, program, run};

const PLANS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/plans");

/// D.3.14.
#[test]
fn a_file_in_the_squashfs_of_a_foreign_disc_is_found_and_held_against_what_it_must_be() {
    let plan = |wanted: &str| {
        format!(
            r#"
[[phase]]
name = "all"
  [[phase.step]]
  name = "disc"
  inspect = {{ image = "./foreign.iso", expect = [{{ inside = "live/*.squashfs", path = "root/.ssh/authorized_keys", contains = "{wanted}" }}] }}
"#
        )
    };
    let good = Project::new(&plan("ssh-ed25519 AAAAC3 the-right-one"));
    let disc = foreign_disc(&good);
    let run = good.bootway(&["build", "test.plan.toml"]);
    assert_eq!(run.code, 0, "{}", run.stderr);

    let bad = Project::new(&plan("ssh-ed25519 AAAAC3 another-one"));
    let _bytes = fs_err::copy(disc, bad.path().join("foreign.iso")).unwrap();
    insta::assert_snapshot!(bad.fails(&[]), @r#"
    exit code 6
    error: step `disc` failed
      caused by: 1 of 1 expectations failed:
        inside live/*.squashfs, has root/.ssh/authorized_keys, with "ssh-ed25519 AAAAC3 another-one": "ssh-ed25519 AAAAC3 another-one" is not in /root/.ssh/authorized_keys
      rerun: bootway build test.plan.toml --step disc
    "#);
}

/// Made by xorriso and mksquashfs, as most are.
fn foreign_disc(project: &Project) -> camino::Utf8PathBuf {
    project.write("root/root/.ssh/authorized_keys", "ssh-ed25519 AAAAC3 the-right-one\n");
    fs_err::create_dir_all(project.path().join("disc/live")).unwrap();
    let [root, squashfs, disc, iso] = ["root", "disc/live/filesystem.squashfs", "disc", "foreign.iso"]
        .map(|name| project.path().join(name));
    oracle("mksquashfs", &[root.as_str(), squashfs.as_str(), "-quiet", "-no-progress"]);
    oracle(
        "xorriso",
        &["-as", "mkisofs", "-quiet", "-R", "-J", "-V", "FOREIGN", "-o", iso.as_str(), disc.as_str()],
    );
    iso
}

#[test]
fn an_ordinary_user_builds_a_disc_that_installs_and_starts_it_in_four_ways() {
    let project = Project::new("");
    let plan = copy_of_the_plan(project.path());
    let binary = project.path().join("bootway");
    let _bytes = fs_err::copy(env!("CARGO_BIN_EXE_bootway"), &binary).unwrap();
    let mut command = program(binary.as_str());
    if rustix::process::geteuid().is_root() {
        fs_err::set_permissions(project.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        command.uid(65_534).gid(65_534);
    }
    command.args(["build", plan.as_str(), "--work", "work", "--cache", "cache", "--jobs", "2"]);
    let built = run(command.current_dir(project.path()).env("CI", "1").env("HOME", project.path()));
    assert_eq!(built.code, 0, "{}", built.stderr);

    let run = project.path().join("work/runs/latest");
    let report = fs_err::read_to_string(run.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let mut checks = String::new();
    for step in report["steps"].as_array().unwrap() {
        for check in step["checks"].as_array().into_iter().flatten() {
            let [verdict, name] = ["verdict", "name"].map(|key| check[key].as_str().unwrap());
            writeln!(checks, "{}: {verdict}: {name}", step["id"].as_str().unwrap()).unwrap();
        }
    }
    insta::assert_snapshot!(checks, @r#"
    looks-right: passed: is iso9660, boots with bios, boots with uefi, is hybrid
    looks-right: passed: has boot/vmlinuz
    looks-right: passed: inside boot/efi.img, is fat32, has EFI/BOOT/BOOTX64.EFI
    looks-right: passed: inside live/root.squashfs, is squashfs, has sbin/install-to, with "sfdisk"
    looks-right: passed: inside live/root.squashfs, lacks etc/shadow
    bios: passed: the live system says who it is
    bios: passed: it runs from memory, over a squashfs
    bios: passed: the disc is in its drive
    bios: passed: the firmware is a BIOS
    bios: passed: the screen says so, too
    bios: passed: a picture of the screen
    bios: passed: it installs itself
    bios: passed: the partitions are in order
    bios: passed: the root is whole
    bios: passed: the disc is taken out
    bios: passed: the machine reboots, from its own disk
    bios: passed: its root is the disk's
    bios: passed: the kernel is the one that was installed
    bios: passed: its kernel is within reach
    bios: passed: a picture of what was installed
    bios: passed: it powers off
    uefi: passed: the live system says who it is
    uefi: passed: the firmware is UEFI
    uefi: passed: a picture of the screen
    uefi: passed: it installs itself
    uefi: passed: the disc is taken out
    uefi: passed: the machine reboots, from its own disk
    uefi: passed: its root is the disk's
    uefi: passed: the firmware is UEFI still
    uefi: passed: a picture of what was installed
    uefi: passed: it powers off
    bios-stick: passed: the live system says who it is
    bios-stick: passed: the firmware is a BIOS
    bios-stick: passed: the disc is a stick
    bios-stick: passed: it powers off
    uefi-stick: passed: the live system says who it is
    uefi-stick: passed: the firmware is UEFI
    uefi-stick: passed: the disc is a stick
    uefi-stick: passed: it powers off
    "#);
    // What each firmware's screen showed, of the disc and of what was installed from it.
    for firmware in ["bios", "uefi"] {
        for picture in ["a-picture-of-the-screen.png", "a-picture-of-what-was-installed.png"] {
            let png = fs_err::read(run.join("kept").join(firmware).join(picture)).unwrap();
            assert!(png.starts_with(b"\x89PNG"), "{firmware}: {picture}");
        }
    }
    let html = fs_err::read_to_string(run.join("report.html")).unwrap();
    assert!(html.contains("data:image/png;base64,"), "the report shows them");
}

/// The plan and its companions, for somebody else to read.
fn copy_of_the_plan(to: &Utf8Path) -> camino::Utf8PathBuf {
    for name in ["installer.plan.toml", "installer.lock", "installer"] {
        oracle("cp", &["-r", &format!("{PLANS}/{name}"), to.as_str()]);
    }
    oracle("chmod", &["-R", "a+rX", to.as_str()]);
    to.join("installer.plan.toml")
}
