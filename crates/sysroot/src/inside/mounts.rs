//! The root as it is seen.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, symlink},
    path::{Path, PathBuf},
};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};

use super::{
    Mount, Setup, Trouble,
    stages::{Failed, NOTHING, c_text},
};

/// Devices that every program may rely on.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Parts of `/proc` that act on the whole machine.
const OF_THE_MACHINE: [&str; 5] = ["sys", "sysrq-trigger", "irq", "bus", "fs"];

/// Mounts everything, and makes the view `/`.
pub(super) fn make_up(setup: &Setup) -> Result<(), Failed> {
    // Nothing that is mounted here is seen outside.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)
        .map_err(|error| (Trouble::Mount, "making `/` private".to_owned(), error.into()))?;
    if setup.trees == 0 {
        let copy = setup.dir.join("copy");
        mount_bind(copy.as_std_path(), setup.root.as_std_path())
            .map_err(|error| (Trouble::Mount, format!("`{copy}`"), error.into()))?;
    } else {
        overlay(setup)
            .map_err(|error| (Trouble::Overlay, format!("overlayfs on `{}`", setup.root), error))?;
    }
    let root = setup.root.as_std_path();
    let view = root.join(setup.view.as_str());
    let at = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| (Trouble::Mount, what, error)
    };
    let is_there = fs::symlink_metadata(&view).is_ok_and(|it| it.is_dir());
    if !is_there {
        let error = io::Error::new(io::ErrorKind::NotFound, "there is no such directory in the root yet");
        return Err((Trouble::Mount, format!("`{}`", setup.view), error));
    }
    // What becomes `/` must be a mount of its own.
    mount_bind_recursive(&view, &view).map_err(|error| at("the view")(error.into()))?;
    for it in &setup.mounts {
        bind(root, &view, it).map_err(at(&format!("`{}` on `{}`", it.from, it.to)))?;
    }
    devices(&view).map_err(at("/dev"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    tmpfs(&view.join("tmp"), flags, "mode=1777").map_err(at("/tmp"))?;
    proc(&view).map_err(at("/proc"))?;
    enter(&view).map_err(at("pivot_root"))
}

fn overlay(setup: &Setup) -> io::Result<()> {
    std::env::set_current_dir(&setup.dir)?;
    let trees: Vec<String> = (0..setup.trees).map(|n| n.to_string()).collect();
    // Short names, and no path in it: all of this must fit into one page, and `:` and `,` have a meaning.
    let options = format!("userxattr,lowerdir={},upperdir=upper,workdir=work", trees.join(":"));
    Ok(mount(
        c"overlay",
        setup.root.as_std_path(),
        c"overlay",
        MountFlags::empty(),
        c_text(&options)?.as_c_str(),
    )?)
}

/// A directory or file of the machine, or of the root, in the view.
fn bind(root: &Path, view: &Path, it: &Mount) -> io::Result<()> {
    let from: PathBuf = if it.outer {
        root.join(it.from.as_str().trim_start_matches('/'))
    } else {
        it.from.clone().into_std_path_buf()
    };
    // The view is not ours: its links could lead anywhere. What is there must be what it looks like.
    let to = beneath(view, it.to.as_str())?;
    mount_bind_recursive(&from, &to)?;
    if !it.writable {
        read_only(&to)?;
    }
    Ok(())
}

/// `path` in `view`, without a symbolic link on the way.
fn beneath(view: &Path, path: &str) -> io::Result<PathBuf> {
    let mut at = view.to_owned();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        at.push(name);
        let metadata = fs::symlink_metadata(&at)?;
        if metadata.is_symlink() {
            let what = at.strip_prefix(view).unwrap_or(&at).display().to_string();
            return Err(io::Error::other(format!("`/{what}` is a symbolic link in the root")));
        }
    }
    Ok(at)
}

/// Mounts what is mounted at `path` again, for reading only, with whatever else holds of it.
fn read_only(path: &Path) -> io::Result<()> {
    use rustix::fs::StatVfsMountFlags as Has;
    let has = rustix::fs::statvfs(path)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (is, then) in [
        (Has::NOSUID, MountFlags::NOSUID),
        (Has::NODEV, MountFlags::NODEV),
        (Has::NOEXEC, MountFlags::NOEXEC),
        (Has::NOATIME, MountFlags::NOATIME),
        (Has::NODIRATIME, MountFlags::NODIRATIME),
        (Has::RELATIME, MountFlags::RELATIME),
    ] {
        if has.contains(is) {
            flags |= then;
        }
    }
    Ok(mount_remount(path, flags, NOTHING)?)
}

fn tmpfs(path: &Path, flags: MountFlags, options: &str) -> io::Result<()> {
    Ok(mount(c"tmpfs", path, c"tmpfs", flags, c_text(options)?.as_c_str())?)
}

fn devices(view: &Path) -> io::Result<()> {
    let dev = view.join("dev");
    tmpfs(&dev, MountFlags::NOSUID | MountFlags::NOEXEC, "mode=0755")?;
    for name in DEVICES {
        let host = Path::new("/dev").join(name);
        if fs::metadata(&host).is_ok_and(|it| it.file_type().is_char_device()) {
            let to = dev.join(name);
            fs::write(&to, "")?;
            mount_bind(&host, &to)?;
        }
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(target, dev.join(name))?;
    }
    for name in ["pts", "shm"] {
        fs::create_dir(dev.join(name))?;
    }
    tmpfs(&dev.join("shm"), MountFlags::NOSUID | MountFlags::NODEV, "mode=1777")?;
    let options = c"newinstance,ptmxmode=0666,mode=0620";
    let nosuid = MountFlags::NOSUID | MountFlags::NOEXEC;
    Ok(mount(c"devpts", dev.join("pts"), c"devpts", nosuid, options)?)
}

fn proc(view: &Path) -> io::Result<()> {
    let proc = view.join("proc");
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(c"proc", &proc, c"proc", flags, NOTHING)?;
    for name in OF_THE_MACHINE {
        let path = proc.join(name);
        if path.exists() {
            mount_bind(&path, &path)?;
            read_only(&path)?;
        }
    }
    Ok(())
}

/// Makes `view` the root, and lets go of the one before.
fn enter(view: &Path) -> io::Result<()> {
    std::env::set_current_dir(view)?;
    // The old root is put on the new one, and taken away from there: no directory is needed for it (pivot_root(2)).
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")
}
