//! What a step reads: outputs of other steps, and paths.

use std::{collections::BTreeMap, io};

use bootway_exec::{Input, Inputs};
use bootway_plan::{
    Action, Artifact, ArtifactKind, Class, Digest, EntryKind, Explain, Failure, InvalidManifest, Manifest,
    Source, Step, StepId, TreePath, step::Owners,
};
use camino::{Utf8Path, Utf8PathBuf};
use globset::GlobBuilder;
use thiserror::Error;

use crate::{
    Loaded, Work,
    digests::{Digests, Listing},
};

/// Everything a step reads.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// By how the plan names it.
    pub(crate) inputs: Inputs,
    /// What is in the paths, to say later which file has changed.
    pub(crate) listings: BTreeMap<String, Listing>,
    /// What the attribute of a `nix-build` evaluates to.
    pub(crate) evaluated: Option<bootway_nix::Evaluated>,
}

/// Outputs of the steps that are done, by step.
pub(crate) type Made = BTreeMap<StepId, Vec<Artifact>>;

/// Where the file of a `source` with a pattern is linked to, `number` counting the step's inputs from 1.
///
/// The same in every run, so that command lines are known beforehand.
pub(crate) fn linked(work: &Work, step: &StepId, number: usize) -> Utf8PathBuf {
    work.scratch(step).join("in").join(number.to_string())
}

/// Finds everything `step` reads.
pub(crate) fn gather(
    step: &Step,
    loaded: &Loaded,
    work: &Work,
    digests: &Digests,
    made: &Made,
) -> Result<Gathered, Failure> {
    let mut gathered = Gathered::default();
    for (source, number) in step.inputs().into_iter().zip(1..) {
        let found = match &source {
            Source::Output { of, .. } => output(of.output.as_ref(), made.get(&of.step), &source),
            Source::Path { path, .. } => {
                let path = loaded.path(path);
                let keep = keeps_owners(&step.action, &source);
                digests.look(&path, keep).map_err(|error| InputError::Path { path: path.clone(), error }).map(
                    |listing| {
                        let is_dir = !listing.files.contains_key("");
                        let kind = if is_dir { ArtifactKind::Tree } else { ArtifactKind::File };
                        let input =
                            Input { path, kind, digest: listing.digest, size: listing.size, made: false };
                        gathered.listings.insert(source.whole().to_string(), listing);
                        input
                    },
                )
            }
        };
        let found = found.and_then(|whole| match source.inside() {
            None => Ok(whole),
            Some(pattern) => inside(&whole, pattern, &source, digests)
                .map(|input| Input { path: linked(work, &step.id, number), ..input }),
        });
        let input = found.map_err(|error| {
            Failure::of(&error).because(format!("step `{}` cannot have `{source}`", step.id))
        })?;
        gathered.inputs.insert(source, input);
    }
    Ok(gathered)
}

/// Links the files of sources with a pattern to where the command lines look for them.
pub(crate) fn link(step: &Step, loaded: &Loaded, gathered: &Gathered, made: &Made) -> Result<(), Failure> {
    for (source, input) in &gathered.inputs {
        let Some(pattern) = source.inside() else { continue };
        let place = || -> Result<(), InputError> {
            let whole = match source {
                Source::Output { of, .. } => output(of.output.as_ref(), made.get(&of.step), source)?,
                Source::Path { path, .. } => Input { path: loaded.path(path), made: false, ..input.clone() },
            };
            let target = file_inside(&whole, pattern, source)?;
            let failed = |error| InputError::Path { path: input.path.clone(), error };
            let target = target.canonicalize_utf8().map_err(failed)?;
            if let Some(parent) = input.path.parent() {
                fs_err::create_dir_all(parent).map_err(failed)?;
            }
            fs_err::os::unix::fs::symlink(target, &input.path).map_err(failed)
        };
        place().map_err(|error| {
            Failure::of(&error).because(format!("step `{}` cannot have `{source}`", step.id))
        })?;
    }
    Ok(())
}

/// Whether the step takes owners and modes of this path as they are.
fn keeps_owners(action: &Action, source: &Source) -> bool {
    match action {
        Action::Tree(tree) => tree.owners == Owners::Keep,
        Action::Disk(disk) => {
            let of_source = disk.partitions.iter().filter(|it| it.content.as_ref() == Some(source));
            of_source.map(|it| it.owners).any(|owners| owners == Owners::Keep)
        }
        _ => false,
    }
}

fn output(
    name: Option<&bootway_plan::OutputName>,
    artifacts: Option<&Vec<Artifact>>,
    source: &Source,
) -> Result<Input, InputError> {
    let artifacts = artifacts.map_or(&[][..], Vec::as_slice);
    let found = match name {
        Some(name) => artifacts.iter().find(|it| it.output == *name),
        None => artifacts.first(),
    };
    let artifact = found.ok_or_else(|| InputError::NotMade { source_name: source.clone() })?;
    Ok(Input {
        path: artifact.path.clone(),
        kind: artifact.kind,
        digest: artifact.digest,
        size: artifact.size,
        made: true,
    })
}

/// The one file of a tree that matches `pattern`.
fn inside(whole: &Input, pattern: &str, source: &Source, digests: &Digests) -> Result<Input, InputError> {
    let path = file_inside(whole, pattern, source)?;
    let failed = |error| InputError::Path { path: path.clone(), error };
    let digest = digests.file(&path).map_err(failed)?;
    let size = fs_err::metadata(&path).map_err(failed)?.len();
    let size = bootway_plan::Bytes::new(size);
    Ok(Input { path, kind: ArtifactKind::File, digest, size, made: whole.made })
}

