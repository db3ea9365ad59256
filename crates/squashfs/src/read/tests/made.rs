//! Trees that are odd in every way that a host allows, and images of them by `mksquashfs`.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lgetxattr, llistxattr, lsetxattr, mknodat};
use tempfile::TempDir;

use crate::read::Image;

/// What Debian's `mksquashfs` has.
pub(crate) const COMPRESSORS: [&str; 5] = ["gzip", "lzo", "lz4", "xz", "zstd"];

/// An image, and the directory that it is in.
pub(crate) struct Made {
    pub(crate) dir: TempDir,
    pub(crate) image: PathBuf,
}

impl Made {
    pub(crate) fn new(tree: &Path, options: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("image.squashfs");
        let mut args =
            vec![tree.as_os_str(), image.as_os_str(), OsStr::new("-noappend"), OsStr::new("-quiet")];
        args.extend(["-no-progress", "-mkfs-time", "1700000000"].map(OsStr::new));
        args.extend(options.iter().map(OsStr::new));
        run("mksquashfs", "squashfs-tools", &args);
        Self { dir, image }
    }

    pub(crate) fn open(&self) -> Image {
        Image::open(&self.image).unwrap()
    }
}

/// Runs a tool of others, and returns what it printed.
#[track_caller]
#[expect(
    clippy::disallowed_methods,
    reason = "this crate knows nothing of runners, and the tests need other people's tools"
)]
pub(crate) fn run(program: &str, package: &str, args: &[&OsStr]) -> Vec<u8> {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("`{program}`: {error}: install `{package}`"));
    assert!(output.status.success(), "`{program}` {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Bytes that no compressor makes smaller, always the same.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

pub(crate) fn odd_tree() -> TempDir {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let text = |len: usize| b"a slipway for things that boot; ".repeat(len / 32 + 1)[..len].to_vec();
    let files = [
        ("empty", Vec::new()),
        ("one-byte", vec![b'x']),
        ("4k", text(4096)),
        ("4k-and-one", text(4097)),
        ("128k", text(128 << 10)),
        ("1m", text(1 << 20)),
        ("1m-less-one", text((1 << 20) - 1)),
        ("noise", noise(300_000)),
        ("mixed", [text(500_000), noise(500_000), vec![0; 400_000], text(333)].concat()),
        ("zeros", vec![0; 1 << 20]),
        ("zeros-and-more", vec![0; 9001]),
    ];
    for (name, bytes) in files {
        fs::write(at(name), bytes).unwrap();
    }
    let sparse = fs::File::create(at("sparse")).unwrap();
    sparse.set_len(3_000_000).unwrap();
    sparse.write_all_at(&[7; 4096], 1 << 20).unwrap();
    fs::hard_link(at("noise"), at("noise-again")).unwrap();
    symlink("../nowhere", at("to-nowhere")).unwrap();
    symlink("x".repeat(2000), at("to-far-away")).unwrap();
    mknodat(CWD, at("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    mknodat(CWD, at("socket"), FileType::Socket, Mode::from_raw_mode(0o600), 0).unwrap();
    fs::create_dir_all(at("deep/er/and/deep/er")).unwrap();
    fs::hard_link(at("noise"), at("deep/er/noise-too")).unwrap();
    fs::create_dir(at("empty-dir")).unwrap();
    fs::create_dir(at("many")).unwrap();
    for n in 0..3000 {
        fs::write(at("many").join(format!("{n:04}-{}", "n".repeat(n % 50))), n.to_string()).unwrap();
    }
    fs::write(at(&"l".repeat(255)), "long").unwrap();
    fs::write(dir.path().join(OsStr::from_bytes(b"not\xffutf\n8")), "odd").unwrap();
    set_xattrs(&at("one-byte"), "user.comment", b"short");
    set_xattrs(&at("4k"), "user.comment", b"short");
    set_xattrs(&at("4k"), "user.large", &noise(3000));
    set_xattrs(&at("noise"), "user.large", &noise(3000));
    set_xattrs(&at("deep"), "user.of-a-directory", b"");
    // Only root can.
    let _ = lsetxattr(at("one-byte"), "trusted.known", b"to root", XattrFlags::empty());
    let _ = lsetxattr(at("to-nowhere"), "security.of-a-link", b"label", XattrFlags::empty());
    dir
}

fn set_xattrs(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

pub(crate) fn list_xattrs(path: &Path) -> BTreeMap<Box<[u8]>, Box<[u8]>> {
    let mut names = vec![0; 65536];
    let len = llistxattr(path, &mut names[..]).unwrap();
    let names = names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let get = |name: &[u8]| {
        let mut value = vec![0; 65536];
        let len = lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
        value[..len].into()
    };
    names.map(|name| (name.into(), get(name))).collect()
}
