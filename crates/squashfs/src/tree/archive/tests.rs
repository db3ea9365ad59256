use std::{
    io::{Cursor, Write},
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
};

use proptest::prelude::*;

use super::{
    super::tests::{every_kind, listing, scan},
    *,
};

/// Runs a program in a shell-less way and gives what it printed.
#[track_caller]
fn output(program: &str, arguments: &[&str], at: &Path) -> Vec<u8> {
    #[expect(clippy::disallowed_methods, reason = "a test asks other programs")]
    let output = Command::new(program).args(arguments).current_dir(at).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}: run `apt-get install {program}`"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn in_file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn from_file(bytes: &[u8]) -> Result<Tree, TreeError> {
    Tree::from_tar(in_file(bytes), &Rules::default())
}

/// Contents by path.
type Contents = Vec<(Vec<u8>, Vec<u8>)>;

/// The tree of a stream, and the contents by path.
fn from_stream(bytes: Vec<u8>, rules: &Rules) -> Result<(Tree, Contents), TreeError> {
    let mut stream = TarStream::new(Cursor::new(bytes), rules)?;
    let mut contents = Vec::new();
    while let Some(mut member) = stream.next()? {
        let mut content = Vec::new();
        member.read_to_end(&mut content).map_err(TarError::Read)?;
        assert_eq!(content.len() as u64, member.size());
        contents.push((member.path().to_vec(), content));
    }
    Ok((stream.finish(), contents))
}

/// All bytes of a file of a tree.
fn content(tree: &Tree, path: &str) -> Vec<u8> {
    let Kind::File(content) = &tree.node(tree.find(path).unwrap()).kind else { panic!("{path} is a file") };
    let mut bytes = vec![0; content.size() as usize];
    content.open().unwrap().read(0, &mut bytes).unwrap();
    bytes
}

const XATTRS: [&str; 2] = ["--xattrs", "--xattrs-include=*"];

#[test]
fn every_format_of_tar_says_what_a_scan_finds() {
    let dir = tempfile::tempdir().unwrap();
    every_kind(dir.path());
    fs_err::remove_file(dir.path().join("socket")).unwrap();
    let long = "long-directory/".repeat(8) + &"n".repeat(150);
    fs_err::create_dir_all(dir.path().join(&long).parent().unwrap()).unwrap();
    fs_err::write(dir.path().join(&long), "x").unwrap();
    fs_err::os::unix::fs::symlink(&long, dir.path().join("longlink")).unwrap();
    fs_err::hard_link(dir.path().join(&long), dir.path().join("longhard")).unwrap();
    let scanned = listing(&scan(dir.path(), &Rules::default()).unwrap());
    assert!(scanned.contains("trusted.t="), "{scanned}");
    let posix = [&["--format=posix", "--acls", "-cf", "-"], &XATTRS[..], &["."]].concat();
    let posix = output("tar", &posix, dir.path());
    assert_eq!(listing(&from_file(&posix).unwrap()), scanned);
    let gnu = output("tar", &["--format=gnu", "-cf", "-", "."], dir.path());
    let without = Rules { xattrs: super::super::Xattrs::None, ..Rules::default() };
    let bare = listing(&scan(dir.path(), &without).unwrap());
    assert_eq!(listing(&from_file(&gnu).unwrap()), bare);
    for program in ["gzip", "xz", "zstd"] {
        let packed =
            output("tar", &["--format=gnu", "--use-compress-program", program, "-cf", "-", "."], dir.path());
        let (tree, contents) = from_stream(packed, &Rules::default()).unwrap();
        assert_eq!(listing(&tree), bare, "{program}");
        // `again` and `dir/file` are one file: whichever comes first has the content.
        let bytes: usize = contents.iter().map(|(_, content)| content.len()).sum();
        assert_eq!(bytes, 6, "{program}");
    }
}

