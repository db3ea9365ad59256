//! The lock file: what names meant when they were resolved.

use std::sync::Mutex;

use bootway_plan::{Digest, step};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Of the file.
const FORMAT: u32 = 1;

/// Several steps of a plan share one lock file and may run at once.
static WRITING: Mutex<()> = Mutex::new(());

/// A lock file: one answer for each request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LockFile {
    format: u32,
    debian: Vec<Resolution>,
    /// Older files have none.
    #[serde(default)]
    debian_source: Vec<SourceResolution>,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Request {
    suite: String,
    arch: String,
    mirror: String,
    components: Vec<String>,
    dependencies: bool,
    packages: Vec<String>,
}

/// What was asked, and the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resolution {
    #[serde(flatten)]
    pub(crate) request: Request,
    /// When the archive was like this, `YYYYMMDDTHHMMSSZ`, as it says itself.
    #[serde(default)]
    pub(crate) date: Option<String>,
    /// Sorted by name.
    pub(crate) locked: Vec<Locked>,
}

/// One package, exactly.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Locked {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) arch: String,
    pub(crate) size: u64,
    pub(crate) sha256: Digest,
    pub(crate) path: String,
}

/// What was asked about a source package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct SourceRequest {
    package: String,
    suite: String,
    mirror: String,
    components: Vec<String>,
}

/// What was asked about a source package, and the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceResolution {
    #[serde(flatten)]
    pub(crate) request: SourceRequest,
    /// As in [`Resolution`].
    #[serde(default)]
    pub(crate) date: Option<String>,
    pub(crate) version: String,
    /// Of the package: `3.0 (quilt)`.
    pub(crate) format: String,
    /// What it is made of, sorted by name.
    pub(crate) files: Vec<SourceFile>,
}

/// One file of a source package, exactly.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceFile {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) sha256: Digest,
    pub(crate) path: String,
}

impl SourceRequest {
    /// What `step` asks for; two steps that differ in what they keep ask for the same.
    pub(crate) fn of(step: &step::DebianSource) -> Self {
        let archive = step.archive();
        Self {
            package: step.package.clone(),
            suite: archive.suite.to_owned(),
            mirror: archive.mirror.to_owned(),
            components: sorted(archive.components),
        }
    }
}

fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    names
}

impl Request {
    /// What `step` asks for; two steps that differ in what they keep ask for the same.
    pub(crate) fn of(step: &step::Debian) -> Self {
        let archive = step.archive();
        Self {
            suite: archive.suite.to_owned(),
            arch: step.arch.clone(),
            mirror: archive.mirror.to_owned(),
            components: sorted(archive.components),
            dependencies: step.dependencies,
            packages: sorted(&step.packages),
        }
    }
}

