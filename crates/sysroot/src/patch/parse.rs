//! The text of a diff as changes: which files, and which lines of them.
//!
//! Sources: POSIX.1-2024, `diff`, "Diff -u output format"; `git-diff(1)`, "Generating patch text with -p"; and for what is
//! around them, what GNU `patch` and `git apply` accept.

use super::{PatchError, header, limits, name::Named};

/// What a diff does to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change<'a> {
    /// Where it begins in the diff, from 1.
    pub(super) line: usize,
    pub(super) before: Side,
    pub(super) after: Side,
    pub(super) how: How,
    pub(super) hunks: Vec<Hunk<'a>>,
}

/// A file on one side of a diff.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Side {
    /// From the directory that the diff is applied to; `None` if it has too few components.
    pub(super) name: Option<String>,
    /// There is no file on this side.
    pub(super) gone: bool,
    /// Whether it can be executed, if that is said.
    pub(super) executable: Option<bool>,
}

/// Where the result goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// To the same name.
    Edit,
    /// To another name, which is then the only one.
    Rename,
    /// To another name, too.
    Copy,
    /// Nowhere: the other direction of a copy.
    Uncopy,
}

/// Lines that are beside each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hunk<'a> {
    /// Where it begins in the diff, from 1.
    pub(super) line: usize,
    pub(super) before: Extent,
    pub(super) after: Extent,
    pub(super) lines: Vec<(Kind, Row<'a>)>,
}

/// Which lines of a file: the first one from 1, or the one before them if there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) start: usize,
    pub(super) count: usize,
}

/// No lines, at the beginning of a file.
pub(super) const NOTHING: Extent = Extent { start: 0, count: 0 };

/// Which sides a line is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Both,
    Before,
    After,
}

/// A line, and whether a line feed ends it: the last one of a file may have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) text: &'a [u8],
    pub(super) ended: bool,
}

impl<'a> Row<'a> {
    /// A line with its line feed, if it has one.
    pub(super) fn of(line: &'a [u8]) -> Self {
        line.strip_suffix(b"\n").map_or(Self { text: line, ended: false }, |text| Self { text, ended: true })
    }
}

impl Change<'_> {
    /// Makes it the change that undoes it.
    pub(super) fn reverse(&mut self) {
        std::mem::swap(&mut self.before, &mut self.after);
        self.how = match self.how {
            How::Copy => How::Uncopy,
            How::Uncopy => How::Copy,
            how @ (How::Edit | How::Rename) => how,
        };
        for hunk in &mut self.hunks {
            std::mem::swap(&mut hunk.before, &mut hunk.after);
            for (kind, _) in &mut hunk.lines {
                *kind = match kind {
                    Kind::Both => Kind::Both,
                    Kind::Before => Kind::After,
                    Kind::After => Kind::Before,
                };
            }
        }
    }
}

impl<'a> Hunk<'a> {
    /// What must be there.
    pub(super) fn old_rows(&self) -> impl Iterator<Item = Row<'a>> {
        self.lines.iter().filter(|(kind, _)| *kind != Kind::After).map(|(_, row)| *row)
    }

    /// What comes in its place.
    pub(super) fn new_rows(&self) -> impl Iterator<Item = Row<'a>> {
        self.lines.iter().filter(|(kind, _)| *kind != Kind::Before).map(|(_, row)| *row)
    }

    /// Lines that stay, before the first and behind the last one that does not.
    pub(super) fn context(&self) -> (usize, usize) {
        let stays = |(kind, _): &&(Kind, Row<'_>)| *kind == Kind::Both;
        (self.lines.iter().take_while(stays).count(), self.lines.iter().rev().take_while(stays).count())
    }

    /// Whether a side of it ends where the file does, as only the last line of a file has no line feed.
    pub(super) fn is_last(&self) -> bool {
        self.old_rows().last().is_some_and(|row| !row.ended)
            || self.new_rows().last().is_some_and(|row| !row.ended)
    }

    /// Whether lines are gone after it.
    pub(super) fn removes(&self) -> bool {
        self.lines.iter().any(|(kind, _)| *kind == Kind::Before)
    }
}

