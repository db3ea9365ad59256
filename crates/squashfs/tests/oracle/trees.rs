//! Trees with everything that has ever been written wrongly.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, symlink},
        net::UnixListener,
    },
    path::Path,
};

use bootway_squashfs::{Kind, Node, Tree};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, lsetxattr, makedev,
    mknodat, utimensat,
};

/// Bytes that no compressor makes smaller, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length).collect()
}

/// Bytes that every compressor makes smaller.
pub(crate) fn prose(seed: u64, length: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|line: u64| {
        format!("line {line} of text {seed}: {}\n", line.wrapping_mul(seed) % 977).into_bytes()
    });
    lines.take(length).collect()
}

/// Contents of every shape, by name, for all block sizes.
pub(crate) fn contents() -> Vec<(String, Vec<u8>)> {
    let (k, m) = (1 << 10, 1 << 20);
    let mut all = vec![
        ("empty".to_owned(), Vec::new()),
        ("one".to_owned(), b"x".to_vec()),
        ("noise".to_owned(), noise(1, 300 * k + 7)),
        ("zeros".to_owned(), vec![0; 300 * k]),
        ("zeros-exactly-a-block".to_owned(), vec![0; 128 * k]),
        ("zeros-and-an-end".to_owned(), [vec![0; 256 * k], b"end".to_vec()].concat()),
        ("begin-and-zeros".to_owned(), [prose(2, 128 * k), vec![0; 130 * k]].concat()),
        ("hole-in-the-middle".to_owned(), [noise(3, 128 * k), vec![0; 128 * k], noise(4, 128 * k)].concat()),
        ("one-byte-in-zeros".to_owned(), [vec![0; 200 * k], vec![7], vec![0; 200 * k]].concat()),
        ("same-noise".to_owned(), noise(1, 300 * k + 7)),
        ("begins-like-noise".to_owned(), [noise(1, 300 * k), noise(5, 100 * k)].concat()),
        ("first-block-of-noise".to_owned(), noise(1, 128 * k)),
        ("first-4k-of-noise".to_owned(), noise(1, 4 * k)),
        (
            "ends-like-noise".to_owned(),
            [noise(6, 256 * k), noise(1, 300 * k + 7)[256 * k..].to_vec()].concat(),
        ),
        ("more-than-a-mebibyte".to_owned(), prose(8, m + 100 * k)),
    ];
    for size in [4 * k, 128 * k, m] {
        for length in [size - 1, size, size + 1] {
            all.push((format!("length-{length}"), prose(length as u64, length)));
        }
    }
    for file in 0..120 {
        all.push((format!("small-{file:03}"), prose(file, (file * file) as usize % 5000)));
    }
    all
}

/// A tree of a few megabytes with every kind of file and content, on the disk. Needs root.
pub(crate) fn rich(at: &Path) {
    let path = |name: &str| at.join(name);
    for name in ["files", "copies", "names", "nodes", "empty", "xattrs", "links"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    for (name, content) in contents() {
        fs::write(path("files").join(&name), &content).unwrap();
        if content.len() < 150_000 {
            fs::write(path("copies").join(&name), &content).unwrap();
        }
    }
    let sparse = File::create(path("files/sparse")).unwrap();
    sparse.set_len(9 << 20).unwrap();
    sparse.write_all_at(b"in the middle", 5 << 20).unwrap();
    let mut deep = path("deep");
    for _ in 0..60 {
        deep.push("er");
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "at the bottom").unwrap();
    names(&path("names"));
    nodes(&path("nodes"));
    attributes(&path("xattrs"));
    for name in 0..300 {
        fs::hard_link(path("files/noise"), path("links").join(format!("hard-{name}"))).unwrap();
    }
    for (name, target) in [("dangling", "no/such/file"), ("up", "../files/one"), ("long", &"t/".repeat(2000))]
    {
        symlink(target, path("links").join(name)).unwrap();
    }
    fs::hard_link(path("links/up"), path("links/up-again")).unwrap();
    owners(at);
}

fn names(at: &Path) {
    for name in 0..700 {
        fs::write(at.join(format!("entry-with-a-name-of-some-length-{name}")), "").unwrap();
        if name % 50 == 0 {
            fs::create_dir(at.join(format!("entry-{name}"))).unwrap();
        }
    }
    for name in [
        &b"\xff\xfe not text"[..],
        b" ",
        b"-",
        b"new\nline",
        "\u{e9}\u{301}\u{1f600}".as_bytes(),
        b"*",
        b"\\",
        &[b'n'; 255],
        b".hidden",
        b"\x01",
    ] {
        fs::write(at.join(OsStr::from_bytes(name)), name).unwrap();
    }
}

fn nodes(at: &Path) {
    let make = |name: &str, kind, mode, device| {
        mknodat(CWD, at.join(name), kind, Mode::from_raw_mode(mode), device)
            .expect("devices can be made: run this test as root");
    };
    make("null", FileType::CharacterDevice, 0o666, makedev(1, 3));
    make("whiteout", FileType::CharacterDevice, 0, makedev(0, 0));
    make("large-minor", FileType::CharacterDevice, 0o600, makedev(4095, 1_048_575));
    make("disk", FileType::BlockDevice, 0o660, makedev(259, 70_000));
    make("fifo", FileType::Fifo, 0o622, 0);
    drop(UnixListener::bind(at.join("socket")).unwrap());
    for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2755), ("none", 0), ("all", 0o7777)] {
        fs::write(at.join(name), name).unwrap();
        chmod(&at.join(name), mode);
    }
    fs::create_dir(at.join("sticky")).unwrap();
    chmod(&at.join("sticky"), 0o1777);
    fs::hard_link(at.join("fifo"), at.join("fifo-again")).unwrap();
    fs::hard_link(at.join("disk"), at.join("disk-again")).unwrap();
}

