//! A root where overlayfs cannot be had: a copy of everything that is below, looked through when the step is done.
//!
//! Files share their blocks with what they are copies of, where the file system can do that. They are never hard links: a
//! program that writes into one would write into all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::Permissions,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
};

use bootway_exec::{RunError, remove_all};
use bootway_plan::{Bytes, EntryKind, TreePath};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, mknodat, utimensat};

use super::{Root, job::FLOOR};
use crate::{
    error::RootError,
    merge::{Found, merged, unseen_whiteout},
};

/// Says which way roots are made, for those who must know: `overlay`, or `copies`.
const SETTING: &str = "BOOTWAY_ROOTS";

/// How the trees below a step become its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    /// Overlayfs, and copies where it is refused.
    Any,
    /// Overlayfs, or a failure.
    Overlay,
    /// Copies.
    Copies,
}

impl Roots {
    /// What the user asks for.
    pub(super) fn asked() -> Result<Self, RootError> {
        match std::env::var(SETTING).as_deref() {
            Err(std::env::VarError::NotPresent) | Ok("") => Ok(Self::Any),
            Ok("overlay") => Ok(Self::Overlay),
            Ok("copies") => Ok(Self::Copies),
            Ok(other) => Err(RootError::Setting { name: SETTING, value: other.to_owned() }),
            Err(other) => Err(RootError::Setting { name: SETTING, value: other.to_string() }),
        }
    }
}

/// By which a file of a copy is known to be as it was.
///
/// A program can set any time but the last, and that is the time of a clock that may stand still for a moment; so all of them
/// count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    inode: u64,
    mode: u32,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    fn of(path: &Utf8Path) -> Result<Self, RootError> {
        let it = fs_err::symlink_metadata(path)?;
        Ok(Self {
            inode: it.ino(),
            mode: it.mode(),
            size: it.size(),
            modified: (it.mtime(), it.mtime_nsec()),
            changed: (it.ctime(), it.ctime_nsec()),
        })
    }

    const fn is_directory(self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }
}

/// What is different in a copy, by path.
#[derive(Debug, Default)]
struct Changes {
    /// Everything that is there now.
    marks: BTreeMap<TreePath, Mark>,
    /// What is new, or not as it was.
    changed: BTreeSet<TreePath>,
}

impl Root<'_> {
    pub(super) fn copy(&self) -> Utf8PathBuf {
        self.dir.join("copy")
    }

    /// Makes the root a copy, if that is asked for or overlayfs could not show what is there.
    pub(super) fn copy_if_asked(&self) -> Result<(), RootError> {
        let reason = match (Roots::asked()?, unseen_whiteout(self.cx, self.inside)?) {
            (Roots::Copies, _) => format!("{SETTING} asks for it"),
            (Roots::Any, Some(path)) => {
                format!("the file system of `{path}` cannot say that there is nothing in its place")
            }
            (Roots::Overlay, Some(path)) => return Err(RootError::Whiteout { path }),
            (Roots::Any | Roots::Overlay, None) => return Ok(()),
        };
        self.make_copy(&reason)
    }

    /// Copies everything that is below, and says why.
    pub(super) fn make_copy(&self, reason: &str) -> Result<(), RootError> {
        self.cx.note(format!("the root is a copy, which is looked through when the step is done: {reason}"));
        let (copy, places) = (self.copy(), self.dir.join("places"));
        let all = merged(self.cx, self.inside, Some(&places))?;
        fs_err::create_dir(&copy)?;
        for (path, found) in all.iter().filter(|(path, _)| !path.is_root()) {
            self.may_go_on()?;
            put(&copy.join(path.as_str()), found)?;
        }
        // Backwards, and only now: a directory may be closed, and what is written into it changes its time.
        let directories = all.iter().rev().filter(|(_, found)| found.entry.kind == EntryKind::Directory);
        for (path, found) in directories.filter(|(path, _)| !path.is_root()) {
            as_it_was(&copy.join(path.as_str()), &found.path)?;
        }
        fs_err::set_permissions(&copy, Permissions::from_mode(0o755))?;
        let mut marks = BTreeMap::new();
        for path in all.keys() {
            let at = copy.join(path.as_str());
            // Devices of the image are in its manifest only.
            if at.symlink_metadata().is_ok() {
                marks.insert(path.clone(), Mark::of(&at)?);
            }
        }
        self.marks.replace(Some(marks));
        Ok(())
    }

    /// Whether there is still room, and nobody wants us to stop.
    fn may_go_on(&self) -> Result<(), RootError> {
        if self.cx.cancel.is_cancelled() {
            return Err(RunError::Cancelled.into());
        }
        match super::job::free(&self.dir).filter(|free: &Bytes| *free < FLOOR) {
            Some(free) => Err(self.disk_full(free)),
            None => Ok(()),
        }
    }

    /// Moves what the step has changed in the copy to the upper directory, and says what is gone.
    pub(super) fn take_changes(&self) -> Result<BTreeSet<TreePath>, RootError> {
        let Some(before) = self.marks.take() else { return Ok(BTreeSet::new()) };
        let (copy, upper) = (self.copy(), self.upper());
        let mut now = Changes::default();
        look(&copy, &TreePath::root(), &before, &mut now)?;
        let is_directory = |path: &TreePath| now.marks.get(path).is_some_and(|it| it.is_directory());
        let gone: BTreeSet<TreePath> = before
            .keys()
            .filter(|path| !now.marks.contains_key(*path))
            .filter(|path| path.parent().is_some_and(|parent| is_directory(&parent)))
            .cloned()
            .collect();
        let mut made = BTreeSet::from([TreePath::root()]);
        for path in now.changed.iter().chain(&gone) {
            let above: Vec<TreePath> = std::iter::successors(path.parent(), TreePath::parent).collect();
            let own = is_directory(path).then(|| path.clone());
            for directory in above.into_iter().rev().chain(own) {
                if made.insert(directory.clone()) {
                    fs_err::create_dir(upper.join(directory.as_str()))?;
                }
            }
            if !is_directory(path) && !gone.contains(path) {
                fs_err::rename(copy.join(path.as_str()), upper.join(path.as_str()))?;
            }
        }
        for directory in made.iter().rev() {
            let mode = now.marks.get(directory).map_or(0o755, |it| it.mode & 0o7777);
            fs_err::set_permissions(upper.join(directory.as_str()), Permissions::from_mode(mode))?;
        }
        remove_all(copy)?;
        Ok(gone)
    }
}

