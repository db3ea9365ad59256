//! What a closure grows from.

use std::collections::BTreeSet;

use bootway_exec::{Cx, Input};
use bootway_plan::{Source, step};
use camino::{Utf8Path, Utf8PathBuf};

use super::{
    ClosureError, ClosureInfo, LocalStore, PathInfo, Registration, StorePath, nar::nar, pool::each,
    store::below,
};

/// Links that lead to links are followed so far.
const LINKS: usize = 16;
/// What is bigger says nothing about a closure.
const MAX_INFO: u64 = 512 << 20;

/// The store path of what the plan calls `source`.
pub(super) fn store_path(cx: &Cx<'_>, source: &Source) -> Result<StorePath, ClosureError> {
    root(cx.input(source)?).ok_or_else(|| ClosureError::NoRoot { name: source.to_string() })
}

/// The store path that an input is or was taken from: what a step of kind `nix-build` says about what it made, or where
/// links lead.
///
/// Two store paths can hold the same file, and need other paths: what is made of a closure depends on this.
pub fn root(input: &Input) -> Option<StorePath> {
    if !input.made {
        return followed(&input.path);
    }
    let text = fs_err::read(format!("{}.provenance.json", input.path)).ok()?;
    let provenance: serde_json::Value = serde_json::from_slice(&text).ok()?;
    StorePath::containing(provenance.get("store-path")?.as_str()?.into())
}

/// The store path that `path` is, or that links lead to; they may lead to where only a store in a directory has
/// something.
fn followed(path: &Utf8Path) -> Option<StorePath> {
    let mut at = path.to_owned();
    for _ in 0..LINKS {
        if let Some(path) = StorePath::containing(&at) {
            return Some(path);
        }
        let target = at.read_link_utf8().ok()?;
        at = at.parent()?.join(target);
    }
    None
}

/// All roots as store paths.
pub(super) fn paths(cx: &Cx<'_>, step: &step::Closure) -> Result<Vec<StorePath>, ClosureError> {
    let named = step.paths.iter().map(|path| {
        followed(&below(cx.plan_dir, path.as_str().into()))
            .ok_or_else(|| ClosureError::NoRoot { name: path.clone() })
    });
    step.roots.iter().map(|source| store_path(cx, source)).chain(named).collect()
}

/// What stands for the roots in a command line: links with names that are known before what they lead to is.
pub(super) fn arguments(cx: &Cx<'_>, step: &step::Closure) -> Vec<Utf8PathBuf> {
    let count = step.roots.len() + step.paths.len();
    (1..=count).map(|number| place(cx, "roots", number)).collect()
}

/// Where the link to a store path is.
pub(super) fn place(cx: &Cx<'_>, dir: &str, number: usize) -> Utf8PathBuf {
    cx.scratch.join(dir).join(number.to_string())
}

/// Makes those links.
pub(super) fn link(cx: &Cx<'_>, step: &step::Closure) -> Result<(), ClosureError> {
    link_to(cx, "roots", &paths(cx, step)?)
}

/// Makes links to `paths`, numbered from 1.
pub(super) fn link_to(cx: &Cx<'_>, dir: &str, paths: &[StorePath]) -> Result<(), ClosureError> {
    fs_err::create_dir_all(cx.scratch.join(dir))?;
    for (path, number) in paths.iter().zip(1..) {
        fs_err::os::unix::fs::symlink(path.as_str(), place(cx, dir, number))?;
    }
    Ok(())
}

/// The closure that `source` tells of: a file, or the directory that `closureInfo` of nixpkgs makes.
pub(super) fn known(cx: &Cx<'_>, store: &LocalStore, source: &Source) -> Result<Registration, ClosureError> {
    let path = &cx.input(source)?.path;
    let is_dir = fs_err::metadata(path)?.is_dir();
    let file = if is_dir { path.join("registration") } else { path.clone() };
    let size = fs_err::metadata(&file)?.len();
    if size > MAX_INFO {
        let error = format!("`{file}` has {size} bytes, and what tells of a closure has at most {MAX_INFO}");
        return Err(std::io::Error::other(error).into());
    }
    let info = ClosureInfo::from_text(&fs_err::read_to_string(&file)?);
    let registration = match info.map_err(|source| ClosureError::Info { path: file, source })? {
        ClosureInfo::Registration(registration) => registration,
        ClosureInfo::References(references) => {
            references.verify()?;
            let all: Vec<_> = references.paths.into_iter().collect();
            let measured = each(cx.jobs, &all, |(path, (deriver, references))| {
                let nar = nar(store.file(path).as_std_path(), cx.cancel)?;
                let (deriver, references) = (deriver.clone(), references.clone());
                Ok((path.clone(), PathInfo { nar_hash: nar.hash, nar_size: nar.size, deriver, references }))
            });
            let paths = measured.into_iter().collect::<std::io::Result<_>>();
            Registration { paths: paths.map_err(|error| ClosureError::io(cx, error))? }
        }
    };
    if is_dir {
        agree(path, &registration)?;
    }
    Ok(registration)
}

/// The list of paths beside a registration has the same ones.
fn agree(info: &Utf8Path, registration: &Registration) -> Result<(), ClosureError> {
    let file = info.join("store-paths");
    if !file.exists() {
        return Ok(());
    }
    let text = fs_err::read_to_string(&file)?;
    let listed: BTreeSet<&str> = text.lines().collect();
    let known: BTreeSet<&str> = registration.paths.keys().map(StorePath::as_str).collect();
    match listed.symmetric_difference(&known).next() {
        None => Ok(()),
        Some(path) => Err(ClosureError::Disagree { path: (*path).to_owned(), info: info.to_owned() }),
    }
}
