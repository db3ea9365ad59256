//! A whole Debian, from mmdebstrap to systemd's login prompt, and to a shell that systemd starts.
//!
//! Downloads some 150 MB from Debian's mirror and takes minutes: most of it is dpkg at work, and a guest without KVM.

use camino::Utf8Path;

use crate::project::{program, run};

const PLAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/plans/rootfs.plan.toml");

#[test]
fn a_whole_debian_boots_to_its_login_prompt_and_powers_off() {
    // Not in memory: archive, two trees and disk take 3 GB.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let work = Utf8Path::from_path(dir.path()).unwrap().join("work");
    let mut command = program(env!("CARGO_BIN_EXE_bootway"));
    let built = run(command.args(["build", PLAN, "--work", work.as_str()]).env("CI", "1"));
    assert_eq!(built.code, 0, "{}", built.stderr);

    let report = fs_err::read_to_string(work.join("runs/latest/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let checks = report["steps"].as_array().unwrap().iter().filter_map(|step| step["checks"].as_array());
    let checks: Vec<String> = checks
        .flatten()
        .map(|check| format!("{}: {}", check["verdict"].as_str().unwrap(), check["name"].as_str().unwrap()))
        .collect();
    insta::assert_snapshot!(checks.join("\n"), @r#"
    passed: partition ESP, is esp, is fat32, has EFI/BOOT/BOOTX64.EFI
    passed: partition ROOT, is root-x86-64, is ext4, has 400MiB, has usr/lib/systemd/systemd
    passed: partition ROOT, has etc/hostname, with "bootway"
    passed: partition ROOT, lacks etc/ssh/ssh_host_*
    passed: it boots to systemd's login prompt
    passed: systemd has started everything
    passed: it is Debian
    passed: the kernel is Debian's
    passed: the root is ext4, and can be written
    passed: no unit failed
    passed: what was installed runs
    passed: it powers off
    passed: it boots to systemd's login prompt
    passed: systemd has started everything
    passed: it has reached the image's own target
    passed: output and exit code are exact
    passed: a command kills its shell
    passed: another shell answers
    passed: it reboots
    passed: it answers again
    passed: it powers off
    "#);
}
