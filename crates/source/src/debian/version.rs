//! The order of Debian versions.

use std::cmp::Ordering;

/// Compares two versions: `[epoch:]upstream[-revision]`.
///
/// Source: Debian Policy Manual 4.6, section 5.6.12, and deb-version(7).
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::of(a), Parts::of(b));
    a.epoch
        .cmp(&b.epoch)
        .then_with(|| compare_part(a.upstream, b.upstream))
        .then_with(|| compare_part(a.revision, b.revision))
}

struct Parts<'a> {
    epoch: u64,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Parts<'a> {
    fn of(version: &'a str) -> Self {
        let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self { epoch: epoch.parse().unwrap_or(0), upstream, revision }
    }
}

/// Compares by turns a run of other characters and a run of digits.
fn compare_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        let (text_a, text_b) =
            (run(&mut a, |byte| !byte.is_ascii_digit()), run(&mut b, |byte| !byte.is_ascii_digit()));
        // `~` sorts before the end, the end before letters, letters before the rest.
        let weights = |text: &[u8]| text.iter().map(|byte| weight(*byte)).chain([0]).collect::<Vec<_>>();
        let order = weights(text_a).cmp(&weights(text_b));
        if order != Ordering::Equal {
            return order;
        }
        let (digits_a, digits_b) = (run(&mut a, u8::is_ascii_digit), run(&mut b, u8::is_ascii_digit));
        let (digits_a, digits_b) = (without_zeros(digits_a), without_zeros(digits_b));
        let order = digits_a.len().cmp(&digits_b.len()).then_with(|| digits_a.cmp(digits_b));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn weight(byte: u8) -> i32 {
    match byte {
        b'~' => -1,
        b'a'..=b'z' | b'A'..=b'Z' => i32::from(byte),
        _ => i32::from(byte) + 256,
    }
}

fn run<'a>(text: &mut &'a [u8], wanted: impl Fn(&u8) -> bool) -> &'a [u8] {
    let end = text.iter().position(|byte| !wanted(byte)).unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    run
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let start = digits.iter().position(|byte| *byte != b'0').unwrap_or(digits.len());
    &digits[start..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sorts_as_policy_says() {
        let sorted = [
            "1~~",
            "1~~a",
            "1~",
            "1",
            "1-0+b1",
            "1-1",
            "1a",
            "1+",
            "1.0~rc1-1",
            "1.0-1~bpo12+1",
            "1.0-1",
            "1.0-1.1",
            "1.2",
            "1.10",
            "6.1.0-9",
            "6.1.0-10",
            "1:0.1",
        ];
        for (n, a) in sorted.iter().enumerate() {
            for (m, b) in sorted.iter().enumerate() {
                assert_eq!(compare(a, b), n.cmp(&m), "{a} and {b}");
            }
        }
    }

    proptest! {
        #[test]
        fn is_an_order(a in "[0-9a-z.~+:-]{0,12}", b in "[0-9a-z.~+:-]{0,12}", c in "[0-9a-z.~+:-]{0,12}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
        }
    }
}