#[test]
fn sparse_files_of_every_format_keep_their_holes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("holes");
    let file = File::create(&path).unwrap();
    for piece in 0..40_u64 {
        file.write_all_at(&[piece as u8 + 1; 4096], piece * 131_072 + 65_536).unwrap();
    }
    file.set_len(6 << 20).unwrap();
    let hollow = File::create(dir.path().join("hollow")).unwrap();
    hollow.set_len(3 << 20).unwrap();
    fs_err::write(dir.path().join("tail"), "after them").unwrap();
    let whole = fs_err::read(&path).unwrap();
    let formats: [&[&str]; 4] = [
        &["--format=gnu"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ];
    for format in formats {
        let tar = output(
            "tar",
            &[format, &["--sparse", "-cf", "-", "holes", "hollow", "tail"]].concat(),
            dir.path(),
        );
        assert!(tar.len() < 300_000, "{format:?} has holes");
        let tree = from_file(&tar).unwrap();
        assert_eq!(tree.counts().files, 4, "{format:?}");
        assert!(content(&tree, "holes") == whole, "{format:?}");
        assert!(content(&tree, "hollow") == vec![0; 3 << 20], "{format:?}");
        assert_eq!(content(&tree, "tail"), b"after them", "{format:?}");
        let Kind::File(holes) = &tree.node(tree.find("holes").unwrap()).kind else { panic!("a file") };
        let opened = holes.open().unwrap();
        assert!(opened.is_hole(0, 65_536) && !opened.is_hole(0, 65_537) && opened.is_hole(6 << 20, 7 << 20));
        let (_, contents) = from_stream(tar, &Rules::default()).unwrap();
        assert!(contents[0].1 == whole, "{format:?}");
        assert!(contents[1].1 == vec![0; 3 << 20], "{format:?}");
        assert_eq!(contents[2].1, b"after them", "{format:?}");
    }
}

