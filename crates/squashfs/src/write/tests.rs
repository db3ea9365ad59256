use std::{collections::BTreeMap, fs, io::Read, num::NonZeroUsize, sync::Mutex};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{BlockSize, Compressor, Node, Rules, read::Image};

const BLOCK: usize = 4096;

/// Files made of few different blocks, so that they share beginnings, runs, ends and holes.
fn contents() -> impl Strategy<Value = Content> {
    (prop::collection::vec(0_u8..5, 0..6), 0_usize..4).prop_map(|(blocks, tail)| Content { blocks, tail })
}

/// Which blocks, and how much of one more: short to print, unlike its bytes.
#[derive(Clone, Debug)]
struct Content {
    blocks: Vec<u8>,
    tail: usize,
}

impl Content {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.blocks.iter().flat_map(|kind| block(*kind)).collect();
        bytes.extend_from_slice(&block(self.tail as u8)[..[0, 1, 1000, BLOCK - 1][self.tail]]);
        bytes
    }
}

/// Zeros, text, or noise.
fn block(kind: u8) -> Vec<u8> {
    let mut state = u64::from(kind).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let noise = move || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 56) as u8
    };
    match kind {
        0 => vec![0; BLOCK],
        1 | 2 => [b'a' + kind; BLOCK].to_vec(),
        _ => std::iter::repeat_with(noise).take(BLOCK).collect(),
    }
}

fn files() -> impl Strategy<Value = BTreeMap<String, Content>> {
    prop::collection::btree_map("[a-c]/[a-f]{1,2}", contents(), 0..24)
}

fn bytes(files: &BTreeMap<String, Content>) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(path, content)| (path.clone(), content.bytes())).collect()
}

fn small() -> Options {
    Options {
        compressor: Compressor::Zstd { level: 1 },
        block_size: BlockSize::new(BLOCK as u64).unwrap(),
        threads: NonZeroUsize::new(3),
        ..Options::default()
    }
}

fn in_memory(files: &BTreeMap<String, Vec<u8>>) -> Tree {
    let mut tree = Tree::new(Node::directory(0o755)).unwrap();
    for (path, content) in files {
        tree.insert(path, Node::file(0o644, content.as_slice())).unwrap();
    }
    tree
}

/// The bytes of the image of `tree`.
fn written(writer: &Writer<'_>, tree: &Tree) -> (Vec<u8>, Summary) {
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("image");
    let summary = writer.write(tree, &image).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside the image");
    (fs::read(image).unwrap(), summary)
}

/// What our reader finds.
fn read_back(image: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let image = Image::from_bytes(image).unwrap();
    let entries = image.entries().map(Result::unwrap);
    let files = entries.filter(|entry| matches!(entry.stat().what, crate::read::What::File { .. }));
    files
        .map(|entry| {
            let mut content = Vec::new();
            image.read(&entry).unwrap().read_to_end(&mut content).unwrap();
            (entry.path().to_str().unwrap().to_owned(), content)
        })
        .collect()
}

