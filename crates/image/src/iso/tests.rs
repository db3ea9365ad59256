//! Discs, as we read them, as xorriso reads them, and under odd trees.

use bootway_exec::{Cmd, Input, Sandbox, SystemRunner, run};
use bootway_plan::{Bytes, Digest, Failure, Source, step::Inspect};

use super::*;
use crate::verify;

/// A sandbox with a directory `tree`, made by `make`.
fn sandbox<'a>(runner: &'a SystemRunner, make: impl FnOnce(&camino::Utf8Path)) -> Sandbox<'a> {
    let mut sandbox = Sandbox::new(runner);
    let dir = sandbox.root().join("tree");
    fs_err::create_dir(&dir).unwrap();
    make(&dir);
    add(&mut sandbox, "tree", ArtifactKind::Tree);
    sandbox
}

fn add(sandbox: &mut Sandbox<'_>, name: &str, kind: ArtifactKind) {
    let source: Source = format!("./{name}").parse().unwrap();
    let path = sandbox.root().join(name);
    let input = Input { path, kind, digest: Digest::of(b""), size: Bytes::new(0), made: false };
    sandbox.inputs.insert(source, input);
}

fn step(json: &str) -> step::Iso {
    serde_json::from_str(json).unwrap()
}

fn xorriso(sandbox: &Sandbox<'_>, args: &[&str]) -> String {
    let cmd = Cmd::user("xorriso").args(["-indev", "image.iso"]).args(args).dir(sandbox.cx().out);
    let output = run(&sandbox.cx(), &cmd).expect("xorriso reads it: `apt-get install xorriso`");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_tree_is_on_the_disc_as_it_was() {
    let runner = SystemRunner::default();
    let sandbox = sandbox(&runner, |dir| {
        fs_err::create_dir_all(dir.join("a/b/c/d/e/f/g/h/i")).unwrap();
        fs_err::write(dir.join("a/b/c/d/e/f/g/h/i/deep.txt"), "deep").unwrap();
        fs_err::write(dir.join("empty"), "").unwrap();
        fs_err::write(dir.join("Mixed Case.name.with.dots"), "x".repeat(5000)).unwrap();
        fs_err::write(dir.join("n".repeat(250)), "long").unwrap();
        std::os::unix::fs::symlink("../a/./b//c", dir.join("link")).unwrap();
        std::os::unix::fs::symlink(format!("/{}", "t".repeat(240)), dir.join("long-link")).unwrap();
        fs_err::create_dir(dir.join("many")).unwrap();
        for n in 0..300 {
            fs_err::write(dir.join(format!("many/file-{n:03}")), n.to_string()).unwrap();
        }
        fs_err::hard_link(dir.join("empty"), dir.join("zero")).unwrap();
    });
    let made = iso(&sandbox.cx(), &step(r#"{"from": ["./tree"], "volume-id": "TEST"}"#)).unwrap();
    verify(ArtifactKind::Iso, &made[0].path).unwrap();
    let listed = xorriso(&sandbox, &["-find", "/", "-exec", "lsdl", "--"]);
    let short: Vec<&str> = listed.lines().filter(|line| !line.contains("/many/")).collect();
    insta::assert_snapshot!(short.join("\n"), @"");
    assert_eq!(listed.lines().filter(|line| line.contains("/many/file-")).count(), 300);
    let again = fs_err::read(&made[0].path).unwrap();
    fs_err::remove_file(&made[0].path).unwrap();
    let made = iso(&sandbox.cx(), &step(r#"{"from": ["./tree"], "volume-id": "TEST"}"#)).unwrap();
    assert!(fs_err::read(&made[0].path).unwrap() == again, "the same each time");
    let out = sandbox.root().join("extracted");
    xorriso(&sandbox, &["-osirrox", "on", "-extract", "/", out.as_str()]);
    let cmd = Cmd::user("diff").args(["-r", "--no-dereference", sandbox.root().join("tree").as_str(), out.as_str()]);
    run(&sandbox.cx(), &cmd).expect("what was extracted is what was put in");
}

#[test]
fn what_starts_is_in_the_catalogue_and_in_the_table_of_a_stick() {
    let runner = SystemRunner::default();
    let mut sandbox = sandbox(&runner, |dir| {
        fs_err::create_dir_all(dir.join("boot")).unwrap();
        fs_err::write(dir.join("boot/loader.bin"), vec![0xAB; 3001]).unwrap();
        fs_err::write(dir.join("boot/efi.img"), vec![0; 64 << 10]).unwrap();
    });
    fs_err::write(sandbox.root().join("mbr.bin"), [0x90; 432]).unwrap();
    add(&mut sandbox, "mbr.bin", ArtifactKind::File);
    let step = step(
        r#"{"from": ["./tree"], "volume-id": "BOOTS", "uefi": "boot/efi.img",
            "bios": {"loader": "boot/loader.bin", "mbr": "./mbr.bin"}}"#,
    );
    let made = iso(&sandbox.cx(), &step).unwrap();
    verify(ArtifactKind::Iso, &made[0].path).unwrap();
    let report = crate::look(&made[0].path).unwrap();
    insta::assert_snapshot!(report.to_string().replace(sandbox.root().as_str(), "ROOT"), @"");
    insta::assert_snapshot!(xorriso(&sandbox, &["-report_el_torito", "plain", "-report_system_area", "plain"]), @"");
    let _ = Inspect::default();
}

#[test]
fn what_cannot_be_on_a_disc_or_start_is_said() {
    let runner = SystemRunner::default();
    let sandbox = sandbox(&runner, |dir| {
        fs_err::write(dir.join("short.bin"), "short").unwrap();
        std::os::unix::fs::symlink("t/".repeat(1500), dir.join("link")).unwrap();
    });
    let said = |json: &str| Failure::of(&iso(&sandbox.cx(), &step(json)).unwrap_err()).to_string();
    let all = [
        said(r#"{"from": ["./tree"], "volume-id": "A"}"#),
        said(r#"{"from": [{"source": "./tree", "drop": ["link"]}], "volume-id": "A", "uefi": "no/such"}"#),
        said(r#"{"from": [{"source": "./tree", "drop": ["link"]}], "volume-id": "A", "bios": {"loader": "short.bin"}}"#),
    ];
    insta::assert_snapshot!(all.join("\n"), @"");
}
