//! Text that is safe where it goes, and quantities as people read them.

use std::fmt;

/// Text between tags or in an attribute of HTML and XML: escaped, and without what XML 1.0 forbids.
///
/// A tab or a line feed stays as it is.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            '\t' | '\n' => f.write_char(c),
            _ if is_hidden(c) => Ok(()),
            _ => f.write_char(c),
        })
    }
}

/// One line for a screen: no control sequence of a guest reaches the terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            '\t' | '\n' => Some(' '),
            _ if is_hidden(c) => None,
            _ => Some(c),
        })
        .collect()
}

/// Cut to `width` characters, with `…` at the end if something is missing.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Control characters, those that turn the direction of writing, and non-characters of XML 1.0 (section 2.2).
const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
}

/// A time in milliseconds as people read it: `12.3 s`, `2 min 05 s`, `1 h 02 min`.
///
/// ```
/// assert_eq!(bootway_report::span(125_000), "2 min 05 s");
/// ```
pub fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds}.{} s", ms % 1000 / 100),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Seconds with three digits: `12.345`.
pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// `n` with spaces between groups of three digits: `536 870 912`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `2025-01-01T00:00:00Z` of seconds since 1970-01-01 UTC.
pub(crate) fn utc(epoch: u64) -> String {
    let ((year, month, day), time) = (civil(epoch), epoch % 86_400);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", time / 3600, time / 60 % 60, time % 60)
}

/// Year, month and day, each as written, of seconds since 1970-01-01 UTC.
///
/// ```
/// assert_eq!(bootway_report::civil(1_735_689_600), (2025, 1, 1));
/// ```
///
/// Source: H. Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`; eras of 400 years that
/// begin on 1 March, so that a leap day is the last of its year.
pub const fn civil(epoch: u64) -> (u64, u64, u64) {
    let days = epoch / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_what_date_says() {
        // date -u -d @N +%FT%TZ
        for (epoch, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(epoch), date);
        }
    }

    #[test]
    fn a_guest_cannot_draw_on_the_terminal() {
        assert_eq!(one_line("a\x1b[2Jb\u{9b}1mc\u{202e}d\te"), "a[2Jb1mcd e");
    }

    #[test]
    fn quantities_read_well() {
        assert_eq!(
            [span(950), span(12_345), span(125_000), span(3_720_000)],
            ["0.9 s", "12.3 s", "2 min 05 s", "1 h 02 min"]
        );
        assert_eq!(grouped(536_870_912), "536\u{202f}870\u{202f}912");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
