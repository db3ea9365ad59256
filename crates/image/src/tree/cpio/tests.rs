use proptest::{collection::vec, prelude::*};

use super::*;
use crate::format::cpio::{encode, padding, trailer};

fn entry(mode: u32, name: &str, data: &[u8]) -> Vec<u8> {
    linked(mode, name, data, 0, 1)
}

fn linked(mode: u32, name: &str, data: &[u8], ino: u32, nlink: u32) -> Vec<u8> {
    let header = Header { ino, nlink, mode, size: data.len() as u32, ..Header::default() };
    let mut out = encode(&header, name);
    out.extend(data);
    out.extend(padding(data.len() as u64));
    out
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut out = entries.concat();
    out.extend(trailer());
    out
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", chain(cause)))
}

fn shown(archive: &[u8]) -> String {
    match Tree::from_cpio(archive) {
        Ok(tree) => tree
            .nodes
            .iter()
            .map(|(path, node)| match &node.kind {
                NodeKind::File(Content::Bytes(bytes)) => {
                    format!("{path} {:?}\n", bytes.escape_ascii().to_string())
                }
                NodeKind::Symlink { target } => format!("{path} -> {target}\n"),
                NodeKind::CharDevice { major, minor } => format!("{path} c{major}:{minor}\n"),
                _ => format!("{path}\n"),
            })
            .collect(),
        Err(error) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                text += &format!(": {error}");
                source = error.source();
            }
            text
        }
    }
}

