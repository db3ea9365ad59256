//! Archives by Info-ZIP and by hand, chunks, and what people get instead.

use std::os::unix::fs::MetadataExt;

use bootway_exec::{Sandbox, SystemRunner};
use insta::assert_snapshot;
use proptest::{collection::vec, prelude::*, sample::Index};
use sha2::{Digest, Sha256};

use super::*;
use crate::kernel::specimen::filter_in;

/// A disk of 3 MiB: some text, a lot of nothing, and some noise at its end.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; 3 << 20];
    disk[446..510].fill(7);
    disk[510..512].copy_from_slice(b"\x55\xaa");
    for (n, byte) in disk[2 << 20..(2 << 20) + 70_000].iter_mut().enumerate() {
        *byte = (n * n / 7) as u8;
    }
    disk
}

fn sha256(bytes: &[u8]) -> String {
    digests::hex(Sha256::new_with_prefix(bytes))
}

/// A directory with files in it, where an image is opened.
struct Place(Sandbox<'static>);

impl Place {
    fn new(files: &[(&str, &[u8])]) -> Self {
        static RUNNER: std::sync::LazyLock<SystemRunner> = std::sync::LazyLock::new(SystemRunner::default);
        let place = Self(Sandbox::new(&*RUNNER));
        for (name, bytes) in files {
            let path = place.path(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, bytes).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        self.0.root().join("in").join(name)
    }

    /// What a program of Info-ZIP makes.
    fn zip(&self, args: &[&str]) {
        let args = [&["-q"], args].concat();
        drop(filter_in(self.path("").as_str(), "zip", &args, "zip", b""));
    }

    fn open(&self, name: &str, sha256: Option<&str>) -> Result<Utf8PathBuf, OpenError> {
        open(&self.0.cx(), &self.path(name), "shim.bin", sha256)
    }

    /// The error, without the directory that is another each time.
    fn error(&self, name: &str) -> String {
        self.open(name, None).unwrap_err().to_string().replace(self.path("").as_str(), "")
    }
}

/// An archive of one file, by hand.
fn archive(name: &[u8], method: u16, stored: &[u8], bytes: &[u8]) -> Vec<u8> {
    let crc = crc32fast::hash(bytes).to_le_bytes();
    let sizes = [(stored.len() as u32).to_le_bytes(), (bytes.len() as u32).to_le_bytes()].concat();
    let length = (name.len() as u16).to_le_bytes();
    let common =
        [&[20, 0, 0, 0][..], &method.to_le_bytes(), &[0; 4], &crc, &sizes, &length, &[0, 0]].concat();
    let local = [b"PK\x03\x04", &*common, name].concat();
    let central = [b"PK\x01\x02\x14\x00", &*common, &[0; 14], name].concat();
    let at = (local.len() + stored.len()) as u32;
    let end = [
        b"PK\x05\x06\0\0\0\0\x01\0\x01\0",
        &(central.len() as u32).to_le_bytes()[..],
        &at.to_le_bytes(),
        &[0, 0],
    ];
    [&*local, stored, &*central, &*end.concat()].concat()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_raw_disk_is_used_where_it_is() {
    let disk = disk();
    let place = Place::new(&[("shim.bin", &disk)]);
    assert_eq!(place.open("shim.bin", None).unwrap(), place.path("shim.bin"));
    assert_eq!(place.open("shim.bin", Some(&sha256(&disk))).unwrap(), place.path("shim.bin"));
    let upper = format!("sha256:{}", sha256(&disk).to_uppercase());
    assert!(place.open("shim.bin", Some(&upper)).is_ok());
    let error = place.open("shim.bin", Some(&"0".repeat(64))).unwrap_err();
    assert!(error.to_string().contains(&sha256(&disk)), "{error}");
    assert_snapshot!(place.open("shim.bin", Some("abc")).unwrap_err(), @"`abc` is no SHA-256: 64 hexadecimal digits are needed");
}

#[test]
fn archives_of_info_zip_give_the_disk_and_its_holes() {
    let disk = disk();
    let place = Place::new(&[("image.bin", &disk)]);
    place.zip(&["deflated.zip", "image.bin"]);
    place.zip(&["-0", "stored.zip", "image.bin"]);
    place.zip(&["-fz", "large.zip", "image.bin"]);
    for name in ["deflated.zip", "stored.zip", "large.zip"] {
        let raw = place.open(name, None).unwrap();
        assert!(fs_err::read(&raw).unwrap() == disk, "{name}");
        let blocks = fs_err::metadata(&raw).unwrap().blocks();
        assert!(blocks * 512 < 200 << 10, "{name}: {blocks} blocks for 74 KB");
        // Of the disk, and of the archive.
        for digest in [sha256(&disk), sha256(&fs_err::read(place.path(name)).unwrap())] {
            assert!(place.open(name, Some(&digest)).is_ok(), "{name}");
        }
        let error = place.open(name, Some(&"5".repeat(64))).unwrap_err().to_string();
        assert!(error.contains(&sha256(&disk)) && error.contains("the disk in it"), "{error}");
    }
}

#[test]
fn an_archive_that_was_streamed_has_its_sizes_at_the_end() {
    let disk = disk();
    let streamed = filter_in(".", "zip", &["-q", "-", "-"], "zip", &disk);
    let place = Place::new(&[("out.zip", &streamed)]);
    let raw = place.open("out.zip", None).unwrap();
    assert!(fs_err::read(raw).unwrap() == disk);
}

#[test]
fn of_several_files_the_one_that_is_called_a_disk_is_taken() {
    let disk = disk();
    let place = Place::new(&[("a/image.bin", &disk), ("README.txt", b"hello"), ("b/other.img", b"x")]);
    place.zip(&["-r", "one.zip", "a", "README.txt"]);
    assert!(fs_err::read(place.open("one.zip", None).unwrap()).unwrap() == disk);
    place.zip(&["-r", "two.zip", "a", "b", "README.txt"]);
    assert_snapshot!(place.error("two.zip"), @"`two.zip`: the zip archive must hold one disk image (`.bin` or `.img`), and holds 3 files: `a/image.bin`, `b/other.img`, `README.txt`");
    place.zip(&["none.zip", "README.txt", "-r", "a/image.bin", "b/other.img"]);
    assert_snapshot!(place.error("none.zip"), @"`none.zip`: the zip archive must hold one disk image (`.bin` or `.img`), and holds 3 files: `README.txt`, `a/image.bin`, `b/other.img`");
}

#[test]
fn names_in_an_archive_are_never_paths() {
    let disk = disk();
    let hostile = archive(b"../../../../tmp/\x1b[2J/escape.bin", 8, &deflate(&disk), &disk);
    let place = Place::new(&[("x.zip", &hostile)]);
    let raw = place.open("x.zip", None).unwrap();
    assert_eq!(raw, place.0.cx().scratch.join("shim.bin"));
    assert!(place.0.lines().concat().contains("/tmp/?[2J/escape.bin"));
}

#[test]
fn archives_that_are_not_whole_are_explained() {
    let disk = disk();
    let good = archive(b"shim.bin", 8, &deflate(&disk), &disk);
    let error = |bytes: &[u8]| Place::new(&[("shim.zip", bytes)]).error("shim.zip");
    assert_snapshot!(error(&good[..good.len() / 2]), @"`shim.zip`: the zip archive has no end within its 7994 bytes: the download was cut short");
    let mut flipped = good.clone();
    flipped[10_000] ^= 0x55;
    assert!(error(&flipped).starts_with("`shim.zip`: `shim.bin` in the zip archive "), "{}", error(&flipped));
    let mut wrong = disk.clone();
    wrong[100] ^= 1;
    assert_snapshot!(error(&archive(b"shim.bin", 8, &deflate(&disk), &wrong)), @"`shim.zip`: `shim.bin` in the zip archive is damaged: its CRC-32 is 10a557b8 instead of 5cb26cff");
    assert_snapshot!(error(&archive(b"shim.bin", 8, &deflate(&disk), &disk[..1 << 20])), @"`shim.zip`: `shim.bin` in the zip archive holds 2097152 bytes, and the archive says 1048576");
    assert_snapshot!(error(&archive(b"shim.bin", 8, &deflate(&disk[..1 << 20]), &disk)), @"`shim.zip`: `shim.bin` in the zip archive holds 1048576 bytes, and the archive says 3145728");
    assert_snapshot!(error(&archive(b"shim.bin", 12, &disk, &disk)), @"`shim.zip`: `shim.bin` in the zip archive is compressed by method 12: 0 (stored) and 8 (deflate) are supported");
    assert_snapshot!(error(&archive(b"shim.bin", 0, &disk[..1 << 20], &disk)), @"`shim.zip`: `shim.bin` in the zip archive holds 1048576 bytes, and the archive says 3145728");
    assert_snapshot!(error(&archive(b"shim.bin", 8, &[deflate(&disk), vec![0; 10]].concat(), &disk)), @"`shim.zip`: `shim.bin` in the zip archive cannot be unpacked at byte 15912 of the archive: the stream has ended, and 10 bytes follow");
    assert_snapshot!(error(&archive(b"shim.bin", 8, &deflate(&disk)[..9000], &disk)), @"`shim.zip`: `shim.bin` in the zip archive cannot be unpacked at byte 9038 of the archive: the stream does not end within its 9000 bytes");
    let mut encrypted = good.clone();
    let central = good.len() - 22 - 46 - 8;
    (encrypted[6], encrypted[central + 8]) = (1, 1);
    assert_snapshot!(error(&encrypted), @"`shim.zip`: `shim.bin` in the zip archive is encrypted");
    assert_snapshot!(error(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), @"`shim.zip`: the zip archive must hold one disk image (`.bin` or `.img`), and holds 0 files:");
}

#[test]
fn every_byte_of_the_headers_of_an_archive_is_checked_or_means_nothing() {
    let disk = vec![7; 9000];
    let good = archive(b"shim.bin", 8, &deflate(&disk), &disk);
    let directory = good.len() - 22 - 46 - 8;
    let place = Place::new(&[("x.zip", &good)]);
    for at in (0..38).chain(directory..good.len()) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x41;
        fs_err::write(place.path("x.zip"), &bytes).unwrap();
        match place.open("x.zip", None) {
            Ok(raw) => assert!(fs_err::read(raw).unwrap() == disk, "{at}"),
            Err(OpenError::Zip { .. } | OpenError::NoImage { .. } | OpenError::NoRoom { .. }) => {}
            Err(error) => panic!("{at}: {error}"),
        }
    }
}

#[test]
fn what_people_get_instead_of_an_image_is_named() {
    let error = |bytes: &[u8]| Place::new(&[("shim.bin.zip", bytes)]).error("shim.bin.zip");
    assert_snapshot!(error(b"\n<!DOCTYPE html>\n<html><head><title>404 Not Found</title>"), @"`shim.bin.zip` is no image: it begins with `<!DOCTYPE html>`, and is a page of the web");
    assert_snapshot!(error(b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>AccessDenied"), @"`shim.bin.zip` is no image: it begins with `<?xml version='1.0' encoding='UT`, and is a page of the web");
    assert_snapshot!(error(b""), @"`shim.bin.zip` is no image: it is empty");
    assert_snapshot!(error(b"404: Not Found"), @r#"`shim.bin.zip` is no image: it has 14 bytes, and begins with "404: Not Found""#);
    assert_snapshot!(error(&[b"\x1f\x8b\x08\0", &[1; 9000][..]].concat()), @"`shim.bin.zip` is no image: it is compressed with gzip: unpack it first");
    assert_snapshot!(error(&[b"7z\xbc\xaf\x27\x1c", &[1; 9000][..]].concat()), @"`shim.bin.zip` is no image: it is compressed with 7-Zip: unpack it first");
}

#[test]
fn a_raw_disk_that_is_cut_short_says_what_is_missing() {
    let mut disk = vec![0; 1 << 20];
    disk[512..520].copy_from_slice(b"EFI PART");
    disk[584..592].copy_from_slice(&2_u64.to_le_bytes());
    disk[592..600].copy_from_slice(&[128, 0, 0, 0, 128, 0, 0, 0]);
    disk[1024] = 1;
    disk[1064..1072].copy_from_slice(&4095_u64.to_le_bytes());
    let crc = crc32fast::hash(&disk[1024..1024 + 16384]).to_le_bytes();
    disk[600..604].copy_from_slice(&crc);
    assert_snapshot!(Place::new(&[("shim.bin", &disk)]).error("shim.bin"), @"`shim.bin` is cut short: it has 1048576 bytes, and partition 1 needs 2097152");
    disk.resize(2 << 20, 0);
    assert!(Place::new(&[("shim.bin", &disk)]).open("shim.bin", None).is_ok());
}

fn chunked(bytes: &[u8], size: usize) -> (Vec<(String, Vec<u8>)>, String) {
    let chunks: Vec<_> = bytes
        .chunks(size)
        .enumerate()
        .map(|(n, bytes)| (format!("in/shim.{n:03}"), bytes.to_vec()))
        .collect();
    let names: Vec<_> = chunks.iter().map(|(name, _)| name.strip_prefix("in/").unwrap()).collect();
    let manifest = serde_json::json!({ "size": bytes.len(), "chunks": names }).to_string();
    (chunks, manifest)
}

fn place_of(chunks: &[(String, Vec<u8>)], manifest: &str) -> Place {
    let mut files: Vec<(&str, &[u8])> = chunks.iter().map(|(name, bytes)| (&**name, &**bytes)).collect();
    files.push(("in/shim.bin.manifest", manifest.as_bytes()));
    Place::new(&files)
}

#[test]
fn chunks_are_joined_whether_they_are_a_disk_or_an_archive() {
    let disk = disk();
    for bytes in [disk.clone(), archive(b"shim.bin", 8, &deflate(&disk), &disk)] {
        let (chunks, manifest) = chunked(&bytes, 10_000);
        let place = place_of(&chunks, &manifest);
        for name in ["in", "in/shim.bin.manifest"] {
            for digest in [None, Some(sha256(&disk)), Some(sha256(&bytes))] {
                let raw = place.open(name, digest.as_deref()).unwrap();
                assert!(fs_err::read(raw).unwrap() == disk);
            }
        }
        // The digest of the manifest is held against it, too.
        let with = manifest.replace('{', &format!("{{\"hash\":\"{}\",", sha256(&bytes)));
        assert!(place_of(&chunks, &with).open("in", None).is_ok());
        let without = manifest.replace('{', &format!("{{\"hash\":\"{}\",", "0".repeat(64)));
        assert!(matches!(place_of(&chunks, &without).open("in", None), Err(OpenError::Digest { .. })));
    }
}

#[test]
fn chunks_that_do_not_fit_their_manifest_are_named() {
    let disk = disk();
    let (chunks, manifest) = chunked(&disk, 500_000);
    let change = |change: fn(&mut Vec<(String, Vec<u8>)>)| {
        let mut chunks = chunks.clone();
        change(&mut chunks);
        place_of(&chunks, &manifest).error("in")
    };
    assert_snapshot!(change(|chunks| drop(chunks.remove(3))), @"`in/shim.bin.manifest`: 1 of 7 chunks are missing: shim.003");
    assert_snapshot!(change(|chunks| chunks.truncate(1)), @"`in/shim.bin.manifest`: 6 of 7 chunks are missing: shim.001, shim.002, shim.003, shim.004, shim.005 …");
    assert_snapshot!(change(|chunks| chunks[2].1.truncate(77)), @"`in/shim.bin.manifest`: the chunk `shim.002` has 77 bytes instead of 500000");
    assert_snapshot!(change(|chunks| chunks.last_mut().unwrap().1.truncate(77)), @"`in/shim.bin.manifest`: the chunk `shim.006` has 77 bytes instead of 145728");
    let error = |manifest: &str| place_of(&chunks, manifest).error("in");
    assert_snapshot!(error("{"), @"`in/shim.bin.manifest`: no manifest: EOF while parsing an object at line 1 column 1; `size` and `chunks` are needed");
    assert_snapshot!(error("<html>"), @"`in/shim.bin.manifest`: no manifest: expected value at line 1 column 1; `size` and `chunks` are needed");
    assert_snapshot!(error(r#"{"size":1,"chunks":[]}"#), @"`in/shim.bin.manifest`: a manifest of 0 chunks: 1 to 16384 are allowed");
    assert_snapshot!(error(r#"{"size":1,"chunks":["../.."]}"#), @"`in/shim.bin.manifest`: a chunk is called `../..`, which is no name of a file");
    assert_snapshot!(error(r#"{"size":1,"chunks":[{"name":"shim.000","sha256":"00","size":500000}]}"#), @"`in/shim.bin.manifest`: the chunks have 500000 bytes together, and the manifest says 1");
    assert_snapshot!(Place::new(&[("in/x", b"")]).error("in"), @"`in`: a directory without a `*.manifest`: chunks need the list of their names");
    assert_snapshot!(Place::new(&[("in/a.manifest", b""), ("in/b.manifest", b"")]).error("in"), @"`in`: 2 manifests: name the one that is meant: a.manifest, b.manifest");
}

#[test]
fn chunks_may_have_sizes_and_digests_of_their_own() {
    let disk = disk();
    let (chunks, _) = chunked(&disk, 1_000_000);
    let list: Vec<_> = chunks
        .iter()
        .map(|(name, bytes)| {
            let name = name.replace("in/", "https://example.org/");
            serde_json::json!({ "name": name, "size": bytes.len(), "sha256": sha256(bytes) })
        })
        .collect();
    let manifest = serde_json::json!({ "size": disk.len(), "chunks": list }).to_string();
    assert!(fs_err::read(place_of(&chunks, &manifest).open("in", None).unwrap()).unwrap() == disk);
    let mut damaged = chunks;
    damaged[1].1[5] ^= 1;
    let error = place_of(&damaged, &manifest).error("in");
    assert!(error.starts_with("`in/shim.bin.manifest`: the chunk `shim.001` has the SHA-256 `"), "{error}");
}

#[test]
fn a_bomb_writes_no_more_than_it_says() {
    let zeros = vec![0; 64 << 20];
    let bomb = archive(b"shim.bin", 8, &deflate(&zeros), &[0; 8192]);
    let place = Place::new(&[("x.zip", &bomb)]);
    assert_snapshot!(place.error("x.zip"), @"`x.zip`: `shim.bin` in the zip archive holds 1048576 bytes, and the archive says 8192");
    assert_eq!(fs_err::metadata(place.0.cx().scratch.join("shim.bin")).unwrap().len(), 8192);
    // A disk that is larger than everything.
    let mut large = archive(b"shim.bin", 8, &deflate(&zeros), &zeros);
    let size = large.len() - 22 - 46 - 8 + 24;
    large[size..size + 4].copy_from_slice(&0xffff_fffe_u32.to_le_bytes());
    let place = Place::new(&[("x.zip", &large)]);
    assert!(matches!(place.open("x.zip", None), Err(OpenError::Zip { .. } | OpenError::NoRoom { .. })));
}

#[test]
fn a_request_to_stop_is_heard_and_progress_is_not_too_frequent() {
    let disk = disk();
    let place = Place::new(&[("x.zip", &archive(b"shim.bin", 8, &deflate(&disk), &disk)), ("raw", &disk)]);
    place.0.cancel.cancel();
    assert!(matches!(place.open("x.zip", None), Err(OpenError::Cancelled)));
    assert!(matches!(place.open("raw", Some(&sha256(&disk))), Err(OpenError::Cancelled)));
    assert_eq!(place.open("x.zip", None).unwrap_err().class(), Class::Cancelled);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn damage_never_panics(flips in vec((any::<Index>(), 1_u8..), 1..6), cut in any::<Option<Index>>()) {
        let disk = vec![7; 9000];
        let mut bytes = archive(b"shim.bin", 8, &deflate(&disk), &disk);
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        drop(Place::new(&[("x.zip", &bytes)]).open("x.zip", None));
    }

    #[test]
    fn arbitrary_archives_never_panic(bytes in vec(any::<u8>(), 0..300), end in any::<[u8; 18]>()) {
        let bytes = [b"PK\x03\x04", &*bytes, b"PK\x05\x06", &end[..16], &[0, 0]].concat();
        drop(Place::new(&[("x.zip", &bytes)]).open("x.zip", Some(&"0".repeat(64))));
    }
}
