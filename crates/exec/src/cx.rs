//! What every step is given.

use std::{collections::BTreeMap, time::Duration};

use bootway_plan::{ArtifactKind, Bytes, Class, Digest, EventKind, Explain, Inside, OutputName, Source};
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use crate::{Cancel, Runner};

/// The context of one step; passed first, by reference, everywhere.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "holds a closure")]
pub struct Cx<'a> {
    /// Starts programs.
    pub runner: &'a dyn Runner,
    /// Says what happened; the engine adds the step and the time.
    pub emit: &'a (dyn Fn(EventKind) + Sync),
    /// Whether to stop.
    pub cancel: &'a Cancel,
    /// An empty directory that is the step's own, removed when it ends well.
    pub scratch: &'a Utf8Path,
    /// Where outputs are written; the engine moves them into place when the step has ended well.
    pub out: &'a Utf8Path,
    /// Where [`Cx::out`] will be then; what a program must be told by its final name is told this one.
    pub placed: &'a Utf8Path,
    /// Where a step puts what is worth looking at afterwards, such as pictures of a screen: it stays with the run. Made by
    /// whoever writes there first.
    pub kept: &'a Utf8Path,
    /// The directory of the plan; paths in a plan start here.
    pub plan_dir: &'a Utf8Path,
    /// Files by content, kept between runs and shared between plans; a step that uses it verifies what it finds.
    pub cache: &'a Utf8Path,
    /// What the step reads, by how the plan names it.
    pub inputs: &'a Inputs,
    /// The root that the step runs in, if it has one.
    pub inside: Option<&'a Inside>,
    /// The program that enters a root, and its first arguments: this one, as a rule.
    pub helper: &'a [String],
    /// Seconds since 1970-01-01 UTC to stamp on everything.
    pub epoch: u64,
    /// Environment of the step, for the programs that a plan names.
    pub env: &'a BTreeMap<String, String>,
    /// Values that must not be shown.
    pub secrets: &'a [String],
    /// How long the step may take, if it is limited.
    pub limit: Option<Duration>,
    /// How long a program may be silent before there is a heartbeat.
    pub silent_warn: Duration,
    /// Processors that the step may use.
    pub jobs: usize,
}

/// What a step reads, by how the plan names it.
pub type Inputs = BTreeMap<Source, Input>;

/// A file or directory that a step reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Where it is.
    pub path: Utf8PathBuf,
    /// What it is; a tree that is an artifact has its manifest beside it, at `PATH.manifest`.
    pub kind: ArtifactKind,
    /// Of a file's bytes or of a tree's manifest.
    pub digest: Digest,
    /// Bytes of the file, or of all files of the tree.
    pub size: Bytes,
    /// Whether a step made it, so that it has a manifest and is not written to by anybody.
    pub made: bool,
}

/// Something that a step wrote below [`Cx::out`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Which output it is.
    pub name: OutputName,
    /// What it is said to be; the engine verifies that.
    pub kind: ArtifactKind,
    /// Where it is.
    pub path: Utf8PathBuf,
}

impl Cx<'_> {
    /// What the plan calls `source`.
    ///
    /// # Errors
    ///
    /// If the engine did not provide it, which is a bug.
    pub fn input(&self, source: &Source) -> Result<&Input, MissingInput> {
        self.inputs.get(source).ok_or_else(|| MissingInput { source_name: source.clone() })
    }

    /// Says a fact in a sentence.
    pub fn note(&self, text: impl Into<String>) {
        (self.emit)(EventKind::Note { text: text.into() });
    }
}

/// A step asked for something that is not among its inputs.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{source_name}` is not among the inputs of this step: this is a bug of bootway")]
pub struct MissingInput {
    source_name: Source,
}

impl Explain for MissingInput {
    fn class(&self) -> Class {
        Class::Bug
    }
}
