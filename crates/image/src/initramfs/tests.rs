use bootway_exec::{Cmd, Input, Sandbox, SystemRunner, run};
use bootway_plan::{Bytes, Digest, Source, step::Compression};
use camino::Utf8Path;

use super::*;
use crate::compress;

fn sample() -> Tree {
    let mut composer = Composer::new();
    let text = |text: &str| NodeKind::File(Content::Bytes(Arc::from(text.as_bytes())));
    let mut add = |path: &str, mode, kind| {
        composer.place(&path.parse().unwrap(), Node::new(mode, kind)).unwrap();
    };
    add("bin/sh", 0o755, text("#!"));
    add("dev/console", 0o600, NodeKind::CharDevice { major: 5, minor: 1 });
    add("init", 0o755, NodeKind::Symlink { target: "bin/sh".to_owned() });
    add("run", 0o1777, NodeKind::Directory);
    let mut tree = composer.finish();
    let link = NodeKind::HardLink { to: "bin/sh".parse().unwrap() };
    tree.nodes.insert("bin/sh2".parse().unwrap(), Node { uid: 3, ..Node::new(0o755, link) });
    tree
}

fn archive(sandbox: &Sandbox<'_>) -> Vec<u8> {
    write_archive(&sandbox.cx(), &sample(), Vec::new()).unwrap()
}

#[test]
fn the_bytes_are_pinned() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let bytes = archive(&sandbox);
    assert_eq!(bytes.len() % 512, 0);
    insta::assert_snapshot!(Digest::of(&bytes), @"369e05cac69e741d0c749b5f0244b5af0663056697a1ad47f8499caa50648158");
}

#[test]
fn cpio_reads_the_same() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let path = sandbox.root().join("x.cpio");
    fs_err::write(&path, archive(&sandbox)).unwrap();
    let listed = oracle(
        &sandbox,
        &Cmd::user("cpio").args(["-itv", "--numeric-uid-gid", "--quiet"]).env("TZ", "UTC").stdin_file(&path),
    );
    insta::assert_snapshot!(String::from_utf8(listed).unwrap(), @"
    drwxr-xr-x   2 0        0               0 Jan  1  2025 .
    drwxr-xr-x   2 0        0               0 Jan  1  2025 bin
    -rwxr-xr-x   2 0        0               2 Jan  1  2025 bin/sh
    -rwxr-xr-x   2 3        0               0 Jan  1  2025 bin/sh2
    drwxr-xr-x   2 0        0               0 Jan  1  2025 dev
    crw-------   1 0        0          5,   1 Jan  1  2025 dev/console
    lrwxr-xr-x   1 0        0               6 Jan  1  2025 init -> bin/sh
    drwxrwxrwt   2 0        0               0 Jan  1  2025 run
    ");
}

#[track_caller]
fn oracle(sandbox: &Sandbox<'_>, cmd: &Cmd) -> Vec<u8> {
    run(&sandbox.cx(), cmd).expect("install the oracles: `apt-get install cpio xz-utils zstd gzip`").stdout
}

