//! Writes small images for libFuzzer to begin with: every compressor, every kind of file.
//!
//! Always the same bytes, 15 KiB in all.

use std::{collections::BTreeMap, error::Error, path::Path};

use bootway_squashfs::{
    Bcj, BlockSize, Compressor, Kind, Node, Options, Tree, Writer,
    read::{Image, Verify},
};

/// Writes them into a directory, which is made if it is not there.
pub fn write(dir: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(dir)?;
    let compressors = [
        ("gzip", Compressor::Gzip { level: 6 }),
        ("zstd", Compressor::Zstd { level: 3 }),
        ("xz", Compressor::Xz { level: 6, bcj: None }),
        ("xz-x86", Compressor::Xz { level: 6, bcj: Some(Bcj::X86) }),
        ("lz4", Compressor::Lz4 { high: true }),
    ];
    for (name, compressor) in compressors {
        for tail_ends in [false, true] {
            let options = Options {
                compressor,
                block_size: BlockSize::MIN,
                tail_ends,
                pad: false,
                ..Options::default()
            };
            let path = dir.join(format!("{name}-{tail_ends}"));
            Writer::new(options).write(&tree()?, &path)?;
            let problems = Image::open(&path)?.verify(&Verify::default()).problems;
            assert!(problems.is_empty(), "{name}: {problems:?}");
        }
    }
    Ok(())
}

fn tree() -> Result<Tree, Box<dyn Error>> {
    let mut tree = Tree::default();
    let text = tree.insert("text", Node::file(0o644, *b"a slipway for things that boot\n"))?;
    tree.link("dir/again", text)?;
    tree.insert("large", Node::file(0o4755, b"0123456789abcdef".repeat(700)))?;
    tree.insert("empty", Node::file(0o600, *b""))?;
    tree.insert("holes", Node::file(0o600, [vec![0; 9000], vec![1; 5], vec![0; 9000]].concat()))?;
    tree.insert("link", Node::symlink("dir/../text"))?;
    for n in 0..20 {
        tree.insert(format!("dir/deep/er/{n}"), Node::file(0o600, n.to_string().into_bytes()))?;
    }
    let other = |kind| Node { kind, ..Node::file(0o600, *b"") };
    tree.insert("char", other(Kind::CharDevice { major: 1, minor: 3 }))?;
    tree.insert("block", other(Kind::BlockDevice { major: 259, minor: 70_000 }))?;
    tree.insert("fifo", other(Kind::Fifo))?;
    tree.insert("socket", other(Kind::Socket))?;
    let xattrs: BTreeMap<Box<[u8]>, Box<[u8]>> = [
        (Box::from(&b"user.comment"[..]), Box::from(&b"value"[..])),
        (Box::from(&b"security.capability"[..]), Box::from(&[0; 200][..])),
    ]
    .into();
    for name in ["with", "with-the-same"] {
        tree.insert(name, Node { xattrs: xattrs.clone(), ..Node::file(0o600, *b"x") })?;
    }
    Ok(tree)
}
