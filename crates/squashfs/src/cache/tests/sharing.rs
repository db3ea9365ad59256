//! Blocks that the cache and images have in common are on the disk once.

use super::*;

/// Bytes that no compressor makes shorter.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// 32 MiB in pieces of 100,000 bytes.
fn image(dir: &Path) -> (File, Vec<Entry>, Vec<u8>) {
    let bytes = [vec![0; 96], noise(32 << 20)].concat();
    let path = dir.join("first.squashfs");
    fs::write(&path, &bytes).unwrap();
    let entries = bytes[96..].chunks(100_000).zip(0_u64..).map(|(piece, number)| {
        Entry::fresh(key(number), 96 + number * 100_000, piece.len() as u32, true, sum(piece))
    });
    let entries = entries.collect();
    (File::open(path).unwrap(), entries, bytes)
}

#[test]
fn blocks_are_shared_both_ways_where_the_file_system_can() {
    let Some(xfs) = mounted::xfs() else { return };
    let cache = Cache::open(&xfs.path().join("cache")).unwrap();
    let (first, entries, bytes) = image(xfs.path());
    let before = xfs.free();
    assert_eq!(cache.session("recipe").unwrap().commit(&first, &entries, None).warning, None);
    let pack = before - xfs.free();
    assert!(pack < 1 << 20, "{pack} bytes of new space for a pack of 32 MiB");

    let session = cache.session("recipe").unwrap();
    let run: Vec<Place> =
        (0..entries.len() as u64).map(|number| session.find(&key(number)).unwrap()).collect();
    let path = xfs.path().join("second.squashfs");
    let mut options = File::options();
    let second = options.read(true).write(true).create_new(true).open(&path).unwrap();
    let mut out = Vec::new();
    session.read(&run, &mut out).unwrap();
    let before = xfs.free();
    let at = run[0].offset + 3 * 4096;
    let shared = session.share(&run, &second, at).unwrap();
    second.write_all_at(&out[..shared.start as usize], at).unwrap();
    second.write_all_at(&out[shared.end as usize..], at + shared.end).unwrap();
    drop(second); // Until then XFS keeps room behind its end for more.
    let used = before - xfs.free();
    assert!(used < 1 << 20, "{used} bytes of new space for an image of 32 MiB");
    let second = File::options().read(true).write(true).open(path).unwrap();
    let mut copy = vec![0; out.len()];
    second.read_exact_at(&mut copy, at).unwrap();
    assert!(copy == out && copy == bytes[96..], "the image has other bytes");
    let same = session.share(&run, &second, at + 1).unwrap();
    assert_eq!(same, 0..0, "nothing is shared between other places in a block");
}

#[test]
fn nothing_is_shared_where_the_file_system_cannot() {
    let Some(memory) = mounted::tmpfs("size=100m") else { return };
    let cache = Cache::open(&memory.path().join("cache")).unwrap();
    let (first, entries, _) = image(memory.path());
    assert_eq!(cache.session("recipe").unwrap().commit(&first, &entries, None).warning, None);
    let session = cache.session("recipe").unwrap();
    let place = session.find(&key(0)).unwrap();
    let run: Vec<Place> = (0..300).map(|number| session.find(&key(number)).unwrap()).collect();
    let other = tempfile::tempfile_in(memory.path()).unwrap();
    assert_eq!(session.share(&run, &other, place.offset).unwrap(), 0..0);
}
