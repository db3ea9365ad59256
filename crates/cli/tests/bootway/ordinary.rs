//! The guide for Chromebooks, followed by somebody who is nobody: no root, no device, no mount; and what a second run
//! still says.

use std::os::unix::fs::PermissionsExt;

use crate::{
    chromeos::as_ordinary_user,
    project::{Project, Run, digest, oracle},
    shim_fixture::shim_fixture,
};

const HARVEST: &str = r#"
[vars.shim]
type = "path"
default = "./shim.bin.zip"

[[phase]]
name = "all"
  [[phase.step]]
  name = "shim"
  harvest = { image = "${shim}", expect = ["initramfs:bin/busybox"] }
  [[phase.step]]
  name = "disk"
  disk = { partition = [{ label = "KERNEL", type = "chromeos-kernel", size = "32MiB", content = "shim/kernel" }] }
"#;

/// A plan with a harvest, the shim as it is downloaded, and whoever wants may write there.
fn ready() -> Project {
    let project = Project::new(HARVEST);
    let shim = project.path().join("shim.bin.zip");
    oracle("cp", &[shim_fixture("shim.bin.zip").as_str(), shim.as_str()]);
    for file in ["shim.bin.zip", "test.plan.toml"] {
        fs_err::set_permissions(project.path().join(file), PermissionsExt::from_mode(0o644)).unwrap();
    }
    project
}

fn good(run: Run) -> Run {
    assert_eq!(run.code, 0, "{}", run.stderr);
    run
}

/// Findings of the last run's report, and how many disks it draws.
fn found(project: &Project) -> (Vec<serde_json::Value>, usize) {
    let report = fs_err::read(project.path().join(".bootway/test/runs/latest/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let steps = report["steps"].as_array().unwrap();
    let findings =
        steps.iter().flat_map(|step| step["findings"].as_array().cloned().unwrap_or_default()).collect();
    let layouts = steps.iter().filter_map(|step| step["layouts"].as_array()).map(Vec::len).sum();
    (findings, layouts)
}

#[test]
fn an_ordinary_user_without_devices_inspects_builds_and_writes() {
    let project = ready();
    let inspected = good(as_ordinary_user(&project, &["inspect", "shim.bin.zip", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
    assert_eq!(report["chromeos"]["release"]["board"], "bootway");
    good(as_ordinary_user(&project, &["build", "test.plan.toml"]));
    let disk = project.path().join(".bootway/test/out/disk/disk.raw");
    let stick = project.write("stick", vec![0xEE; 48 << 20]);
    fs_err::set_permissions(&stick, PermissionsExt::from_mode(0o666)).unwrap();
    good(as_ordinary_user(&project, &["write", disk.as_str(), stick.as_str(), "--yes", "--keep-gpt"]));
    fs_err::OpenOptions::new()
        .write(true)
        .open(&stick)
        .unwrap()
        .set_len(disk.metadata().unwrap().len())
        .unwrap();
    assert_eq!(digest(&disk), digest(&stick));
}

#[test]
fn what_was_found_out_is_in_the_report_of_a_run_that_had_nothing_to_do() {
    let project = ready();
    let first = good(project.bootway(&["build", "test.plan.toml"]));
    let (findings, layouts) = found(&project);
    assert!(findings.iter().any(|it| it["name"] == "refuses an unsigned root"), "{}", first.stderr);
    assert_eq!(layouts, 1);
    let again = good(project.bootway(&["build", "test.plan.toml"]));
    assert!(again.stderr.contains("Nothing to do"), "{}", again.stderr);
    assert!(again.stderr.contains("signed with the published recovery_key"), "{}", again.stderr);
    assert_eq!(found(&project), (findings, layouts));
}

#[test]
fn the_line_that_runs_a_step_again_has_what_the_plan_was_given() {
    let project = ready();
    project.write("no shim.bin", "<html>");
    let shim = "shim=./no shim.bin";
    let args = ["build", "test.plan.toml", "--var", shim, "--work", "there", "--cache", "shared"];
    let run = project.bootway(&args);
    let line = run.stderr.lines().find(|line| line.contains("rerun: ")).unwrap_or(&run.stderr);
    insta::assert_snapshot!(project.redact(line), @"  rerun: bootway build test.plan.toml --var 'shim=./no shim.bin' --work [dir]/there --cache [dir]/shared --step shim");
}

#[test]
fn a_recovery_image_in_the_place_of_a_shim_is_said() {
    let recovery = shim_fixture("recovery.bin");
    let harvest = format!("{{ image = \"{recovery}\", modules = false }}");
    let project = Project::new(&format!(
        "[[phase]]\nname = \"all\"\n  [[phase.step]]\n  name = \"it\"\n  harvest = {harvest}\n"
    ));
    let run = good(project.bootway(&["build", "test.plan.toml"]));
    let said = run.stderr.lines().find(|line| line.contains("kind of image")).unwrap_or(&run.stderr);
    insta::assert_snapshot!(said.split("] ").nth(1).unwrap_or(said), @"✗ all/it: the shim: kind of image: a recovery image, no shim (its kernel vouches for the one that it installs (kern_b_hash): it starts no root of yours, and is good for firmware and module options)");
}

#[test]
fn a_failed_download_is_not_written() {
    let project = Project::new("");
    let whole = fs_err::read(shim_fixture("shim.bin")).unwrap();
    project.write("cut.bin", &whole[..30_000_000]);
    project.write("page.bin", "<!DOCTYPE html><title>404 Not Found</title>");
    let stick = project.write("stick", vec![0xEE; 40 << 20]);
    let said = ["cut.bin", "page.bin"].map(|image| {
        let run = project.bootway(&["write", image, "stick", "--yes"]);
        format!("exit code {}\n{}", run.code, run.stderr)
    });
    insta::assert_snapshot!(said.concat(), @"
    exit code 4
    error: `cut.bin` was cut short: it has 30000000 bytes, and its partition 1 ends at byte 195035136
      hint: download or build it again
    exit code 4
    error: `page.bin` is no image: it begins with `<!DOCTYPE html><`, and is a page of the web
      hint: download or build it again
    ");
    assert!(fs_err::read(stick).unwrap().iter().all(|byte| *byte == 0xEE));
}
