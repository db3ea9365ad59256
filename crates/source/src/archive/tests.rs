use std::{collections::BTreeMap, io::Write as _};

use bootway_exec::{Cmd, Cx, Input, Sandbox, SystemRunner, run};
use bootway_plan::{ArtifactKind, Bytes, Digest, Explain as _, Failure, Manifest, Source, step};
use camino::{Utf8Path, Utf8PathBuf};
use proptest::prelude::*;
use tar::{EntryType, Header};

use crate::unpack::unpack;

/// A tar archive, entry by entry, with whatever a hostile one may have.
#[derive(Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn header(
        mut self,
        kind: EntryType,
        path: &str,
        link: &str,
        edit: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        edit(&mut header);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self
    }

    fn content(mut self, content: &[u8]) -> Self {
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        self.header(EntryType::Regular, path, "", |header| header.set_size(content.len() as u64))
            .content(content.as_bytes())
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.header(EntryType::Directory, path, "", |_| {})
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.header(EntryType::Symlink, path, target, |_| {})
    }

    fn hard_link(self, path: &str, target: &str) -> Self {
        self.header(EntryType::Link, path, target, |_| {})
    }

    fn extension(self, kind: EntryType, content: &[u8]) -> Self {
        self.header(kind, "extension", "", |header| header.set_size(content.len() as u64)).content(content)
    }

    fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut content = String::new();
        for (key, value) in records {
            let rest = format!(" {key}={value}\n");
            let digits = |n: usize| n.to_string().len();
            let length = rest.len() + digits(rest.len() + digits(rest.len()));
            content += &format!("{length}{rest}");
        }
        self.extension(EntryType::XHeader, content.as_bytes())
    }

    /// With its end marker.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

