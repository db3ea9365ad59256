//! What has changed in a text, as a unified diff.

/// Lines around a change.
const CONTEXT: usize = 3;

/// A line of both texts, or of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Both(&'a str),
    Old(&'a str),
    New(&'a str),
}

/// The difference of two texts of a file; nothing, if there is none.
pub(super) fn unified(name: &str, old: &str, new: &str) -> String {
    let old: Vec<&str> = old.lines().collect();
    let new: Vec<&str> = new.lines().collect();
    let lines = compare(&old, &new);
    let changed: Vec<usize> = (0..lines.len()).filter(|at| !matches!(lines[*at], Line::Both(_))).collect();
    let mut text = String::new();
    let mut rest = changed.as_slice();
    while let Some(first) = rest.first() {
        // Changes with little between them are one hunk.
        let far = |pair: &[usize]| pair[1] - pair[0] > 2 * CONTEXT;
        let count = rest.windows(2).position(far).map_or(rest.len(), |at| at + 1);
        let from = first.saturating_sub(CONTEXT);
        let to = (rest[count - 1] + CONTEXT + 1).min(lines.len());
        text += &hunk(&lines, from, to);
        rest = &rest[count..];
    }
    if text.is_empty() { text } else { format!("--- {name}\n+++ {name}\n{text}") }
}

fn hunk(lines: &[Line<'_>], from: usize, to: usize) -> String {
    let count = |lines: &[Line<'_>]| {
        let olds = lines.iter().filter(|it| !matches!(it, Line::New(_))).count();
        (olds, lines.iter().filter(|it| !matches!(it, Line::Old(_))).count())
    };
    let ((old, new), (olds, news)) = (count(&lines[..from]), count(&lines[from..to]));
    let mut text = format!("@@ -{},{olds} +{},{news} @@\n", old + 1, new + 1);
    for line in &lines[from..to] {
        text += &match line {
            Line::Both(line) => format!(" {line}\n"),
            Line::Old(line) => format!("-{line}\n"),
            Line::New(line) => format!("+{line}\n"),
        };
    }
    text
}

/// The lines of both in order, by their longest common subsequence.
fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut longest = vec![vec![0_u32; b.len() + 1]; a.len() + 1];
    for x in (0..a.len()).rev() {
        for y in (0..b.len()).rev() {
            longest[x][y] = if a[x] == b[y] {
                longest[x + 1][y + 1] + 1
            } else {
                longest[x + 1][y].max(longest[x][y + 1])
            };
        }
    }
    let mut lines: Vec<Line<'_>> = old[..head].iter().map(|it| Line::Both(it)).collect();
    let (mut x, mut y) = (0, 0);
    while x < a.len() || y < b.len() {
        if x < a.len() && y < b.len() && a[x] == b[y] {
            lines.push(Line::Both(a[x]));
            (x, y) = (x + 1, y + 1);
        } else if x < a.len() && (y == b.len() || longest[x + 1][y] >= longest[x][y + 1]) {
            lines.push(Line::Old(a[x]));
            x += 1;
        } else {
            lines.push(Line::New(b[y]));
            y += 1;
        }
    }
    lines.extend(old[old.len() - tail..].iter().map(|it| Line::Both(it)));
    lines
}
