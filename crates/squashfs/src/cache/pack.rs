//! Packs: parts of an image, copied to the same offsets of another file.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::{
    index::{self, Item},
    temporary::{Temporary, named},
};

/// What file systems share in: offsets and lengths are multiples of it.
pub(super) const BLOCK: u64 = 4096;
/// Copied at once where the kernel does not.
const BUFFER: usize = 512 << 10;

/// A pack that is in its place.
pub(super) struct Written {
    pub(super) name: String,
}

/// Makes a pack of those parts of `image`: first the bytes, then the index that names them. `items` ascend by key.
pub(super) fn write(dir: &Path, image: &File, recipe: &[u8; 32], items: &[Item]) -> io::Result<Written> {
    let (bytes, name) = index::encode(recipe, items);
    let path = |extension: &str| -> PathBuf { dir.join(format!("{name}.{extension}")) };

    let pack = Temporary::new(dir)?;
    let mut by_kernel = true;
    for run in runs(items, image.metadata()?.len()) {
        copy(image, pack.file(), run, &mut by_kernel).map_err(|error| named(&path("pack"), &error))?;
    }
    let mut index = Temporary::new(dir)?;
    index.write(&bytes)?;
    pack.rename(&path("pack"))?;
    index.rename(&path("index"))?;
    Ok(Written { name })
}

/// Stretches of the image with all items, in whole blocks: bytes that lie beside an item come along, so that its first
/// and its last block can be shared too.
fn runs(items: &[Item], size: u64) -> Vec<Range<u64>> {
    let mut parts: Vec<Range<u64>> = items
        .iter()
        .map(|item| {
            let end = item.offset + u64::from(item.length);
            item.offset - item.offset % BLOCK..end.next_multiple_of(BLOCK).min(size.max(end))
        })
        .collect();
    parts.sort_unstable_by_key(|part| part.start);
    let mut runs: Vec<Range<u64>> = Vec::new();
    for part in parts {
        match runs.last_mut() {
            Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
            _ => runs.push(part),
        }
    }
    runs
}

/// The same bytes at the same offsets; the file system shares them if it can.
fn copy(from: &File, to: &File, run: Range<u64>, by_kernel: &mut bool) -> io::Result<()> {
    let mut at = run.start;
    while at < run.end && *by_kernel {
        let (mut source, mut target) = (at, at);
        let length = (run.end - at) as usize;
        match rustix::fs::copy_file_range(from, Some(&mut source), to, Some(&mut target), length) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(copied) => at += copied as u64,
            Err(Errno::INTR) => {}
            Err(error) if is_refusal(error) => *by_kernel = false,
            Err(error) => return Err(error.into()),
        }
    }
    if at < run.end {
        let mut buffer = vec![0; BUFFER.min((run.end - at) as usize)];
        while at < run.end {
            let length = buffer.len().min((run.end - at) as usize);
            from.read_exact_at(&mut buffer[..length], at)?;
            to.write_all_at(&buffer[..length], at)?;
            at += length as u64;
        }
    }
    Ok(())
}

/// Whether the kernel says that it does not copy between such files.
pub(super) fn is_refusal(error: Errno) -> bool {
    matches!(error, Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM)
}

/// Whether two files in `dir` can share blocks: two nameless ones try it.
pub(super) fn shares_blocks(dir: &Path) -> bool {
    use rustix::fs::{CWD, Mode, OFlags};
    let nameless = || {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, dir, flags, Mode::RUSR | Mode::WUSR)
    };
    let shared = nameless().and_then(|from| {
        rustix::io::write(&from, &[1; BLOCK as usize])?;
        rustix::fs::ioctl_ficlone(nameless()?, from)
    });
    shared.is_ok()
}
