use std::{collections::BTreeMap, io, sync::Arc};

use bootway_exec::{Cmd, Input, Sandbox, SystemRunner, run};
use bootway_plan::{Class, Digest, EventKind, Explain, Source, TreePath, step::Compressor as Named};
use bootway_squashfs::TreeError as Unpackable;
use camino::Utf8PathBuf;

use super::*;
use crate::tree::{Content, Node, NodeKind, Tree};

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
    add("run/s", 0o755, 0, NodeKind::Socket);
    add(&format!("usr/lib/{}/{}", "d".repeat(120), "f".repeat(120)), 0o644, 0, text("deep"));
    add("tmp", 0o1777, 0, NodeKind::Directory);
    let mut tree = composer.finish();
    let root = tree.nodes.get_mut(&TreePath::root()).unwrap();
    (root.mode, root.uid, root.gid) = (0o750, 1, 2);
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
        compressor: Some(Named::Zstd),
        level: Some(3),
        block_size: Some(Bytes::new(128 << 10)),
        exclude: Vec::new(),
    }
}

/// The image that `step` makes.
#[track_caller]
fn image(sandbox: &Sandbox<'_>, step: &step::Squashfs) -> Utf8PathBuf {
    squashfs(&sandbox.cx(), step).unwrap_or_else(|error| panic!("{error}")).remove(0).path
}

/// The same with a cache of its own, which is empty if nothing was made with it, and what it says of that.
#[track_caller]
fn with_cache(sandbox: &Sandbox<'_>, step: &step::Squashfs, cache: &str) -> (Vec<u8>, String) {
    let before = sandbox.lines().len();
    let cache = sandbox.root().join(cache);
    let cx = Cx { cache: &cache, ..sandbox.cx() };
    let made = squashfs(&cx, step).unwrap_or_else(|error| panic!("{error}")).remove(0).path;
    let said = sandbox.lines()[before..].join("\n").replace(sandbox.root().as_str(), "WORK");
    (fs_err::read(made).unwrap(), said)
}

/// How small a compressor is today, and how many entries were damaged, is not what these tests are about.
fn without_sizes() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"to [0-9.]+ [KM]iB \(\d+ %\)", "to [size]");
    settings.add_filter(r"\d+ damaged", "[number] damaged");
    settings.bind_to_scope()
}

/// A tree of a hundred files of 30 KB, each with words of its own.
fn texts() -> Tree {
    let mut composer = tree::Composer::new();
    for file in 0..100_u64 {
        let words = (0..5000_u64).map(|word| (file + 1) * 7919 * (word + 17) % 99_991);
        let text: String = words.map(|word| format!("{word:05} ")).collect();
        let node = Node::new(0o644, NodeKind::File(Content::Bytes(Arc::from(text.into_bytes()))));
        composer.place(&format!("t/{file}").parse().unwrap(), node).unwrap();
    }
    composer.finish()
}

#[track_caller]
fn oracle(sandbox: &Sandbox<'_>, args: &[&str]) -> String {
    let output = run(&sandbox.cx(), &Cmd::user("unsquashfs").args(args.iter().copied()).env("TZ", "UTC"));
    String::from_utf8(output.expect("install the oracle: `apt-get install squashfs-tools`").stdout).unwrap()
}

#[test]
fn unsquashfs_reads_owners_modes_and_devices_without_root() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let from = made(&mut sandbox, &sample());
    let image = image(&sandbox, &step(from));
    let image = image.as_str();
    let listed = oracle(&sandbox, &["-llnumeric", image]);
    insta::assert_snapshot!(listed.replace(&"d".repeat(120), "D").replace(&"f".repeat(120), "F"), @"
    drwxr-x--- 1/2                      92 2025-01-01 00:00 squashfs-root
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
    drwxr-xr-x 0/0                      33 2025-01-01 00:00 squashfs-root/run
    prw------- 0/0                       0 2025-01-01 00:00 squashfs-root/run/p
    srwxr-xr-x 0/0                       0 2025-01-01 00:00 squashfs-root/run/s
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
    let step = step(from);
    let mut images = Vec::new();
    for jobs in [1, 2, 7] {
        let cache = sandbox.root().join(format!("cache-{jobs}"));
        let cx = Cx { jobs, cache: &cache, ..sandbox.cx() };
        let path = squashfs(&cx, &step).unwrap().remove(0).path;
        images.push(fs_err::read(path).unwrap());
    }
    assert!(images[0] == images[1] && images[0] == images[2]);
    assert_eq!(images[0].len() % 4096, 0);
}

#[test]
fn what_the_plan_does_not_say_is_the_best_that_was_measured() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let best = Options::default();
    let cx = sandbox.cx();
    let of = |compressor, level, block_size| {
        let from = "./root".parse().unwrap();
        let step = step::Squashfs { from, compressor, level, block_size, exclude: Vec::new() };
        let options = options(&cx, &step).unwrap();
        (options.compressor, options.block_size)
    };
    assert_eq!(of(None, None, None), (best.compressor, best.block_size));
    assert_eq!(of(None, Some(7), None).0, best.compressor.with_level(7).unwrap());
    assert_eq!(of(Some(Named::Lz4hc), None, None).0, Compressor::Lz4 { high: true });
    assert_eq!(of(Some(Named::Xz), Some(0), Some(Bytes::new(1 << 20))).0.to_string(), "xz-0");
    for compressor in [Named::Gzip, Named::Zstd, Named::Xz, Named::Lz4] {
        let usual = Compressor::parse(compressor.as_str(), None).unwrap();
        assert_eq!(of(Some(compressor), None, None).0, usual);
        // What the plan refuses with its place is what the writer would refuse.
        assert_eq!(compressor.levels(), usual.levels());
    }
}