/// Reads `diff`, with `strip` leading components of each name removed.
///
/// # Errors
///
/// If a hunk is not whole, a name leads out of the tree, or there is something that cannot be done with text.
pub(super) fn parse(diff: &[u8], strip: u32) -> Result<Vec<Change<'_>>, PatchError> {
    if diff.len() > limits::DIFF {
        return Err(PatchError::TooBig { what: "the diff".to_owned(), limit: limits::DIFF as u64 });
    }
    let mut reader = Reader { rest: diff, number: 1, strip, rows: 0 };
    let mut changes = Vec::new();
    while let Some(line) = reader.peek() {
        if line.starts_with(b"diff --git ") {
            changes.extend(header::git(&mut reader)?);
        } else if reader.is_at_names() {
            changes.push(plain(&mut reader)?);
        } else if line.starts_with(b"@@ -") && extents(line).is_some() {
            return Err(reader.malformed("a hunk begins here, and no line before it names its file"));
        } else if reader.is_at_context_diff() {
            return Err(PatchError::Unsupported {
                line: reader.number,
                what: "a context diff".to_owned(),
                remedy: "make it with `diff -u`",
            });
        } else {
            reader.next();
        }
    }
    if changes.is_empty() && !diff.trim_ascii().is_empty() {
        return Err(PatchError::NoDiff);
    }
    Ok(changes)
}

/// A change that begins with `---`, as `diff -u` writes it.
fn plain<'a>(reader: &mut Reader<'a>) -> Result<Change<'a>, PatchError> {
    let line = reader.number;
    let [before, after] = names(reader)?;
    let hunks = hunks(reader)?;
    let side = |named: Named, extent: fn(&Hunk<'_>) -> Extent| Side {
        // `diff -N` has no other way to say that there was no file.
        gone: named.null || named.ancient && hunks.len() == 1 && extent(&hunks[0]).count == 0,
        name: named.name,
        executable: None,
    };
    let (before, after) = (side(before, |hunk| hunk.before), side(after, |hunk| hunk.after));
    Ok(Change { line, before, after, how: How::Edit, hunks })
}

/// The two lines that name a file.
pub(super) fn names(reader: &mut Reader<'_>) -> Result<[Named; 2], PatchError> {
    let mut named = || {
        let text = reader.peek().unwrap_or_default().get(4..).unwrap_or_default();
        let named = Named::read(text, reader.strip).map_err(|fault| reader.bad_name(text, fault));
        reader.next();
        named
    };
    Ok([named()?, named()?])
}

/// Every hunk that follows.
pub(super) fn hunks<'a>(reader: &mut Reader<'a>) -> Result<Vec<Hunk<'a>>, PatchError> {
    let mut hunks = Vec::new();
    while let Some([before, after]) = reader.peek().and_then(extents) {
        let line = reader.number;
        reader.next();
        let lines = reader.body(before.count, after.count)?;
        hunks.push(Hunk { line, before, after, lines });
    }
    Ok(hunks)
}

/// What the line before a hunk says: `@@ -1,3 +1,4 @@`.
fn extents(line: &[u8]) -> Option<[Extent; 2]> {
    let (before, rest) = extent(line.strip_prefix(b"@@ -")?)?;
    let (after, rest) = extent(rest.strip_prefix(b" +")?)?;
    rest.starts_with(b" @@").then_some([before, after])
}

fn extent(text: &[u8]) -> Option<(Extent, &[u8])> {
    let (start, rest) = number(text)?;
    match rest.strip_prefix(b",") {
        None => Some((Extent { start, count: 1 }, rest)),
        Some(rest) => number(rest).map(|(count, rest)| (Extent { start, count }, rest)),
    }
}

fn number(text: &[u8]) -> Option<(usize, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // More lines than this fit into no file that is read.
    let number: u32 = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    Some((number as usize, &text[digits..]))
}

/// The lines of a diff, one after the other.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Of the next line, from 1.
    pub(super) number: usize,
    pub(super) strip: u32,
    /// Lines in hunks so far.
    rows: usize,
}

