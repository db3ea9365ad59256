//! Names in a diff: quoted or not, with a time behind them or not, and with leading components that are not meant.

use super::limits;

/// What a line says that names a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// `None` for `/dev/null`, and if there are too few components to strip.
    pub(super) name: Option<String>,
    /// It is `/dev/null`.
    pub(super) null: bool,
    /// Its time is the beginning of all times, which means that there is no such file.
    pub(super) ancient: bool,
}

impl Named {
    /// Reads what follows `--- ` or `+++ `.
    ///
    /// # Errors
    ///
    /// If the name leads out of the tree, or is none.
    pub(super) fn read(text: &[u8], strip: u32) -> Result<Self, &'static str> {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let (name, time) = unquoted(text).unwrap_or_else(|| {
            // Without a tab, what follows a space is a time: names with spaces have a tab behind them.
            let tab = text.iter().position(|byte| *byte == b'\t');
            let end = tab.or_else(|| text.iter().position(|byte| *byte == b' ')).unwrap_or(text.len());
            (text[..end].to_vec(), &text[end..])
        });
        if name == b"/dev/null" {
            return Ok(Self { null: true, ..Self::default() });
        }
        Ok(Self { name: placed(&name, strip)?, null: false, ancient: is_ancient(time) })
    }
}

/// Whether a time is 1970-01-01 00:00 UTC, in any zone and both ways of writing it.
fn is_ancient(time: &[u8]) -> bool {
    let time = String::from_utf8_lossy(time);
    let has = |text: &str| time.contains(text);
    has("1970-01-01 ")
        || has("1969-12-31 ")
        || has("Jan  1 ") && has(" 1970")
        || has("Jan 01 ") && has(" 1970")
        || has("Dec 31 ") && has(" 1969")
}

/// `name` without its first `strip` components; `None` if it has too few.
///
/// # Errors
///
/// If what is left leads out of the tree, or is no name.
pub(super) fn placed(name: &[u8], strip: u32) -> Result<Option<String>, &'static str> {
    let name = std::str::from_utf8(name).map_err(|_| "is not UTF-8")?;
    let Some(name) = stripped(name, strip) else { return Ok(None) };
    if name.contains('\0') {
        return Err("has a NUL in it");
    }
    if name.len() > limits::NAME {
        return Err("is longer than a path can be");
    }
    if name.starts_with('/') {
        return Err("is absolute");
    }
    let components: Vec<&str> = name.split('/').filter(|component| !matches!(*component, "" | ".")).collect();
    if components.contains(&"..") {
        return Err("leads upwards");
    }
    if components.is_empty() {
        return Err("is empty");
    }
    Ok(Some(components.join("/")))
}

/// What is behind the first `strip` slashes; several in a row are one.
fn stripped(name: &str, strip: u32) -> Option<&str> {
    (0..strip).try_fold(name, |name, _| Some(name.split_once('/')?.1.trim_start_matches('/')))
}

/// The name at the beginning of `text` if it is in quotes, as a string of C, and what follows it.
fn unquoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut name = Vec::new();
    loop {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        match byte {
            b'"' => return Some((name, rest)),
            b'\\' => {
                let (byte, behind) = escaped(rest)?;
                name.push(byte);
                rest = behind;
            }
            byte => name.push(*byte),
        }
    }
}

/// The byte that is meant by what follows a backslash.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let (byte, rest) = text.split_first()?;
    let byte = match byte {
        b'a' => 7,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 11,
        b'f' => 12,
        b'r' => b'\r',
        b'"' | b'\\' => *byte,
        b'0'..=b'3' => {
            let digits = text.get(..3)?;
            let octal =
                |value: u32, digit: &u8| char::from(*digit).to_digit(8).map(|digit| value * 8 + digit);
            let value = digits.iter().try_fold(0, octal)?;
            return Some((u8::try_from(value).ok()?, &text[3..]));
        }
        _ => return None,
    };
    Some((byte, rest))
}

/// The one name that `diff --git` gives twice, with another first component each time: nothing is between the two but a
/// space, and names have spaces, too.
///
/// # Errors
///
/// If the name leads out of the tree.
pub(super) fn twice(text: &[u8], strip: u32) -> Result<Option<String>, &'static str> {
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if let Some((left, rest)) = unquoted(text) {
        let right = rest.strip_prefix(b" ").unwrap_or(rest);
        let right = unquoted(right).map_or_else(|| right.to_vec(), |(right, _)| right);
        return the_same(&left, &right, strip);
    }
    for (at, _) in text.iter().enumerate().filter(|(_, byte)| **byte == b' ') {
        let (left, right) = (&text[..at], &text[at + 1..]);
        let right = unquoted(right).map_or_else(|| right.to_vec(), |(right, _)| right);
        // Both have the same length but for their first components; most places need no closer look.
        if let name @ Some(_) = the_same(left, &right, strip)? {
            return Ok(name);
        }
    }
    Ok(None)
}

fn the_same(left: &[u8], right: &[u8], strip: u32) -> Result<Option<String>, &'static str> {
    let tail = |name| std::str::from_utf8(name).ok().and_then(|name| stripped(name, strip));
    match (tail(left), tail(right)) {
        (Some(a), Some(b)) if a == b => placed(left, strip),
        _ => Ok(None),
    }
}

/// The one of two names that stands for a file which both name: the one with fewer components, then with the shorter
/// last one, then the shorter one, as GNU `patch` does.
pub(super) fn better<'n>(a: &'n str, b: &'n str) -> &'n str {
    let rank = |name: &str| (name.split('/').count(), name.rsplit('/').next().map(str::len), name.len());
    if rank(b) < rank(a) { b } else { a }
}
