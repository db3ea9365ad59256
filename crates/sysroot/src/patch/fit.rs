//! Where the lines of a hunk are in a file.
//!
//! A hunk fits where all of its old lines are, byte for byte: no line of context is ever left out, as `dpkg-source` has it
//! (`patch -F 0`). It is looked for where it should be, then at the nearest place, and only at the beginning or at the end
//! of the file if its context says that it is there, as GNU `patch` does.

use std::ops::Range;

use super::parse::{Change, Hunk, Row};

/// The lines of a file.
pub(super) struct Text<'a> {
    bytes: &'a [u8],
    /// Where each line begins, and where the last one ends.
    starts: Vec<u32>,
}

/// Where the hunks of a change are.
#[derive(Debug, Default)]
pub(super) struct Fit {
    /// Of each hunk: the lines that it replaces, and the line of the diff's own account, from 0.
    pub(super) places: Vec<(Range<usize>, usize)>,
    /// Lines that were found; that there are none in a whole file is as good as one.
    pub(super) lines: usize,
    /// Times that the whole file was searched, besides.
    pub(super) searches: u64,
}

/// A hunk is nowhere.
#[derive(Debug)]
pub(super) struct Nowhere {
    /// Which, from 0.
    pub(super) index: usize,
    /// Where it should be, from 0.
    pub(super) guess: usize,
    /// Where the hunk before it ends.
    pub(super) from: usize,
}

impl<'a> Text<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut starts = vec![0];
        let mut at = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            at += line.len();
            starts.push(u32::try_from(at).expect("files are smaller: the limit is 64 MiB"));
        }
        Self { bytes, starts }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub(super) fn row(&self, index: usize) -> Row<'a> {
        Row::of(self.span(index..index + 1))
    }

    fn span(&self, lines: Range<usize>) -> &'a [u8] {
        &self.bytes[self.starts[lines.start] as usize..self.starts[lines.end] as usize]
    }

    fn ends_without_line_feed(&self) -> bool {
        self.bytes.last().is_some_and(|byte| *byte != b'\n')
    }

    /// Whether the lines at `index` are those of `pattern`.
    fn has(&self, pattern: &[Row<'_>], index: usize) -> bool {
        index + pattern.len() <= self.len()
            && pattern.iter().enumerate().all(|(n, row)| self.row(index + n) == *row)
    }
}

/// Where in `text` every hunk of `change` fits, in their order.
///
/// # Errors
///
/// The first hunk that fits nowhere.
pub(super) fn fit(text: &Text<'_>, change: &Change<'_>, undo: bool) -> Result<Fit, Nowhere> {
    let mut fit = Fit::default();
    let mut from = 0;
    let mut shift = 0;
    // What removes a file has all of it.
    let whole = change.after.gone && change.hunks.len() == 1;
    for (index, hunk) in change.hunks.iter().enumerate() {
        let own = own_place(hunk);
        let guess = own.saturating_add_signed(shift);
        let pattern: Vec<Row<'_>> = hunk.old_rows().collect();
        let nowhere = Nowhere { index, guess, from };
        let place = place(text, hunk, &pattern, guess, Bounds { from, whole, undo }).ok_or(nowhere)?;
        // What was added says that it was; what was only removed says nothing any more, but its surroundings do if there
        // are no others like them.
        if undo && place != guess && !pattern.is_empty() && !hunk.removes() {
            fit.searches += 1;
            if count(text, &pattern) > 1 {
                return Err(Nowhere { index, guess, from });
            }
        }
        shift = place.cast_signed() - own.cast_signed();
        from = place + pattern.len();
        fit.lines += pattern.len() + usize::from(text.len() == 0);
        fit.places.push((place..from, own));
    }
    Ok(fit)
}

/// Where the diff says that the hunk begins, from 0.
fn own_place(hunk: &Hunk<'_>) -> usize {
    if hunk.before.count == 0 { hunk.before.start } else { hunk.before.start.saturating_sub(1) }
}

/// What limits the places of a hunk.
#[derive(Clone, Copy)]
struct Bounds {
    /// Where the hunk before it ends.
    from: usize,
    /// It must be the whole file.
    whole: bool,
    /// The change is reversed.
    undo: bool,
}

