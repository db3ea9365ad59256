//! Discs, as we read them, as xorriso reads them, and under odd trees.

use bootway_exec::{Cmd, Input, Sandbox, SystemRunner, run};
use bootway_plan::{ArtifactKind, Bytes, Digest, Failure, Source};

use super::*;
use crate::verify;

mod odd;

/// A sandbox with a directory `tree`, made by `make`.
fn sandbox(runner: &SystemRunner, make: impl FnOnce(&camino::Utf8Path)) -> Sandbox<'_> {
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
    let cmd =
        Cmd::user("xorriso").args(["-indev", "image.iso"]).args(args.iter().copied()).dir(sandbox.cx().out);
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
        std::os::unix::fs::symlink("../a/./b/c", dir.join("link")).unwrap();
        std::os::unix::fs::symlink(format!("/{}", "t".repeat(240)), dir.join("long-link")).unwrap();
        fs_err::create_dir(dir.join("many")).unwrap();
        for n in 0..300 {
            fs_err::write(dir.join(format!("many/file-{n:03}")), n.to_string()).unwrap();
        }
        fs_err::hard_link(dir.join("empty"), dir.join("zero")).unwrap();
    });
    let made = iso(&sandbox.cx(), &step(r#"{"from": ["./tree"], "volume-id": "TEST"}"#)).unwrap();
    let listed = xorriso(&sandbox, &["-find", "/", "-exec", "lsdl", "--"]);
    let short: Vec<&str> = listed.lines().filter(|line| !line.contains("/many/")).collect();
    insta::assert_snapshot!(short.join("\n"), @"
    drwxr-xr-x    1 0        0               0 Jan  1  2025 '/'
    -rw-r--r--    1 0        0            5000 Jan  1  2025 '/Mixed Case.name.with.dots'
    drwxr-xr-x    1 0        0               0 Jan  1  2025 '/a'
    drwxr-xr-x    1 0        0               0 Jan  1  2025 '/a/b'
    drwxr-xr-x    1 0        0               0 Jan  1  2025 '/a/b/c'
    drwxr-xr-x    1 0        0               0 Jan  1  2025 '/a/b/c/d'
    drwxr-xr-x    1 0        0               0 Jan  1  2025 '/a/b/c/d/e'
    drwxr-xr-x    1 0        0               0 Jan  1  2025 '/a/b/c/d/e/f'
    drwxr-xr-x    1 0        0               0 Jan  1  2025 '/a/b/c/d/e/f/g'
    drwxr-xr-x    1 0        0               0 Jan  1  2025 '/a/b/c/d/e/f/g/h'
    drwxr-xr-x    1 0        0               0 Jan  1  2025 '/a/b/c/d/e/f/g/h/i'
    -rw-r--r--    1 0        0               4 Jan  1  2025 '/a/b/c/d/e/f/g/h/i/deep.txt'
    -rw-r--r--    1 0        0               0 Jan  1  2025 '/empty'
    lrwxrwxrwx    1 0        0               0 Jan  1  2025 '/link' -> '../a/./b/c'
    lrwxrwxrwx    1 0        0               0 Jan  1  2025 '/long-link' -> '/tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt'
    drwxr-xr-x    1 0        0               0 Jan  1  2025 '/many'
    -rw-r--r--    1 0        0               4 Jan  1  2025 '/nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn'
    -rw-r--r--    1 0        0               0 Jan  1  2025 '/zero'
    ");
    assert_eq!(listed.lines().filter(|line| line.contains("/many/file-")).count(), 300);
    let again = fs_err::read(&made[0].path).unwrap();
    fs_err::remove_file(&made[0].path).unwrap();
    let made = iso(&sandbox.cx(), &step(r#"{"from": ["./tree"], "volume-id": "TEST"}"#)).unwrap();
    assert!(fs_err::read(&made[0].path).unwrap() == again, "the same each time");
    let out = sandbox.root().join("extracted");
    xorriso(&sandbox, &["-osirrox", "on", "-extract", "/", out.as_str()]);
    let cmd = Cmd::user("diff").args([
        "-r",
        "--no-dereference",
        sandbox.root().join("tree").as_str(),
        out.as_str(),
    ]);
    run(&sandbox.cx(), &cmd).expect("what was extracted is what was put in");
}

#[test]
fn what_starts_is_in_the_catalogue_and_in_the_table_of_a_stick() {
    let runner = SystemRunner::default();
    let mut sandbox = sandbox(&runner, |dir| {
        fs_err::create_dir_all(dir.join("boot")).unwrap();
        fs_err::write(dir.join("boot/loader.bin"), vec![0xAB; 3001]).unwrap();
    });
    let efi = sandbox.root().join("tree/boot/efi.img");
    run(&sandbox.cx(), &Cmd::user("mkfs.fat").args(["-i", "12345678", "-C", efi.as_str(), "1440"]))
        .expect("mkfs.fat makes it: `apt-get install dosfstools`");
    fs_err::write(sandbox.root().join("mbr.bin"), [0x90; 432]).unwrap();
    add(&mut sandbox, "mbr.bin", ArtifactKind::File);
    let step = step(
        r#"{"from": ["./tree"], "volume-id": "BOOTS", "uefi": "boot/efi.img",
            "bios": {"loader": "boot/loader.bin", "mbr": "./mbr.bin"}}"#,
    );
    let made = iso(&sandbox.cx(), &step).unwrap();
    verify(ArtifactKind::Iso, &made[0].path).unwrap();
    let report = crate::look(&made[0].path).unwrap();
    insta::assert_snapshot!(report.to_string().replace(sandbox.root().as_str(), "ROOT"), @"
    ROOT/out/image.iso: 2 MiB, ISO 9660 image BOOTS, rock-ridge, 2 files, boots with bios, uefi; hybrid (mbr)
      bios  1.46 MiB      2 KiB  /boot/loader.bin
      uefi    50 KiB   1.41 MiB  /boot/efi.img
      mbr 1       0 B      2 MiB  0x17  active
      mbr 2    50 KiB   1.41 MiB  0xef
           1.41 MiB  /boot/efi.img
           2.93 KiB  /boot/loader.bin
    ");
    insta::assert_snapshot!(xorriso(&sandbox, &["-report_el_torito", "plain", "-report_system_area", "plain"]), @"
    El Torito catalog  : 24  1
    El Torito images   :   N  Pltf  B   Emul  Ld_seg  Hdpt  Ldsiz         LBA
    El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4         745
    El Torito boot img :   2  UEFI  y   none  0x0000  0x00   2880          25
    El Torito img path :   1  /boot/loader.bin
    El Torito img opts :   1  boot-info-table
    El Torito img path :   2  /boot/efi.img
    System area options: 0x00000900
    System area summary: MBR cyl-align-on
    ISO image size/512 : 4096
    Partition offset   : 0
    MBR heads per cyl  : 64
    MBR secs per head  : 32
    MBR partition table:   N Status  Type        Start       Blocks
    MBR partition      :   1   0x80  0x17            0         4096
    MBR partition      :   2   0x00  0xef          100         2880
    MBR partition path :   2  /boot/efi.img
    ");
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
        said(
            r#"{"from": [{"source": "./tree", "drop": ["link"]}], "volume-id": "A", "bios": {"loader": "short.bin"}}"#,
        ),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    error: `/link`: its name and where it leads have more than 2048 bytes: shorten them
    error: there is no file `/no/such` in the tree, which UEFI is to start
    error: `/short.bin` cannot be started by a BIOS: it has 5 bytes, and a loader for discs has 64 to 16777216
    ");
}