fn file_inside(whole: &Input, pattern: &str, source: &Source) -> Result<Utf8PathBuf, InputError> {
    if whole.kind != ArtifactKind::Tree {
        return Err(InputError::NoTree { path: whole.path.clone(), kind: whole.kind });
    }
    let glob = GlobBuilder::new(pattern.trim_start_matches('/')).literal_separator(true).build();
    let glob =
        glob.map_err(|error| InputError::Pattern { pattern: pattern.to_owned(), reason: error.to_string() })?;
    let matcher = glob.compile_matcher();
    let files = if whole.made { files_of_manifest(&whole.path)? } else { files_of_directory(&whole.path)? };
    let matches: BTreeMap<&String, &TreePath> =
        files.iter().filter(|(name, _)| matcher.is_match(name)).collect();
    let targets: std::collections::BTreeSet<&TreePath> = matches.values().copied().collect();
    match (targets.len(), matches.len()) {
        (1, _) => Ok(whole.path.join(targets.into_iter().next().expect("there is one").as_str())),
        (0, _) => {
            let near = bootway_plan::nearest(pattern, files.keys().map(String::as_str)).map(str::to_owned);
            Err(InputError::NoMatch { source_name: source.clone(), near })
        }
        _ => Err(InputError::Ambiguous {
            source_name: source.clone(),
            matches: matches.into_keys().take(8).cloned().collect(),
        }),
    }
}

/// Every name of a regular file in a tree that a step made, with links followed inside the tree.
fn files_of_manifest(tree: &Utf8Path) -> Result<BTreeMap<String, TreePath>, InputError> {
    let path = Utf8PathBuf::from(format!("{tree}.manifest"));
    let text = fs_err::read_to_string(&path).map_err(|error| InputError::Path { path, error })?;
    let manifest = Manifest::from_text(&text)?;
    let file = |path: &TreePath| {
        let target = manifest.resolve(path)?;
        let kind = &manifest.entries.get(&target)?.kind;
        matches!(kind, EntryKind::File { .. } | EntryKind::HardLink { .. }).then_some(target)
    };
    let files = manifest.entries.keys().filter_map(|path| Some((path.as_str().to_owned(), file(path)?)));
    let mut files: BTreeMap<String, TreePath> = files.collect();
    // Merged directories: what is asked for by a path through a link is there, too.
    for (path, entry) in &manifest.entries {
        if matches!(entry.kind, EntryKind::Symlink { .. })
            && let Some(target) = manifest.resolve(path)
            && manifest.entries.get(&target).is_some_and(|it| it.kind == EntryKind::Directory)
        {
            let prefix = format!("{}/", target.as_str());
            let below: Vec<(String, TreePath)> = files
                .iter()
                .filter_map(|(name, to)| {
                    Some((format!("{}/{}", path.as_str(), name.strip_prefix(&prefix)?), to.clone()))
                })
                .collect();
            files.extend(below);
        }
    }
    Ok(files)
}

fn files_of_directory(dir: &Utf8Path) -> Result<BTreeMap<String, TreePath>, InputError> {
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(dir).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| InputError::Path { path: dir.to_owned(), error: error.into() })?;
        let name = Utf8Path::from_path(entry.path()).and_then(|path| path.strip_prefix(dir).ok());
        if let (Some(name), true) = (name, entry.file_type().is_file()) {
            files.insert(name.to_string(), name.as_str().parse()?);
        }
    }
    Ok(files)
}

/// The part of a step's key that is about one input.
pub(crate) fn part(source: &Source, digest: Digest) -> (String, String) {
    (format!("input {source}"), digest.to_string())
}

/// A step cannot have what it reads.
#[derive(Debug, Error)]
enum InputError {
    #[error("no step has made `{source_name}`")]
    NotMade { source_name: Source },
    #[error("cannot read `{path}`")]
    Path {
        path: Utf8PathBuf,
        #[source]
        error: io::Error,
    },
    #[error("`{path}` is a {kind}, and only a tree has files inside")]
    NoTree { path: Utf8PathBuf, kind: ArtifactKind },
    #[error("`{pattern}` is not a pattern: {reason}")]
    Pattern { pattern: String, reason: String },
    #[error("nothing matches `{source_name}`{}", near.as_ref().map(|near| format!(": did you mean `{near}`")).unwrap_or_default())]
    NoMatch { source_name: Source, near: Option<String> },
    #[error("`{source_name}` matches several files, and one is wanted: {}", matches.join(", "))]
    Ambiguous { source_name: Source, matches: Vec<String> },
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
}

impl Explain for InputError {
    fn class(&self) -> Class {
        match self {
            Self::Path { error, .. } if error.kind() == io::ErrorKind::NotFound => Class::Environment,
            Self::NoTree { .. } | Self::Pattern { .. } => Class::Plan,
            Self::NotMade { .. }
            | Self::Path { .. }
            | Self::NoMatch { .. }
            | Self::Ambiguous { .. }
            | Self::Manifest(_) => Class::Step,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Path { error, .. } if error.kind() == io::ErrorKind::NotFound => {
                Some("make it, or fix the path in the plan; paths start at the plan's directory".to_owned())
            }
            Self::Ambiguous { .. } => Some("write a pattern that matches one of them".to_owned()),
            _ => None,
        }
    }
}
