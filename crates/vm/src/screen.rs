//! The text screen of a PC: cells in memory to rows of text, and what is new of them. Pure.
//!
//! Source: IBM, Personal System/2 and Personal Computer BIOS Interface Technical Reference, video mode 3: 25 rows of 80
//! cells at 0xB8000, a character and an attribute each; characters are of code page 437.

use crate::watcher::{End, diagnosis};

/// Where the cells begin.
pub(crate) const ADDRESS: u64 = 0xB8000;

const COLUMNS: usize = 80;
const ROWS: usize = 25;

/// Bytes of all cells.
pub(crate) const SIZE: u64 = (ROWS * COLUMNS * 2) as u64;

/// What a row begins with where it is told beside lines of the console.
pub(crate) const PREFIX: &str = "screen| ";

/// A screen that never stands still is told as it is after so many looks.
const RESTLESS: u32 = 10;

/// What the screen shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Screen {
    /// Without spaces at their ends.
    rows: Vec<String>,
    /// What the last look saw.
    seen: Vec<String>,
    /// How many looks saw something else each.
    restless: u32,
}

impl Screen {
    /// Takes the cells; returns the rows that are new, without those that only moved up.
    ///
    /// The guest goes on while they are read, so what is seen while it scrolls may never have been there: it counts
    /// when two looks have seen the same.
    pub(crate) fn look(&mut self, cells: &[u8]) -> Vec<String> {
        let rows: Vec<String> = cells.chunks(COLUMNS * 2).take(ROWS).map(row).collect();
        let seen = std::mem::replace(&mut self.seen, rows.clone());
        self.restless = if seen == rows { 0 } else { self.restless + 1 };
        if self.restless != 0 && self.restless < RESTLESS {
            return Vec::new();
        }
        self.restless = 0;
        self.update(rows)
    }

    fn update(&mut self, rows: Vec<String>) -> Vec<String> {
        let moved = (0..ROWS).min_by_key(|by| new_rows(&self.rows, &rows, *by).count()).unwrap_or(0);
        let new = new_rows(&self.rows, &rows, moved).map(str::to_owned).collect();
        self.rows = rows;
        new
    }

    /// Whether `text` is on it, with spaces behind the end of each row; what goes on in the next row because this one
    /// is full is one text.
    pub(crate) fn shows(&self, text: &str) -> bool {
        let all: String = self.rows.iter().map(|row| format!("{row:COLUMNS$}")).collect();
        all.contains(text)
    }

    /// The last row that has something.
    pub(crate) fn last(&self) -> Option<&str> {
        self.rows.iter().rev().map(String::as_str).find(|row| !row.is_empty())
    }

    /// What it says about a guest that waits for a person.
    pub(crate) fn diagnosis(&self) -> Option<&'static str> {
        self.rows.iter().rev().find_map(|row| diagnosis(row))
    }
}

/// The row that says that the guest will not get further.
pub(crate) fn end(rows: &[String]) -> Option<(End, &String)> {
    rows.iter().find_map(|row| Some((End::in_line(row)?, row)))
}

/// The rows of `new` that have something and are not those of `old`, moved up `by` rows.
fn new_rows<'a>(old: &'a [String], new: &'a [String], by: usize) -> impl Iterator<Item = &'a str> {
    let rows = new.iter().enumerate();
    rows.filter(move |(at, row)| !row.is_empty() && old.get(at + by) != Some(row))
        .map(|(_, row)| row.as_str())
}

fn row(cells: &[u8]) -> String {
    let text: String = cells.iter().step_by(2).map(|byte| character(*byte)).collect();
    text.trim_end().to_owned()
}

fn character(byte: u8) -> char {
    match byte {
        0 => ' ',
        1..=0x1F => LOW.chars().nth(usize::from(byte) - 1).unwrap_or(' '),
        0x20..=0x7E => char::from(byte),
        0x7F.. => HIGH.chars().nth(usize::from(byte) - 0x7F).unwrap_or(' '),
    }
}

/// Code page 437 as the screen shows it, from 0x01.
const LOW: &str = "☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼";

/// The same from 0x7F; the last is a space that does not break.
const HIGH: &str = "⌂ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ";

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn cells(rows: &[&str]) -> Vec<u8> {
        let mut cells = Vec::new();
        for at in 0..ROWS {
            let text = rows.get(at).copied().unwrap_or_default();
            cells
                .extend(text.bytes().chain(std::iter::repeat(b' ')).take(COLUMNS).flat_map(|byte| [byte, 7]));
        }
        cells
    }

    /// Two looks at the same.
    fn shown(screen: &mut Screen, cells: &[u8]) -> Vec<String> {
        assert_eq!(screen.look(cells), [""; 0]);
        screen.look(cells)
    }

    #[test]
    fn a_screen_counts_when_it_stands_still_or_never_does() {
        let mut screen = Screen::default();
        for n in 0..RESTLESS {
            let row = n.to_string();
            let told = screen.look(&cells(&[&row]));
            assert_eq!(told.len(), usize::from(n == RESTLESS - 1), "look {n}");
        }
        assert!(screen.shows("9") && !screen.shows("8"));
    }

    #[test]
    fn every_byte_has_one_character() {
        let all: std::collections::BTreeSet<char> = (1..=255).map(character).collect();
        assert_eq!(all.len(), 254, "0x20 and 0xFF are spaces");
        assert_eq!((character(0x81), character(0xC9), character(0xFE)), ('ü', '╔', '■'));
    }

    #[test]
    fn only_what_is_new_is_told() {
        let mut screen = Screen::default();
        assert_eq!(shown(&mut screen, &cells(&["one", "", "two"])), ["one", "two"]);
        assert_eq!(screen.look(&cells(&["one", "", "two"])), [""; 0]);
        assert_eq!(shown(&mut screen, &cells(&["one", "", "two, too"])), ["two, too"]);
        assert_eq!(screen.last(), Some("two, too"));
    }

    #[test]
    fn rows_that_only_moved_up_are_not_told() {
        let lines: Vec<String> = (0..40).map(|n| format!("line {n}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut screen = Screen::default();
        shown(&mut screen, &cells(&lines[..25]));
        assert_eq!(shown(&mut screen, &cells(&lines[3..28])), ["line 25", "line 26", "line 27"]);
    }

    #[test]
    fn a_text_over_the_end_of_a_row_is_seen() {
        let mut screen = Screen::default();
        let long = format!("{}wanted", "x".repeat(77));
        shown(&mut screen, &cells(&[&long[..80], &long[80..], "next"]));
        assert!(screen.shows("xwanted") && screen.shows("next "));
        assert!(!screen.shows("wantednext"));
    }

    proptest! {
        #[test]
        fn whatever_is_in_memory_does_no_harm(all in vec(vec(any::<u8>(), 0..5000), 1..4)) {
            let mut screen = Screen::default();
            for cells in all {
                screen.look(&cells);
                prop_assert!(screen.rows.len() <= ROWS);
                let shown = screen.shows("\u{1}");
                prop_assert!(!shown);
            }
        }
    }
}