#[test]
fn what_is_excluded_is_not_there() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let from = made(&mut sandbox, &sample());
    let step =
        step::Squashfs { exclude: ["etc", "usr/lib/*", "bin/su"].map(str::to_owned).to_vec(), ..step(from) };
    let image = image(&sandbox, &step);
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
    squashfs-root/run/s
    squashfs-root/tmp
    squashfs-root/usr
    squashfs-root/usr/lib
    ");
}

#[test]
fn a_changed_file_is_compressed_and_the_rest_comes_from_the_cache() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let from = made(&mut sandbox, &texts());
    let step = step(from);
    let (first, said) = with_cache(&sandbox, &step, "warm");
    let _guard = without_sizes();
    insta::assert_snapshot!(said, @"102 files, 2.86 MiB to [size]; 2.86 MiB compressed");
    let (again, said) = with_cache(&sandbox, &step, "warm");
    assert!(first == again);
    insta::assert_snapshot!(said, @"102 files, 2.86 MiB to [size]; 2.86 MiB from the cache");

    let changed = sandbox.root().join("tree/t/50");
    let text = fs_err::read_to_string(&changed).unwrap();
    fs_err::write(&changed, text.replacen("00", "xx", 20)).unwrap();
    let (warm, said) = with_cache(&sandbox, &step, "warm");
    insta::assert_snapshot!(said, @"102 files, 2.86 MiB to [size]; 2.75 MiB from the cache, 117 KiB compressed anew");
    let (cold, _) = with_cache(&sandbox, &step, "cold");
    assert!(warm == cold && warm != first);
}

#[test]
fn a_damaged_cache_costs_time_and_no_byte() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let from = made(&mut sandbox, &texts());
    let step = step(from);
    let (wanted, _) = with_cache(&sandbox, &step, "cache");
    let packs = sandbox.root().join("cache/squashfs/packs");
    for entry in fs_err::read_dir(packs).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "pack") {
            let mut bytes = fs_err::read(&path).unwrap();
            bytes.iter_mut().step_by(1000).for_each(|byte| *byte ^= 0x55);
            fs_err::write(&path, bytes).unwrap();
        }
    }
    let (bytes, said) = with_cache(&sandbox, &step, "cache");
    let _guard = without_sizes();
    assert!(bytes == wanted);
    insta::assert_snapshot!(said, @"
    [number] damaged entries of the cache were made anew
    102 files, 2.86 MiB to [size]; 2.86 MiB compressed
    ");

    // Where the cache should be is something else.
    fs_err::create_dir_all(sandbox.root().join("other/squashfs")).unwrap();
    fs_err::write(sandbox.root().join("other/squashfs/novel.txt"), "It was a dark night.").unwrap();
    let (bytes, said) = with_cache(&sandbox, &step, "other");
    assert!(bytes == wanted);
    insta::assert_snapshot!(said, @"
    the cache of compressed blocks cannot be used, and all are compressed anew: `WORK/other/squashfs` is not a cache, for `novel.txt` is in it: name an empty directory
    102 files, 2.86 MiB to [size]; 2.86 MiB compressed
    ");
}

#[test]
fn access_control_lists_are_left_out_and_said() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let mut tree = sample();
    for node in tree.nodes.values_mut().filter(|node| node.kind == NodeKind::Directory) {
        node.xattrs.insert("system.posix_acl_default".to_owned(), vec![2, 0, 0, 0]);
    }
    let from = made(&mut sandbox, &tree);
    let (with, said) = with_cache(&sandbox, &step(from), "cache");
    let _guard = without_sizes();
    insta::assert_snapshot!(said.replace(&"d".repeat(120), "D"), @"
    left out, since squashfs has no place for access control lists: `system.posix_acl_default` of `/`, `system.posix_acl_default` of `/bin`, `system.posix_acl_default` of `/dev`, `system.posix_acl_default` of `/etc`, `system.posix_acl_default` of `/run` and 4 more
    18 files, 684 KiB to [size]; 684 KiB compressed
    ");
    fs_err::remove_dir_all(sandbox.root().join("tree")).unwrap();
    let from = made(&mut sandbox, &sample());
    let (without, _) = with_cache(&sandbox, &step(from), "cache");
    assert!(with == without);
}

#[test]
fn a_file_that_changes_is_an_error_and_no_image() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let mut tree = sample();
    // It is said after the files were looked at and before they are read.
    tree.nodes.values_mut().next().unwrap().xattrs.insert("system.posix_acl_access".to_owned(), vec![2]);
    let from = made(&mut sandbox, &tree);
    let file = sandbox.root().join("tree/etc/shadow");
    let touch = |event| {
        if let EventKind::Note { .. } = event {
            fs_err::write(&file, "another".repeat(100_000)).unwrap();
        }
    };
    let cx = Cx { emit: &touch, ..sandbox.cx() };
    let meanwhile = squashfs(&cx, &step(from.clone())).unwrap_err();
    assert!(matches!(meanwhile, SquashfsError::Unpackable(Unpackable::Changed { .. })), "{meanwhile:?}");
    fs_err::write(&file, "less").unwrap();
    let before = squashfs(&sandbox.cx(), &step(from.clone())).unwrap_err();
    fs_err::remove_file(&file).unwrap();
    let gone = squashfs(&sandbox.cx(), &step(from)).unwrap_err();
    let errors = [meanwhile, before, gone];
    let messages = errors.map(|error| format!("{:?}: {error}", error.class())).join("\n");
    insta::assert_snapshot!(messages.replace(sandbox.root().as_str(), "WORK"), @"
    Step: `WORK/tree/etc/shadow` changed while it was read (something wrote to it): build again when nothing writes to it
    Step: `WORK/tree/etc/shadow` has changed while it was read: it had 700000 bytes, and has 4
    Step: failed to query raw metadata `WORK/tree/etc/shadow`: No such file or directory (os error 2)
    ");
    assert_eq!(names(&sandbox.root().join("out")), [""; 0]);
}

#[test]
fn who_stops_it_finds_nothing() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let words = (0..5_000_000_u64).map(|word| word * word % 99_991);
    let text: String = words.map(|word| format!("{word:05} ")).collect();
    let mut composer = tree::Composer::new();
    let node = Node::new(0o644, NodeKind::File(Content::Bytes(Arc::from(text.into_bytes()))));
    composer.place(&"large".parse().unwrap(), node).unwrap();
    let from = made(&mut sandbox, &composer.finish());
    let slow = step::Squashfs { level: Some(22), ..step(from) };
    let cancel = sandbox.cancel.clone();
    // The first that is said is how far it is.
    let stop = |_| cancel.cancel();
    let cx = Cx { emit: &stop, ..sandbox.cx() };
    let error = squashfs(&cx, &slow).unwrap_err();
    assert!(matches!(error, SquashfsError::Cancelled), "{error:?}");
    assert_eq!(error.class(), Class::Cancelled);
    assert_eq!(names(&sandbox.root().join("out")), [""; 0]);
    assert_eq!(names(&sandbox.root().join("cache/squashfs/packs")), [""; 0]);
}

