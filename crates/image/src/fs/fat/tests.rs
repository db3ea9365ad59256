use std::{
    collections::{BTreeMap, BTreeSet},
    io::Cursor,
    sync::Arc,
};

use bootway_exec::{Cmd, Sandbox, SystemRunner, run};
use camino::Utf8Path;
use proptest::prelude::*;

use super::*;
use crate::{Node, NodeKind};

const MIB: u64 = 1 << 20;

fn node(kind: NodeKind) -> Node {
    Node { mode: 0o755, uid: 0, gid: 0, xattrs: BTreeMap::new(), kind }
}

fn tree(files: &[(&str, &[u8])]) -> Tree {
    let mut nodes = BTreeMap::from([(TreePath::root(), node(NodeKind::Directory))]);
    for (path, bytes) in files {
        let path: TreePath = path.parse().unwrap();
        let mut parent = path.parent();
        while let Some(dir) = parent {
            parent = dir.parent();
            nodes.insert(dir, node(NodeKind::Directory));
        }
        nodes.insert(path, node(NodeKind::File(Content::Bytes(Arc::from(*bytes)))));
    }
    Tree { nodes }
}

fn options(size: u64) -> Options<'static> {
    Options { size, sector: 512, offset: MIB, label: "EFI", serial: 0x1234_5678, epoch: 1_735_689_600 }
}

/// The volume as a file in `sandbox`.
fn written(sandbox: &Sandbox<'_>, fat: &Fat, size: u64) -> camino::Utf8PathBuf {
    let path = sandbox.root().join("fat.img");
    let cx = sandbox.cx();
    let mut sink = Sink::create(&cx, &path, size, fat.written()).unwrap();
    fat.write(&mut sink).unwrap();
    sink.finish().unwrap();
    path
}

fn fsck(sandbox: &Sandbox<'_>, image: &Utf8Path) -> Result<(), String> {
    let checked = run(&sandbox.cx(), &Cmd::user("fsck.fat").args(["-n", image.as_str()]));
    checked
        .map(drop)
        .map_err(|error| format!("{error} (apt-get install dosfstools)\n{}", sandbox.lines().join("\n")))
}

fn problem(files: &[(&str, &[u8])]) -> String {
    Fat::plan(&tree(files), &options(34 * MIB)).err().unwrap().to_string()
}

