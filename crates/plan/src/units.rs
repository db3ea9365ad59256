//! Quantities that must not be mixed up.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A size in bytes.
///
/// Written in `plan.toml` as a whole number with a binary suffix, `"32MiB"`;
/// decimal suffixes such as `MB` are rejected because disk tools disagree on
/// what they mean.
///
/// ```
/// use bootway_plan::Bytes;
///
/// let kernel: Bytes = "32MiB".parse()?;
/// assert_eq!(kernel.get(), 32 * 1024 * 1024);
/// assert_eq!(kernel.to_string(), "32MiB");
/// # Ok::<(), bootway_plan::ParseBytesError>(())
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Bytes(u64);

/// Suffixes from large to small, so that the first exact divisor prints best.
const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Bytes {
    /// A size of `n` bytes.
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Rounded to three digits for people: `812 MiB`, `1.46 GiB`.
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    pub fn human(self) -> String {
        let (suffix, unit) = UNITS.iter().find(|(_, unit)| self.0 >= *unit).unwrap_or(&("B", 1));
        let value = self.0 as f64 / *unit as f64;
        let digits = if *unit == 1 || value >= 99.95 {
            0
        } else if value >= 9.995 {
            1
        } else {
            2
        };
        let text = format!("{value:.digits$}");
        let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        format!("{text} {suffix}")
    }

    /// The next multiple of `align`, or `None` past 2⁶⁴.
    ///
    /// # Panics
    ///
    /// If `align` is zero.
    pub fn round_up(self, align: Self) -> Option<Self> {
        self.0.checked_next_multiple_of(align.0).map(Self)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS.iter().find(|(_, unit)| self.0 != 0 && self.0.is_multiple_of(*unit));
        let (suffix, unit) = exact.unwrap_or(&("B", 1));
        write!(f, "{}{suffix}", self.0 / unit)
    }
}

impl FromStr for Bytes {
    type Err = ParseBytesError;

    fn from_str(text: &str) -> Result<Self, ParseBytesError> {
        let invalid = || ParseBytesError { text: text.to_owned() };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = text.split_at(digits);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == suffix).ok_or_else(invalid)?;
        let number: u64 = number.parse().map_err(|_| invalid())?;
        number.checked_mul(*unit).map(Self).ok_or_else(invalid)
    }
}

impl TryFrom<String> for Bytes {
    type Error = ParseBytesError;

    fn try_from(text: String) -> Result<Self, ParseBytesError> {
        text.parse()
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        bytes.to_string()
    }
}

/// The text is not a size this workspace accepts.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is not a size: write a whole number and B, KiB, MiB or GiB, such as `32MiB`")]
pub struct ParseBytesError {
    text: String,
}

/// A span of time in milliseconds.
///
/// Written as a whole number and `ms`, `s`, `min` or `h`: `"120s"`.
///
/// ```
/// use bootway_plan::Millis;
///
/// let limit: Millis = "120s".parse()?;
/// assert_eq!(limit.get(), 120_000);
/// assert_eq!(limit.to_string(), "2min");
/// # Ok::<(), bootway_plan::ParseMillisError>(())
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Millis(u64);

/// Suffixes from large to small, so that the first exact divisor prints best.
const SPANS: [(&str, u64); 4] = [("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];

impl Millis {
    /// A span of `n` milliseconds.
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// The number of milliseconds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// As the standard library has it.
    pub const fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SPANS.iter().find(|(_, unit)| self.0 != 0 && self.0.is_multiple_of(*unit));
        let (suffix, unit) = exact.unwrap_or(&("s", 1000));
        write!(f, "{}{suffix}", self.0 / unit)
    }
}

impl FromStr for Millis {
    type Err = ParseMillisError;

    fn from_str(text: &str) -> Result<Self, ParseMillisError> {
        let invalid = || ParseMillisError { text: text.to_owned() };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = text.split_at(digits);
        let (_, unit) = SPANS.iter().find(|(name, _)| *name == suffix).ok_or_else(invalid)?;
        let number: u64 = number.parse().map_err(|_| invalid())?;
        number.checked_mul(*unit).map(Self).ok_or_else(invalid)
    }
}

impl TryFrom<String> for Millis {
    type Error = ParseMillisError;

    fn try_from(text: String) -> Result<Self, ParseMillisError> {
        text.parse()
    }
}

impl From<Millis> for String {
    fn from(span: Millis) -> Self {
        span.to_string()
    }
}

/// The text is not a span of time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is not a span of time: write a whole number and ms, s, min or h, such as `120s`")]
pub struct ParseMillisError {
    text: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn printing_then_parsing_is_identity(n: u64) {
            let bytes = Bytes::new(n);
            prop_assert_eq!(bytes.to_string().parse(), Ok(bytes));
            let span = Millis::new(n);
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }
    }

    #[test]
    fn rejects_what_disk_tools_disagree_on() {
        for text in ["", "MiB", "1MB", "1.5MiB", "-1B", "1 MiB", "17179869184GiB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text:?} parsed");
        }
    }
}
