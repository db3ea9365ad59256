use std::{fs::File, io::Cursor};

use bootway_exec::{Cmd, Sandbox, SystemRunner, run};
use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

use super::*;

/// A disk that has something at these bytes.
fn disk(size: usize, places: &[usize]) -> Vec<u8> {
    let mut disk = vec![0; size];
    for (n, at) in places.iter().enumerate() {
        disk[*at] = n as u8 + 1;
    }
    disk
}

fn image(disk: &[u8]) -> Vec<u8> {
    let mut image = Cursor::new(Vec::new());
    write(disk, disk.len() as u64, &mut image).unwrap();
    image.into_inner()
}

/// In a file of its own.
struct Stored {
    dir: TempDir,
}

impl Stored {
    fn new(bytes: &[u8]) -> Self {
        let stored = Self { dir: TempDir::new().unwrap() };
        fs_err::write(stored.path("x.qcow2"), bytes).unwrap();
        stored
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.dir.path()).unwrap().join(name)
    }

    fn reader(&self) -> Result<Reader<File>, Qcow2Error> {
        let file = File::open(self.path("x.qcow2")).unwrap();
        let len = file.metadata().unwrap().len();
        Reader::open(file, len)
    }

    fn read(&self) -> Result<Vec<u8>, Qcow2Error> {
        let mut reader = self.reader()?;
        reader.check()?;
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        let unpacked = self.path("unpacked");
        reader.unpack(&File::create(&unpacked)?)?;
        assert!(fs_err::read(&unpacked)? == bytes, "read and unpacked it is the same");
        Ok(bytes)
    }
}

fn qemu_img(args: &[&str]) {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    run(&sandbox.cx(), &Cmd::user("qemu-img").args(args.iter().copied()))
        .expect("qemu-img agrees; `apt-get install qemu-utils`");
}

/// Sizes around the borders of clusters and tables: less than one, one, one and a half, and more than one second table.
#[test]
fn what_is_written_is_read_by_us_and_by_qemu() {
    for (size, places) in [
        (512, &[0][..]),
        (1 << 16, &[]),
        (3 << 15, &[0, 65_535, 65_536, 98_303]),
        (
            (512 << 20) + (64 << 10) + 512,
            &[0, 300 << 20, (512 << 20) - 1, 512 << 20, (512 << 20) + (64 << 10)],
        ),
    ] {
        let disk = disk(size, places);
        let stored = Stored::new(&image(&disk));
        assert!(stored.read().unwrap() == disk, "{size}");
        let (raw, qcow2) = (stored.path("raw"), stored.path("x.qcow2"));
        fs_err::write(&raw, &disk).unwrap();
        qemu_img(&["check", "-f", "qcow2", qcow2.as_str()]);
        qemu_img(&["compare", "-f", "raw", "-F", "qcow2", raw.as_str(), qcow2.as_str()]);
        assert_eq!(image(&disk), fs_err::read(&qcow2).unwrap(), "the same bytes each time");
    }
}

#[test]
fn what_qemu_writes_is_read() {
    let disk = disk(9 << 20, &[0, 100_000, 5 << 20, (9 << 20) - 1]);
    for options in [
        "compat=0.10",
        "compat=1.1",
        "compat=1.1,cluster_size=512",
        "compat=1.1,lazy_refcounts=on,cluster_size=2M",
    ] {
        let stored = Stored::new(b"");
        let (raw, qcow2) = (stored.path("raw"), stored.path("x.qcow2"));
        fs_err::write(&raw, &disk).unwrap();
        qemu_img(&["convert", "-O", "qcow2", "-o", options, raw.as_str(), qcow2.as_str()]);
        assert!(stored.read().unwrap() == disk, "{options}");
    }
    let stored = Stored::new(b"");
    let (raw, qcow2) = (stored.path("raw"), stored.path("x.qcow2"));
    fs_err::write(&raw, &disk).unwrap();
    qemu_img(&["convert", "-c", "-O", "qcow2", raw.as_str(), qcow2.as_str()]);
    insta::assert_snapshot!(stored.read().unwrap_err(), @"it is compressed, which is not read here: `qemu-img convert -O raw` makes a disk of it");
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", raw.as_str(), "-F", "raw", qcow2.as_str()]);
    insta::assert_snapshot!(stored.read().unwrap_err(), @"it is over a base, and has only what differs from that, which is not read here: `qemu-img convert -O raw` makes a disk of it");
}

/// Every byte of the header and the tables: what comes of it is an error or a disk, and no panic and no endless reading.
#[test]
fn damage_is_an_error_or_another_disk_and_never_a_panic() {
    let whole = image(&disk(1 << 20, &[0, 70_000, 1 << 19]));
    for at in (0..HEADER).chain((CLUSTER as usize..whole.len()).step_by(4099)) {
        for bit in [0, 3, 7] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let stored = Stored::new(&bytes);
            if let Ok(mut reader) = stored.reader() {
                let _ = reader.check();
                let _ = io::copy(&mut reader.take(4 << 20), &mut io::sink());
            }
        }
    }
    for length in [0, 3, 71, 103, 65_536, whole.len() / 2] {
        assert!(Stored::new(&whole[..length]).read().is_err(), "{length}");
    }
}

/// A small file can say that it is a huge disk: no more is looked at than the file has.
#[test]
fn a_small_image_of_a_huge_disk_is_looked_at_in_no_time() {
    let header = |bits: u32, size: u64, first: u32, at: u64| {
        let mut image = header(size, first, at, 0, 0);
        image[20..24].copy_from_slice(&bits.to_be_bytes());
        image
    };
    // 8192 second tables of 2 MiB, each for 2^18 clusters: one that is everywhere, and none at all.
    let (first, size) = (8192_u32, 8192 << 39);
    for (entry, what) in
        [(0, "0"), (2 << 20, "two parts of the image are in one cluster, at byte 2097152"), (1 << 40, "far")]
    {
        let mut image = header(21, size, first, 65_536);
        image.extend(words(&vec![entry; first as usize]));
        image.resize(4 << 20, 0);
        let stored = Stored::new(&image);
        let said =
            stored.reader().unwrap().check().map_or_else(|error| error.to_string(), |used| used.to_string());
        match what {
            "far" => assert!(said.contains("is said to be at byte 1099511627776"), "{said}"),
            what => assert_eq!(said, what),
        }
    }
    // The header is no data.
    let mut image = image(&disk(1 << 16, &[0]));
    let table = u64::from_be_bytes(image[40..48].try_into().unwrap()) as usize;
    let second = (u64::from_be_bytes(image[table..table + 8].try_into().unwrap()) & PLACE) as usize;
    image[second..second + 8].copy_from_slice(&COPIED.to_be_bytes());
    assert_eq!(Stored::new(&image).reader().unwrap().check().unwrap(), 0, "nothing is at no place");
}
