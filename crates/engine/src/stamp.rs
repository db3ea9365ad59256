//! Proof that what a step made is still good.

use std::{collections::BTreeMap, io};

use bootway_plan::{Artifact, ArtifactKind, Digest, EntryKind, EventKind, Manifest, OutputName};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::{
    digests::{Digests, Listing},
    key::Key,
};

/// What was made from what; `stamp.json` beside the outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Stamp {
    /// Of this file: 1.
    pub(crate) format: u32,
    /// What the outputs depend on.
    pub(crate) key: Key,
    /// The outputs; paths are relative to the directory of the stamp.
    pub(crate) artifacts: Vec<Artifact>,
    /// How many checks passed, for steps that are there for their verdict.
    pub(crate) checks_passed: u32,
}

const FILE: &str = "stamp.json";
const LISTINGS: &str = "inputs.json";
const TOLD: &str = "told.json";

impl Stamp {
    /// Reads the stamp of the outputs in `dir`; one that cannot be read is as good as none.
    pub(crate) fn read(dir: &Utf8Path) -> Option<Self> {
        let text = fs_err::read(dir.join(FILE)).ok()?;
        serde_json::from_slice(&text).ok().filter(|stamp: &Self| stamp.format == 1)
    }

    /// Writes the stamp into `dir`, and what was in the paths that were read.
    pub(crate) fn write(&self, dir: &Utf8Path, listings: &BTreeMap<String, Listing>) -> io::Result<()> {
        fs_err::write(dir.join(LISTINGS), serde_json::to_vec(listings)?)?;
        fs_err::write(dir.join(FILE), serde_json::to_vec_pretty(self)?)
    }

    /// What was in the paths that were read.
    pub(crate) fn listings(dir: &Utf8Path) -> BTreeMap<String, Listing> {
        let text = fs_err::read(dir.join(LISTINGS)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Writes what was found out into `dir`: it is as true of the outputs when they are not made again.
    pub(crate) fn write_told(dir: &Utf8Path, told: &[EventKind]) -> io::Result<()> {
        if told.is_empty() {
            return Ok(());
        }
        fs_err::write(dir.join(TOLD), serde_json::to_vec(told)?)
    }

    /// What was found out when the outputs in `dir` were made.
    pub(crate) fn told(dir: &Utf8Path) -> Vec<EventKind> {
        let text = fs_err::read(dir.join(TOLD)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// The outputs with their paths below `dir`.
    pub(crate) fn artifacts_in(&self, dir: &Utf8Path) -> Vec<Artifact> {
        let place = |artifact: &Artifact| Artifact { path: dir.join(&artifact.path), ..artifact.clone() };
        self.artifacts.iter().map(place).collect()
    }

    /// Whether every output in `dir` is what it was; if not, which is not and why.
    pub(crate) fn verify(&self, dir: &Utf8Path, digests: &Digests) -> Result<(), String> {
        for artifact in self.artifacts_in(dir) {
            let now = digest_of(artifact.kind, &artifact.path, digests, Manifested::Earlier);
            match now {
                Ok((digest, _)) if digest == artifact.digest => (),
                Ok(_) => return Err(format!("output `{}` is not what was made", artifact.output)),
                Err(error) => return Err(format!("output `{}` cannot be read: {error}", artifact.output)),
            }
        }
        Ok(())
    }
}

/// When a manifest was made of the files where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manifested {
    /// A moment ago, by reading all of them: to read them again would say nothing new.
    Now,
    /// In another run, or while they were written.
    Earlier,
}

/// The digest and the size of an output: of a file's bytes; of a tree's manifest, when the files are what it says.
fn digest_of(
    kind: ArtifactKind,
    path: &Utf8Path,
    digests: &Digests,
    when: Manifested,
) -> io::Result<(Digest, u64)> {
    if kind != ArtifactKind::Tree {
        return Ok((digests.file(path)?, fs_err::metadata(path)?.len()));
    }
    let manifest_path = Utf8PathBuf::from(format!("{path}.manifest"));
    let text = fs_err::read_to_string(&manifest_path)?;
    let manifest = Manifest::from_text(&text).map_err(io::Error::other)?;
    for (name, entry) in &manifest.entries {
        let file = path.join(name.as_str());
        let EntryKind::File { digest, size } = &entry.kind else { continue };
        let agrees = match when {
            Manifested::Now => digests.learn(&file, *digest)? == *size,
            Manifested::Earlier => digests.file(&file)? == *digest,
        };
        if !agrees {
            return Err(io::Error::other(format!("`{file}` is not what its manifest says")));
        }
    }
    Ok((Digest::of(text.as_bytes()), manifest.content_size()))
}

/// An output that was verified and digested, its path relative to the directory of the stamp.
pub(crate) fn artifact(
    output: &OutputName,
    kind: ArtifactKind,
    dir: &Utf8Path,
    file: &str,
    digests: &Digests,
    when: Manifested,
) -> io::Result<Artifact> {
    let (digest, size) = digest_of(kind, &dir.join(file), digests, when)?;
    Ok(Artifact {
        output: output.clone(),
        kind,
        path: file.into(),
        size: bootway_plan::Bytes::new(size),
        digest,
    })
}
