//! Where a step takes something from: another step's output, or a path.

use std::{fmt, str::FromStr};

use camino::Utf8PathBuf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{OutputName, StepId};

/// One output of a step: `shim/kernel`, or `disk` for the output that a step is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputRef {
    /// The step.
    pub step: StepId,
    /// Its output; `None` is the first one that the step's kind declares.
    pub output: Option<OutputName>,
}

/// Something a step reads.
///
/// Written `step`, `step/output`, or as a path that begins with `./`, `../` or `/`; relative paths start at the
/// plan's directory. Behind a colon, the place of one file inside a tree: `packages:boot/vmlinuz-*`, where the
/// pattern must match exactly one file.
///
/// ```
/// use bootway_plan::Source;
///
/// let source: Source = "packages/tree:boot/vmlinuz-*".parse()?;
/// assert!(matches!(source, Source::Output { inside: Some(_), .. }));
/// assert_eq!(source.to_string(), "packages/tree:boot/vmlinuz-*");
/// # Ok::<(), bootway_plan::InvalidReference>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Source {
    /// What a step made.
    Output {
        /// Which output of which step.
        of: OutputRef,
        /// One file in it, if it is a tree.
        inside: Option<String>,
    },
    /// A file or directory that is there before the run.
    Path {
        /// Relative to the plan's directory.
        path: Utf8PathBuf,
        /// One file in it, if it is a directory.
        inside: Option<String>,
    },
}

impl Source {
    /// The output it refers to, if it does.
    pub fn output(&self) -> Option<&OutputRef> {
        match self {
            Self::Output { of, .. } => Some(of),
            Self::Path { .. } => None,
        }
    }

    /// The pattern of one file inside a tree, if there is one.
    pub fn inside(&self) -> Option<&str> {
        match self {
            Self::Output { inside, .. } | Self::Path { inside, .. } => inside.as_deref(),
        }
    }

    /// The same without the file inside: the whole tree.
    #[must_use]
    pub fn whole(&self) -> Self {
        match self {
            Self::Output { of, .. } => Self::Output { of: of.clone(), inside: None },
            Self::Path { path, .. } => Self::Path { path: path.clone(), inside: None },
        }
    }
}

impl fmt::Display for OutputRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.output {
            Some(output) => write!(f, "{}/{output}", self.step),
            None => write!(f, "{}", self.step),
        }
    }
}

impl FromStr for OutputRef {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let invalid = |_| InvalidReference { text: text.to_owned() };
        let (step, output) = match text.split_once('/') {
            Some((step, output)) => (step, Some(output)),
            None => (text, None),
        };
        Ok(Self {
            step: step.parse().map_err(invalid)?,
            output: output.map(str::parse).transpose().map_err(invalid)?,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output { of, .. } => of.fmt(f)?,
            Self::Path { path, .. } => path.fmt(f)?,
        }
        self.inside().map_or(Ok(()), |inside| write!(f, ":{inside}"))
    }
}

impl FromStr for Source {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let (whole, inside) = match text.split_once(':') {
            Some((whole, inside)) if !inside.is_empty() => (whole, Some(inside.to_owned())),
            Some(_) => return Err(InvalidReference { text: text.to_owned() }),
            None => (text, None),
        };
        if whole == "." || whole == ".." || ["./", "../", "/"].iter().any(|start| whole.starts_with(start)) {
            Ok(Self::Path { path: whole.into(), inside })
        } else {
            let of = whole.parse().map_err(|_| InvalidReference { text: text.to_owned() })?;
            Ok(Self::Output { of, inside })
        }
    }
}

impl TryFrom<String> for Source {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

/// The text names neither an output nor a path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{text}` is neither an output nor a path: write `step`, `step/output`, or a path that begins with `./` or `/`"
)]
pub struct InvalidReference {
    text: String,
}