/// An archive of small members: path, type, link or content.
fn archive(members: &[(&str, u8, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, kind, what) in members {
        let mut header = tar::Header::new_gnu();
        let is_file = matches!(kind, b'0' | b'x' | b'g' | b'L' | b'K');
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(tar::EntryType::new(*kind));
        header.set_mode(0o640);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(9);
        header.set_size(if is_file { what.len() as u64 } else { 0 });
        if !is_file {
            header.as_old_mut().linkname[..what.len()].copy_from_slice(what.as_bytes());
        }
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        if is_file {
            bytes.extend_from_slice(what.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

#[test]
fn later_members_win_and_missing_directories_are_made() {
    let bytes = archive(&[
        ("/a/b/./file", b'0', "one"),
        ("./a/b/file", b'0', "three"),
        ("hard", b'1', "./a//b/file"),
        ("old-directory/", b'0', ""),
        ("a/", b'5', ""),
        ("empty", b'0', ""),
    ]);
    let tree = from_file(&bytes).unwrap();
    assert_eq!(content(&tree, "hard"), b"three");
    let (streamed, contents) = from_stream(bytes.clone(), &Rules::default()).unwrap();
    assert_eq!(listing(&streamed), listing(&tree));
    insta::assert_snapshot!(listing(&tree), @"
    /: directory 0755 0:0 @0 x4
    a: directory 0640 7:8 @9 x3
    a/b: directory 0755 0:0 @0 x2
    a/b/file: file of 5 0640 7:8 @9 x2
    empty: file of 0 0640 7:8 @9 x1
    hard: file of 5 0640 7:8 @9 x2
    old-directory: directory 0640 7:8 @9 x2
    ");
    let contents: Vec<_> =
        contents.iter().map(|(path, content)| (path.escape_ascii().to_string(), content.len())).collect();
    insta::assert_debug_snapshot!(contents, @r#"
    [
        (
            "a/b/file",
            3,
        ),
        (
            "a/b/file",
            5,
        ),
        (
            "hard",
            0,
        ),
        (
            "old-directory",
            0,
        ),
        (
            "a",
            0,
        ),
        (
            "empty",
            0,
        ),
    ]
    "#);
    let rules = Rules {
        uid: Some(1),
        times: super::super::Times::Set(3),
        exclude: super::super::Exclude::new(|path| path == b"a/b" || path == b"hard"),
        ..Rules::default()
    };
    insta::assert_snapshot!(listing(&from_stream(bytes, &rules).unwrap().0), @"
    /: directory 0755 1:0 @3 x4
    a: directory 0640 1:8 @3 x2
    empty: file of 0 0640 1:8 @3 x1
    old-directory: directory 0640 1:8 @3 x2
    ");
}

/// A record of a pax header.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let length = (rest + 1..=rest + 9).find(|length| length.to_string().len() + rest == *length).unwrap();
    format!("{length} {key}={value}\n")
}

#[test]
fn values_of_attributes_may_have_any_bytes() {
    let pax = [
        record("SCHILY.xattr.user.a%3Db", "x\ny\0=z\n"),
        record("RHT.security.selinux", "ctx"),
        record("mtime", "-1.5"),
        record("mtime", "1234.98765"),
        record("SCHILY.acl.access", "user::rw-"),
    ]
    .concat();
    let tree = from_file(&archive(&[("pax", b'x', &pax), ("file", b'0', "x")])).unwrap();
    insta::assert_snapshot!(listing(&tree), @r"
    /: directory 0755 0:0 @0 x2
    file: file of 1 0640 7:8 @1234 x1 security.selinux=ctx\x00 user.a=b=x\ny\x00=z\n
    note: `file` loses its access control list, which squashfs cannot hold
    ");
}

#[test]
fn archives_that_cannot_be_taken_are_refused() {
    let ok = archive(&[("dir/file", b'0', "content"), ("after", b'0', "x")]);
    let mut damaged = ok.clone();
    damaged[1030] ^= 1;
    let mut huge = archive(&[("x", b'x', "")]);
    huge[124..136].copy_from_slice(b"77777777777\0");
    let mut header = tar::Header::from_byte_slice(&huge[..512]).clone();
    header.set_cksum();
    huge[..512].copy_from_slice(header.as_bytes());
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("text", b"hello, world\n".repeat(100)),
        ("short", b"hello".to_vec()),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\0\0\0".to_vec()),
        ("bzip2", b"BZh91AY&SY\0\0".to_vec()),
        ("cut in a header", ok[..1200].to_vec()),
        ("cut in a content", ok[..1000].to_vec()),
        ("without an end", ok[..2048].to_vec()),
        ("damaged", damaged),
        ("huge", huge),
        ("up", archive(&[("a/../../etc/passwd", b'0', "x")])),
        ("link up", archive(&[("hard", b'1', "../x")])),
        ("link to nothing", archive(&[("hard", b'1', "x")])),
        ("link to a directory", archive(&[("dir/", b'5', ""), ("hard", b'1', "dir")])),
        ("below a file", archive(&[("f", b'0', ""), ("f/g", b'0', "")])),
        ("below a link", archive(&[("lib", b'2', "usr/lib"), ("lib/g", b'0', "")])),
        ("a volume", archive(&[("f", b'M', "")])),
        ("a dump", archive(&[("f", b'D', "")])),
        ("strange", archive(&[("f", b'?', "")])),
        ("bad pax", archive(&[("pax", b'x', "99 path=x\n"), ("f", b'0', "")])),
        ("bad pax size", archive(&[("pax", b'x', &record("size", "x")), ("f", b'0', "")])),
        (
            "sparse in disorder",
            archive(&[
                (
                    "pax",
                    b'x',
                    &[record("GNU.sparse.map", "9,1,2,512"), record("GNU.sparse.size", "600")].concat(),
                ),
                ("f", b'0', "x"),
            ]),
        ),
        (
            "sparse too short",
            archive(&[
                (
                    "pax",
                    b'x',
                    &[record("GNU.sparse.map", "0,512"), record("GNU.sparse.size", "600")].concat(),
                ),
                ("f", b'0', "x"),
            ]),
        ),
        ("sparse unknown", archive(&[("pax", b'x', &record("GNU.sparse.major", "2")), ("f", b'0', "x")])),
        ("empty link", archive(&[("f", b'2', "")])),
    ];
    let shown = |result: Result<Tree, TreeError>| match result {
        Ok(tree) => listing(&tree),
        Err(error) => match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    };
    let mut text = String::new();
    for (name, bytes) in cases {
        let (file, stream) =
            (shown(from_file(&bytes)), shown(from_stream(bytes, &Rules::default()).map(|it| it.0)));
        text += &format!("{name}: {file}\n");
        if file != stream {
            text += &format!("{name}, as a stream: {stream}\n");
        }
    }
    insta::assert_snapshot!(text, @"
    nothing: this is not a tar archive: give one that is, or a directory
    text: this is not a tar archive: give one that is, or a directory
    short: cannot read the archive: it is cut off: get it again
    gzip: the archive is compressed with gzip: read it as a stream
    gzip, as a stream: cannot read the archive: incomplete deflate stream
    bzip2: the archive is compressed with bzip2: read it as a stream
    bzip2, as a stream: the archive is compressed with bzip2, which is not known here: unpack it, or use gzip, xz or zstd
    cut in a header: cannot read the archive: it is cut off: get it again
    cut in a content: cannot read the archive: it is cut off: get it again
    without an end: cannot read the archive: it is cut off: get it again
    damaged: the archive is damaged at byte 1024 (the checksum of a header is wrong): get it again
    huge: the archive is damaged at byte 0 (an extension header of more than 8MiB): get it again
    up: member `a/../../etc/passwd` of the archive: it has `..` in its path: make the archive without it
    link up: member `../x` of the archive: it has `..` in its path: make the archive without it
    link to nothing: member `hard` of the archive: it is a hard link to `x`, which is not before it: make the archive of whole directories
    link to a directory: `hard` cannot be a hard link to a directory: make it a symbolic link
    below a file: `f/g` cannot be put into `f`, which is no directory: name the directory itself
    below a link: `lib/g` cannot be put into `lib`, which is no directory: name the directory itself
    a volume: member `f` of the archive: it continues another volume: join the volumes first
    a dump: member `f` of the archive: the archive is an incremental dump: make it without `--listed-incremental`
    strange: the archive is damaged at byte 0 (a member of unknown type): get it again
    bad pax: the archive is damaged at byte 0 (a malformed pax record): get it again
    bad pax size: the archive is damaged at byte 0 (a size out of range): get it again
    sparse in disorder: member `f` of the archive: its sparse map is in disorder: make it without `--sparse`
    sparse too short: member `f` of the archive: its sparse map and its size do not agree: make it without `--sparse`
    sparse unknown: member `f` of the archive: it is sparse in a way that is not known here: make it without `--sparse`
    empty link: the symbolic link `f` says 0 bytes, squashfs holds 1 to 4095: make it shorter or leave it out
    ");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_makes_the_two_ways_of_reading_differ_or_panic(at in 0_usize..4000, with in any::<[u8; 3]>(), length in 0_usize..6000) {
        let pax = [record("GNU.sparse.map", "0,512,1024,3"), record("GNU.sparse.size", "1027")].concat();
        let mut bytes = archive(&[("d/f", b'0', "content"), ("pax", b'x', &pax), ("s", b'0', &"x".repeat(515)), ("l", b'2', "d"), ("h", b'1', "d/f")]);
        let at = at.min(bytes.len() - 3);
        bytes[at..at + 3].copy_from_slice(&with);
        bytes.truncate(length.max(at));
        let file = from_file(&bytes);
        let stream = from_stream(bytes, &Rules::default());
        if let (Ok(file), Ok((stream, _))) = (&file, &stream) {
            prop_assert_eq!(listing(file), listing(stream));
        }
        prop_assert_eq!(file.is_ok(), stream.is_ok());
    }
}
