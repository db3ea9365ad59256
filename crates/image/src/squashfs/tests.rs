use std::{collections::BTreeMap, sync::Arc};

use bootway_exec::{Input, Reply, Sandbox, ScriptedRunner, SystemRunner};
use bootway_plan::{Digest, Source};

use super::*;

fn sample() -> Tree {
    let mut composer = tree::Composer::new();
    let text = |text: &str| NodeKind::File(Content::Bytes(Arc::from(text.as_bytes())));
    let mut add = |path: &str, mode, uid, kind| {
        composer.place(&path.parse().unwrap(), Node { uid, gid: uid, ..Node::new(mode, kind) }).unwrap();
    };
    add("bin/su", 0o4755, 0, text("#!"));
    add("dev/null", 0o666, 0, NodeKind::CharDevice { major: 1, minor: 3 });
    add("dev/vda", 0o660, 6, NodeKind::BlockDevice { major: 254, minor: 0 });
    add("etc/shadow", 0o640, 42, text(&"secret ".repeat(100_000)));
    add("etc/a name with a space", 0o644, 3_000_000_000, text(""));
    add("lib", 0o777, 0, NodeKind::Symlink { target: "usr/lib".to_owned() });
    add("run/p", 0o600, 0, NodeKind::Fifo);
    add(&format!("usr/lib/{}/{}", "d".repeat(120), "f".repeat(120)), 0o644, 0, text("deep"));
    add("tmp", 0o1777, 0, NodeKind::Directory);
    let mut tree = composer.finish();
    let link = NodeKind::HardLink { to: "bin/su".parse().unwrap() };
    tree.nodes.insert("bin/su2".parse().unwrap(), Node::new(0o4755, link));
    let capability = BTreeMap::from([("user.cap".to_owned(), vec![0, 1, 255])]);
    tree.nodes.get_mut(&"bin/su".parse().unwrap()).unwrap().xattrs = capability;
    tree
}

fn made(sandbox: &mut Sandbox<'_>, tree: &Tree) -> Source {
    let path = sandbox.root().join("tree");
    tree::write(&sandbox.cx(), tree, &path).unwrap();
    let source: Source = "root".parse().unwrap();
    let input =
        Input { path, kind: ArtifactKind::Tree, digest: Digest::of(b""), size: Bytes::new(0), made: true };
    sandbox.inputs.insert(source.clone(), input);
    source
}

fn step(from: Source) -> step::Squashfs {
    step::Squashfs {
        from,
        compressor: Compressor::Zstd,
        level: Some(3),
        block_size: None,
        exclude: Vec::new(),
    }
}

/// The image that `step` makes.
#[track_caller]
fn pack(sandbox: &Sandbox<'_>, step: &step::Squashfs) -> Utf8PathBuf {
    let made = squashfs(&sandbox.cx(), step);
    made.unwrap_or_else(|error| panic!("{error}\n{}", sandbox.lines().join("\n"))).remove(0).path
}

#[track_caller]
fn oracle(sandbox: &Sandbox<'_>, args: &[&str]) -> String {
    let output = run(&sandbox.cx(), &Cmd::new(Tool::Unsquashfs).args(args.iter().copied()).env("TZ", "UTC"));
    String::from_utf8(output.expect("install the oracle: `apt-get install squashfs-tools`").stdout).unwrap()
}

#[test]
fn unsquashfs_reads_owners_modes_and_devices_without_root() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let from = made(&mut sandbox, &sample());
    let image = pack(&sandbox, &step(from));
    let image = image.as_str();
    let listed = oracle(&sandbox, &["-llnumeric", image]);
    insta::assert_snapshot!(listed.replace(&"d".repeat(120), "D").replace(&"f".repeat(120), "F"), @"
    drwxr-xr-x 0/0                      92 2025-01-01 00:00 squashfs-root
    drwxr-xr-x 0/0                      36 2025-01-01 00:00 squashfs-root/bin
    -rwsr-xr-x 0/0                       2 2025-01-01 00:00 squashfs-root/bin/su
    -rwsr-xr-x 0/0                       2 2025-01-01 00:00 squashfs-root/bin/su2
    drwxr-xr-x 0/0                      38 2025-01-01 00:00 squashfs-root/dev
    crw-rw-rw- 0/0                   1,  3 2025-01-01 00:00 squashfs-root/dev/null
    brw-rw---- 6/6                 254,  0 2025-01-01 00:00 squashfs-root/dev/vda
    drwxr-xr-x 0/0                      56 2025-01-01 00:00 squashfs-root/etc
    -rw-r--r-- 3000000000/3000000000     0 2025-01-01 00:00 squashfs-root/etc/a name with a space
    -rw-r----- 42/42                700000 2025-01-01 00:00 squashfs-root/etc/shadow
    lrwxrwxrwx 0/0                       7 2025-01-01 00:00 squashfs-root/lib -> usr/lib
    drwxr-xr-x 0/0                      24 2025-01-01 00:00 squashfs-root/run
    prw------- 0/0                       0 2025-01-01 00:00 squashfs-root/run/p
    drwxrwxrwt 0/0                       3 2025-01-01 00:00 squashfs-root/tmp
    drwxr-xr-x 0/0                      26 2025-01-01 00:00 squashfs-root/usr
    drwxr-xr-x 0/0                     143 2025-01-01 00:00 squashfs-root/usr/lib
    drwxr-xr-x 0/0                     143 2025-01-01 00:00 squashfs-root/usr/lib/D
    -rw-r--r-- 0/0                       4 2025-01-01 00:00 squashfs-root/usr/lib/D/F
    ");
    assert_eq!(oracle(&sandbox, &["-cat", image, "etc/shadow"]), "secret ".repeat(100_000));
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let from = made(&mut sandbox, &sample());
    let mut images = Vec::new();
    for _ in 0..2 {
        let image = pack(&sandbox, &step(from.clone()));
        images.push(fs_err::read(&image).unwrap());
        fs_err::remove_file(&image).unwrap();
    }
    assert!(images[0] == images[1]);
    assert_eq!(images[0].len() % 4096, 0);
}