fn place(
    text: &Text<'_>,
    hunk: &Hunk<'_>,
    pattern: &[Row<'_>],
    guess: usize,
    bounds: Bounds,
) -> Option<usize> {
    let Bounds { from, whole, undo } = bounds;
    if pattern.is_empty() {
        let empties = undo && hunk.before.start == 0;
        let runs_on =
            guess == text.len() && text.ends_without_line_feed() || hunk.is_last() && guess < text.len();
        let fits =
            guess >= from && guess <= text.len() && !runs_on && !((whole || empties) && text.len() > 0);
        return fits.then_some(guess);
    }
    let last = text.len().checked_sub(pattern.len()).filter(|last| *last >= from)?;
    let (leading, trailing) = hunk.context();
    let first = whole || leading < trailing && hunk.before.start <= 1;
    let ends = whole || trailing < leading || hunk.is_last();
    match (first, ends) {
        (false, false) => nearest(text, pattern, guess, from..last + 1),
        (true, false) => (from == 0 && text.has(pattern, 0)).then_some(0),
        (false, true) => text.has(pattern, last).then_some(last),
        (true, true) => (last == 0 && text.has(pattern, 0)).then_some(0),
    }
}

/// Where the hunk fits within [`AROUND`](super::limits::AROUND) lines of where it should be, whatever is with the others.
pub(super) fn fits_near(text: &Text<'_>, hunk: &Hunk<'_>, around: usize) -> bool {
    let pattern: Vec<Row<'_>> = hunk.old_rows().collect();
    let guess = own_place(hunk);
    let Some(last) = text.len().checked_sub(pattern.len()) else { return false };
    let places = guess.saturating_sub(around)..last.min(guess.saturating_add(around)) + 1;
    !pattern.is_empty() && !places.is_empty() && nearest(text, &pattern, guess, places).is_some()
}

/// The place among `places` where `pattern` is, and nearest to `guess`; the later one of two.
///
/// Looks at twice as many lines each time, so that the time is that of the way to it.
fn nearest(text: &Text<'_>, pattern: &[Row<'_>], guess: usize, places: Range<usize>) -> Option<usize> {
    let guess = guess.clamp(places.start, places.end - 1);
    if text.has(pattern, guess) {
        return Some(guess);
    }
    let borders = borders(pattern);
    let mut reach = 32;
    loop {
        let near = guess.saturating_sub(reach).max(places.start)..places.end.min(guess.saturating_add(reach));
        let found = occurrences(text, pattern, &borders, &near);
        let best = found.into_iter().min_by_key(|place| (place.abs_diff(guess), *place < guess));
        if best.is_some() || near == places {
            return best;
        }
        reach = reach.saturating_mul(2);
    }
}

/// How often `pattern` is in `text`.
fn count(text: &Text<'_>, pattern: &[Row<'_>]) -> usize {
    let places = text.len().checked_sub(pattern.len()).map_or(0..0, |last| 0..last + 1);
    occurrences(text, pattern, &borders(pattern), &places).len()
}

/// Of each beginning of `pattern`: how many of its first lines are its last ones, too.
fn borders(pattern: &[Row<'_>]) -> Vec<usize> {
    let mut borders = vec![0; pattern.len()];
    let mut known = 0;
    for n in 1..pattern.len() {
        while known > 0 && pattern[n] != pattern[known] {
            known = borders[known - 1];
        }
        known += usize::from(pattern[n] == pattern[known]);
        borders[n] = known;
    }
    borders
}

/// Every one of `places` where `pattern` is, with each line looked at twice at most (Knuth, Morris, Pratt).
fn occurrences(text: &Text<'_>, pattern: &[Row<'_>], borders: &[usize], places: &Range<usize>) -> Vec<usize> {
    let mut found = Vec::new();
    let mut known = 0;
    for at in places.start..places.end.saturating_add(pattern.len()).saturating_sub(1).min(text.len()) {
        let row = text.row(at);
        while known > 0 && (known == pattern.len() || row != pattern[known]) {
            known = borders[known - 1];
        }
        known += usize::from(row == pattern[known]);
        if known == pattern.len() {
            found.push(at + 1 - known);
        }
    }
    found
}

/// `text` with the new lines of `hunks` in `places`.
pub(super) fn patched(text: &Text<'_>, hunks: &[Hunk<'_>], fit: &Fit) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.bytes.len());
    let mut from = 0;
    for (hunk, (place, _)) in hunks.iter().zip(&fit.places) {
        bytes.extend_from_slice(text.span(from..place.start));
        for row in hunk.new_rows() {
            bytes.extend_from_slice(row.text);
            if row.ended {
                bytes.push(b'\n');
            }
        }
        from = place.end;
    }
    bytes.extend_from_slice(text.span(from..text.len()));
    bytes
}
