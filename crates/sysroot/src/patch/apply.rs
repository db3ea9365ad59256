//! Changes to files in memory.

use super::{
    PatchError,
    conflict::Conflict,
    fit::{Text, fit, patched},
    name::better,
    parse::{Change, How, NOTHING, Row, Side},
    tree::{Content, Edit, Tree},
};

/// What all changes of a diff do.
pub(super) struct Outcome<'d> {
    pub(super) tree: Tree<'d>,
    /// The file, the number of the hunk, and how many lines it is behind its place.
    pub(super) shifted: Vec<(String, usize, i64)>,
    /// How much was found that the diff expects: lines, and files that are there or not.
    pub(super) weight: usize,
}

impl Outcome<'_> {
    /// How many lines all hunks together are away from their places.
    pub(super) fn distance(&self) -> u64 {
        self.shifted.iter().map(|(_, _, lines)| lines.unsigned_abs()).sum()
    }
}

/// What one change does.
pub(super) struct Step {
    pub(super) edits: Vec<Edit>,
    pub(super) file: String,
    /// The number of the hunk, and how many lines it is behind its place.
    pub(super) shifted: Vec<(usize, i64)>,
    /// How much was found that the change expects.
    pub(super) weight: usize,
}

/// Applies `changes` to the files below the directory, in memory.
///
/// # Errors
///
/// The first change that does not fit, or a file that cannot be read.
pub(super) fn all<'d, 'c, 't: 'c>(
    mut tree: Tree<'d>,
    changes: impl Iterator<Item = &'c Change<'t>>,
    undo: bool,
) -> Result<Outcome<'d>, PatchError> {
    let (mut shifted, mut weight) = (Vec::new(), 0);
    for change in changes {
        let step = one(&mut tree, change, undo)?;
        weight += step.weight;
        shifted.extend(step.shifted.into_iter().map(|(hunk, lines)| (step.file.clone(), hunk, lines)));
        for edit in step.edits {
            tree.change(edit)?;
        }
    }
    Ok(Outcome { tree, shifted, weight })
}

/// What `change` does to the files of `tree`, which stays as it is; `undo` if it is reversed.
///
/// # Errors
///
/// If it does not fit.
pub(super) fn one(tree: &mut Tree<'_>, change: &Change<'_>, undo: bool) -> Result<Step, PatchError> {
    let (source, target) = places(tree, change)?;
    let (content, sure) = content(tree, change, &source, undo)?;
    let text = Text::new(&content.bytes);
    let fitted = fit(&text, change, undo)
        .map_err(|nowhere| PatchError::Conflict(Box::new(Conflict::of(&text, change, &nowhere, &source))))?;
    for _ in 0..fitted.searches {
        tree.touch(content.bytes.len() as u64)?;
    }
    let mut result = Content { bytes: patched(&text, &change.hunks, &fitted), mode: content.mode };
    let sure_mode = mode(&mut result, change, undo, &source)?;
    let edits = match change.how {
        _ if change.after.gone => {
            if let Some(row) = result.bytes.split_inclusive(|byte| *byte == b'\n').next() {
                return Err(PatchError::Conflict(Box::new(Conflict::left_over(
                    change,
                    &source,
                    Row::of(row),
                ))));
            }
            vec![(source.clone(), None)]
        }
        How::Edit => vec![(target, Some(result))],
        How::Rename | How::Copy => {
            if source != target && tree.has(&target)? {
                return Err(PatchError::Exists { name: target, line: change.line });
            }
            let gone = (change.how == How::Rename && source != target).then(|| (source.clone(), None));
            gone.into_iter().chain([(target, Some(result))]).collect()
        }
        How::Uncopy => {
            if tree.original(&target)?.is_none_or(|there| there.bytes != result.bytes)
                && change.hunks.is_empty()
            {
                return Err(PatchError::Exists { name: source, line: change.line });
            }
            vec![(source.clone(), None)]
        }
    };
    let shift = |(n, (place, own)): (usize, &(std::ops::Range<usize>, usize))| {
        let lines = i64::try_from(place.start).ok()? - i64::try_from(*own).ok()?;
        (lines != 0).then_some((n + 1, lines))
    };
    let shifted = fitted.places.iter().enumerate().filter_map(shift).collect();
    let sure = sure || sure_mode || matches!(change.how, How::Rename | How::Uncopy);
    Ok(Step { edits, file: source, shifted, weight: fitted.lines + usize::from(sure) })
}

/// The file that is there before, and the one that is there afterwards; often the same.
fn places(tree: &mut Tree<'_>, change: &Change<'_>) -> Result<(String, String), PatchError> {
    let (before, after) = (&change.before, &change.after);
    let unnamed = || PatchError::Malformed {
        line: change.line,
        reason: "no name here has as many leading components as are to be stripped".to_owned(),
    };
    let named = |side: &Side| side.name.clone().ok_or_else(unnamed);
    if change.how != How::Edit {
        return Ok((named(before)?, named(after)?));
    }
    let place: &str = match (&before.name, &after.name) {
        (None, None) => return Err(unnamed()),
        (Some(name), None) | (None, Some(name)) => name,
        (Some(name), Some(same)) if name == same => name,
        (Some(_), Some(after)) if change.before.gone => after,
        (Some(before), Some(_)) if change.after.gone => before,
        (Some(before), Some(after)) => match (tree.has(before)?, tree.has(after)?) {
            (true, false) => before,
            (false, true) => after,
            _ => better(before, after),
        },
    };
    Ok((place.to_owned(), place.to_owned()))
}

/// What is in the file before, and whether that says something by itself.
fn content(
    tree: &mut Tree<'_>,
    change: &Change<'_>,
    source: &str,
    undo: bool,
) -> Result<(Content, bool), PatchError> {
    // In what git writes, the source of a copy is as it was before the diff, whatever else that does to it.
    let there = match change.how {
        How::Copy if !undo => first(tree.original(source)?, || tree.get(source))?,
        How::Rename if !undo => first(tree.get(source)?, || tree.original(source))?,
        _ => tree.get(source)?,
    };
    let (gone, line) = (change.before.gone, change.line);
    match there {
        Some(there) if gone && !there.bytes.is_empty() => {
            Err(PatchError::Exists { name: source.to_owned(), line })
        }
        Some(there) => Ok(((*there).clone(), false)),
        None if gone => Ok((Content::empty(), true)),
        // `diff -N` with a time that says nothing.
        None if change.hunks.len() == 1 && change.hunks[0].before == NOTHING && !undo => {
            Ok((Content::empty(), true))
        }
        None => Err(PatchError::Missing { name: source.to_owned(), line }),
    }
}

fn first<T>(
    one: Option<T>,
    other: impl FnOnce() -> Result<Option<T>, PatchError>,
) -> Result<Option<T>, PatchError> {
    if one.is_some() { Ok(one) } else { other() }
}

/// Sets the mode as the change has it, and says whether there is nothing else to the change.
fn mode(content: &mut Content, change: &Change<'_>, undo: bool, source: &str) -> Result<bool, PatchError> {
    let (before, after) = (change.before.executable, change.after.executable);
    let is = content.is_executable();
    if let Some(executable) = after.filter(|executable| *executable != is) {
        content.set_executable(executable);
    }
    let changes = before.is_some() && after.is_some() && before != after;
    if undo && changes && before != Some(is) {
        // It has the mode from before: the change was not made.
        return Err(PatchError::Exists { name: source.to_owned(), line: change.line });
    }
    Ok(changes && change.hunks.is_empty())
}
