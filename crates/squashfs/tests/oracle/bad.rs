//! What cannot become an image: it is named, nothing is left behind, and an older image stays what it was.

use std::{
    error::Error,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bootway_squashfs::{
    BlockSize, Compressor, Content, Kind, Node, Options, Rules, TarStream, Tree, WriteError, Writer,
};

use crate::{
    program::SmallDisk,
    trees::{chmod, noise},
};

/// A place for a tree and an image, where an older image is already.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for name in ["tree", "images"] {
            fs::create_dir(place.path(name)).unwrap();
            chmod(&place.path(name), 0o777);
        }
        chmod(place.0.path(), 0o755);
        fs::write(place.image(), "older").unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn image(&self) -> PathBuf {
        self.path("images/image")
    }

    fn scan(&self) -> Tree {
        Tree::scan(self.path("tree"), &Rules::default(), &mut Tree::unwatched()).unwrap()
    }

    /// The message, after a look at what was left behind.
    #[track_caller]
    fn refused(&self, result: Result<impl Sized, WriteError>) -> String {
        let error = result.err().expect("there is something wrong");
        assert_eq!(fs::read(self.image()).unwrap(), b"older", "{error}");
        let left: Vec<_> =
            fs::read_dir(self.path("images")).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["image"], "{error}");
        shown(&error).replace(&self.0.path().display().to_string(), "DIR")
    }

    #[track_caller]
    fn write(&self, tree: &Tree) -> String {
        self.refused(Writer::new(quick()).write(tree, &self.image()))
    }
}

fn quick() -> Options {
    Options { compressor: Compressor::Zstd { level: 1 }, ..Options::default() }
}

