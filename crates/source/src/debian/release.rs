//! The signed root of a Debian archive: its `Release` file.
//!
//! Source: <https://wiki.debian.org/DebianRepository/Format>.

use std::collections::BTreeMap;

use bootway_exec::{Cmd, Tool};
use bootway_plan::Digest;
use camino::Utf8Path;

use super::suite::Suite;

/// Of a `Release` file, which lists every index of a suite: Debian's own have 150 KB.
pub(crate) const LARGEST: u64 = 16 << 20;

/// What a `Release` file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) suite: String,
    pub(crate) codename: String,
    pub(crate) components: Vec<String>,
    pub(crate) architectures: Vec<String>,
    /// As `YYYYMMDDTHHMMSSZ`, if it can be read.
    pub(crate) date: Option<String>,
    pub(crate) by_hash: bool,
    /// Digest and size of each index, by path from the suite's directory.
    pub(crate) files: BTreeMap<String, (Digest, u64)>,
}

/// What to type to verify `InRelease` in `scratch`, and to write what is signed to `Release` beside it.
pub(crate) fn verify(scratch: &Utf8Path, keyring: &Utf8Path) -> Cmd {
    Cmd::new(Tool::Gpgv)
        .args(["--keyring", keyring.as_str()])
        .args(["--output", scratch.join("Release").as_str()])
        .arg(scratch.join("InRelease"))
}

impl Release {
    /// Reads the text of a `Release` file.
    pub(crate) fn parse(text: &str) -> Self {
        let mut release = Self::default();
        let mut list = "";
        for line in text.lines() {
            if let Some(entry) = line.strip_prefix(' ') {
                if list == "SHA256" {
                    release.add(entry);
                }
                continue;
            }
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            let words = || value.split_whitespace().map(str::to_owned).collect();
            list = key;
            match key {
                "Suite" => value.clone_into(&mut release.suite),
                "Codename" => value.clone_into(&mut release.codename),
                "Components" => release.components = words(),
                "Architectures" => release.architectures = words(),
                "Date" => release.date = timestamp(value),
                "Acquire-By-Hash" => release.by_hash = value == "yes",
                _ => {}
            }
        }
        release
    }

    fn add(&mut self, entry: &str) {
        let mut words = entry.split_whitespace();
        let digest = words.next().and_then(|text| text.parse().ok());
        let size = words.next().and_then(|text| text.parse().ok());
        if let (Some(digest), Some(size), Some(path), None) = (digest, size, words.next(), words.next()) {
            self.files.insert(path.to_owned(), (digest, size));
        }
    }

    /// Why this is not the release that `suite` asks for, if it is not.
    pub(crate) fn objection(&self, suite: &Suite<'_>) -> Option<String> {
        if suite.name != self.suite && suite.name != self.codename {
            return Some(format!(
                "it is of suite `{}` (`{}`), not `{}`",
                self.suite, self.codename, suite.name
            ));
        }
        let without = |component: &&String| {
            !self.components.iter().any(|there| there.rsplit('/').next() == Some(component))
        };
        if let Some(component) = suite.components.iter().find(without) {
            return Some(format!("it has no component `{component}`, only {}", quoted(&self.components)));
        }
        let arch = suite.arch.filter(|arch| !self.architectures.iter().any(|there| there == *arch))?;
        Some(format!("it has nothing for `{arch}`, only for {}", quoted(&self.architectures)))
    }
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// `Sat, 11 Jul 2026 09:34:13 UTC` as `20260711T093413Z`.
fn timestamp(date: &str) -> Option<String> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = date.split_whitespace().collect();
    let [_, day, month, year, time, "UTC" | "GMT" | "+0000"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let day: u8 = day.parse().ok()?;
    let year: u16 = year.parse().ok()?;
    let time = time.replace(':', "");
    (time.len() == 6 && time.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| format!("{year:04}{month:02}{day:02}T{time}Z"))
}