/// Looks at everything in the directory `name` of `copy`, and lets its owner into it.
fn look(
    copy: &Utf8Path,
    name: &TreePath,
    before: &BTreeMap<TreePath, Mark>,
    now: &mut Changes,
) -> Result<(), RootError> {
    let at = copy.join(name.as_str());
    let mark = Mark::of(&at)?;
    let was = before.get(name);
    if was != Some(&mark) {
        now.changed.insert(name.clone());
    }
    now.marks.insert(name.clone(), mark);
    if !mark.is_directory() {
        return Ok(());
    }
    if mark.mode & 0o700 != 0o700 {
        fs_err::set_permissions(&at, Permissions::from_mode(mark.mode & 0o7777 | 0o700))?;
    }
    for entry in fs_err::read_dir(&at)? {
        let file = entry?.file_name();
        let file = file
            .to_str()
            .ok_or_else(|| std::io::Error::other(format!("{}/{} is not UTF-8", at, file.display())))?;
        look(copy, &name.join(file)?, before, now)?;
    }
    Ok(())
}

/// Makes what was found anew.
fn put(to: &Utf8Path, found: &Found) -> Result<(), RootError> {
    match &found.entry.kind {
        EntryKind::Directory => Ok(fs_err::create_dir(to)?),
        EntryKind::Symlink { target } => {
            symlink(target, to)?;
            set_times(to, &found.path)
        }
        EntryKind::File { .. } => {
            clone(&found.path, to)?;
            as_it_was(to, &found.path)
        }
        EntryKind::Fifo if found.path.symlink_metadata().is_ok() => {
            mknodat(CWD, to.as_std_path(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
                .map_err(std::io::Error::from)?;
            as_it_was(to, &found.path)
        }
        EntryKind::Fifo
        | EntryKind::HardLink { .. }
        | EntryKind::CharDevice { .. }
        | EntryKind::BlockDevice { .. }
        | EntryKind::Socket => Ok(()),
    }
}

/// The bytes of a file: its very blocks, where both may have them.
fn clone(from: &Utf8Path, to: &Utf8Path) -> Result<(), RootError> {
    let mut source = fs_err::File::open(from)?;
    let mut copy = fs_err::File::create_new(to)?;
    if rustix::fs::ioctl_ficlone(copy.file(), source.file()).is_err() {
        std::io::copy(&mut source, &mut copy)?;
    }
    Ok(())
}

/// Gives `to` mode and times of `from`.
fn as_it_was(to: &Utf8Path, from: &Utf8Path) -> Result<(), RootError> {
    let mode = fs_err::symlink_metadata(from)?.mode() & 0o7777;
    fs_err::set_permissions(to, Permissions::from_mode(mode))?;
    set_times(to, from)
}

fn set_times(to: &Utf8Path, from: &Utf8Path) -> Result<(), RootError> {
    let it = fs_err::symlink_metadata(from)?;
    let time = Timespec { tv_sec: it.mtime(), tv_nsec: it.mtime_nsec() };
    let times = Timestamps { last_access: time, last_modification: time };
    let set = utimensat(CWD, to.as_std_path(), &times, AtFlags::SYMLINK_NOFOLLOW);
    Ok(set.map_err(|error| std::io::Error::other(format!("cannot set the time of `{to}`: {error}")))?)
}