fn shown(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let place = Place::new();
    for name in ["a", "secret", "z"] {
        fs::write(place.path("tree").join(name), noise(1, 500_000)).unwrap();
    }
    chmod(&place.path("tree/secret"), 0o000);
    let tree = place.scan();
    // Root may read everything: this thread, and those that it starts, become somebody else.
    let message = std::thread::scope(|scope| {
        let nobody = scope.spawn(|| {
            let nobody = rustix::fs::Uid::from_raw(65_534);
            rustix::thread::set_thread_uid(nobody).expect("root may become anybody: run this test as root");
            place.write(&tree)
        });
        nobody.join().unwrap()
    });
    insta::assert_snapshot!(message, @"cannot read `DIR/tree/secret`: Permission denied (os error 13)");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_named() {
    type Change = fn(&Path);
    let changes: [Change; 7] = [
        |file| File::options().write(true).open(file).unwrap().set_len(99_999).unwrap(),
        |file| File::options().write(true).open(file).unwrap().set_len(100_001).unwrap(),
        |file| File::options().write(true).open(file).unwrap().set_len(0).unwrap(),
        |file| crate::trees::touch(file, 5),
        |file| fs::remove_file(file).unwrap(),
        |file| {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
        },
        |file| {
            fs::remove_file(file).unwrap();
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, file, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        },
    ];
    let mut messages = Vec::new();
    for change in changes {
        let place = Place::new();
        let file = place.path("tree/file");
        fs::write(&file, noise(1, 100_000)).unwrap();
        let tree = place.scan();
        change(&file);
        messages.push(place.write(&tree));
    }
    insta::assert_snapshot!(messages.join("\n"), @"
    `DIR/tree/file` changed while it was read (it had 100000 bytes and has 99999): build again when nothing writes to it
    `DIR/tree/file` changed while it was read (it had 100000 bytes and has 100001): build again when nothing writes to it
    `DIR/tree/file` changed while it was read (it had 100000 bytes and has 0): build again when nothing writes to it
    `DIR/tree/file` changed while it was read (something wrote to it): build again when nothing writes to it
    cannot read `DIR/tree/file`: No such file or directory (os error 2)
    `DIR/tree/file` changed while it was read (another file has its name): build again when nothing writes to it
    `DIR/tree/file` changed while it was read (another file has its name): build again when nothing writes to it
    ");
}

#[test]
fn a_disk_that_fails_is_no_empty_file() {
    let place = Place::new();
    // Nothing is mapped at the beginning of memory, and reading there is an I/O error.
    let memory = Arc::new(File::open("/proc/self/mem").unwrap());
    let archive = Arc::new(File::open("/dev/null").unwrap());
    let mut messages = Vec::new();
    for (file, size) in [(memory, 5000), (archive, 300_000)] {
        let mut tree = Tree::default();
        let content = Content::Part { file, offset: 0, size };
        tree.insert("dir/member", Node::new(0o644, Kind::File(content))).unwrap();
        messages.push(place.write(&tree));
    }
    let mut tree = Tree::default();
    tree.insert("streamed", Node::new(0o644, Kind::File(Content::Streamed { size: 5 }))).unwrap();
    messages.push(place.write(&tree));
    insta::assert_snapshot!(messages.join("\n"), @"
    cannot read `(the archive)`: Input/output error (os error 5)
    `(the archive)` changed while it was read (it had 300000 bytes and ends after 0): build again when nothing writes to it
    cannot read `5 bytes`: its bytes went by in a stream
    ");
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let disk = SmallDisk::new("1m");
    let mut tree = Tree::default();
    tree.insert("large", Node::file(0o644, noise(1, 3 << 20))).unwrap();
    let image = disk.path().join("image");
    fs::write(&image, "older").unwrap();
    let error = Writer::new(quick()).write(&tree, &image).unwrap_err();
    let message = shown(&error).replace(&disk.path().display().to_string(), "DIR");
    insta::assert_snapshot!(message, @"cannot write `DIR/image`: No space left on device (os error 28)");
    assert_eq!(fs::read(&image).unwrap(), b"older");
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1);
}

#[test]
fn places_that_cannot_hold_an_image_are_named() {
    let place = Place::new();
    let tree = Tree::default();
    let writer = Writer::new(quick());
    let messages = [
        writer.write(&tree, &place.path("no/such/directory/image")),
        writer.write(&tree, &place.path("tree")),
    ];
    insta::assert_snapshot!(messages.map(|it| place.refused(it)).join("\n"), @"
    cannot write `DIR/no/such/directory/image`: No such file or directory (os error 2)
    cannot write `DIR/tree`: Is a directory (os error 21)
    ");
}

#[test]
fn levels_and_block_sizes_that_do_not_exist_are_refused() {
    let place = Place::new();
    let compressors = [
        Compressor::Zstd { level: 23 },
        Compressor::Zstd { level: 0 },
        Compressor::Gzip { level: 13 },
        Compressor::Xz { level: 10, bcj: None },
    ];
    let mut messages: Vec<_> = compressors
        .map(|compressor| {
            let options = Options { compressor, ..Options::default() };
            place.refused(Writer::new(options).write(&Tree::default(), &place.image()))
        })
        .into();
    messages.extend([0, 2048, 5000, 2 << 20].map(|size| BlockSize::new(size).unwrap_err().to_string()));
    insta::assert_snapshot!(messages.join("\n"), @"
    zstd has no level `23`: take one from 1 to 22
    zstd has no level `0`: take one from 1 to 22
    gzip has no level `13`: take one from 1 to 12
    xz has no level `10`: take one from 0 to 9
    the block size is 0 bytes: squashfs has powers of two from 4KiB to 1MiB
    the block size is 2048 bytes: squashfs has powers of two from 4KiB to 1MiB
    the block size is 5000 bytes: squashfs has powers of two from 4KiB to 1MiB
    the block size is 2097152 bytes: squashfs has powers of two from 4KiB to 1MiB
    ");
}

#[test]
fn an_archive_that_is_cut_off_is_no_image() {
    let place = Place::new();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(400_000);
    header.set_mode(0o644);
    archive.append_data(&mut header, "dir/member", noise(1, 400_000).as_slice()).unwrap();
    let whole = archive.into_inner().unwrap();
    let mut messages = Vec::new();
    for length in [700, 200_000, 400_896] {
        let stream =
            TarStream::new(std::io::Cursor::new(whole[..length].to_vec()), &Rules::default()).unwrap();
        messages.push(place.refused(Writer::new(quick()).write_tar(stream, &place.image())));
    }
    insta::assert_snapshot!(messages.join("\n"), @"
    cannot read `dir/member` in the archive: it is cut off: get it again
    cannot read `dir/member` in the archive: it is cut off: get it again
    cannot read the archive: it is cut off: get it again
    ");
}

#[test]
fn a_build_that_is_stopped_leaves_nothing_behind() {
    let place = Place::new();
    let mut tree = Tree::default();
    tree.insert("large", Node::file(0o644, noise(1, 8 << 20))).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(true);
    let message = place.refused(Writer::new(quick()).cancel(&stop).write(&tree, &place.image()));
    insta::assert_snapshot!(message, @"it was interrupted");
}

/// A loop: the image, and the cache, are in the directory of which it is made.
#[test]
fn an_image_within_its_own_tree_is_left_out() {
    let place = Place::new();
    let image = place.path("tree/image");
    fs::write(place.path("tree/file"), "content").unwrap();
    fs::write(&image, "older").unwrap();
    let stat = fs::metadata(&image).unwrap();
    let place_of = (std::os::unix::fs::MetadataExt::dev(&stat), std::os::unix::fs::MetadataExt::ino(&stat));
    let rules = Rules { skip: [place_of].into(), ..Rules::default() };
    let tree = Tree::scan(place.path("tree"), &rules, &mut Tree::unwatched()).unwrap();
    let summary = Writer::new(quick()).write(&tree, &image).unwrap();
    assert_eq!((summary.inodes, summary.content), (2, 7));
    assert!(summary.times.total > Duration::ZERO);
}
