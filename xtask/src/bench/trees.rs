//! Trees to measure with: a Debian, and the same packages as a store of Nix would have them.
//!
//! The store has what makes such trees different: each package in a directory of its own under a hash, read-only, all
//! times alike; a second generation of a third of the packages, most of whose files are the same and the others differ
//! in a few hashes; and profiles, which are forests of symbolic links.

use std::{
    collections::BTreeMap,
    fs::Permissions,
    os::unix::fs::{FileExt, PermissionsExt, symlink},
};

use bootway_plan::{Digest, Failure};
use camino::{Utf8Path, Utf8PathBuf};

use super::io;
use crate::{Done, sh::sh};

/// What a developer's Debian has: a kernel with all its modules, compilers, interpreters, much text.
const INCLUDE: &str = "--include=linux-image-amd64,initramfs-tools,build-essential,git,python3,perl,vim";
/// Packages in a hundred that have a second generation, by bytes or nearly so.
const SECOND: u16 = 35;
/// Files in a hundred of those that differ in it.
const CHANGED: u16 = 30;
/// Profiles.
const FARMS: u8 = 3;
/// Files in a hundred that a profile links to.
const LINKED: u16 = 60;

/// Makes `squash-a`, a Debian, and `squash-b`, the store made of it, below `dir`; what is there stays as it is.
pub(super) fn make(dir: &Utf8Path) -> Done {
    let [debian, store] = ["squash-a", "squash-b"].map(|name| dir.join(name));
    if !debian.exists() {
        let partial = dir.join("squash-a.partial");
        sh("mmdebstrap", ["--variant=minbase", INCLUDE, "bookworm", partial.as_str()])
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .run()?;
        for device in fs_err::read_dir(partial.join("dev")).map_err(io)? {
            let path = device.map_err(io)?.path();
            if !path.is_dir() {
                fs_err::remove_file(path).map_err(io)?;
            }
        }
        fs_err::rename(partial, &debian).map_err(io)?;
    }
    if !store.exists() {
        let partial = dir.join("squash-b.partial");
        if partial.exists() {
            // Its directories cannot be written to.
            sh("chmod", ["-R", "u+w", partial.as_str()]).run()?;
            fs_err::remove_dir_all(&partial).map_err(io)?;
        }
        Store { debian: &debian, store: partial.join("nix/store") }.make()?;
        seal(&partial)?;
        fs_err::rename(partial, &store).map_err(io)?;
    }
    for tree in [debian, store] {
        let count = |kind| super::count(&tree, &["-type", kind]);
        println!("{tree}: {} files, {} directories, {} links", count("f")?, count("d")?, count("l")?);
    }
    Ok(())
}

struct Store<'a> {
    debian: &'a Utf8Path,
    store: Utf8PathBuf,
}

/// Name of the package's directory in the store, and its files by their place in it.
type Packages = BTreeMap<String, Vec<Utf8PathBuf>>;

