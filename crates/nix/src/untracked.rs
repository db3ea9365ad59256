//! Files that a flake needs and Git does not know.
//!
//! Nix copies what Git knows of a repository and evaluates that, so a file that was never added is not there, and the
//! message is about a store path. A file that is added with `git add -N` is there, whatever is in it.

use bootway_exec::{Cmd, Exit, listen};
use bootway_plan::{Class, EventKind, Explain, Untracked};
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::{Flake, call::CallError, eval::EvalError};

/// Names that a message lists.
const SHOWN: usize = 8;

/// Bytes of a Nix file that are looked through for names.
const READ: u64 = 4 << 20;

/// Files that Git does not know, and a flake names or imports.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the flake needs {} that Git does not know, so Nix does not see {}: {}",
    if files.len() == 1 { "a file" } else { "files" },
    if files.len() == 1 { "it" } else { "them" },
    list(files)
)]
pub struct UntrackedFiles {
    /// The directory of the flake.
    pub dir: Utf8PathBuf,
    /// The files, from that directory.
    pub files: Vec<Utf8PathBuf>,
}

fn list(files: &[Utf8PathBuf]) -> String {
    let shown: Vec<String> = files.iter().take(SHOWN).map(|file| format!("`{file}`")).collect();
    let more = files.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

impl Explain for UntrackedFiles {
    fn class(&self) -> Class {
        Class::Environment
    }

    fn hint(&self) -> Option<String> {
        let files: Vec<&str> = self.files.iter().map(|file| file.as_str()).collect();
        Some(format!("git -C {} add -N {} (or `untracked = \"warn\"` in `[nix]`)", self.dir, files.join(" ")))
    }
}

/// Looks, and does about it what the plan says.
pub(crate) fn check(flake: &Flake<'_>) -> Result<(), EvalError> {
    let policy = flake.nix.config.untracked;
    let Some(cmd) = command(flake) else { return Ok(()) };
    let dir = flake.dir().expect("there is a command only for a directory");
    let listed = listen(&flake.nix.cx, &cmd, &mut |_| None).map_err(CallError::from)?;
    if listed.exit != Exit::Code(0) {
        // Nix itself is about to say why Git does not want to: a repository of somebody else, most likely.
        return Ok(());
    }
    let listed = String::from_utf8_lossy(&listed.stdout);
    let unknown: Vec<Utf8PathBuf> =
        listed.split('\0').filter(|name| !name.is_empty()).map(Into::into).collect();
    let files = needed(dir, unknown);
    if files.is_empty() {
        return Ok(());
    }
    let found = UntrackedFiles { dir: dir.to_owned(), files };
    if policy == Untracked::Error {
        return Err(found.into());
    }
    let hint = found.hint().unwrap_or_default();
    (flake.nix.cx.emit)(EventKind::Note { text: format!("{found}: {hint}") });
    Ok(())
}

/// The question to Git, if the flake is a directory in a repository, and somebody wants to know.
pub(crate) fn command(flake: &Flake<'_>) -> Option<Cmd> {
    let dir = flake.dir().filter(|_| flake.nix.config.untracked != Untracked::Allow)?;
    dir.ancestors().find(|dir| dir.join(".git").exists())?;
    let list = ["ls-files", "--others", "--exclude-standard", "-z"];
    let cmd = flake.nix.cx.env.iter().fold(Cmd::user("git"), |cmd, (name, value)| cmd.env(name, value));
    Some(cmd.args(["-C", dir.as_str()]).args(list))
}

/// The files that the flake needs: `flake.nix` and `flake.lock`, and whatever a Nix file names that is needed or that
/// Git knows.
///
/// A name counts when it stands as a path does, after `./` or another `/`, or whole in quotes; a directory stands for
/// the `default.nix` in it. It is a guess that errs on the side of saying nothing about notes and build outputs.
fn needed(dir: &Utf8Path, unknown: Vec<Utf8PathBuf>) -> Vec<Utf8PathBuf> {
    if unknown.is_empty() {
        return unknown;
    }
    let mut texts: Vec<String> = known_nix_files(dir, &unknown);
    let mut rest = unknown;
    let mut needed: Vec<Utf8PathBuf> = Vec::new();
    loop {
        let is_named = |file: &Utf8PathBuf| {
            ["flake.nix", "flake.lock"].contains(&file.as_str()) || texts.iter().any(|text| names(text, file))
        };
        let (found, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_named);
        if found.is_empty() {
            break;
        }
        texts = found.iter().filter(|file| is_nix(file)).filter_map(|file| read(&dir.join(file))).collect();
        needed.extend(found);
        rest = others;
    }
    needed.sort();
    needed
}

fn is_nix(file: &Utf8Path) -> bool {
    file.extension() == Some("nix")
}

fn read(file: &Utf8Path) -> Option<String> {
    let small = fs_err::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= READ);
    small.then(|| fs_err::read(file).ok()).flatten().map(|text| String::from_utf8_lossy(&text).into_owned())
}

/// What is in the Nix files below `dir` that are not `unknown`; hidden directories are left out.
fn known_nix_files(dir: &Utf8Path, unknown: &[Utf8PathBuf]) -> Vec<String> {
    let hidden = |entry: &walkdir::DirEntry| {
        entry.depth() > 0 && entry.file_name().to_str().is_some_and(|name| name.starts_with('.'))
    };
    let files = walkdir::WalkDir::new(dir).into_iter().filter_entry(|entry| !hidden(entry)).flatten();
    let files = files.filter_map(|entry| Utf8PathBuf::from_path_buf(entry.into_path()).ok());
    files
        .filter(|file| is_nix(file))
        .filter(|file| file.strip_prefix(dir).is_ok_and(|inner| !unknown.iter().any(|it| it == inner)))
        .filter_map(|file| read(&file))
        .collect()
}

/// Whether `text` names `file` as a path.
fn names(text: &str, file: &Utf8Path) -> bool {
    let Some(name) = file.file_name() else { return false };
    let directory = (name == "default.nix").then(|| file.parent().and_then(Utf8Path::file_name)).flatten();
    [Some(name), directory].into_iter().flatten().any(|name| {
        let is_edge = |c: Option<char>| c.is_none_or(|c| !(c.is_alphanumeric() || "-_.+".contains(c)));
        text.match_indices(name).any(|(at, _)| {
            let (before, after) = (&text[..at], &text[at + name.len()..]);
            // Part of a longer name is another name, but a `.` may end a sentence of a comment.
            let whole = is_edge(after.chars().next());
            let quoted = before.ends_with('"') && after.starts_with('"');
            whole && (before.ends_with('/') || quoted)
        })
    })
}

#[cfg(test)]
mod tests;