/// A tar archive of the files, in the order of a tree.
fn archive(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, content.as_slice()).unwrap();
    }
    archive.into_inner().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_written_is_read_whatever_is_shared(files in files(), tail_ends: bool) {
        let files = bytes(&files);
        let options = Options { tail_ends, ..small() };
        let (image, summary) = written(&Writer::new(options), &in_memory(&files));
        prop_assert!(read_back(&image) == files);
        let content: usize = files.values().map(Vec::len).sum();
        prop_assert_eq!(summary.content, content as u64);
        prop_assert_eq!(summary.content, summary.compressed + summary.duplicates + summary.holes);
    }

    #[test]
    fn threads_do_not_show(files in files()) {
        let tree = in_memory(&bytes(&files));
        let one = Options { threads: Some(NonZeroUsize::MIN), ..small() };
        prop_assert!(written(&Writer::new(small()), &tree).0 == written(&Writer::new(one), &tree).0);
    }

    #[test]
    fn a_stream_gives_the_same_bytes_as_a_tree(files in files()) {
        let files = bytes(&files);
        let dir = TempDir::new().unwrap();
        let (tar, image) = (dir.path().join("tar"), dir.path().join("image"));
        fs::write(&tar, archive(&files)).unwrap();
        let tree = Tree::from_tar(fs::File::open(&tar).unwrap(), &Rules::default()).unwrap();
        let stream = TarStream::new(fs::File::open(&tar).unwrap(), &Rules::default()).unwrap();
        Writer::new(small()).write_tar(stream, &image).unwrap();
        prop_assert!(fs::read(&image).unwrap() == written(&Writer::new(small()), &tree).0);
        prop_assert!(read_back(&fs::read(&image).unwrap()) == files);
    }

    #[test]
    fn edits_with_a_cache_give_the_bytes_of_a_cold_build(
        before in files(),
        edits in prop::collection::btree_map("[a-c]/[a-f]{1,2}", prop::option::of(contents()), 0..8),
        tail_ends: bool,
    ) {
        let dir = TempDir::new().unwrap();
        let cache = Cache::open(&dir.path().join("cache")).unwrap();
        let options = Options { tail_ends, ..small() };
        let writer = Writer::new(options.clone()).cache(&cache);
        let before = bytes(&before);
        let mut after = before.clone();
        for (path, content) in &edits {
            match content {
                Some(content) => after.insert(path.clone(), content.bytes()),
                None => after.remove(path),
            };
        }
        let root = dir.path().join("root");
        put(&root, &before, &BTreeMap::new());
        let cold = |tree: &Tree| written(&Writer::new(options.clone()), tree).0;
        let tree = scan(&root);
        prop_assert!(written(&writer, &tree).0 == cold(&tree));
        put(&root, &after, &before);
        let tree = scan(&root);
        let (image, first) = written(&writer, &tree);
        prop_assert!(image == cold(&tree));
        prop_assert!(read_back(&image) == after);
        let (image, again) = written(&writer, &tree);
        prop_assert!(image == cold(&tree));
        prop_assert_eq!((again.compressed, again.damaged, first.damaged), (0, 0, 0));
    }
}

/// Makes what was `before` below `root` into `now`.
fn put(root: &Path, now: &BTreeMap<String, Vec<u8>>, before: &BTreeMap<String, Vec<u8>>) {
    fs::create_dir_all(root).unwrap();
    for (path, content) in now.iter().filter(|(path, content)| before.get(*path) != Some(*content)) {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), content).unwrap();
    }
    for path in before.keys().filter(|path| !now.contains_key(*path)) {
        fs::remove_file(root.join(path)).unwrap();
    }
}

fn scan(root: &Path) -> Tree {
    Tree::scan(root, &Rules::default(), &mut Tree::unwatched()).unwrap()
}

fn of(files: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(path, content)| ((*path).to_owned(), content.to_vec())).collect()
}

#[test]
fn a_file_that_begins_like_another_shares_what_it_can() {
    let long = [block(3), block(4), block(1), block(2)].concat();
    let same = (BLOCK * 4) as u64;
    let (image, summary) = written(
        &Writer::new(small()),
        &in_memory(&of(&[
            ("a", &long),
            ("b", &long),
            ("c", &long[..2 * BLOCK]),
            ("d", &long[BLOCK..3 * BLOCK + 7]),
            ("e", &[&long[..BLOCK], &block(2)].concat()),
        ])),
    );
    assert_eq!(read_back(&image).len(), 5);
    // `e` begins like `a` and goes on differently: both of its blocks are in the image once more, but not compressed.
    assert_eq!(summary.duplicates, same + 2 * BLOCK as u64 + 2 * BLOCK as u64 + 2 * BLOCK as u64);
    assert_eq!(summary.compressed, same + 7);
}

#[test]
fn a_changed_file_is_compressed_and_nothing_else_is_read() {
    let dir = TempDir::new().unwrap();
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    let writer = Writer::new(small()).cache(&cache);
    let root = dir.path().join("root");
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for n in 0..200_u32 {
        let content = n.to_le_bytes().repeat(n as usize * 13);
        files.insert(format!("{:02}/{n}", n % 7), content);
    }
    put(&root, &files, &BTreeMap::new());
    settle(&dir);
    let tree = scan(&root);
    let (_, cold) = written(&writer, &tree);
    assert_eq!((cold.cached, cold.read), (0, cold.content));
    let (_, warm) = written(&writer, &tree);
    assert_eq!((warm.compressed, warm.read), (0, 0));
    let before = files.clone();
    files.insert("03/3".to_owned(), b"something else".to_vec());
    put(&root, &files, &before);
    let (image, changed) = written(&writer, &scan(&root));
    assert_eq!(read_back(&image), files);
    // Its own fragment, and that is all.
    assert!(changed.compressed <= 2 * BLOCK as u64, "{changed:?}");
    assert!(changed.read <= 3 * BLOCK as u64, "{changed:?}");
    let paranoid = Writer::new(small()).cache(&cache).paranoid(true);
    let (_, all) = written(&paranoid, &scan(&root));
    assert_eq!((all.read, all.compressed), (all.content, 0));
}