#[test]
fn what_is_excluded_is_not_there() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let from = made(&mut sandbox, &sample());
    let step =
        step::Squashfs { exclude: ["etc", "usr/lib/*", "bin/su"].map(str::to_owned).to_vec(), ..step(from) };
    let image = pack(&sandbox, &step);
    insta::assert_snapshot!(oracle(&sandbox, &["-l", image.as_str()]), @"
    squashfs-root
    squashfs-root/bin
    squashfs-root/bin/su2
    squashfs-root/dev
    squashfs-root/dev/null
    squashfs-root/dev/vda
    squashfs-root/lib
    squashfs-root/run
    squashfs-root/run/p
    squashfs-root/tmp
    squashfs-root/usr
    squashfs-root/usr/lib
    ");
}

#[test]
fn the_command_is_known_before_anything_runs() {
    let runner = ScriptedRunner::default().on_program("mksquashfs", Reply::ok(""));
    let mut sandbox = Sandbox::new(&runner);
    let from = made(&mut sandbox, &sample());
    let step = step(from);
    let preview: Vec<String> = commands(&sandbox.cx(), &step).iter().map(|cmd| format!("$ {cmd}")).collect();
    squashfs(&sandbox.cx(), &step).unwrap();
    assert_eq!(sandbox.lines(), preview);
    insta::assert_snapshot!(preview.join("\n").replace(sandbox.root().as_str(), "WORK"), @"$ mksquashfs - WORK/out/image.squashfs -tar -comp zstd -Xcompression-level 3 -b 131072 -mkfs-time 1735689600 -all-time 1735689600 -root-mode 755 -root-uid 0 -root-gid 0 -xattrs -exit-on-error -no-progress -quiet < WORK/scratch/tree.tar");
}

#[test]
fn a_program_that_fails_is_an_error_and_not_a_hang() {
    let runner = ScriptedRunner::default().on_program("mksquashfs", Reply::exits(1));
    let mut sandbox = Sandbox::new(&runner);
    let from = made(&mut sandbox, &sample());
    let error = squashfs(&sandbox.cx(), &step(from.clone())).unwrap_err();
    assert!(matches!(error, SquashfsError::Run(RunError::Failed { .. })), "{error}");

    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let from = made(&mut sandbox, &sample());
    fs_err::write(sandbox.root().join("tree/etc/shadow"), "less").unwrap();
    let error = squashfs(&sandbox.cx(), &step(from)).unwrap_err().to_string();
    insta::assert_snapshot!(error.replace(sandbox.root().as_str(), "WORK"), @"`WORK/tree/etc/shadow` has changed while it was read: it had 700000 bytes, and has 4");
}

#[test]
fn says_what_the_format_does_not_have() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let mut tree = sample();
    tree.nodes.get_mut(&bootway_plan::TreePath::root()).unwrap().mode = 0o700;
    let from = made(&mut sandbox, &tree);
    let steps = [
        step::Squashfs { level: Some(23), ..step(from.clone()) },
        step::Squashfs { compressor: Compressor::Xz, ..step(from.clone()) },
        step::Squashfs { block_size: Some(Bytes::new(2 << 20)), ..step(from.clone()) },
        step(from),
    ];
    let messages = steps.map(|step| squashfs(&sandbox.cx(), &step).unwrap_err().to_string());
    insta::assert_snapshot!(messages.join("\n"), @"
    `level` is 23, and zstd has 1 to 22: write one of them
    `level` is 3, and xz has no levels: leave it out
    `block-size` is 2MiB: write a power of two from 4KiB to 1MiB
    `/` of the tree is 0700 and belongs to 0:0, and `mksquashfs` makes it 0755 and 0:0 only: add a `chmod` and `chown` of `/` to the tree's edits
    ");
}
