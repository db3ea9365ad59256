//! The source of a package, before it is built.

use std::{collections::BTreeMap, os::unix::fs::symlink};

use bootway_exec::{Cx, RunError};
use bootway_plan::{
    ArtifactKind,
    step::{Package, Strategy},
};
use camino::Utf8Path;

use super::{Unpack, recipe::answers};
use crate::{
    error::RootError,
    layer::set_time,
    patch::{Patched, patch, quilt},
};

/// Puts the source of `step` into `dir`, patched, and with one time for all of it.
///
/// # Errors
///
/// If the archive is no good, or a patch does not fit.
pub(super) fn prepare(
    cx: &Cx<'_>,
    step: &Package,
    dir: &Utf8Path,
    unpack: &Unpack<'_>,
) -> Result<(), RootError> {
    fs_err::write(answers(cx), "\n".repeat(10_000))?;
    match &step.source {
        None => fs_err::create_dir_all(dir)?,
        Some(source) => {
            let input = cx.input(source)?;
            if input.kind == ArtifactKind::Tree {
                copy(cx, &input.path, dir)?;
            } else {
                unpack(cx, input, &step.keep, dir)
                    .map_err(|failure| RootError::Source(failure.chain.join(": ")))?;
                if step.strategy != Strategy::Tarball {
                    lift(dir)?;
                }
            }
        }
    }
    patches(cx, step, dir)?;
    // Of files with one time, none is newer than what was made of it: `make` does not make it again.
    for found in walkdir::WalkDir::new(dir).contents_first(true) {
        let found = found.map_err(std::io::Error::from)?;
        if let Some(path) = Utf8Path::from_path(found.path()) {
            set_time(path, cx.epoch)?;
        }
    }
    Ok(())
}

/// Debian's patches, if it is a source of Debian's, and then those of the plan.
fn patches(cx: &Cx<'_>, step: &Package, dir: &Utf8Path) -> Result<(), RootError> {
    let of = |name: &str| {
        let name = name.to_owned();
        |source| RootError::Patch { name, source }
    };
    let series = quilt(dir).map_err(of("debian/patches/series"))?;
    for (name, strip) in &series {
        let text = fs_err::read(dir.join("debian/patches").join(name))?;
        patch(dir, &text, *strip).map_err(of(name))?;
    }
    if !series.is_empty() {
        cx.note(format!("applied {} patches of Debian", series.len()));
    }
    for source in &step.patches {
        let input = cx.input(source)?;
        let name = source.to_string();
        match patch(dir, &fs_err::read(&input.path)?, 1).map_err(of(&name))? {
            Patched::AlreadyApplied => cx.note(format!("patch `{name}` is applied already")),
            Patched::Applied { files, shifted } => {
                let shifted = if shifted.is_empty() {
                    String::new()
                } else {
                    format!(", {} hunks shifted", shifted.len())
                };
                cx.note(format!("applied patch `{name}`: {} files{shifted}", files.len()));
            }
        }
    }
    Ok(())
}

/// An archive with one directory at its top is that directory.
fn lift(dir: &Utf8Path) -> Result<(), RootError> {
    let mut entries = fs_err::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    if let (Some(only), true) = (entries.pop(), entries.is_empty())
        && only.file_type()?.is_dir()
    {
        let aside = format!("{dir}.only");
        fs_err::rename(only.path(), &aside)?;
        fs_err::remove_dir(dir)?;
        fs_err::rename(aside, dir)?;
    }
    Ok(())
}

fn copy(cx: &Cx<'_>, from: &Utf8Path, to: &Utf8Path) -> Result<(), RootError> {
    for found in walkdir::WalkDir::new(from) {
        if cx.cancel.is_cancelled() {
            return Err(RunError::Cancelled.into());
        }
        let found = found.map_err(std::io::Error::from)?;
        let name = found.path().strip_prefix(from).unwrap_or_else(|_| found.path());
        let target = to.as_std_path().join(name);
        let kind = found.file_type();
        if kind.is_dir() {
            fs_err::create_dir_all(target)?;
        } else if kind.is_symlink() {
            symlink(fs_err::read_link(found.path())?, target)?;
        } else if kind.is_file() {
            fs_err::copy(found.path(), target)?;
        }
    }
    Ok(())
}

