//! What an error says about a hunk that does not fit.

use std::fmt;

use super::{
    fit::{Nowhere, Text},
    limits,
    parse::{Change, Hunk, Row},
    shown,
};

/// A hunk that fits nowhere in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The file, from the directory that the diff is applied to.
    pub file: String,
    /// Which hunk of the file, from 1.
    pub hunk: usize,
    /// Where the hunk begins in the diff, from 1.
    pub line: usize,
    /// The first line that is another one: what it should be, and what it is.
    pub why: String,
    /// Hunks of the diff that are in the files already, and all of them.
    pub applied: (usize, usize),
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, hunk, line, why, applied } = self;
        write!(f, "hunk {hunk} of `{file}` (line {line} of the diff) does not fit: {why}")?;
        match applied {
            (0, _) => Ok(()),
            (applied, hunks) => write!(f, "; {applied} of {hunks} hunks are applied already"),
        }
    }
}

impl Conflict {
    /// What there is to say about the hunk of `change` that is nowhere in `text`.
    pub(super) fn of(text: &Text<'_>, change: &Change<'_>, nowhere: &Nowhere, file: &str) -> Self {
        let hunk = &change.hunks[nowhere.index];
        Self {
            file: file.to_owned(),
            hunk: nowhere.index + 1,
            line: hunk.line,
            why: why(text, hunk, nowhere, change.after.gone && change.hunks.len() == 1),
            applied: (0, 0),
        }
    }

    /// More is left of a file than its removal knows.
    pub(super) fn left_over(change: &Change<'_>, file: &str, row: Row<'_>) -> Self {
        Self {
            file: file.to_owned(),
            hunk: 1,
            line: change.hunks.first().map_or(change.line, |hunk| hunk.line),
            why: format!("the file is to be removed, and {} would be left of it", line(row)),
            applied: (0, 0),
        }
    }
}

fn why(text: &Text<'_>, hunk: &Hunk<'_>, nowhere: &Nowhere, whole: bool) -> String {
    let rows: Vec<Row<'_>> = hunk.old_rows().collect();
    let place = if whole { 0 } else { most_alike(text, &rows, nowhere.guess) };
    let there = |at: usize| (at < text.len()).then(|| text.row(at));
    let differs = rows.iter().enumerate().find(|(n, row)| there(place + n) != Some(**row));
    if let Some((n, row)) = differs {
        let (at, row) = (place + n, line(*row));
        return match there(at) {
            Some(found) => format!("line {} of the file should be {row}, and is {}", at + 1, line(found)),
            None => format!("line {} of the file should be {row}, and the file ends before", at + 1),
        };
    }
    let end = place + rows.len();
    let (leading, trailing) = hunk.context();
    if let Some(found) = there(end).filter(|_| whole || trailing < leading || hunk.is_last()) {
        return format!("the file should end before line {}, which is {}", end + 1, line(found));
    }
    if place < nowhere.from {
        return format!("it fits at line {}, which is before the end of an earlier hunk", place + 1);
    }
    match (rows.first(), there(0)) {
        (Some(row), Some(found)) => {
            format!("the file should begin with {}, and begins with {}", line(*row), line(found))
        }
        _ => format!("it has no line of the file to go by, and the file has {} lines", text.len()),
    }
}

/// Where most of `rows` are, near `guess`.
fn most_alike(text: &Text<'_>, rows: &[Row<'_>], guess: usize) -> usize {
    let guess = guess.min(text.len());
    let near = guess.saturating_sub(limits::AROUND)..=(guess + limits::AROUND).min(text.len());
    let alike = |place: usize| {
        let some = rows.iter().take(limits::AROUND).enumerate();
        some.filter(|(n, row)| place + n < text.len() && text.row(place + n) == **row).count()
    };
    near.max_by_key(|place| (alike(*place), std::cmp::Reverse(place.abs_diff(guess)))).unwrap_or(guess)
}

/// A line as a message has it.
fn line(row: Row<'_>) -> String {
    format!("`{}`{}", shown(row.text), if row.ended { "" } else { " without a line feed" })
}
