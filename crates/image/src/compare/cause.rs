//! Why bytes differ, by what they look like.
//!
//! A cause is a conclusion from the bytes around the first difference, and says no more than they do: what looks like
//! nothing that is known is [`Cause::Unknown`].
//!
//! Source: the classes of <https://reproducible-builds.org/docs/>: timestamps, build paths, randomness, unstable order.

use std::fmt;

use serde::Serialize;

use super::bytes::printable;

/// Why bytes differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The path of something differs, such as that of the directory in which it was built.
    Path,
    /// A date or a time.
    Time,
    /// A digest or an identifier, which may be random or may follow from something else that differs.
    Identifier,
    /// The same lines in another order.
    Order,
    /// It follows from another difference: a build ID.
    Follows,
    /// It looks like nothing that is known.
    Unknown,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Path => "a path, such as where it was built",
            Self::Time => "a date or a time",
            Self::Identifier => "a digest or an identifier",
            Self::Order => "the order of its lines",
            Self::Follows => "it follows from another difference",
            Self::Unknown => "unknown",
        })
    }
}

/// What separates words, in texts and in debugging information.
const BREAKS: &[u8] = b" \t\"'`=,;()<>|";
/// The seconds since 1970 that a time is taken to have: from 2001 to 2100.
const SECONDS: std::ops::RangeInclusive<u64> = 1_000_000_000..=4_102_444_800;
/// Two times of builds of the same thing are not further apart, in seconds: ten years.
const APART: u64 = 315_360_000;
/// The fewest hexadecimal digits that make an identifier.
const DIGITS: usize = 7;

/// Why `a` and `b` differ in byte `at`.
pub(super) fn cause(a: &[u8], b: &[u8], at: usize) -> Cause {
    if at >= a.len() || at >= b.len() {
        return Cause::Unknown;
    }
    let (text_a, text_b) = (text(a, at), text(b, at));
    if let (Some(of_a), Some(of_b)) = (text_a, text_b) {
        let (word_a, word_b) = (word(a, at), word(b, at));
        return if is_path(word_a) && is_path(word_b) {
            Cause::Path
        } else if has_time(of_a) && has_time(of_b) {
            Cause::Time
        } else if is_identifier(word_a) && is_identifier(word_b) {
            Cause::Identifier
        } else {
            Cause::Unknown
        };
    }
    // Four bytes of a number, wherever in it the difference is.
    let is_time = (0..4).filter_map(|back| at.checked_sub(back)).any(|from| {
        let [Some(a), Some(b)] = [a, b].map(|bytes| number(bytes, from)) else { return false };
        a != b && SECONDS.contains(&a) && SECONDS.contains(&b) && a.abs_diff(b) < APART
    });
    if is_time { Cause::Time } else { Cause::Unknown }
}

/// Whether two texts have the same lines in another order.
pub(super) fn cause_of_lines(a: &[u8], b: &[u8]) -> Option<Cause> {
    if a.len() != b.len() {
        return None;
    }
    let sorted = |text: &[u8]| {
        let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        lines.sort_unstable();
        lines
    };
    (sorted(a) == sorted(b)).then_some(Cause::Order)
}

/// The printable characters around byte `at`, if there are enough for a word.
fn text(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let (from, to) = printable(bytes, at);
    (to - from >= 4).then(|| &bytes[from..to])
}

/// The word that byte `at` is in.
fn word(bytes: &[u8], at: usize) -> &[u8] {
    let (from, to) = printable(bytes, at);
    let is_break = |byte: &u8| BREAKS.contains(byte);
    let from = at - bytes[from..at].iter().rev().take_while(|byte| !is_break(byte)).count();
    let to = at + bytes[at..to].iter().take_while(|byte| !is_break(byte)).count();
    &bytes[from..to]
}

fn number(bytes: &[u8], from: usize) -> Option<u64> {
    let raw: [u8; 4] = bytes.get(from..from + 4)?.try_into().ok()?;
    Some(u32::from_le_bytes(raw).into())
}

/// An absolute path: some compilers put a flag or a name before it.
fn is_path(word: &[u8]) -> bool {
    let from = word.iter().position(|byte| *byte == b'/');
    from.is_some_and(|from| word[from + 1..].iter().any(u8::is_ascii_alphanumeric))
}

/// Whether there is something like `12:34`, `2026-11-22`, `Nov 22` or seconds since 1970.
fn has_time(text: &[u8]) -> bool {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let like = |pattern: &[u8]| {
        text.windows(pattern.len()).any(|window| {
            window.iter().zip(pattern).all(|(byte, wanted)| match wanted {
                b'9' => byte.is_ascii_digit(),
                other => byte == other,
            })
        })
    };
    let seconds = || {
        text.split(|byte| !byte.is_ascii_digit()).any(|digits| {
            let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            number.is_some_and(|number: u64| SECONDS.contains(&number))
        })
    };
    like(b"99:99")
        || like(b"9999-99-99")
        || MONTHS.iter().any(|month| like(&[month, &b" "[..]].concat()))
        || seconds()
}

fn is_identifier(word: &[u8]) -> bool {
    let digits = word.iter().filter(|byte| byte.is_ascii_hexdigit()).count();
    let others = word.len() - digits;
    digits >= DIGITS && others * 4 <= digits && word.iter().any(u8::is_ascii_digit)
}