/// What is in a directory.
fn names(dir: &Utf8Path) -> Vec<String> {
    let names = fs_err::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn says_what_the_format_does_not_have_and_whose_problem_it_is() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    let mut tree = sample();
    let first = tree.nodes.values_mut().next().unwrap();
    first.xattrs.insert("btrfs.compression".to_owned(), b"zstd".to_vec());
    let from = made(&mut sandbox, &tree);
    let steps = [
        step::Squashfs { level: Some(23), ..step(from.clone()) },
        step::Squashfs { compressor: None, level: Some(23), ..step(from.clone()) },
        step::Squashfs { compressor: Some(Named::Lz4), ..step(from.clone()) },
        step::Squashfs { block_size: Some(Bytes::new(2 << 20)), ..step(from.clone()) },
        step(from),
    ];
    let cx = sandbox.cx();
    let mut errors: Vec<_> = steps.iter().map(|step| squashfs(&cx, step).unwrap_err()).collect();
    let late = Cx { epoch: 1 << 32, ..cx };
    errors.push(squashfs(&late, &step("root".parse().unwrap())).unwrap_err());
    let full = |kind| WriteError::Image { image: "it.squashfs".into(), error: io::Error::from(kind) };
    errors.push(full(io::ErrorKind::StorageFull).into());
    errors.push(full(io::ErrorKind::InvalidInput).into());
    errors.push(WriteError::Owners { limit: 65_536 }.into());
    let messages: Vec<String> = errors
        .iter()
        .map(|error| format!("{:?}: {error} ({})", error.class(), error.hint().unwrap_or_default()))
        .collect();
    insta::assert_snapshot!(messages.join("\n"), @"
    Plan: zstd has no level `23`: take one from 1 to 22 ()
    Plan: zstd has no level `23`: take one from 1 to 22 ()
    Plan: lz4 has no level `3`: it has none at all; its slow and smaller way is `lz4hc` ()
    Plan: the block size is 2097152 bytes: squashfs has powers of two from 4KiB to 1MiB ()
    Plan: `/` has the extended attribute `btrfs.compression`, squashfs holds `user.`, `trusted.` and `security.`: drop such attributes by a rule ()
    Plan: the epoch 4294967296 is after 2106-02-07, the last day that a squashfs image can hold ()
    Environment: cannot write `it.squashfs`: no storage space (free some space there, or give another place with `--work`)
    Step: cannot write `it.squashfs`: invalid input parameter ()
    Plan: the files have more than 65536 different owners and groups, which is all that squashfs can hold: give some to one owner ()
    ");
}
