//! Roots of the garbage collector that keep what earlier builds of a step made, and what a collection frees.
//!
//! The root of the artifact that is there now is in the directory of the step's outputs, and goes with it: the next
//! build lets go of the one before. If a plan says `keep = 3` in `[nix]`, each build is kept under a number of its own,
//! too, as the generations of a profile are, until somebody lets go of the older ones.

use std::io;

use bootway_exec::{Cmd, Cx};
use bootway_plan::{NixConfig, step};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    Nix,
    build::{BuildError, ROOT, output, root_name},
};

/// A build that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBuild {
    /// Counting all builds of the step from 1.
    pub number: u32,
    /// The root: a link to the path in the store.
    pub link: Utf8PathBuf,
    /// The path in the store.
    pub store_path: Utf8PathBuf,
}

/// The builds that are kept by roots in the directory `roots`, the oldest first; none if it is not there.
///
/// # Errors
///
/// If it cannot be read.
pub fn kept_builds(roots: &Utf8Path) -> io::Result<Vec<KeptBuild>> {
    let entries = match roots.read_dir_utf8() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut kept = Vec::new();
    for entry in entries {
        let entry = entry?;
        let link = entry.path().to_owned();
        if let (Ok(number), Ok(store_path)) = (entry.file_name().parse(), link.read_link_utf8()) {
            kept.push(KeptBuild { number, link, store_path });
        }
    }
    kept.sort_unstable_by_key(|it| it.number);
    Ok(kept)
}

/// The path in the store that the outputs in the directory `out` of a `nix-build` are from.
pub fn built_in(out: &Utf8Path) -> Option<Utf8PathBuf> {
    let is_root = |name: &str| name == ROOT || name.starts_with(&format!("{ROOT}-"));
    let mut entries = out.read_dir_utf8().ok()?.flatten();
    entries.find(|entry| is_root(entry.file_name()))?.path().read_link_utf8().ok()
}

/// The command that keeps what is in place now under the next number in the directory `roots`.
pub fn keep_build_command(cx: &Cx<'_>, step: &step::NixBuild, nix: &NixConfig, roots: &Utf8Path) -> Cmd {
    let last = kept_builds(roots).ok().and_then(|kept| Some(kept.last()?.number));
    let link = roots.join((last.unwrap_or(0) + 1).to_string());
    let cmd = Nix::new(cx, nix).store("--realise").arg(cx.placed.join(root_name(output(step))));
    cmd.args(["--add-root", link.as_str(), "--indirect", "--log-format", "internal-json"])
}

/// Keeps what is in place now under the next number in the directory `roots`; the same path has no other number then.
///
/// # Errors
///
/// If Nix refuses, or a root cannot be written.
pub fn keep_build(
    cx: &Cx<'_>,
    step: &step::NixBuild,
    nix: &NixConfig,
    roots: &Utf8Path,
) -> Result<(), BuildError> {
    let cmd = keep_build_command(cx, step, nix, roots);
    fs_err::create_dir_all(roots)?;
    Nix::new(cx, nix).must(&cmd)?;
    if let Some((newest, earlier)) = kept_builds(roots)?.split_last() {
        for same in earlier.iter().filter(|it| it.store_path == newest.store_path) {
            fs_err::remove_file(&same.link)?;
        }
    }
    Ok(())
}

/// Whether what is in place in the directory `out` is the newest that is kept in the directory `roots`.
pub fn is_kept_build(out: &Utf8Path, roots: &Utf8Path) -> bool {
    let newest = kept_builds(roots).ok().and_then(|mut kept| kept.pop());
    newest.is_some_and(|it| Some(it.store_path) == built_in(out))
}