fn attributes(at: &Path) {
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let large = noise(9, 1500);
    let large: Vec<u8> = large.into_iter().map(|byte| byte | 0x80).collect();
    for name in 0..30 {
        let file = at.join(format!("file-{name}"));
        fs::write(&file, "attributed").unwrap();
        // Values that come again are stored once; these are in turn alone, shared, and in different sets.
        xattr(&file, "user.shared", &large);
        if name % 3 == 0 {
            xattr(&file, "user.number", format!("{name}").as_bytes());
            xattr(&file, "trusted.shared", &large[..700]);
        }
        if name % 5 == 0 {
            xattr(&file, "security.capability", &capability);
        }
        xattr(&file, "user.empty", b"");
    }
    fs::create_dir(at.join("directory")).unwrap();
    xattr(&at.join("directory"), "user.on-a-directory", &large);
    symlink("file-1", at.join("link")).unwrap();
    xattr(&at.join("link"), "trusted.on-a-link", b"\x00\x01\x02");
    for (name, kind) in
        [("char", FileType::CharacterDevice), ("block", FileType::BlockDevice), ("fifo", FileType::Fifo)]
    {
        mknodat(CWD, at.join(name), kind, Mode::from_raw_mode(0o600), makedev(7, 8)).unwrap();
        xattr(&at.join(name), "trusted.on-a-node", name.as_bytes());
    }
}

/// Owners and times of every size, on everything.
fn owners(root: &Path) {
    let numbers = [0, 1, 1000, 65_534, 65_536, 4_294_967_294];
    let times = [0, 1, 1_000_000_000, 2_147_483_648, 4_294_967_295];
    let mut stack = vec![root.to_owned()];
    let mut index = 0;
    while let Some(path) = stack.pop() {
        let kind = fs::symlink_metadata(&path).unwrap();
        if kind.is_dir() {
            let mut children: Vec<_> =
                fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            children.sort();
            stack.extend(children);
        }
        let mode = std::os::unix::fs::MetadataExt::mode(&kind);
        let capability = rustix::fs::lgetxattr(&path, "security.capability", &mut [0; 64][..]).is_ok();
        // A change of owner takes these away.
        if !capability {
            let (uid, gid) = (numbers[index % 6], numbers[index / 2 % 6]);
            chownat(
                CWD,
                &path,
                Some(Uid::from_raw(uid)),
                Some(Gid::from_raw(gid)),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .unwrap();
            if !kind.is_symlink() {
                chmod(&path, mode & 0o7777);
            }
        }
        touch(&path, times[index % 5]);
        index += 1;
    }
}

pub(crate) fn xattr(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty())
        .unwrap_or_else(|error| panic!("{name} of {}: {error}: run this test as root", path.display()));
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).unwrap();
}

pub(crate) fn touch(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 1 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A tree in memory with what no other file system holds.
pub(crate) fn impossible() -> Tree {
    let mut tree = Tree::new(Node::directory(0o1751).owner(3, 4).mtime(u32::MAX)).unwrap();
    let mut put = |path: String, node: Node| tree.insert(path, node).unwrap();
    for length in [255, 256] {
        put("n".repeat(length), Node::file(0o644, *b"long"));
        put(format!("dir-{}/{}", "d".repeat(length - 4), "f".repeat(length)), Node::symlink("x"));
    }
    put("target-of-4095".to_owned(), Node::symlink("t".repeat(4095)));
    for file in 0..40_u64 {
        let value: Vec<u8> = noise(file % 4, 60_000).into_iter().map(|byte| byte | 0x80).collect();
        let node = Node::file(0o600, prose(file, 100))
            .xattr("user.large", value)
            .xattr(format!("user.{file}"), [file as u8 | 0x80]);
        put(format!("xattrs/{file}"), node);
    }
    for (name, kind) in [
        ("fifo", Kind::Fifo),
        ("socket", Kind::Socket),
        ("char", Kind::CharDevice { major: 4095, minor: 1_048_575 }),
    ] {
        put(
            format!("nodes/{name}"),
            Node::new(0o7777, kind).owner(u32::MAX - 1, u32::MAX - 1).xattr("security.s", "v"),
        );
    }
    tree
}
