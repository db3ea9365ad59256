use bootway_exec::{Cmd, Sandbox, SystemRunner, run};
use bootway_plan::Failure;

use super::*;

fn copied(sandbox: &Sandbox<'_>, content: &Content, extents: &[(u64, u64)]) -> Result<Vec<u8>, SinkError> {
    let cx = sandbox.cx();
    let path = sandbox.root().join("disk");
    let size = extents.iter().map(|(offset, len)| offset + len).max().unwrap_or(0);
    let mut sink = Sink::create(&cx, &path, size, content.size())?;
    sink.content(content, extents)?;
    sink.finish()?;
    Ok(fs_err::read(path).unwrap())
}

#[test]
fn contents_arrive_whole_whatever_their_size() {
    let runner = SystemRunner::default();
    for size in [0, 1, 4095, 4096, KERNEL_COPY - 1, KERNEL_COPY, BUFFER as u64 + 1, 2 * STRIDE + 17] {
        let sandbox = Sandbox::new(&runner);
        let path = sandbox.root().join("file");
        let bytes: Vec<u8> = (0..size).map(|n| (n * 7 % 251) as u8).collect();
        fs_err::write(&path, &bytes).unwrap();
        let content = Content::File { path, size, digest: None };
        assert_eq!(copied(&sandbox, &content, &[(0, size)]).unwrap(), bytes, "{size}");
        // In two pieces, far apart.
        let half = size / 2;
        let disk = copied(&sandbox, &content, &[(1 << 20, half), (16 << 20, size - half)]).unwrap();
        assert_eq!(disk[1 << 20..][..half as usize], bytes[..half as usize]);
        assert_eq!(disk[16 << 20..], bytes[half as usize..]);
    }
}

#[test]
fn a_hole_stays_a_hole() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let path = sandbox.root().join("sparse");
    let file = File::create(&path).unwrap();
    file.set_len(64 << 20).unwrap();
    file.file().write_all_at(b"in the middle", 32 << 20).unwrap();
    let disk =
        copied(&sandbox, &Content::File { path, size: 64 << 20, digest: None }, &[(0, 64 << 20)]).unwrap();
    assert_eq!(&disk[32 << 20..][..13], b"in the middle");
    let blocks = fs_err::metadata(sandbox.root().join("disk")).unwrap().blocks();
    assert!(blocks * 512 < 4 << 20, "{blocks} blocks");
}

#[test]
fn a_file_that_changed_since_the_walk_is_an_error() {
    let runner = SystemRunner::default();
    for (was, now) in [(100, 99), (100, 101), (0, 1), (1 << 20, 1000), (1 << 20, (1 << 20) + 1)] {
        let sandbox = Sandbox::new(&runner);
        let path = sandbox.root().join("file");
        fs_err::write(&path, vec![1; now]).unwrap();
        let error =
            copied(&sandbox, &Content::File { path, size: was, digest: None }, &[(0, was)]).unwrap_err();
        assert!(matches!(error, SinkError::Changed { .. }), "{was} {now}: {error}");
    }
}

#[test]
fn it_stops_when_asked() {
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let path = sandbox.root().join("file");
    File::create(&path).unwrap().set_len(64 << 20).unwrap();
    sandbox.cancel.cancel();
    let error = copied(&sandbox, &Content::File { path, size: 64 << 20, digest: None }, &[(0, 64 << 20)])
        .unwrap_err();
    assert!(matches!(error, SinkError::Cancelled), "{error}");
}

/// A mount that undoes itself.
struct Mounted<'a>(&'a Sandbox<'a>, Utf8PathBuf);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = run(&self.0.cx(), &Cmd::user("umount").arg(self.1.as_str()));
    }
}

#[test]
fn a_full_file_system_is_said_to_be_full() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: a small file system can be mounted by root only; run this test as root");
        return;
    }
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let dir = sandbox.root().join("small");
    fs_err::create_dir(&dir).unwrap();
    let mount = Cmd::user("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs", dir.as_str()]);
    run(&sandbox.cx(), &mount).expect("root can mount a tmpfs");
    let small = Mounted(&sandbox, dir.clone());
    let cx = sandbox.cx();
    let written = Sink::create(&cx, &dir.join("disk.raw"), 8 << 20, 8 << 20).and_then(|mut sink| {
        sink.put(0, &vec![1; 4 << 20])?;
        sink.finish()
    });
    drop(small);
    let error = crate::disk::DiskError::from(written.unwrap_err());
    let text = Failure::of(&error).to_string().replace(dir.as_str(), "DIR");
    insta::assert_snapshot!(text, @"
    error: no space is left for `DIR/disk.raw`
      caused by: No space left on device (os error 28)
      hint: free some space there, or give another place with `--work`
    ");
}

#[test]
fn whole_blocks_are_shared_where_the_file_system_can() {
    const SPACE: u64 = 300 << 20; // The least that mkfs.xfs takes.
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: an XFS in a file can be mounted by root only; run this test as root");
        return;
    }
    let runner = SystemRunner::default();
    let sandbox = Sandbox::new(&runner);
    let (image, dir) = (sandbox.root().join("xfs.img"), sandbox.root().join("xfs"));
    File::create(&image).unwrap().set_len(SPACE).unwrap();
    fs_err::create_dir(&dir).unwrap();
    let make = Cmd::user("mkfs.xfs").args(["-q", "-m", "reflink=1", image.as_str()]);
    run(&sandbox.cx(), &make).expect("apt-get install xfsprogs");
    run(&sandbox.cx(), &Cmd::user("mount").args(["-o", "loop", image.as_str(), dir.as_str()]))
        .expect("root can mount an XFS");
    let mounted = Mounted(&sandbox, dir.clone());
    let free = || {
        rustix::fs::syncfs(File::open(&dir).unwrap()).unwrap();
        let stat = rustix::fs::statvfs(dir.as_std_path()).unwrap();
        stat.f_bfree * stat.f_frsize
    };

    // 66 MB in files of all sizes; of each, at least one block is whole, and most have one that is not.
    let files: Vec<(Utf8PathBuf, Vec<u8>)> = (0..200_usize)
        .map(|n| {
            let bytes = vec![n as u8; 4096 + n * 3301];
            let path = dir.join(format!("file-{n}"));
            fs_err::write(&path, &bytes).unwrap();
            (path, bytes)
        })
        .collect();
    let before = free();
    let cx = sandbox.cx();
    let disk = dir.join("disk.raw");
    let mut sink = Sink::create(&cx, &disk, 80 << 20, 66 << 20).unwrap();
    sink.partition(1 << 20);
    let (mut at, mut expected) = (0, vec![0; 80 << 20]);
    for (path, bytes) in &files {
        let size = bytes.len() as u64;
        sink.content(&Content::File { path: path.clone(), size, digest: None }, &[(at, size)]).unwrap();
        expected[(1 << 20) + at as usize..][..bytes.len()].copy_from_slice(bytes);
        at = (at + size).next_multiple_of(BLOCK);
    }
    sink.finish().unwrap();
    let used = before - free();
    let same = fs_err::read(&disk).unwrap() == expected;
    drop(mounted);
    assert!(same, "the disk has other bytes than the files");
    assert!(used < 2 << 20, "{used} bytes of new space for a disk with {at} in it");
}
