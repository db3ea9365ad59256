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
#[serde(deny_unknown_fields)]
pub(crate) struct LockFile {
    format: u32,
    debian: Vec<Resolution>,
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

impl Request {
    /// What `step` asks for; two steps that differ in what they keep ask for the same.
    pub(crate) fn of(step: &step::Debian) -> Self {
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort();
            names.dedup();
            names
        };
        Self {
            suite: step.suite.clone(),
            arch: step.arch.clone(),
            mirror: step.mirror.trim_end_matches('/').to_owned(),
            components: sorted(&step.components),
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
                return Ok(Self { format: FORMAT, debian: Vec::new() });
            }
            Err(error) => return Err(error.into()),
        };
        let invalid = |reason: String| LockError::Invalid { path: path.to_owned(), reason };
        let file: Self = serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        if file.format != FORMAT {
            return Err(invalid(format!("its format is {}, and {FORMAT} is known", file.format)));
        }
        let outside = |locked: &&Locked| locked.path.split('/').any(|name| name == "..");
        if let Some(locked) = file.debian.iter().flat_map(|resolution| &resolution.locked).find(outside) {
            return Err(invalid(format!("`{}` is not a path in an archive", locked.path)));
        }
        Ok(file)
    }

    /// The answer to `request`, if it is in the file.
    pub(crate) fn find(&self, request: &Request) -> Option<&Resolution> {
        self.debian.iter().find(|resolution| resolution.request == *request)
    }

    /// Puts `resolution` into the file at `path`, whatever else is in it.
    pub(crate) fn record(path: &Utf8Path, resolution: Resolution) -> Result<(), LockError> {
        let _guard = WRITING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut file = Self::read(path)?;
        file.debian.retain(|there| there.request != resolution.request);
        file.debian.push(resolution);
        file.debian.sort_by(|a, b| a.request.cmp(&b.request));
        let name = path.file_name().unwrap_or_default();
        let partial = path.with_file_name(format!(".partial-{name}"));
        fs_err::write(&partial, file.to_text())?;
        fs_err::rename(&partial, path)?;
        Ok(())
    }

    /// JSON with one line for each package, so that a change of one is a change of one line.
    fn to_text(&self) -> String {
        let resolutions: Vec<String> = self
            .debian
            .iter()
            .map(|Resolution { request, date, locked }| {
                let locked: Vec<String> =
                    locked.iter().map(|locked| format!("        {}", json(locked))).collect();
                let names: Vec<String> =
                    request.packages.iter().map(|name| format!("        {}", json(name))).collect();
                [
                    format!("      \"suite\": {},", json(&request.suite)),
                    format!("      \"arch\": {},", json(&request.arch)),
                    format!("      \"mirror\": {},", json(&request.mirror)),
                    format!("      \"components\": {},", json(&request.components)),
                    format!("      \"dependencies\": {},", json(&request.dependencies)),
                    format!("      \"packages\": [\n{}\n      ],", names.join(",\n")),
                    format!("      \"date\": {},", json(date)),
                    format!("      \"locked\": [\n{}\n      ]", locked.join(",\n")),
                ]
                .join("\n")
            })
            .collect();
        let resolutions: Vec<String> =
            resolutions.iter().map(|text| format!("    {{\n{text}\n    }}")).collect();
        format!("{{\n  \"format\": {FORMAT},\n  \"debian\": [\n{}\n  ]\n}}\n", resolutions.join(",\n"))
    }
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