/// Waits until the clock of the file system has gone on, so that what was written is safely in the past.
fn settle(dir: &TempDir) {
    let probe = dir.path().join("probe");
    let now = || {
        fs::write(&probe, "").unwrap();
        fs::metadata(&probe).unwrap().modified().unwrap()
    };
    let begun = now();
    while now().duration_since(begun).unwrap() < Duration::from_millis(60) {
        std::thread::yield_now();
    }
}

#[test]
fn a_damaged_cache_never_shows() {
    let dir = TempDir::new().unwrap();
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    let writer = Writer::new(small()).cache(&cache);
    let root = dir.path().join("root");
    let files =
        of(&[("a", &block(3)), ("b", &[block(4), block(3)].concat()), ("c", b"short"), ("d", &block(1))]);
    put(&root, &files, &BTreeMap::new());
    settle(&dir);
    let tree = scan(&root);
    let (image, _) = written(&writer, &tree);
    let packs = dir.path().join("cache/packs");
    let pack = fs::read_dir(&packs).unwrap().map(|entry| entry.unwrap().path());
    let pack = pack.filter(|path| path.extension().is_some_and(|it| it == "pack")).collect::<Vec<_>>();
    let [pack] = pack.as_slice() else { panic!("one pack: {pack:?}") };
    let mut bytes = fs::read(pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(pack, &bytes).unwrap();
    let (again, summary) = written(&writer, &tree);
    assert!(again == image);
    assert!(summary.damaged > 0, "{summary:?}");
    let (again, healed) = written(&writer, &tree);
    assert!(again == image);
    assert_eq!((healed.damaged, healed.compressed), (0, 0), "{healed:?}");
}

#[test]
fn an_interrupted_build_leaves_the_old_image_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("image");
    fs::write(&image, "old").unwrap();
    let cancel = AtomicBool::new(false);
    let seen = Mutex::new(0);
    let stop = |progress: &Progress| {
        *seen.lock().unwrap() = progress.done;
        cancel.store(progress.done > 0, Ordering::Relaxed);
    };
    let files: BTreeMap<String, Vec<u8>> =
        (0..400_u32).map(|n| (format!("{n}"), n.to_le_bytes().repeat(3000))).collect();
    let error =
        Writer::new(small()).cancel(&cancel).progress(&stop).write(&in_memory(&files), &image).unwrap_err();
    assert!(matches!(error, WriteError::Cancelled), "{error}");
    assert!(*seen.lock().unwrap() > 0);
    assert_eq!(fs::read(&image).unwrap(), b"old");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_a_killed_build_left_is_removed_and_what_another_writes_is_not() {
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("image");
    fs::write(dir.path().join(".squashfs-image.killed"), "half").unwrap();
    let other = Output::begin(&image).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the killed one is gone");
    Writer::new(small()).write(&in_memory(&BTreeMap::new()), &image).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the other one is still there");
    drop(other);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn an_image_that_cannot_be_begun_is_named() {
    let dir = TempDir::new().unwrap();
    let error = |image: &Path| {
        Writer::new(small()).write(&in_memory(&BTreeMap::new()), image).unwrap_err().to_string()
    };
    let shown = |error: String| error.replace(dir.path().to_str().unwrap(), "DIR");
    insta::assert_snapshot!(shown(error(&dir.path().join("no/image"))), @"cannot write `DIR/no/image`: No such file or directory (os error 2)");
    insta::assert_snapshot!(shown(error(Path::new("/proc/image"))), @"cannot write `/proc/image`: entity not found");
    insta::assert_snapshot!(shown(error(Path::new("/"))), @"cannot write `/`: is a directory");
}