impl<'a> Reader<'a> {
    /// The next line, without its line feed.
    pub(super) fn peek(&self) -> Option<&'a [u8]> {
        (!self.rest.is_empty()).then(|| Row::of(first(self.rest)).text)
    }

    pub(super) fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.peek()?;
        self.rest = &self.rest[first(self.rest).len()..];
        self.number += 1;
        Some(line)
    }

    /// The next three lines.
    fn peek_three(&self) -> [&'a [u8]; 3] {
        let mut rest = self.rest;
        [(); 3].map(|()| {
            let line = first(rest);
            rest = &rest[line.len()..];
            line
        })
    }

    /// Whether the next lines name a file, and a hunk follows; text may begin with dashes, too.
    pub(super) fn is_at_names(&self) -> bool {
        // Looking further is not for every line of the text around.
        self.rest.starts_with(b"--- ") && {
            let [_, after, hunk] = self.peek_three();
            after.starts_with(b"+++ ") && hunk.starts_with(b"@@ -")
        }
    }

    fn is_at_context_diff(&self) -> bool {
        self.rest.starts_with(b"*** ") && {
            let [_, after, hunk] = self.peek_three();
            after.starts_with(b"--- ") && hunk.starts_with(b"***************")
        }
    }

    /// The lines of a hunk: `before` and `after` of them are on each side.
    fn body(&mut self, before: usize, after: usize) -> Result<Vec<(Kind, Row<'a>)>, PatchError> {
        let mut left = [before, after];
        let mut lines: Vec<(Kind, Row<'a>)> = Vec::new();
        while left != [0, 0] {
            let short =
                || format!("the hunk ends here, and {} old and {} new lines are missing", left[0], left[1]);
            let line = self.peek().ok_or_else(|| self.malformed(short()))?;
            let (kind, text) = match line {
                [b'\\', ..] => {
                    self.unended(&mut lines)?;
                    continue;
                }
                [b' ', text @ ..] => (Kind::Both, text),
                [b'-', text @ ..] => (Kind::Before, text),
                [b'+', text @ ..] => (Kind::After, text),
                // Mailers and editors remove the space from the end of a line.
                b"" | b"\r" => (Kind::Both, line),
                _ => return Err(self.malformed(short())),
            };
            for (left, other) in left.iter_mut().zip([Kind::After, Kind::Before]) {
                if kind != other {
                    *left = left.checked_sub(1).ok_or_else(|| self.malformed(MORE))?;
                }
            }
            self.rows += 1;
            if self.rows > limits::ROWS {
                return Err(PatchError::TooBig {
                    what: "the number of its lines".to_owned(),
                    limit: limits::ROWS as u64,
                });
            }
            lines.push((kind, Row { text, ended: true }));
            self.next();
        }
        if self.peek().is_some_and(|line| line.starts_with(b"\\")) {
            self.unended(&mut lines)?;
        }
        let ends_early = |other: Kind| {
            let side = lines.iter().rev().filter(|(kind, _)| *kind != other);
            side.skip(1).any(|(_, row)| !row.ended)
        };
        if ends_early(Kind::After) || ends_early(Kind::Before) {
            return Err(self.malformed("the hunk before goes on after the last line of its file"));
        }
        let follows = self.peek().unwrap_or_default();
        let ends =
            ["--- ", "-- ", "---"].iter().any(|end| follows.starts_with(end.as_bytes())) || follows == b"--";
        if follows.starts_with(b"+") || follows.starts_with(b"-") && !ends {
            return Err(self.malformed(MORE));
        }
        Ok(lines)
    }

    /// `\ No newline at end of file`: that is about the line before it.
    fn unended(&mut self, lines: &mut [(Kind, Row<'a>)]) -> Result<(), PatchError> {
        let Some((_, row)) = lines.last_mut() else {
            return Err(self.malformed("there is no line before this one in its hunk"));
        };
        row.ended = false;
        self.next();
        Ok(())
    }

    pub(super) fn malformed(&self, reason: impl Into<String>) -> PatchError {
        PatchError::Malformed { line: self.number, reason: reason.into() }
    }

    pub(super) fn bad_name(&self, name: &[u8], reason: &'static str) -> PatchError {
        PatchError::Name { line: self.number, name: super::shown(name), reason }
    }
}

const MORE: &str = "the hunk goes on here, and has all the lines already that it says it has";

/// The first line of `text`, with its line feed.
fn first(text: &[u8]) -> &[u8] {
    text.iter().position(|byte| *byte == b'\n').map_or(text, |end| &text[..=end])
}
