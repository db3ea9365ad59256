//! Where two runs of bytes begin to differ, and what is there.

use std::{fs::File, io, os::unix::fs::FileExt};

use bootway_exec::Cancel;

use super::{
    CompareError, What,
    cause::{cause, cause_of_lines},
};

/// How much of two files is read at a time.
const CHUNK: u64 = 1 << 20;
/// How many bytes before and behind a difference are looked at for its cause.
const AROUND: usize = 160;
/// How many bytes of a difference are shown.
const SHOWN: usize = 48;

/// How many bytes `a` and `b` have in common from the beginning on.
pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).position(|(a, b)| a != b).unwrap_or_else(|| a.len().min(b.len()))
}

/// The first byte that differs of two stretches that begin at `starts` and have `sizes` bytes.
pub(super) fn first(
    files: &[File; 2],
    starts: [u64; 2],
    sizes: [u64; 2],
    cancel: &Cancel,
) -> Result<Option<u64>, CompareError> {
    let size = sizes[0].min(sizes[1]);
    let mut at = 0;
    while at < size {
        if cancel.is_cancelled() {
            return Err(CompareError::Cancelled);
        }
        let length = CHUNK.min(size - at);
        let a = window(&files[0], starts[0] + at, length)?;
        let b = window(&files[1], starts[1] + at, length)?;
        if a != b || a.len() as u64 != length {
            return Ok(Some(at + common(&a, &b) as u64));
        }
        at += length;
    }
    Ok((sizes[0] != sizes[1]).then_some(size))
}

/// `length` bytes from `start` on, fewer at the end of the file.
fn window(file: &File, start: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], start + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}

/// What two stretches of files have around the byte `at`, which is the first that differs.
pub(super) fn around(
    files: &[File; 2],
    starts: [u64; 2],
    sizes: [u64; 2],
    at: u64,
    part: Option<&str>,
) -> io::Result<What> {
    let before = at.min(AROUND as u64);
    let near = |n: usize| {
        let length = (2 * AROUND as u64).min((sizes[n] + before).saturating_sub(at));
        window(&files[n], starts[n] + at - before, length)
    };
    let (a, b) = (near(0)?, near(1)?);
    let before = before as usize;
    Ok(What::Content {
        at,
        a_size: sizes[0],
        b_size: sizes[1],
        differing: None,
        part: part.map(ToOwned::to_owned),
        a: excerpt(&a, before),
        b: excerpt(&b, before),
        cause: cause(&a, &b, before),
    })
}

/// What differs between `a` and `b`, of which `at` is the first byte that does, and which is in `part`.
pub(super) fn difference(a: &[u8], b: &[u8], at: usize, part: Option<String>) -> What {
    let differing = (a.len() == b.len()).then(|| a.iter().zip(b).filter(|(a, b)| a != b).count() as u64);
    let from = at.saturating_sub(AROUND);
    let near = |bytes: &[u8]| bytes[from.min(bytes.len())..(at + AROUND).min(bytes.len())].to_vec();
    let (near_a, near_b) = (near(a), near(b));
    let lines = is_text(a) && is_text(b);
    let part = part.or_else(|| lines.then(|| format!("line {}", line(&a[..at.min(a.len())]))));
    let of_lines = if lines { cause_of_lines(a, b) } else { None };
    What::Content {
        at: at as u64,
        a_size: a.len() as u64,
        b_size: b.len() as u64,
        differing,
        part,
        a: excerpt(&near_a, at - from),
        b: excerpt(&near_b, at - from),
        cause: of_lines.unwrap_or_else(|| cause(&near_a, &near_b, at - from)),
    }
}

/// The line that the byte behind `before` is in, from 1.
fn line(before: &[u8]) -> usize {
    before.split(|byte| *byte == b'\n').count()
}

/// Whether this is text and not the bytes of a program.
fn is_text(bytes: &[u8]) -> bool {
    !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok()
}

/// The word that byte `at` is in, or what there is in hexadecimal.
fn excerpt(bytes: &[u8], at: usize) -> String {
    if at >= bytes.len() {
        return "nothing".to_owned();
    }
    let (from, to) = printable(bytes, at);
    if to - from >= 4 {
        // The difference is to be seen, with as much before it as there is room for.
        let from = from.max(at.saturating_sub(SHOWN / 2));
        let to = to.min(from + SHOWN);
        return format!("`{}`", String::from_utf8_lossy(&bytes[from..to]));
    }
    let hex: Vec<_> = bytes[at..].iter().take(SHOWN / 3).map(|byte| format!("{byte:02x}")).collect();
    hex.join(" ")
}

/// The run of printable characters that byte `at` is in.
pub(super) fn printable(bytes: &[u8], at: usize) -> (usize, usize) {
    let is = |byte: &u8| (b' '..=b'~').contains(byte);
    let before = bytes[..at].iter().rev().take_while(|byte| is(byte)).count();
    let behind = bytes[at..].iter().take_while(|byte| is(byte)).count();
    if behind == 0 { (at, at) } else { (at - before, at + behind) }
}
