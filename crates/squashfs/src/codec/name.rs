//! Names and levels of compressors, as people write them.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use thiserror::Error;

use super::{Bcj, Compressor};

/// The names of all compressors.
const NAMES: [&str; 4] = ["gzip", "zstd", "xz", "lz4"];

impl Compressor {
    /// The name, and the level if it is not the usual one: what `-comp` and `-Xcompression-level` say.
    ///
    /// Usual are 6 for gzip and xz, 15 for zstd; lz4 has none, its slow way is the name `lz4hc`.
    ///
    /// # Errors
    ///
    /// If there is no such compressor, or it has no such level.
    pub fn parse(name: &str, level: Option<i64>) -> Result<Self, BadCompressor> {
        let usual = match name {
            "gzip" => Self::Gzip { level: 6 },
            "zstd" => Self::Zstd { level: 15 },
            "xz" => Self::Xz { level: 6, bcj: None },
            "lz4" => Self::Lz4 { high: false },
            "lz4hc" => Self::Lz4 { high: true },
            _ => return Err(BadCompressor::Name { name: name.into() }),
        };
        level.map_or(Ok(usual), |level| usual.with_level(level))
    }

    /// The same compressor at another level.
    ///
    /// # Errors
    ///
    /// If it has no such level.
    pub fn with_level(self, level: i64) -> Result<Self, BadCompressor> {
        let bad = || BadCompressor::Level { compressor: self.name(), level, levels: self.levels() };
        let level = u8::try_from(level).map_err(|_| bad())?;
        if !self.levels().is_some_and(|levels| levels.contains(&level)) {
            return Err(bad());
        }
        Ok(match self {
            Self::Gzip { .. } => Self::Gzip { level },
            Self::Zstd { .. } => Self::Zstd { level },
            Self::Xz { bcj, .. } => Self::Xz { level, bcj },
            Self::Lz4 { .. } => self,
        })
    }

    /// Its name in the format, whatever the level.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip { .. } => "gzip",
            Self::Zstd { .. } => "zstd",
            Self::Xz { .. } => "xz",
            Self::Lz4 { .. } => "lz4",
        }
    }

    /// How hard it tries, if that is a number.
    pub const fn level(self) -> Option<u8> {
        match self {
            Self::Gzip { level } | Self::Zstd { level } | Self::Xz { level, .. } => Some(level),
            Self::Lz4 { .. } => None,
        }
    }

    /// The levels that it has.
    pub const fn levels(self) -> Option<RangeInclusive<u8>> {
        match self {
            Self::Gzip { .. } => Some(1..=12),
            Self::Zstd { .. } => Some(1..=22),
            Self::Xz { .. } => Some(0..=9),
            Self::Lz4 { .. } => None,
        }
    }

    /// A level can be anything when the variant was written by hand.
    pub(crate) fn check(self) -> Result<(), BadCompressor> {
        self.level().map_or(Ok(()), |level| self.with_level(level.into()).map(|_| ()))
    }
}

impl fmt::Display for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Gzip { level } | Self::Zstd { level } | Self::Xz { level, bcj: None } => {
                write!(f, "-{level}")
            }
            Self::Xz { level, bcj: Some(bcj) } => write!(f, "-{level}+{bcj}"),
            Self::Lz4 { high: true } => f.write_str("hc"),
            Self::Lz4 { high: false } => Ok(()),
        }
    }
}

impl FromStr for Compressor {
    type Err = BadCompressor;

    /// `zstd`, `zstd-19`, `xz-6+x86`, `lz4hc`.
    fn from_str(text: &str) -> Result<Self, BadCompressor> {
        let bad = || BadCompressor::Name { name: text.into() };
        let (text_of_it, bcj) = match text.split_once('+') {
            Some((rest, bcj)) => (rest, Some(bcj.parse::<Bcj>()?)),
            None => (text, None),
        };
        let (name, level) = match text_of_it.split_once('-') {
            Some((name, level)) => (name, Some(level.parse().map_err(|_| bad())?)),
            None => (text_of_it, None),
        };
        match (Self::parse(name, level)?, bcj) {
            (compressor, None) => Ok(compressor),
            (Self::Xz { level, .. }, bcj) => Ok(Self::Xz { level, bcj }),
            _ => Err(bad()),
        }
    }
}

/// There is no such compressor, or it cannot be set so.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadCompressor {
    /// No compressor has that name.
    #[error("there is no compressor `{name}`: write one of {}, with a level such as `zstd-15` if you like", list(&NAMES))]
    Name {
        /// As it was asked for.
        name: Box<str>,
    },
    /// It has no such level.
    #[error("{compressor} has no level `{level}`: {}", levels.as_ref().map_or_else(
        || "it has none at all; its slow and smaller way is `lz4hc`".to_owned(),
        |levels| format!("take one from {} to {}", levels.start(), levels.end()),
    ))]
    Level {
        /// The compressor's name.
        compressor: &'static str,
        /// As it was asked for.
        level: i64,
        /// The levels that it has.
        levels: Option<RangeInclusive<u8>>,
    },
    /// xz has no such filter.
    #[error("xz has no filter `{name}`: write one of {}", list(&Bcj::ALL.map(Bcj::name)))]
    Filter {
        /// As it was asked for.
        name: Box<str>,
    },
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
