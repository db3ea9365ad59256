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