#[test]
fn an_initramfs_becomes_a_tree() {
    let mut bytes = archive(&[
        entry(0o040_755, "bin", b""),
        entry(0o120_777, "sbin", b"bin"),
        entry(0o120_777, "usr", b"."),
        entry(0o100_755, "usr/sbin/init", b"#!"),
        linked(0o100_755, "a", b"", 7, 2),
        linked(0o100_755, "b", b"twice", 7, 2),
    ]);
    bytes.extend([0; 300]);
    bytes.extend(archive(&[entry(0o100_644, "later", b"x")]));
    bytes.extend([0; 8]);
    insta::assert_snapshot!(shown(&bytes), @r##"
    /
    /a "twice"
    /b "twice"
    /bin
    /bin/init "#!"
    /later "x"
    /sbin -> bin
    /usr -> .
    "##);
}

#[test]
fn what_leads_out_of_the_root_is_refused() {
    insta::assert_snapshot!(shown(&archive(&[entry(0o100_644, "../etc/passwd", b"x")])), @"`../etc/passwd` in the cpio archive cannot be taken: its name leads out of the root");
    insta::assert_snapshot!(shown(&archive(&[entry(0o100_644, "a/../../b", b"x")])), @"`a/../../b` in the cpio archive cannot be taken: its name leads out of the root");
    insta::assert_snapshot!(shown(&archive(&[entry(0o170_000, "strange", b"x")])), @"`strange` in the cpio archive cannot be taken: its type 0o170000 is none");
    // An absolute name is below the root, and a link out of it leads to the root.
    insta::assert_snapshot!(shown(&archive(&[entry(0o120_777, "out", b"/../.."), entry(0o100_644, "/out/x", b"x")])), @r#"
    /
    /out -> /../..
    /x "x"
    "#);
    insta::assert_snapshot!(shown(&archive(&[entry(0o120_777, "round", b"round"), entry(0o100_644, "round/x", b"")])), @"`round/x` in the cpio archive has no place: more than 40 symbolic links at `/round`: they lead in a circle");
    let mut cut = archive(&[entry(0o100_644, "a", b"content")]);
    cut.truncate(118);
    insta::assert_snapshot!(shown(&cut), @"the cpio archive that begins at byte 0 is damaged: the archive ends inside the file at byte 0, or before its trailer");
}

/// The fields of a header in order, eight digits each behind the magic.
const FIELDS: [&str; 13] = [
    "ino",
    "mode",
    "uid",
    "gid",
    "nlink",
    "mtime",
    "filesize",
    "devmajor",
    "devminor",
    "rdevmajor",
    "rdevminor",
    "namesize",
    "check",
];

/// A field of another value may be another file: newc has no checksum. One that is no number is always noticed.
#[test]
fn every_field_of_every_header_is_bounded() {
    let files = [
        entry(0o040_755, "bin", b""),
        linked(0o100_755, "bin/sh", b"#!", 3, 2),
        linked(0o100_755, "sh", b"", 3, 2),
    ];
    let good = archive(&files);
    let mut begin = 0;
    let mut said = Vec::new();
    for file in files.iter().map(Vec::len).chain([0]) {
        let damaged = |at: usize, bytes: &[u8]| {
            let mut archive = good.clone();
            archive[at..at + bytes.len()].copy_from_slice(bytes);
            Tree::from_cpio(&archive).map_err(|error| chain(&error))
        };
        let error = damaged(begin, b"070703").unwrap_err();
        assert!(error.contains(&format!("no newc header at byte {begin}")), "{error}");
        for (index, field) in FIELDS.iter().enumerate() {
            let at = begin + 6 + index * 8;
            for value in ["00000000", "00000001", "7fffffff", "80000000", "ffffffff"] {
                if let Err(error) = damaged(at, value.as_bytes()) {
                    assert!(error.contains("cpio archive"), "{field} = {value}: {error}");
                    if begin == 0 {
                        said.push(format!("{field} = {value}: {error}"));
                    }
                }
            }
            let read = !matches!(*field, "devmajor" | "devminor" | "check");
            let strange = damaged(at, b"0000g000");
            assert_eq!(strange.is_err(), read, "{field}");
            if let Err(error) = strange {
                assert!(error.contains(&format!("the field at byte {at} is not hexadecimal")), "{error}");
            }
        }
        begin += file;
    }
    insta::assert_snapshot!(said.join("\n"), @"
    mode = 00000000: `bin` in the cpio archive cannot be taken: its type 0o0 is none
    mode = 00000001: `bin` in the cpio archive cannot be taken: its type 0o0 is none
    mode = 7fffffff: `bin` in the cpio archive cannot be taken: its type 0o170000 is none
    mode = 80000000: `bin` in the cpio archive cannot be taken: its type 0o0 is none
    mode = ffffffff: `bin` in the cpio archive cannot be taken: its type 0o170000 is none
    filesize = 00000001: the cpio archive that begins at byte 0 is damaged: no newc header at byte 120
    filesize = 7fffffff: the cpio archive that begins at byte 0 is damaged: the archive ends inside the file at byte 0, or before its trailer
    filesize = 80000000: the cpio archive that begins at byte 0 is damaged: the archive ends inside the file at byte 0, or before its trailer
    filesize = ffffffff: the cpio archive that begins at byte 0 is damaged: the archive ends inside the file at byte 0, or before its trailer
    namesize = 00000000: the cpio archive that begins at byte 0 is damaged: the file at byte 0 has a name of 0 bytes: 1 to 4096 with a NUL at the end are allowed
    namesize = 00000001: the cpio archive that begins at byte 0 is damaged: the file at byte 0 has a name of 1 bytes: 1 to 4096 with a NUL at the end are allowed
    namesize = 7fffffff: the cpio archive that begins at byte 0 is damaged: the file at byte 0 has a name of 2147483647 bytes: 1 to 4096 with a NUL at the end are allowed
    namesize = 80000000: the cpio archive that begins at byte 0 is damaged: the file at byte 0 has a name of 2147483648 bytes: 1 to 4096 with a NUL at the end are allowed
    namesize = ffffffff: the cpio archive that begins at byte 0 is damaged: the file at byte 0 has a name of 4294967295 bytes: 1 to 4096 with a NUL at the end are allowed
    ");
}

proptest! {
    #[test]
    fn damage_never_panics(
        flips in vec(any::<(prop::sample::Index, u8)>(), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = archive(&[
            entry(0o040_755, "bin", b""),
            entry(0o120_777, "sbin", b"bin"),
            linked(0o100_755, "sbin/init", b"#!", 3, 2),
            linked(0o100_755, "sbin/other", b"#!", 3, 2),
        ]);
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        drop(Tree::from_cpio(&bytes));
    }
}
