//! Which Nix this is.

use std::fmt;

use bootway_exec::{Cmd, Tool, run};
use thiserror::Error;

use crate::{Nix, call::CallError};

/// Which Nix this is, as `nix --version` says: `nix (Nix) 2.8.0`, `nix (Lix, like Nix) 2.93.0`,
/// `nix (Determinate Nix 3.11.2) 2.31.1`.
///
/// Shapes of answers are told apart by what is in them, and only a few words of the command line need the number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Who made it.
    pub family: Family,
    /// Major, minor and patch number; of Determinate Nix those of the Nix it follows.
    pub number: [u32; 3],
    /// What it said.
    pub text: String,
}

/// Who made a Nix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The original.
    Nix,
    /// Lix.
    Lix,
    /// Determinate Nix.
    Determinate,
}

/// `nix --version` said something else.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not how a version of Nix looks: `nix (Nix) 2.8.0` is")]
pub struct InvalidVersion(String);

impl Version {
    /// Asks.
    ///
    /// # Errors
    ///
    /// If Nix is not there, or says something that is no version.
    pub fn ask(nix: &Nix<'_>) -> Result<Self, CallError> {
        let cmd = nix.cx.env.iter().fold(Cmd::new(Tool::Nix), |cmd, (name, value)| cmd.env(name, value));
        let cmd = cmd.arg("--version");
        let printed = run(&nix.cx, &cmd)?.stdout;
        let text = String::from_utf8_lossy(&printed);
        text.trim().parse().map_err(|error: InvalidVersion| CallError::Refused {
            cmd: cmd.to_string(),
            exit: bootway_exec::Exit::Code(0),
            complaint: error.to_string(),
        })
    }

    /// Whether it is `major.minor` or newer; of Lix, which counts on from Nix 2.18 by itself, whether its own number is.
    pub fn is_at_least(&self, major: u32, minor: u32) -> bool {
        [self.number[0], self.number[1]] >= [major, minor]
    }

    /// The words that show derivations: renamed in Nix 2.15.
    pub(crate) fn show_derivation(&self) -> &'static [&'static str] {
        if self.is_at_least(2, 15) { &["derivation", "show"] } else { &["show-derivation"] }
    }
}

impl std::str::FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let invalid = || InvalidVersion(text.to_owned());
        let text = text.lines().find(|line| line.contains(") ")).ok_or_else(invalid)?.trim();
        let (who, number) = text.rsplit_once(") ").ok_or_else(invalid)?;
        let family = if who.contains("Determinate") {
            Family::Determinate
        } else if who.contains("Lix") {
            Family::Lix
        } else if who.contains("Nix") {
            Family::Nix
        } else {
            return Err(invalid());
        };
        // `2.19.0pre20231115_5a0b24a`, `2.94.0-dev`, `2.26`.
        let mut numbers = [0; 3];
        let mut parts = number.split('.');
        for place in &mut numbers {
            let Some(part) = parts.next() else { break };
            let digits = part.find(|c: char| !c.is_ascii_digit()).map_or(part, |end| &part[..end]);
            *place = digits.parse().map_err(|_| invalid())?;
        }
        Ok(Self { family, number: numbers, text: text.to_owned() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_known_by_its_text() {
        let of = |text: &str| text.parse::<Version>().map(|it| (it.family, it.number));
        assert_eq!(of("nix (Nix) 2.8.0"), Ok((Family::Nix, [2, 8, 0])));
        assert_eq!(of("nix (Nix) 2.34.8+1"), Ok((Family::Nix, [2, 34, 8])));
        assert_eq!(of("nix (Nix) 2.19.0pre20231115_5a0b24a"), Ok((Family::Nix, [2, 19, 0])));
        assert_eq!(of("nix (Lix, like Nix) 2.93.3"), Ok((Family::Lix, [2, 93, 3])));
        assert_eq!(of("nix (Lix, like Nix) 2.96.0-dev-pre"), Ok((Family::Lix, [2, 96, 0])));
        assert_eq!(of("nix (Determinate Nix 3.11.2) 2.31.1"), Ok((Family::Determinate, [2, 31, 1])));
        insta::assert_snapshot!(of("guix 1.4").unwrap_err(), @"`guix 1.4` is not how a version of Nix looks: `nix (Nix) 2.8.0` is");
        assert!(of("nix (Nix) two").is_err());
    }

    #[test]
    fn nine_is_older_than_ten() {
        let old: Version = "nix (Nix) 2.9.2".parse().unwrap();
        assert!(old.is_at_least(2, 8) && !old.is_at_least(2, 15));
        assert_eq!(old.show_derivation(), ["show-derivation"]);
    }
}
