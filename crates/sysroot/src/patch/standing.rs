//! How much of a diff that does not fit is in the files already.

use super::{
    PatchError,
    apply::one,
    conflict::Conflict,
    fit::{Nowhere, Text, fits_near},
    limits,
    parse::Change,
    tree::Tree,
};

/// What a hunk is to the files as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fits,
    Applied,
    Neither,
}

/// A hunk of a diff; the whole change, if it has none.
struct Part {
    file: String,
    /// From 1.
    hunk: usize,
    /// In the diff.
    line: usize,
    state: State,
}

/// What to say instead of `error` about `changes` that do not all fit, if some of them are in the files already.
pub(super) fn explained(mut tree: Tree<'_>, changes: &mut [Change<'_>], error: PatchError) -> PatchError {
    let mut parts = Vec::new();
    for change in changes.iter_mut() {
        // The first error is still the one to tell when the others cannot be found out.
        let Ok(more) = parts_of(&mut tree, change) else { break };
        parts.extend(more);
    }
    let first = |state| parts.iter().find(|part| part.state == state);
    let applied = parts.iter().filter(|part| part.state == State::Applied).count();
    match (error, first(State::Applied), first(State::Fits), first(State::Neither)) {
        (_, Some(there), Some(not), None) => PatchError::Partly {
            there: place(there),
            not: place(not),
            line: not.line,
            applied,
            hunks: parts.len(),
        },
        (PatchError::Conflict(mut conflict), Some(_), _, Some(not)) => {
            if (&conflict.file, conflict.hunk) != (&not.file, not.hunk) {
                // The hunk that did not fit is there already, and another one is the trouble.
                let index =
                    changes.iter().position(|change| change.hunks.iter().any(|hunk| hunk.line == not.line));
                if let Some(better) = index.and_then(|index| anew(&mut tree, &changes[index], not)) {
                    *conflict = better;
                }
            }
            conflict.applied = (applied, parts.len());
            PatchError::Conflict(conflict)
        }
        (error, ..) => error,
    }
}

fn place(part: &Part) -> String {
    format!("hunk {} of `{}`", part.hunk, part.file)
}

fn anew(tree: &mut Tree<'_>, change: &Change<'_>, part: &Part) -> Option<Conflict> {
    let content = tree.original(&part.file).ok()??;
    let index = part.hunk - 1;
    let guess = change.hunks.get(index)?.before.start.saturating_sub(1);
    Some(Conflict::of(&Text::new(&content.bytes), change, &Nowhere { index, guess, from: 0 }, &part.file))
}

fn parts_of(tree: &mut Tree<'_>, change: &mut Change<'_>) -> Result<Vec<Part>, PatchError> {
    let forward = one(tree, change, false).map(|step| step.file);
    change.reverse();
    let backward = one(tree, change, true).map(|step| step.file);
    change.reverse();
    let name = || change.after.name.as_ref().or(change.before.name.as_ref()).cloned().unwrap_or_default();
    let (file, state) = match (forward, backward) {
        (Ok(file), _) => (file, Some(State::Fits)),
        (Err(error), _) if !error.is_conflict() => return Err(error),
        (_, Ok(file)) => (file, Some(State::Applied)),
        (Err(PatchError::Conflict(conflict)), _) => (conflict.file, None),
        (Err(_), Err(_)) => (name(), Some(State::Neither)),
    };
    let of = |hunk, line, state| Part { file: file.clone(), hunk, line, state };
    if let Some(state) = state {
        let lines = change.hunks.iter().map(|hunk| hunk.line);
        let lines: Vec<usize> = if change.hunks.is_empty() { vec![change.line] } else { lines.collect() };
        return Ok(lines.into_iter().enumerate().map(|(n, line)| of(n + 1, line, state)).collect());
    }
    let content = tree.original(&file)?;
    let text = Text::new(content.as_ref().map_or(&[], |content| &content.bytes));
    let near = |change: &Change<'_>| -> Vec<bool> {
        change.hunks.iter().map(|hunk| fits_near(&text, hunk, limits::AROUND)).collect()
    };
    let forward = near(change);
    change.reverse();
    let backward = near(change);
    change.reverse();
    let states = forward.into_iter().zip(backward).map(|(fits, applied)| match (fits, applied) {
        (true, _) => State::Fits,
        (false, true) => State::Applied,
        (false, false) => State::Neither,
    });
    let lines: Vec<usize> = change.hunks.iter().map(|hunk| hunk.line).collect();
    Ok(states.zip(lines).enumerate().map(|(n, (state, line))| of(n + 1, line, state)).collect())
}