impl LockFile {
    /// Reads the file at `path`; an empty one if it is not there.
    pub(crate) fn read(path: &Utf8Path) -> Result<Self, LockError> {
        let text = match fs_err::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { format: FORMAT, debian: Vec::new(), debian_source: Vec::new() });
            }
            Err(error) => return Err(error.into()),
        };
        let invalid = |reason: String| LockError::Invalid { path: path.to_owned(), reason };
        let file: Self = serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        if file.format != FORMAT {
            return Err(invalid(format!("its format is {}, and {FORMAT} is known", file.format)));
        }
        let packages =
            file.debian.iter().flat_map(|resolution| &resolution.locked).map(|locked| &locked.path);
        let sources =
            file.debian_source.iter().flat_map(|resolution| &resolution.files).map(|file| &file.path);
        let outside = |path: &&String| path.split('/').any(|name| name == "..");
        if let Some(path) = packages.chain(sources).find(outside) {
            return Err(invalid(format!("`{path}` is not a path in an archive")));
        }
        Ok(file)
    }

    /// The answer to `request`, if it is in the file.
    pub(crate) fn packages(&self, request: &Request) -> Option<&Resolution> {
        self.debian.iter().find(|resolution| resolution.request == *request)
    }

    /// The answer to `request`, if it is in the file.
    pub(crate) fn source(&self, request: &SourceRequest) -> Option<&SourceResolution> {
        self.debian_source.iter().find(|resolution| resolution.request == *request)
    }

    /// Puts `resolution` into the file at `path`, whatever else is in it.
    pub(crate) fn record(path: &Utf8Path, resolution: Resolution) -> Result<(), LockError> {
        Self::edit(path, |file| {
            file.debian.retain(|there| there.request != resolution.request);
            file.debian.push(resolution);
            file.debian.sort_by(|a, b| a.request.cmp(&b.request));
        })
    }

    /// Puts `resolution` into the file at `path`, whatever else is in it.
    pub(crate) fn record_source(path: &Utf8Path, resolution: SourceResolution) -> Result<(), LockError> {
        Self::edit(path, |file| {
            file.debian_source.retain(|there| there.request != resolution.request);
            file.debian_source.push(resolution);
            file.debian_source.sort_by(|a, b| a.request.cmp(&b.request));
        })
    }

    fn edit(path: &Utf8Path, edit: impl FnOnce(&mut Self)) -> Result<(), LockError> {
        let _guard = WRITING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut file = Self::read(path)?;
        edit(&mut file);
        let name = path.file_name().unwrap_or_default();
        let partial = path.with_file_name(format!(".partial-{name}"));
        fs_err::write(&partial, file.to_text())?;
        fs_err::rename(&partial, path)?;
        Ok(())
    }

    /// JSON with one line for each package, so that a change of one is a change of one line.
    fn to_text(&self) -> String {
        let packages: Vec<String> = self.debian.iter().map(Resolution::to_text).collect();
        let mut text = format!("{{\n  \"format\": {FORMAT},\n  \"debian\": {}", list(&packages));
        if !self.debian_source.is_empty() {
            let sources: Vec<String> = self.debian_source.iter().map(SourceResolution::to_text).collect();
            text += &format!(",\n  \"debian-source\": {}", list(&sources));
        }
        text + "\n}\n"
    }
}

impl Resolution {
    fn to_text(&self) -> String {
        let Self { request, date, locked } = self;
        [
            format!("      \"suite\": {},", json(&request.suite)),
            format!("      \"arch\": {},", json(&request.arch)),
            format!("      \"mirror\": {},", json(&request.mirror)),
            format!("      \"components\": {},", json(&request.components)),
            format!("      \"dependencies\": {},", json(&request.dependencies)),
            format!("      \"packages\": {},", lines(&request.packages)),
            format!("      \"date\": {},", json(date)),
            format!("      \"locked\": {}", lines(locked)),
        ]
        .join("\n")
    }
}

impl SourceResolution {
    fn to_text(&self) -> String {
        let Self { request, date, version, format, files } = self;
        [
            format!("      \"package\": {},", json(&request.package)),
            format!("      \"suite\": {},", json(&request.suite)),
            format!("      \"mirror\": {},", json(&request.mirror)),
            format!("      \"components\": {},", json(&request.components)),
            format!("      \"date\": {},", json(date)),
            format!("      \"version\": {},", json(version)),
            format!("      \"format\": {},", json(format)),
            format!("      \"files\": {}", lines(files)),
        ]
        .join("\n")
    }
}

/// Objects of the file's second level.
fn list(objects: &[String]) -> String {
    let objects: Vec<String> = objects.iter().map(|text| format!("    {{\n{text}\n    }}")).collect();
    if objects.is_empty() { "[]".to_owned() } else { format!("[\n{}\n  ]", objects.join(",\n")) }
}

/// Values of its innermost level, a line each.
fn lines(values: &[impl Serialize]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("        {}", json(value))).collect();
    format!("[\n{}\n      ]", values.join(",\n"))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings, numbers and lists are JSON")
}

/// The lock file is of no use.
#[derive(Debug, Error)]
pub enum LockError {
    /// It is not what we wrote.
    #[error("`{path}` is not a lock file: {reason}")]
    Invalid {
        /// Which file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
