//! The demo, whole: from packages to a disk that boots, and everything that others say about it.
//!
//! The one test that downloads something: the four packages of the demo's lock file, about 30 MB, once.

use std::io::{Seek as _, SeekFrom, Write as _};

use camino::Utf8Path;

use crate::project::{Run, digest, oracle, program, run};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/plans/demo.plan.toml");

/// `bootway build` of the demo's plan in `work`, with the cache that all of these share.
fn build(plan: &Utf8Path, work: &Utf8Path, args: &[&str]) -> Run {
    let cache = concat!(env!("CARGO_TARGET_TMPDIR"), "/demo-cache");
    let mut command = program(env!("CARGO_BIN_EXE_bootway"));
    command.args(["build", plan.as_str(), "--work", work.as_str(), "--cache", cache]).args(args);
    run(command.env("CI", "1"))
}

/// The demo's plan and its companions, in a place of their own.
fn copy_of_the_demo(to: &Utf8Path) -> camino::Utf8PathBuf {
    let from = Utf8Path::new(DEMO).parent().unwrap();
    for entry in walkdir::WalkDir::new(from).min_depth(1).into_iter().flatten() {
        let path = Utf8Path::from_path(entry.path()).unwrap();
        let to = to.join(path.strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs_err::create_dir_all(to).unwrap();
        } else {
            let _bytes = fs_err::copy(path, to).unwrap();
        }
    }
    to.join("demo.plan.toml")
}

#[test]
fn the_demo_is_built_boots_and_stands_up_to_every_tool() {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let plan = copy_of_the_demo(&dir.join("plan"));
    let first = build(&plan, &dir.join("one"), &["--jobs", "4"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let disk = dir.join("one/out/disk/disk.raw");

    // What was started is what the preview says, to the letter.
    let mut preview = program(env!("CARGO_BIN_EXE_bootway"));
    preview.args(["plan", "--commands", plan.as_str(), "--work", dir.join("one").as_str()]);
    let said = run(&mut preview).stdout;
    let log = fs_err::read_to_string(dir.join("one/runs/latest/events.jsonl")).unwrap();
    let started = log.lines().filter_map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event["kind"]["command"]["line"].as_str().map(str::to_owned)
    });
    // Each step's own; the probe of the accelerator is a question to the machine and not part of a plan.
    let started: Vec<String> = started.filter(|line| !line.contains("probe.rom")).collect();
    let said: Vec<&str> = said.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(started.iter().all(|line| said.contains(&line.as_str())), "{started:#?}\n{said:#?}");
    assert_eq!(started.len(), said.len());

    // Other folder, other number of jobs: the same bytes, and they are pinned.
    let other = build(Utf8Path::new(DEMO), &dir.join("two"), &["--jobs", "1", "--phase", "assemble"]);
    assert_eq!(other.code, 0, "{}", other.stderr);
    let digests = [digest(&disk), digest(&dir.join("two/out/disk/disk.raw"))];
    assert_eq!(digests[0], digests[1]);
    insta::assert_snapshot!(digests[0], @"fec7df929533d3f7ddb36ba61c303ce52a2ce7623cd2b8f70e081a2b39bd3b4f");

    // Nothing to do.
    let second = build(&plan, &dir.join("one"), &[]);
    assert_eq!(second.code, 0, "{}", second.stderr);
    let report = fs_err::read_to_string(dir.join("one/runs/latest/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["counts"]["built"], 0, "{}", report["counts"]);

    // One file of the tree changed: `status` names it.
    let motd = dir.join("plan/demo/root/etc/os-release");
    let text = fs_err::read_to_string(&motd).unwrap();
    fs_err::write(&motd, text + "\n# touched\n").unwrap();
    let status = run(program(env!("CARGO_BIN_EXE_bootway"))
        .args(["status", plan.as_str(), "--work", dir.join("one").as_str()])
        .args(["--cache", concat!(env!("CARGO_TARGET_TMPDIR"), "/demo-cache")]));
    insta::assert_snapshot!(status.stdout.lines().filter(|it| !it.starts_with("last run")).collect::<Vec<_>>().join("\n"), @"
    packages         done
    root-tree        stale: in `./demo/root`, `etc/os-release` has changed
    root             stale: `root-tree` has to run again
    early-tree       done
    initramfs        done
    uki              stale: `root-tree` has to run again
    esp              stale: `uki` has to run again
    disk             stale: `root` has to run again
    looks-right      stale: `disk` has to run again
    boots-from-disk  stale: `disk` has to run again
    boots-by-kernel  stale: `disk` has to run again
    next: root-tree
    ");
    stands_up_to_every_tool(&disk, dir);
}

/// Everything that others have to say about the disk.
fn stands_up_to_every_tool(disk: &Utf8Path, dir: &Utf8Path) {
    let said = oracle("sgdisk", &["-v", disk.as_str()]);
    assert!(said.contains("No problems found"), "{said}");
    let said = oracle("sfdisk", &["--verify", disk.as_str()]);
    assert!(said.contains("No errors detected"), "{said}");
    let table: serde_json::Value =
        serde_json::from_str(&oracle("sfdisk", &["--json", disk.as_str()])).unwrap();
    let partitions = table["partitiontable"]["partitions"].as_array().unwrap();
    let part = |label: &str| {
        let it = partitions.iter().find(|it| it["name"] == label).unwrap();
        let sectors = |key: &str| it[key].as_u64().unwrap();
        cut(disk, &dir.join(label), sectors("start") * 512, sectors("size") * 512)
    };
    oracle("fsck.fat", &["-n", &part("ESP")]);
    oracle("e2fsck", &["-fn", &part("DATA")]);
    oracle("unsquashfs", &["-s", &part("ROOT")]);
    if rustix::process::geteuid().is_root() {
        let mount = dir.join("mnt");
        fs_err::create_dir(&mount).unwrap();
        for label in ["ROOT", "DATA"] {
            oracle("mount", &["-o", "loop,ro", dir.join(label).as_str(), mount.as_str()]);
            oracle("umount", &[mount.as_str()]);
        }
    }

    // With the first 34 sectors gone, the backup is enough.
    let damaged = dir.join("damaged.raw");
    fs_err::copy(disk, &damaged).unwrap();
    let mut file = fs_err::OpenOptions::new().write(true).open(&damaged).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(&vec![0; 34 * 512]).unwrap();
    drop(file);
    // Without the protective MBR sgdisk asks what to do, and only its sister reads the answer: use the backup.
    let answers = dir.join("answers");
    fs_err::write(&answers, "1\nw\ny\n").unwrap();
    let script = format!("gdisk {damaged} < {answers}");
    oracle("sh", &["-c", &script]);
    let said = oracle("sgdisk", &["-v", damaged.as_str()]);
    assert!(said.contains("No problems found"), "{said}");
    let said = oracle("sgdisk", &["-p", damaged.as_str()]);
    for label in ["ESP", "ROOT", "DATA"] {
        assert!(said.contains(label), "{said}");
    }
}

/// A part of a file, as a file.
fn cut(disk: &Utf8Path, to: &Utf8Path, offset: u64, size: u64) -> String {
    use std::io::Read as _;
    let mut file = fs_err::File::open(disk).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    std::io::copy(&mut file.take(size), &mut fs_err::File::create(to).unwrap()).unwrap();
    to.to_string()
}