#[test]
fn a_step_makes_the_same_bytes_each_time_and_tools_unpack_them() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let from = made(&mut sandbox, "root", &sample());
    let kernel = made(&mut sandbox, "kernel", &crate::modules::tests::small());
    let mut plain = Vec::new();
    let tools = [
        (Compression::None, "cat"),
        (Compression::Gzip, "gzip"),
        (Compression::Zstd, "zstd"),
        (Compression::Xz, "xz"),
    ];
    for (compression, tool) in tools {
        let step = step::Initramfs {
            from: vec![step::TreeFrom::All(from.clone())],
            kernel: Some(kernel.clone()),
            modules: vec!["virtio".to_owned(), "ext4".to_owned()],
            compression,
        };
        let mut made = Vec::new();
        for _ in 0..2 {
            let outputs = initramfs(&sandbox.cx(), &step).unwrap();
            made.push(fs_err::read(&outputs[0].path).unwrap());
            fs_err::rename(&outputs[0].path, sandbox.root().join("i.img")).unwrap();
        }
        assert!(made[0] == made[1], "{tool}: not the same bytes");
        let unpacked = compress::decompress(&made[0], 1 << 20).unwrap();
        plain = if plain.is_empty() { unpacked.clone() } else { plain };
        assert!(unpacked == plain, "{tool}: unpacks to something else");
        if tool != "cat" {
            let image = sandbox.root().join("i.img");
            assert!(
                oracle(&sandbox, &Cmd::user(tool).arg("-dc").stdin_file(&image)) == plain,
                "{tool} disagrees"
            );
        }
    }
    let mut names = Vec::new();
    let note = |_: &Header, name: &[u8], _: &mut dyn Read| {
        names.push(String::from_utf8_lossy(name).into_owned());
        Ok(())
    };
    cpio::scan(&mut &plain[..], 1 << 20, note).unwrap();
    insta::assert_snapshot!(names.join("\n"), @"
    .
    bin
    bin/sh
    bin/sh2
    dev
    dev/console
    init
    lib
    lib/modules
    lib/modules/6.1.0-t
    lib/modules/6.1.0-t/kernel
    lib/modules/6.1.0-t/kernel/crypto
    lib/modules/6.1.0-t/kernel/crypto/crc32c-generic.ko
    lib/modules/6.1.0-t/kernel/drivers
    lib/modules/6.1.0-t/kernel/drivers/virtio
    lib/modules/6.1.0-t/kernel/drivers/virtio/virtio.ko
    lib/modules/6.1.0-t/kernel/fs
    lib/modules/6.1.0-t/kernel/fs/ext4
    lib/modules/6.1.0-t/kernel/fs/ext4/ext4.ko
    lib/modules/6.1.0-t/kernel/fs/jbd2
    lib/modules/6.1.0-t/kernel/fs/jbd2/jbd2.ko
    lib/modules/6.1.0-t/kernel/fs/mbcache.ko
    lib/modules/6.1.0-t/modules.alias
    lib/modules/6.1.0-t/modules.builtin
    lib/modules/6.1.0-t/modules.dep
    run
    ");
}

/// Writes `tree` as the output of a step.
fn made(sandbox: &mut Sandbox<'_>, name: &str, tree: &Tree) -> Source {
    let path = sandbox.root().join(name);
    tree::write(&sandbox.cx(), tree, &path).unwrap();
    let source: Source = name.parse().unwrap();
    let input =
        Input { path, kind: ArtifactKind::Tree, digest: Digest::of(b""), size: Bytes::new(0), made: true };
    sandbox.inputs.insert(source.clone(), input);
    source
}

#[test]
fn says_what_it_cannot_hold() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let late = Cx { epoch: 1 << 32, ..sandbox.cx() };
    insta::assert_snapshot!(write_archive(&late, &sample(), Vec::new()).unwrap_err(), @"the epoch 4294967296 is after 2106-02-07, the last day that an initramfs can hold");
    let mut tree = sample();
    let content = Content::File { path: Utf8Path::new("/big").to_owned(), size: 1 << 32, digest: None };
    tree.nodes.insert("big".parse().unwrap(), Node::new(0o644, NodeKind::File(content)));
    insta::assert_snapshot!(write_archive(&sandbox.cx(), &tree, Vec::new()).unwrap_err(), @"`/big` has 4294967296 bytes, and a file in an initramfs at most 4294967295: leave it out");
    let step = step::Initramfs {
        from: Vec::new(),
        kernel: None,
        modules: vec!["ext4".to_owned()],
        compression: Compression::Zstd,
    };
    insta::assert_snapshot!(initramfs(&sandbox.cx(), &step).unwrap_err(), @"`modules` are asked for without a `kernel`: name the tree that has `lib/modules`");
}