impl Store<'_> {
    fn make(&self) -> Done {
        let packages = self.packages()?;
        for (name, files) in &packages {
            self.generation(name, files, 1)?;
            if percent(&[name.as_bytes(), b"again"]) < SECOND {
                self.generation(name, files, 2)?;
            }
        }
        (0..FARMS).try_for_each(|farm| self.farm(&packages, farm))
    }

    /// What dpkg says that it installed, as far as it is there and is a file or a link.
    fn packages(&self) -> Result<Packages, Failure> {
        let mut packages = Packages::new();
        for entry in self.debian.join("var/lib/dpkg/info").read_dir_utf8().map_err(io)? {
            let entry = entry.map_err(io)?;
            let Some(name) = entry.file_name().strip_suffix(".list") else { continue };
            let list = fs_err::read_to_string(entry.path()).map_err(io)?;
            let files = list.lines().filter_map(|line| line.strip_prefix('/').map(Utf8PathBuf::from));
            // `/lib` and its like are links to `/usr/lib`, and directories to the package.
            let files = files.filter(|path| path.components().count() > 1).filter(|path| {
                self.debian.join(path).symlink_metadata().is_ok_and(|it| it.is_file() || it.is_symlink())
            });
            packages.insert(name.replace(':', "-"), files.collect());
        }
        Ok(packages)
    }

    fn generation(&self, name: &str, files: &[Utf8PathBuf], generation: u8) -> Done {
        let dir = self.store.join(directory(name, generation));
        for path in files {
            let (from, to) = (self.debian.join(path), dir.join(inside(path)));
            parent(&to)?;
            if from.is_symlink() {
                symlink(fs_err::read_link(&from).map_err(io)?, &to).map_err(io)?;
                continue;
            }
            fs_err::copy(&from, &to).map_err(io)?;
            let seed = Digest::of(format!("{name} {path} {generation}").as_bytes());
            if generation > 1 && percent(&[seed.bytes()]) < CHANGED {
                rewrite(&to, &seed)?;
            }
            let executable = from.metadata().map_err(io)?.permissions().mode() & 0o100 != 0;
            fs_err::set_permissions(&to, Permissions::from_mode(if executable { 0o555 } else { 0o444 }))
                .map_err(io)?;
        }
        Ok(())
    }

    /// A profile: a link for each file, to its place in the store.
    fn farm(&self, packages: &Packages, farm: u8) -> Done {
        let top = self.store.join(directory(&format!("profile-{farm}"), 1));
        for (name, files) in packages {
            for path in files.iter().filter(|path| percent(&[&[farm], path.as_str().as_bytes()]) < LINKED) {
                let to = top.join(inside(path));
                parent(&to)?;
                if to.symlink_metadata().is_err() {
                    let target = Utf8Path::new("/nix/store").join(directory(name, 1)).join(inside(path));
                    symlink(target, &to).map_err(io)?;
                }
            }
        }
        Ok(())
    }
}

/// Puts other bytes where one to three hashes could be, as a rebuilt dependency does.
fn rewrite(path: &Utf8Path, seed: &Digest) -> Done {
    let size = path.metadata().map_err(io)?.len();
    fs_err::set_permissions(path, Permissions::from_mode(0o600)).map_err(io)?;
    let file = fs_err::OpenOptions::new().write(true).open(path).map_err(io)?;
    for turn in 0..=seed.bytes()[1] % 3 {
        let hash = Digest::of(&[seed.bytes().as_slice(), &[turn]].concat());
        let place = hash.bytes().iter().take(7).fold(0, |place, byte| place << 8 | u64::from(*byte));
        let Some(places) = size.checked_sub(32).filter(|places| *places > 0) else { break };
        file.file().write_all_at(base32(&hash).as_bytes(), place % places).map_err(io)?;
    }
    Ok(())
}

/// The files as a store keeps them: nothing can be written to, and all is one second old.
fn seal(tree: &Utf8Path) -> Done {
    sh("chmod", ["-R", "a-w", tree.as_str()]).run()?;
    sh("find", [tree.as_str(), "-exec", "touch", "-h", "-d", "@1", "{}", "+"]).run()
}

fn parent(path: &Utf8Path) -> Done {
    path.parent().map_or(Ok(()), |dir| fs_err::create_dir_all(dir).map_err(io))
}

fn directory(name: &str, generation: u8) -> String {
    format!("{}-{name}", base32(&Digest::of(format!("{name} {generation}").as_bytes())))
}

/// A package has no `/usr`.
fn inside(path: &Utf8Path) -> &Utf8Path {
    path.strip_prefix("usr").unwrap_or(path)
}

/// 32 characters, as a store names things.
fn base32(digest: &Digest) -> String {
    let alphabet = b"0123456789abcdfghijklmnpqrsvwxyz";
    digest.bytes().iter().map(|byte| char::from(alphabet[usize::from(byte % 32)])).collect()
}

/// The same of 100 for the same parts.
fn percent(parts: &[&[u8]]) -> u16 {
    let digest = Digest::of(&parts.concat());
    u16::from_le_bytes([digest.bytes()[0], digest.bytes()[1]]) % 100
}
