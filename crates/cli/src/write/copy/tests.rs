use std::io::{Seek as _, Write as _};

use super::*;

const MIB: u64 = 1 << 20;

/// An image of 21 MiB and some bytes with data at its beginning, in its third piece and at its end; and a device full of
/// something else.
fn files() -> (fs_err::File, fs_err::File, u64, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).open(dir.path().join(name)).unwrap()
    };
    let (mut image, mut device) = (open("image"), open("device"));
    let size = 21 * MIB + 5;
    for (at, byte) in [(0, 1), (9 * MIB, 2), (21 * MIB, 3)] {
        image.seek(io::SeekFrom::Start(at)).unwrap();
        image.write_all(&[byte; 5]).unwrap();
    }
    assert_eq!(image.metadata().unwrap().len(), size);
    device.write_all(&vec![0xEE; 24 << 20]).unwrap();
    (image, device, size, dir)
}

fn bytes(file: &fs_err::File, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    file.file().read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_device_has_the_image_and_nothing_of_what_it_had() {
    let (image, device, size, _dir) = files();
    for is_file in [true, false] {
        let copy = Copy {
            image: &image,
            size,
            device: &device,
            is_file,
            stop: &AtomicBool::new(false),
            tell: &|_| (),
        };
        let copied = copy.write().unwrap();
        assert_eq!((copied.written, copied.zeroed), (9 * MIB + 5, 12 * MIB));
        copy.verify(&copied).unwrap();
        assert_eq!(bytes(&image, size), bytes(&device, size));
        let mut rest = [0; 5];
        device.file().read_exact_at(&mut rest, size).unwrap();
        assert_eq!(rest, [0xEE; 5], "what is behind the image is not touched");
        device.file().write_all_at(&vec![0xEE; 24 << 20], 0).unwrap();
    }
}

#[test]
fn a_device_that_lost_a_bit_is_found_out() {
    let (image, device, size, _dir) = files();
    let copy = Copy {
        image: &image,
        size,
        device: &device,
        is_file: true,
        stop: &AtomicBool::new(false),
        tell: &|_| (),
    };
    let copied = copy.write().unwrap();
    // In a hole, in data, in the last byte.
    for at in [5 * MIB, 9 * MIB + 1, size - 1] {
        let mut byte = [0];
        device.file().read_exact_at(&mut byte, at).unwrap();
        device.file().write_all_at(&[byte[0] ^ 1], at).unwrap();
        assert!(matches!(copy.verify(&copied), Err(Stopped::Differs(piece)) if piece == at / PIECE * PIECE));
        device.file().write_all_at(&byte, at).unwrap();
    }
    copy.verify(&copied).unwrap();
}

#[test]
fn what_is_stopped_half_way_has_no_partition_table() {
    let (image, device, size, _dir) = files();
    let stop = AtomicBool::new(false);
    let tell = |done: u64| stop.store(done >= 8 * MIB, Ordering::Relaxed);
    let copy = Copy { image: &image, size, device: &device, is_file: true, stop: &stop, tell: &tell };
    assert!(matches!(copy.write(), Err(Stopped::Asked)));
    assert!(bytes(&device, PIECE).iter().all(|byte| *byte == 0));
}

#[test]
fn a_device_that_ends_early_says_so() {
    let (image, device, size, _dir) = files();
    device.set_len(6 * MIB).unwrap();
    let read_only = fs_err::File::open(device.path()).unwrap();
    let copy = Copy {
        image: &image,
        size,
        device: &read_only,
        is_file: false,
        stop: &AtomicBool::new(false),
        tell: &|_| (),
    };
    assert!(matches!(copy.write(), Err(Stopped::Device(_))));
}