/// A Debian package with this `data.tar`, compressed as its name says.
pub(crate) fn package(name: &str, data: &[u8]) -> Vec<u8> {
    let data = match name.rsplit('.').next() {
        Some("xz") => xz(data),
        Some("gz") => gzip(data),
        Some("zst") => zstd::encode_all(data, 1).unwrap(),
        _ => data.to_vec(),
    };
    let control = gzip(&Tar::default().file("./control", "Package: x\n").end());
    ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control), (name, &data)])
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        bytes.extend(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", content.len()).as_bytes(),
        );
        bytes.extend(*content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    liblzma::encode_all(bytes, 1).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Unpacks `archive` in a sandbox; what is in the tree, a line each, or what is wrong.
fn unpacked(archive: &[u8]) -> String {
    with(archive, r#"{ "from": "./it" }"#)
}

fn with(archive: &[u8], json: &str) -> String {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide(&mut sandbox, archive);
    let step: step::Unpack = serde_json::from_str(json).unwrap();
    let listing = match unpack(&sandbox.cx(), &step) {
        Ok(outputs) => {
            agrees(&outputs[0].path);
            listing(&sandbox.cx().out.join("tree.manifest"))
        }
        Err(error) => Failure::of(&error).to_string(),
    };
    let outside: Vec<_> =
        fs_err::read_dir(sandbox.cx().out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        outside.iter().all(|name| ["tree", "tree.manifest", ".contents"].iter().any(|ours| name == *ours)),
        "{outside:?}"
    );
    let notes: Vec<String> = sandbox.lines();
    [notes, vec![listing]].concat().join("\n").replace(sandbox.root().as_str(), "")
}

pub(crate) fn provide(sandbox: &mut Sandbox<'_>, archive: &[u8]) {
    let path = sandbox.root().join("it");
    fs_err::write(&path, archive).unwrap();
    let source: Source = "./it".parse().unwrap();
    let size = Bytes::new(archive.len() as u64);
    sandbox.inputs.insert(
        source,
        Input { path, kind: ArtifactKind::File, digest: Digest::of(archive), size, made: false },
    );
}

/// The manifest, one short line for each entry.
pub(crate) fn listing(manifest: &Utf8Path) -> String {
    let text = fs_err::read_to_string(manifest).unwrap();
    let manifest = Manifest::from_text(&text).unwrap();
    assert_eq!(manifest.to_text(), text);
    let line = |(path, entry): (&bootway_plan::TreePath, &bootway_plan::Entry)| {
        let what = match &entry.kind {
            bootway_plan::EntryKind::Directory => "dir".to_owned(),
            bootway_plan::EntryKind::File { size, .. } => format!("{size} B"),
            bootway_plan::EntryKind::HardLink { to } => format!("= {to}"),
            bootway_plan::EntryKind::Symlink { target } => format!("-> {target}"),
            bootway_plan::EntryKind::CharDevice { major, minor } => format!("char {major}:{minor}"),
            bootway_plan::EntryKind::BlockDevice { major, minor } => format!("block {major}:{minor}"),
            bootway_plan::EntryKind::Fifo => "fifo".to_owned(),
            bootway_plan::EntryKind::Socket => "socket".to_owned(),
        };
        let owner = if (entry.uid, entry.gid) == (0, 0) {
            String::new()
        } else {
            format!(" {}:{}", entry.uid, entry.gid)
        };
        let xattrs: String = entry.xattrs.iter().map(|(name, value)| format!(" {name}={value:?}")).collect();
        format!("{:04o} {path} {what}{owner}{xattrs}", entry.mode)
    };
    manifest.entries.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The directory holds exactly what its manifest says an ordinary user can write.
fn agrees(tree: &Utf8Path) {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use bootway_plan::EntryKind;
    let manifest = fs_err::read_to_string(format!("{tree}.manifest")).unwrap();
    let manifest = Manifest::from_text(&manifest).unwrap();
    let mut seen = 0;
    for (path, entry) in &manifest.entries {
        let host = if path.is_root() { tree.to_owned() } else { tree.join(path.as_str()) };
        let metadata = || fs_err::symlink_metadata(&host).unwrap();
        match &entry.kind {
            EntryKind::Directory => assert_eq!(metadata().permissions().mode(), 0o40755, "{path}"),
            EntryKind::File { size, digest } => {
                let mode = if entry.mode & 0o111 == 0 { 0o100_644 } else { 0o100_755 };
                assert_eq!((metadata().len(), metadata().permissions().mode()), (*size, mode), "{path}");
                assert_eq!(Digest::of(&fs_err::read(&host).unwrap()), *digest, "{path}");
            }
            EntryKind::HardLink { to } => {
                assert_eq!(
                    metadata().ino(),
                    fs_err::metadata(tree.join(to.as_str())).unwrap().ino(),
                    "{path}"
                );
            }
            EntryKind::Symlink { target } => {
                assert_eq!(fs_err::read_link(&host).unwrap().to_str().unwrap(), target);
            }
            _ => {
                assert!(!host.exists(), "{path}");
                continue;
            }
        }
        seen += 1;
    }
    assert_eq!(count(tree), seen, "there are files that the manifest does not have");
}

fn count(path: &Utf8Path) -> usize {
    let below = |entry: Utf8PathBuf| if entry.is_dir() && !entry.is_symlink() { count(&entry) } else { 1 };
    1 + path.read_dir_utf8().unwrap().map(|entry| below(entry.unwrap().into_path())).sum::<usize>()
}

#[test]
fn every_compression_gives_the_same_tree() {
    let tar = Tar::default().dir("./").dir("./usr/").file("./usr/a", "abc").symlink("./b", "usr/a").end();
    let plain = unpacked(&tar);
    insta::assert_snapshot!(plain, @"
    0755 / dir
    0777 /b -> usr/a
    0755 /usr dir
    0644 /usr/a 3 B
    ");
    for archive in [gzip(&tar), bzip2(&tar), xz(&tar), zstd::encode_all(&tar[..], 3).unwrap()] {
        assert_eq!(unpacked(&archive), plain);
    }
    for name in ["data.tar", "data.tar.gz", "data.tar.xz", "data.tar.zst"] {
        assert_eq!(unpacked(&package(name, &tar)), plain, "{name}");
    }
}

#[test]
fn pieces_that_were_compressed_apart_are_one_archive() {
    let tar = Tar::default().file("a", "abc").file("b", "abc").end();
    let (one, two) = tar.split_at(700);
    let plain = unpacked(&tar);
    assert_eq!(unpacked(&[xz(one), xz(two)].concat()), plain);
    assert_eq!(unpacked(&[xz(one), vec![0; 8], xz(two), vec![0; 4]].concat()), plain);
    assert_eq!(unpacked(&[gzip(one), gzip(two)].concat()), plain);
    assert_eq!(unpacked(&[bzip2(one), bzip2(two)].concat()), plain);
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    assert_eq!(unpacked(&[zstd(one), zstd(two)].concat()), plain);
}

#[test]
fn owners_devices_and_attributes_are_in_the_manifest_only() {
    let device = |header: &mut Header| {
        header.set_device_major(5).unwrap();
        header.set_device_minor(1).unwrap();
    };
    let tar = Tar::default()
        .header(EntryType::Char, "dev/console", "", device)
        .header(EntryType::Block, "dev/sda", "", device)
        .header(EntryType::Fifo, "run/initctl", "", |_| {})
        .header(EntryType::Regular, "bin/su", "", |header| {
            header.set_mode(0o4755);
            header.set_uid(1000);
            header.set_gid(5);
        })
        .pax(&[("SCHILY.xattr.security.capability", "ab"), ("mtime", "1.5")])
        .file("bin/ping", "x")
        .end();
    insta::assert_snapshot!(unpacked(&tar), @"
    0755 / dir
    0755 /bin dir
    0644 /bin/ping 1 B security.capability=[97, 98]
    4755 /bin/su 0 B 1000:5
    0755 /dev dir
    0644 /dev/console char 5:1
    0644 /dev/sda block 5:1
    0755 /run dir
    0644 /run/initctl fifo
    ");
}

#[test]
fn long_names_of_both_dialects_are_read() {
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(200));
    let tar = Tar::default()
        .extension(EntryType::GNULongName, format!("{long}1\0").as_bytes())
        .file("cut", "gnu")
        .pax(&[("path", &format!("{long}2")), ("size", "3")])
        .file("cut", "pax")
        .extension(EntryType::GNULongLink, format!("{long}1\0").as_bytes())
        .symlink("link", "cut")
        .end();
    let text = unpacked(&tar).replace(&long, "LONG").replace(&"d".repeat(150), "DIR");
    insta::assert_snapshot!(text, @"
    0755 / dir
    0755 /DIR dir
    0644 /LONG1 3 B
    0644 /LONG2 3 B
    0777 /link -> LONG1
    ");
}

#[test]
fn merged_usr_is_merged_in_any_order() {
    let link_first =
        Tar::default().symlink("lib", "usr/lib").file("lib/a", "a").dir("./lib/").file("lib/b", "b").end();
    let link_last = Tar::default().file("lib/a", "a").file("lib/b", "b").symlink("lib", "usr/lib").end();
    assert_eq!(unpacked(&link_first), unpacked(&link_last));
    insta::assert_snapshot!(unpacked(&link_first), @"
    0755 / dir
    0777 /lib -> usr/lib
    0755 /usr dir
    0755 /usr/lib dir
    0644 /usr/lib/a 1 B
    0644 /usr/lib/b 1 B
    ");
}

#[test]
fn of_two_merged_files_the_later_one_stays() {
    let tar = Tar::default().file("lib/a", "old").file("usr/lib/a", "newer").symlink("lib", "usr/lib").end();
    assert!(unpacked(&tar).contains("/usr/lib/a 5 B"));
    let tar = Tar::default().file("usr/lib/a", "old").file("lib/a", "newer").symlink("lib", "usr/lib").end();
    assert!(unpacked(&tar).contains("/usr/lib/a 5 B"));
}

#[test]
fn later_entries_win() {
    let tar = Tar::default()
        .file("a", "1")
        .file("a", "22")
        .symlink("b", "a")
        .file("b", "333")
        .file("c", "1")
        .dir("c/")
        .dir("d/")
        .file("d", "4444")
        .end();
    insta::assert_snapshot!(unpacked(&tar), @"
    0755 / dir
    0644 /a 2 B
    0644 /b 3 B
    0755 /c dir
    0644 /d 4 B
    ");
}

#[test]
fn hard_links_keep_their_content_when_the_first_name_is_replaced() {
    let tar =
        Tar::default().file("b", "shared").hard_link("c", "b").hard_link("a", "./b").file("b", "new").end();
    insta::assert_snapshot!(unpacked(&tar), @"
    0755 / dir
    0644 /a 6 B
    0644 /b 3 B
    0644 /c = /a
    ");
}

#[test]
fn hostile_archives_stay_inside() {
    let outside = Tar::default().file("../evil", "x").end();
    insta::assert_snapshot!(unpacked(&outside), @"error: cannot unpack `./it`: entry `../evil` leaves the tree: `..` and NUL are not allowed");
    let outside = Tar::default().file("a/../../evil", "x").end();
    insta::assert_snapshot!(unpacked(&outside), @"error: cannot unpack `./it`: entry `a/../../evil` leaves the tree: `..` and NUL are not allowed");
    // An absolute path is one inside the tree, and so is what a link means.
    let through = Tar::default()
        .symlink("etc", "/tmp")
        .file("/etc/evil", "x")
        .symlink("up", "../../..")
        .file("up/evil", "y")
        .end();
    insta::assert_snapshot!(unpacked(&through), @"
    0755 / dir
    0777 /etc -> /tmp
    0644 /evil 1 B
    0755 /tmp dir
    0644 /tmp/evil 1 B
    0777 /up -> ../../..
    ");
    let hard = Tar::default().hard_link("a", "../../etc/passwd").end();
    insta::assert_snapshot!(unpacked(&hard), @"error: cannot unpack `./it`: entry `../../etc/passwd` leaves the tree: `..` and NUL are not allowed");
    let hard = Tar::default().hard_link("a", "/etc/passwd").end();
    insta::assert_snapshot!(unpacked(&hard), @"error: cannot unpack `./it`: entry `a` is a hard link to what is not there: `etc/passwd`");
    let hard = Tar::default().symlink("etc", "/etc").hard_link("a", "etc/passwd").end();
    insta::assert_snapshot!(unpacked(&hard), @"error: cannot unpack `./it`: entry `a` is a hard link to what is not there: `etc/passwd`");
}

#[test]
fn contradictions_are_refused() {
    let cases = [
        Tar::default().file("a", "x").file("a/b", "x"),
        Tar::default().file("a/b", "x").file("a", "x"),
        Tar::default().symlink("a", "b").symlink("b", "a").file("a/c", "x"),
        Tar::default().file("a/b", "x").symlink("a", "a/c"),
        Tar::default().dir("a").hard_link("b", "a"),
        Tar::default().symlink("a", ""),
        Tar::default().file(".", "x"),
        Tar::default().file("", "x"),
    ];
    let said: Vec<String> = cases.into_iter().map(|tar| unpacked(&tar.end())).collect();
    insta::assert_snapshot!(said.join("\n"), @"
    error: cannot unpack `./it`: entry `a/b` is below what is not a directory: `a`
    error: cannot unpack `./it`: entry `a` would replace a directory that is not empty, `a`
    error: cannot unpack `./it`: entry `a/c` is behind symbolic links without an end: `a`
    error: cannot unpack `./it`: entry `a` is a symbolic link into the directory that it replaces, `a/c`
    error: cannot unpack `./it`: entry `b` is a hard link to the directory `a`
    error: cannot unpack `./it`: entry `a` is a symbolic link with a target that none can have
    error: cannot unpack `./it`: entry `/` is the root and no directory
    error: cannot unpack `./it`: entry `` has no name
    ");
}

#[test]
fn claims_are_limited() {
    let claim =
        |kind, size: u64| Tar::default().header(kind, "big", "", |header| header.set_size(size)).end();
    let deep = Tar::default().pax(&[("path", &"a/".repeat(1500))]).file("x", "x").end();
    let wide = Tar::default().pax(&[("path", &"a".repeat(300))]).file("x", "x").end();
    let long_link = Tar::default().pax(&[("linkpath", &"a".repeat(5000))]).symlink("x", "x").end();
    let chain = (1..42)
        .fold(Tar::default().dir("l0"), |tar, n| tar.symlink(&format!("l{n}"), &format!("l{}", n - 1)));
    let said = [
        claim(EntryType::Regular, 1 << 40),
        claim(EntryType::Regular, 1 << 32),
        claim(EntryType::XHeader, 1 << 40),
        claim(EntryType::GNULongName, 1 << 32),
        claim(EntryType::GNUSparse, 1 << 40),
        Tar::default().pax(&[("GNU.sparse.realsize", "1099511627776")]).file("x", "x").end(),
        deep,
        wide,
        long_link,
        chain.file("l41/x", "x").end(),
    ];
    let said: Vec<String> = said.iter().map(|tar| unpacked(tar)).collect();
    insta::assert_snapshot!(said.join("\n"), @"
    error: cannot unpack `./it`: all files: 1024 GiB is over the limit of 256 GiB
    error: cannot unpack `./it`: the archive is truncated at byte 1536: download or make it again
    error: cannot unpack `./it`: an extension header: 1024 GiB is over the limit of 1 MiB
    error: cannot unpack `./it`: an extension header: 4 GiB is over the limit of 1 MiB
    error: cannot unpack `./it`: it is a tar archive with sparse files, which is not supported: make it without `--sparse`
    error: cannot unpack `./it`: it is a tar archive with sparse files, which is not supported: make it without `--sparse`
    error: cannot unpack `./it`: a path: 3000 bytes (`a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/…`) is over the limit of 2048
    error: cannot unpack `./it`: a file name: 300 bytes (`aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…`) is over the limit of 255
    error: cannot unpack `./it`: entry `x` is a symbolic link with a target that none can have
    error: cannot unpack `./it`: entry `l41/x` is behind symbolic links without an end: `l1`
    ");
}

#[test]
fn damage_is_named_with_its_place() {
    let tar = Tar::default().file("a", &"x".repeat(5000)).end();
    let deb = package("data.tar.xz", &tar);
    let gz = gzip(&tar);
    let mut flipped = xz(&tar);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    let mut checksum = tar.clone();
    checksum[0] ^= 1;
    let second = [tar[..5632].to_vec(), vec![b'x'; 512]].concat();
    let said = [
        unpacked(b""),
        unpacked(b"no archive at all"),
        unpacked(&tar[..3000]),
        unpacked(&tar[..5632]),
        unpacked(&gz[..gz.len() - 9]),
        unpacked(&xz(&tar)[..60]),
        unpacked(&flipped),
        unpacked(&checksum),
        unpacked(&second),
        unpacked(&deb[..deb.len() - 40]),
        unpacked(&deb[..100]),
        unpacked(&deb[..30]),
        unpacked(&ar(&[("data.tar", &tar)])),
        unpacked(&ar(&[("debian-binary", b"3.0\n"), ("data.tar", &tar)])),
        unpacked(&ar(&[("debian-binary", b"2.0\n".as_slice()); 40])),
        unpacked(b"BZh91AY&SY"),
        unpacked(b"PK\x03\x04"),
    ];
    insta::assert_snapshot!(said.join("\n"), @"
    error: cannot unpack `./it`: the archive is truncated at byte 0: download or make it again
    error: cannot unpack `./it`: the archive is damaged at byte 0: this is not a tar archive
    error: cannot unpack `./it`: the archive is truncated at byte 3000: download or make it again
    error: cannot unpack `./it`: the archive is truncated at byte 5632: download or make it again
    error: cannot unpack `./it`: the archive is truncated at byte 6656: download or make it again
    error: cannot unpack `./it`: the archive is truncated at byte 155: download or make it again
    error: cannot unpack `./it`: the archive is damaged at byte 0: it does not decompress: lzma data error
    error: cannot unpack `./it`: the archive is damaged at byte 0: this is not a tar archive
    error: cannot unpack `./it`: the archive is damaged at byte 5632: the checksum of a header is wrong
    error: cannot unpack `./it`: member `data.tar.xz` is truncated at byte 104: download or make it again
    error: cannot unpack `./it`: the package is truncated at byte 100: download or make it again
    error: cannot unpack `./it`: the package is truncated at byte 30: download or make it again
    error: cannot unpack `./it`: the package is damaged at byte 68: the first member is not `debian-binary`
    error: cannot unpack `./it`: it is a package of format `3.0`, which is not supported: use packages of format 2.0
    error: cannot unpack `./it`: members before `data.tar`: more than 16 is over the limit of 16
    error: cannot unpack `./it`: the archive is truncated at byte 0: download or make it again
    error: cannot unpack `./it`: it is a zip archive, which is not supported: make it a tar archive: plain, gzip, bzip2, xz or zstd
    ");
}

#[test]
fn keeps_and_drops_by_either_name() {
    let tar = Tar::default()
        .symlink("lib", "usr/lib")
        .file("lib/modules/6.1/a.ko", "a")
        .file("usr/lib/b", "b")
        .file("usr/share/doc/x/copyright", "c")
        .file("boot/vmlinuz-6.1", "k")
        .file("boot/System.map", "m")
        .end();
    let select = |keep: &str, drop: &str| {
        with(&tar, &format!(r#"{{ "from": "./it", "keep": {keep}, "drop": {drop} }}"#))
    };
    insta::assert_snapshot!(select(r#"["boot/vmlinuz-*", "lib/modules/**"]"#, "[]"), @"
    0755 / dir
    0755 /boot dir
    0644 /boot/vmlinuz-6.1 1 B
    0777 /lib -> usr/lib
    0755 /usr dir
    0755 /usr/lib dir
    0755 /usr/lib/modules dir
    0755 /usr/lib/modules/6.1 dir
    0644 /usr/lib/modules/6.1/a.ko 1 B
    ");
    insta::assert_snapshot!(select("[]", r#"["usr/share", "/boot/S*"]"#), @"
    0755 / dir
    0755 /boot dir
    0644 /boot/vmlinuz-6.1 1 B
    0777 /lib -> usr/lib
    0755 /usr dir
    0755 /usr/lib dir
    0644 /usr/lib/b 1 B
    0755 /usr/lib/modules dir
    0755 /usr/lib/modules/6.1 dir
    0644 /usr/lib/modules/6.1/a.ko 1 B
    ");
    insta::assert_snapshot!(select(r#"["usr"]"#, r#"["**/*.ko", "nothing/here"]"#), @"
    pattern `nothing/here` matches nothing
    0755 / dir
    0755 /usr dir
    0755 /usr/lib dir
    0644 /usr/lib/b 1 B
    0755 /usr/share dir
    0755 /usr/share/doc dir
    0755 /usr/share/doc/x dir
    0644 /usr/share/doc/x/copyright 1 B
    ");
    insta::assert_snapshot!(select(r#"["a["]"#, "[]"), @"
    error: `a[` in `keep` is not a pattern: unclosed character class; missing ']'
      hint: write a path with `*`, `?`, `[…]`, `{a,b}` or `**`, such as `boot/vmlinuz-*`
    ");
}

#[test]
fn a_kept_hard_link_needs_its_content() {
    let tar = Tar::default().file("a", "shared").hard_link("b", "a").end();
    insta::assert_snapshot!(with(&tar, r#"{ "from": "./it", "keep": ["b"] }"#), @"error: cannot unpack `./it`: entry `b` shares its content with a file that is not kept: keep, or drop, also `a`");
}

#[test]
fn strips_leading_components() {
    let tar = Tar::default()
        .dir("linux-6.1/")
        .file("linux-6.1/README", "r")
        .file("linux-6.1/fs/Kconfig", "k")
        .hard_link("linux-6.1/x", "linux-6.1/README")
        .end();
    insta::assert_snapshot!(with(&tar, r#"{ "from": "./it", "strip": 1 }"#), @"
    0755 / dir
    0644 /README 1 B
    0755 /fs dir
    0644 /fs/Kconfig 1 B
    0644 /x = /README
    ");
}

#[test]
fn stops_when_asked() {
    let runner = SystemRunner::default();
    let mut sandbox = Sandbox::new(&runner);
    provide(&mut sandbox, &Tar::default().file("a", "x").end());
    sandbox.cancel.cancel();
    let step: step::Unpack = serde_json::from_str(r#"{ "from": "./it" }"#).unwrap();
    assert_eq!(unpack(&sandbox.cx(), &step).unwrap_err().class(), bootway_plan::Class::Cancelled);
}

/// Runs a program that a test needs.
fn oracle(cx: &Cx<'_>, program: &str, package: &str, args: &[&str]) {
    let cmd = Cmd::user(program).args(args.iter().copied());
    run(cx, &cmd).unwrap_or_else(|error| panic!("{error}: install it with `apt-get install {package}`"));
}

/// A foreign writer: GNU tar packs a real directory in each of its formats, and we read it as it is.
#[test]
fn what_gnu_tar_packs_is_what_we_unpack() {
    let runner = SystemRunner::default();
    for (format, flag) in [("gnu", "--gzip"), ("pax", "--xz"), ("ustar", "--zstd"), ("v7", "--no-xattrs")] {
        let mut sandbox = Sandbox::new(&runner);
        let scratch = sandbox.cx().scratch.to_owned();
        let deep = scratch.join("t").join("d".repeat(match format {
            "v7" => 20,
            "ustar" => 35,
            _ => 120,
        }));
        fs_err::create_dir_all(&deep).unwrap();
        fs_err::write(deep.join("f".repeat(60)), vec![7; 300_000]).unwrap();
        fs_err::hard_link(deep.join("f".repeat(60)), scratch.join("t/hard")).unwrap();
        fs_err::os::unix::fs::symlink("hard", scratch.join("t/soft")).unwrap();
        let archive = sandbox.root().join("packed");
        let args = [
            &format!("--format={format}"),
            flag,
            "--sort=name",
            "-C",
            scratch.as_str(),
            "-cf",
            archive.as_str(),
            "t",
        ];
        oracle(&sandbox.cx(), "tar", "tar xz-utils zstd", &args);
        let bytes = fs_err::read(&archive).unwrap();
        provide(&mut sandbox, &bytes);
        let step: step::Unpack = serde_json::from_str(r#"{ "from": "./it", "strip": 1 }"#).unwrap();
        unpack(&sandbox.cx(), &step).unwrap();
        agrees(&sandbox.cx().out.join("tree"));
        oracle(
            &sandbox.cx(),
            "diff",
            "diffutils",
            &["-r", scratch.join("t").as_str(), sandbox.cx().out.join("tree").as_str()],
        );
    }
}

/// A foreign writer and a foreign reader of packages.
#[test]
fn what_dpkg_deb_builds_is_what_we_unpack() {
    let runner = SystemRunner::default();
    for compression in ["xz", "gzip", "zstd", "none"] {
        let mut sandbox = Sandbox::new(&runner);
        let scratch = sandbox.cx().scratch.to_owned();
        let tree = scratch.join("t");
        fs_err::create_dir_all(tree.join("DEBIAN")).unwrap();
        let control = "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n";
        fs_err::write(tree.join("DEBIAN/control"), control).unwrap();
        fs_err::create_dir_all(tree.join("usr/bin")).unwrap();
        fs_err::write(tree.join("usr/bin/x"), vec![7; 300_001]).unwrap();
        fs_err::os::unix::fs::symlink("usr/bin", tree.join("bin")).unwrap();
        let (deb, theirs) = (scratch.join("x.deb"), scratch.join("theirs"));
        let build =
            [&format!("-Z{compression}"), "--root-owner-group", "--build", tree.as_str(), deb.as_str()];
        oracle(&sandbox.cx(), "dpkg-deb", "dpkg", &build);
        oracle(&sandbox.cx(), "dpkg-deb", "dpkg", &["-x", deb.as_str(), theirs.as_str()]);
        let bytes = fs_err::read(&deb).unwrap();
        provide(&mut sandbox, &bytes);
        unpack(&sandbox.cx(), &serde_json::from_str(r#"{ "from": "./it" }"#).unwrap()).unwrap();
        agrees(&sandbox.cx().out.join("tree"));
        oracle(
            &sandbox.cx(),
            "diff",
            "diffutils",
            &["-r", theirs.as_str(), sandbox.cx().out.join("tree").as_str()],
        );
    }
}

fn samples() -> BTreeMap<&'static str, Vec<u8>> {
    let tar = Tar::default()
        .dir("a/")
        .pax(&[("path", "a/long"), ("SCHILY.xattr.user.x", "y")])
        .file("cut", "content")
        .extension(EntryType::GNULongName, b"a/longer\0")
        .symlink("x", "../a")
        .hard_link("b", "a/long")
        .end();
    BTreeMap::from([("deb", package("data.tar", &tar)), ("tar", tar)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn damaged_archives_end_in_an_error_or_a_tree(
        kind in prop_oneof!["deb", "tar"],
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in any::<prop::sample::Index>(),
        cut: bool,
    ) {
        let mut bytes = samples()[kind.as_str()].clone();
        for (place, value) in flips {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        // So that damage gets past the checksum of a header, too.
        if kind == "tar" {
            for block in bytes.chunks_exact_mut(512).step_by(2) {
                let mut header = Header::from_byte_slice(block).clone();
                header.set_cksum();
                block.copy_from_slice(header.as_bytes());
            }
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        unpacked(&bytes);
    }

    #[test]
    fn arbitrary_bytes_end_in_an_error(start in prop_oneof!["", "!<arch>\ndebian-binary   0           0     0     100644  4         `\n2.0\n"], rest: Vec<u8>) {
        let said = unpacked(&[start.as_bytes(), &rest].concat());
        prop_assert!(said.starts_with("error: cannot unpack `./it`: "), "{}", said);
    }
}
