//! SHA-256 as Nix writes it: `sha256:` and 52 digits of its own base 32, 64 hexadecimal digits, or SRI.

use bootway_plan::Digest;

/// The digits of Nix's base 32: no `e`, `o`, `t`, `u`.
pub(super) const NIX32: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Digits of 32 bytes.
const DIGITS: usize = 52;

/// `sha256:` and 52 digits: what every Nix reads, and what `closureInfo` writes.
pub(super) fn nix32(digest: &Digest) -> String {
    let bytes = digest.bytes();
    // Digit n has bits 5n to 5n + 4, bit 0 being the lowest of byte 0; the highest digit is written first.
    let digit = |n: usize| {
        let (byte, shift) = (n * 5 / 8, n * 5 % 8);
        let high = bytes.get(byte + 1).copied().unwrap_or(0);
        let pair = u16::from(bytes[byte]) | u16::from(high) << 8;
        char::from(NIX32[usize::from(pair >> shift & 31)])
    };
    "sha256:".chars().chain((0..DIGITS).rev().map(digit)).collect()
}

/// Reads any of the three.
pub(super) fn parse(text: &str) -> Option<Digest> {
    if let Some(sri) = text.strip_prefix("sha256-") {
        return from_base64(sri);
    }
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    match digits.len() {
        DIGITS => from_nix32(digits),
        64 => digits.parse().ok(),
        44 => from_base64(digits),
        _ => None,
    }
}

fn from_nix32(digits: &str) -> Option<Digest> {
    let mut bytes = [0_u8; 32];
    for (n, digit) in digits.bytes().rev().enumerate() {
        let value = u16::try_from(NIX32.iter().position(|it| *it == digit)?).ok()?;
        let (byte, shift) = (n * 5 / 8, n * 5 % 8);
        let [low, high] = (value << shift).to_le_bytes();
        bytes[byte] |= low;
        match bytes.get_mut(byte + 1) {
            Some(next) => *next |= high,
            None if high != 0 => return None,
            None => (),
        }
    }
    digest(&bytes)
}

fn from_base64(text: &str) -> Option<Digest> {
    let digits = text.strip_suffix('=')?;
    let mut bytes = Vec::with_capacity(33);
    let (mut bits, mut held) = (0_u32, 0);
    for digit in digits.bytes() {
        let value = u32::try_from(BASE64.iter().position(|it| *it == digit)?).ok()?;
        bits = (bits << 6 | value) & 0xfff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    // The last digit's spare bits are zero, as in every text that an encoder wrote.
    (bits & ((1 << held) - 1) == 0).then_some(())?;
    digest(&bytes)
}

fn digest(bytes: &[u8]) -> Option<Digest> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_ways_to_write_it_are_one_hash() {
        // nix-hash --type sha256 --flat --base32, --base16 and --sri of the three bytes `abc`.
        let digest = Digest::of(b"abc");
        assert_eq!(nix32(&digest), "sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s");
        for text in [
            "sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
        ] {
            assert_eq!(parse(text), Some(digest), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes: [u8; 8]) {
            let digest = Digest::of(&bytes);
            prop_assert_eq!(parse(&nix32(&digest)), Some(digest));
        }

        #[test]
        fn no_text_makes_it_panic(text in "(sha256[:-])?[0-9a-zA-Z+/=]{0,70}") {
            parse(&text);
        }
    }
}
