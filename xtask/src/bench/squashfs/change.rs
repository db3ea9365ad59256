//! A hundredth of a tree's files, changed as an update does: half of them in a byte, half grown by a few.

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use bootway_plan::{Digest, Failure};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{Done, bench::io, sh::sh};

/// One of so many files changes.
const OF: u64 = 100;

/// The files that change, by their paths in the tree: the same ones each time.
pub(super) fn choose(tree: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Failure> {
    let listed = sh("find", [tree.as_str(), "-type", "f", "-size", "+0", "-printf", "%P\\0"]).quiet()?;
    let mut paths: Vec<Utf8PathBuf> = listed
        .split_terminator('\0')
        // A name that is no UTF-8 came out as another.
        .filter(|path| !path.contains(char::REPLACEMENT_CHARACTER) && number(path).is_multiple_of(OF))
        .map(Utf8PathBuf::from)
        .collect();
    paths.sort();
    Ok(paths)
}

/// Changes them in place.
pub(super) fn change(tree: &Utf8Path, paths: &[Utf8PathBuf]) -> Done {
    for path in paths {
        let number = number(path.as_str()) / OF;
        let path = tree.join(path);
        let mut content = fs_err::read(&path).map_err(io)?;
        let middle = (number % content.len().max(1) as u64) as usize;
        if number.is_multiple_of(2) {
            content[middle] ^= 0xff;
        } else {
            let more = 8 + (number % 33) as usize;
            content
                .splice(middle..middle, Digest::of(path.as_str().as_bytes()).to_string().bytes().take(more));
        }
        let mode = fs_err::metadata(&path).map_err(io)?.permissions();
        fs_err::set_permissions(&path, Permissions::from_mode(0o600)).map_err(io)?;
        fs_err::write(&path, content).map_err(io)?;
        fs_err::set_permissions(&path, mode).map_err(io)?;
    }
    Ok(())
}

/// Makes them what they are in `original`.
pub(super) fn restore(original: &Utf8Path, tree: &Utf8Path, paths: &[Utf8PathBuf]) -> Done {
    paths.iter().try_for_each(|path| {
        let [from, to] = [original, tree].map(|tree| tree.join(path).into_string());
        sh("cp", ["--archive", "--force", &from, &to]).quiet().map(|_| ())
    })
}

/// Something of 64 bits that differs from path to path.
fn number(path: &str) -> u64 {
    Digest::of(path.as_bytes()).bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