#[test]
fn what_fat_cannot_hold_is_named() {
    let mut link = tree(&[("a/b", b"")]);
    link.nodes.insert("a/link".parse().unwrap(), node(NodeKind::Symlink { target: "b".to_owned() }));
    let mut big = tree(&[]);
    let content = Content::File { path: "/dev/null".into(), size: 4 << 30, digest: None };
    big.nodes.insert("big".parse().unwrap(), node(NodeKind::File(content)));
    let shown = [
        problem(&[("EFI/Boot/x", b""), ("EFI/BOOT/y", b"")]),
        problem(&[("a/what?", b"")]),
        problem(&[("ends.", b"")]),
        problem(&[(&"x".repeat(256), b"")]),
        Fat::plan(&link, &options(34 * MIB)).err().unwrap().to_string(),
        Fat::plan(&big, &options(34 * MIB)).err().unwrap().to_string(),
        Fat::plan(&tree(&[]), &options(16 * MIB)).err().unwrap().to_string(),
        Fat::plan(&tree(&[("a", &vec![1; 40 << 20])]), &options(34 * MIB)).err().unwrap().to_string(),
    ];
    insta::assert_snapshot!(shown.join("\n"), @r#"
    `/EFI/BOOT` and `/EFI/Boot` are one name on FAT, which does not tell case: rename one
    the name of `/a/what?` has '?', which no FAT name has: rename it
    the name of `/ends.` ends in a dot or a space, which FAT drops: rename it
    the name of `/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx` has 256 UTF-16 units, at most 255 fit: shorten it
    `/a/link` is a symbolic link, and FAT has none: remove it from the tree, or use `fs = "ext4"`
    `/big` has 4 GiB, and a file on FAT at most 4 GiB less a byte: split it, or use `fs = "ext4"`
    the FAT32 file system needs 32.5 MiB, has 16 MiB
    the FAT32 file system needs 40.6 MiB, has 34 MiB
    "#);
}

#[test]
fn fit_is_the_least_that_holds_it() {
    for len in [0, MIB, 50 * MIB] {
        let tree = tree(&[("big", &vec![7; len as usize])]);
        let size = least(&tree, 512, MIB).unwrap();
        assert!(Fat::plan(&tree, &options(size)).is_ok());
        assert!(Fat::plan(&tree, &options(size - MIB)).is_err(), "{size}");
    }
}

#[test]
fn a_hard_link_becomes_a_copy() {
    let mut tree = tree(&[("a", b"once")]);
    tree.nodes.insert("b".parse().unwrap(), node(NodeKind::HardLink { to: "a".parse().unwrap() }));
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let image = written(&sandbox, &Fat::plan(&tree, &options(34 * MIB)).unwrap(), 34 * MIB);
    fsck(&sandbox, &image).unwrap();
    let mut reader = FatReader::open(fs_err::File::open(image).unwrap(), 0).unwrap();
    assert_eq!(reader.read("b", 100).unwrap(), b"once");
}

#[test]
fn mtools_read_back_names_contents_and_times() {
    let files: [(&str, &[u8]); 3] = [
        ("EFI/BOOT/BOOTX64.EFI", b"MZ"),
        ("loader/entries/a long name.conf", b"title x"),
        ("über/ß.txt", b"x"),
    ];
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let image = written(&sandbox, &Fat::plan(&tree(&files), &options(34 * MIB)).unwrap(), 34 * MIB);
    let out = sandbox.root().join("copied");
    fs_err::create_dir(&out).unwrap();
    let copied = Cmd::user("mcopy").args(["-s", "-i", image.as_str(), "::EFI", "::loader", out.as_str()]);
    run(&sandbox.cx(), &copied).expect("mtools are installed: apt-get install mtools");
    assert_eq!(fs_err::read(out.join("EFI/BOOT/BOOTX64.EFI")).unwrap(), b"MZ");
    assert_eq!(fs_err::read(out.join("loader/entries/a long name.conf")).unwrap(), b"title x");
    let listed = run(&sandbox.cx(), &Cmd::user("mdir").args(["-i", image.as_str(), "::EFI/BOOT"])).unwrap();
    insta::assert_snapshot!(String::from_utf8(listed.stdout).unwrap(), @"
     Volume in drive : is EFI        
     Volume Serial Number is 1234-5678
    Directory for ::/EFI/BOOT

    .            <DIR>     2025-01-01   0:00 
    ..           <DIR>     2025-01-01   0:00 
    BOOTX64  EFI         2 2025-01-01   0:00 
            3 files                   2 bytes
                             35 081 728 bytes free
    ");
}

#[test]
fn sectors_of_four_kib_make_a_sound_volume() {
    let tree = tree(&[("EFI/BOOT/BOOTX64.EFI", &vec![7; 100_000])]);
    let size = least(&tree, 4096, MIB).unwrap();
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let fat = Fat::plan(&tree, &Options { sector: 4096, ..options(size) }).unwrap();
    let image = written(&sandbox, &fat, size);
    fsck(&sandbox, &image).unwrap();
    let mut reader = FatReader::open(fs_err::File::open(image).unwrap(), 0).unwrap();
    assert_eq!(reader.read("efi/boot/bootx64.efi", 1 << 20).unwrap(), vec![7; 100_000]);
}

/// Trees that FAT can hold: names of all sorts, none that differ by case only.
fn trees() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let name = "[a-zA-Z0-9 ._~+=ü-]{1,20}[a-z0-9]";
    let path = proptest::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"));
    let bytes = (any::<u8>(), prop_oneof![0_usize..2000, 60_000_usize..200_000])
        .prop_map(|(byte, len)| vec![byte; len]);
    proptest::collection::btree_map(path, bytes, 0..40).prop_map(|files| {
        let mut seen = BTreeSet::new();
        let fresh = |path: &String| {
            let upper = path.to_uppercase();
            let inside = seen.iter().any(|it: &String| {
                it.starts_with(&format!("{upper}/")) || upper.starts_with(&format!("{it}/"))
            });
            !inside && seen.insert(upper)
        };
        let mut files = files;
        let kept: Vec<String> = files.keys().cloned().collect::<Vec<_>>().into_iter().filter(fresh).collect();
        files.retain(|path, _| kept.contains(path));
        files
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_tree_is_read_back_and_fsck_finds_nothing(files in trees()) {
        let pairs: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
        let tree = tree(&pairs);
        // Parents that differ by case only are an error of their own.
        let Ok(size) = least(&tree, 512, MIB) else { return Ok(()) };
        let runner = SystemRunner::default();
        let sandbox = Sandbox::new(&runner);
        let image = written(&sandbox, &Fat::plan(&tree, &options(size)).unwrap(), size);
        prop_assert_eq!(fsck(&sandbox, &image), Ok(()));
        let mut reader = FatReader::open(fs_err::File::open(image).unwrap(), 0).unwrap();
        for (path, bytes) in &files {
            prop_assert_eq!(&reader.read(path, MIB).unwrap(), bytes);
        }
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic(flips in proptest::collection::vec((0_usize..64 << 10, any::<u8>()), 1..60)) {
        let fat = Fat::plan(&tree(&[("EFI/BOOT/BOOTX64.EFI", b"MZ"), ("b/c/d", b"x")]), &options(34 * MIB)).unwrap();
        let mut image = vec![0; 2 << 20];
        for (offset, bytes) in &fat.regions {
            let end = (*offset as usize + bytes.len()).min(image.len());
            image[*offset as usize..end].copy_from_slice(&bytes[..end - *offset as usize]);
        }
        for (at, byte) in flips {
            image[if at < 32 << 10 { at } else { at + (500 << 10) }] = byte;
        }
        if let Ok(mut reader) = FatReader::open(Cursor::new(image), 0) {
            let _ = reader.list("");
            let _ = reader.read("EFI/BOOT/BOOTX64.EFI", 1 << 20);
        }
    }
}