/// Whether the source in `dir` is one that the strategy can build.
///
/// # Errors
///
/// If it is not, with what it looks like.
pub(super) fn check(step: &Package, dir: &Utf8Path) -> Result<(), RootError> {
    const MARKS: [(Strategy, &[&str]); 4] = [
        (Strategy::Autotools, &["configure"]),
        (Strategy::Cmake, &["CMakeLists.txt"]),
        (Strategy::Meson, &["meson.build"]),
        (Strategy::Make, &["Makefile", "makefile", "GNUmakefile"]),
    ];
    let has = |names: &[&str]| names.iter().any(|name| dir.join(name).exists());
    let Some((_, wanted)) = MARKS.iter().find(|(strategy, _)| *strategy == step.strategy) else {
        return Ok(());
    };
    // Files that are unpacked by an ordinary user are as executable as the archive says.
    if has(wanted) {
        return Ok(());
    }
    let instead = MARKS.iter().filter(|(_, names)| has(names)).map(|(strategy, _)| strategy.as_str());
    Err(RootError::WrongStrategy {
        strategy: step.strategy.as_str(),
        wanted: wanted[0].to_owned(),
        instead: instead.collect(),
    })
}

/// The lines of a `.config` that set `name`.
fn sets(line: &str, name: &str) -> bool {
    line.strip_prefix("CONFIG_")
        .and_then(|rest| rest.strip_prefix(name))
        .is_some_and(|rest| rest.starts_with('='))
        || line
            .strip_prefix("# CONFIG_")
            .and_then(|rest| rest.strip_suffix(" is not set"))
            .is_some_and(|it| it == name)
}

fn line_of(name: &str, value: &str) -> String {
    if value == "n" { format!("# CONFIG_{name} is not set") } else { format!("CONFIG_{name}={value}") }
}

/// Sets options in a `.config`.
///
/// # Errors
///
/// If it cannot be read or written.
pub(super) fn set_options(file: &Utf8Path, options: &BTreeMap<String, String>) -> Result<(), RootError> {
    let text = fs_err::read_to_string(file)?;
    let kept = text.lines().filter(|line| !options.keys().any(|name| sets(line, name)));
    let mut lines: Vec<String> = kept.map(str::to_owned).collect();
    lines.extend(options.iter().map(|(name, value)| line_of(name, value)));
    Ok(fs_err::write(file, lines.join("\n") + "\n")?)
}

/// Whether the options are what was asked for.
///
/// # Errors
///
/// The first that is not.
pub(super) fn verify_options(file: &Utf8Path, options: &BTreeMap<String, String>) -> Result<(), RootError> {
    let text = fs_err::read_to_string(file)?;
    for (name, wanted) in options {
        let line = text.lines().find(|line| sets(line, name));
        let is = match line.and_then(|line| line.split_once('=')) {
            Some((_, value)) => value.to_owned(),
            None => "n".to_owned(),
        };
        if is != *wanted {
            return Err(RootError::Option { name: name.clone(), wanted: wanted.clone(), is });
        }
    }
    Ok(())
}

/// Removes everything but headers and directories.
///
/// # Errors
///
/// If there is no header, or a file cannot be removed.
pub(super) fn only_headers(cx: &Cx<'_>, dir: &Utf8Path) -> Result<(), RootError> {
    let mut headers = 0_u32;
    for found in walkdir::WalkDir::new(dir) {
        if cx.cancel.is_cancelled() {
            return Err(RunError::Cancelled.into());
        }
        let found = found.map_err(std::io::Error::from)?;
        if found.file_type().is_dir() {
            continue;
        }
        if found.path().extension().is_some_and(|it| it == "h") {
            headers += 1;
        } else {
            fs_err::remove_file(found.path())?;
        }
    }
    if headers == 0 { Err(RootError::Nothing) } else { Ok(()) }
}
