//! Parameters of `debian`, `fetch` and `unpack`: where bytes come from.

use camino::{Utf8Path, Utf8PathBuf};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ArtifactKind, Digest, Source};

/// Named Debian packages to a tree, without root and without running their scripts.
///
/// Resolved once into a lock file beside the plan (name, version, SHA-256 of each package); from then on the same
/// packages are used until the lock file is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Debian {
    /// Names of binary packages.
    pub packages: Vec<String>,
    /// The release: `bookworm`.
    #[serde(default = "bookworm")]
    pub suite: String,
    /// Where the archive is; Debian's own servers unless said.
    #[serde(default = "debian_mirror")]
    pub mirror: String,
    /// The architecture, in Debian's words.
    #[serde(default = "amd64")]
    pub arch: String,
    /// Areas of the archive.
    #[serde(default = "main_only")]
    pub components: Vec<String>,
    /// Whether the packages they depend on come too.
    #[serde(default)]
    pub dependencies: bool,
    /// What to keep of the tree, as patterns (`boot/vmlinuz-*`, `usr/lib/**`); everything unless said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// What to leave out of what is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// The lock file, relative to the plan; `PLAN.lock` unless said, where `PLAN.toml` is the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub lock: Option<Utf8PathBuf>,
}

fn bookworm() -> String {
    "bookworm".to_owned()
}

fn debian_mirror() -> String {
    "http://deb.debian.org/debian".to_owned()
}

fn amd64() -> String {
    "amd64".to_owned()
}

fn main_only() -> Vec<String> {
    vec!["main".to_owned()]
}

/// Where packages of Debian come from, as `debian` and `debian-source` say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebianArchive<'a> {
    /// The release: `bookworm`.
    pub suite: &'a str,
    /// Without a slash at its end.
    pub mirror: &'a str,
    /// The architecture, in Debian's words; `None` for sources.
    pub arch: Option<&'a str>,
    /// Areas of the archive.
    pub components: &'a [String],
    /// The lock file, relative to the plan, if the step names one.
    pub lock: Option<&'a Utf8Path>,
}

impl Debian {
    /// Where its packages come from.
    pub fn archive(&self) -> DebianArchive<'_> {
        DebianArchive {
            arch: Some(&self.arch),
            ..archive(&self.suite, &self.mirror, &self.components, self.lock.as_ref())
        }
    }
}

impl DebianSource {
    /// Where its package comes from.
    pub fn archive(&self) -> DebianArchive<'_> {
        archive(&self.suite, &self.mirror, &self.components, self.lock.as_ref())
    }
}

/// Of sources.
fn archive<'a>(
    suite: &'a str,
    mirror: &'a str,
    components: &'a [String],
    lock: Option<&'a Utf8PathBuf>,
) -> DebianArchive<'a> {
    DebianArchive {
        suite,
        mirror: mirror.trim_end_matches('/'),
        arch: None,
        components,
        lock: lock.map(Utf8PathBuf::as_path),
    }
}

/// A source package of Debian to a tree: what the authors released, and in `debian` what Debian adds. Debian's patches
/// are applied when a `package` is built from it.
///
/// Resolved once into a lock file beside the plan, as the packages of `debian`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DebianSource {
    /// The name of the source package.
    pub package: String,
    /// The release: `bookworm`.
    #[serde(default = "bookworm")]
    pub suite: String,
    /// Where the archive is; Debian's own servers unless said.
    #[serde(default = "debian_mirror")]
    pub mirror: String,
    /// Areas of the archive.
    #[serde(default = "main_only")]
    pub components: Vec<String>,
    /// What to keep of the tree, as patterns; everything unless said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// What to leave out of what is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// The lock file, relative to the plan; `PLAN.lock` unless said, where `PLAN.toml` is the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub lock: Option<Utf8PathBuf>,
}

impl DebianSource {
    /// The package of this name, from where packages come unless a plan says otherwise.
    pub(crate) fn named(package: String, keep: Vec<String>) -> Self {
        Self {
            package,
            suite: bookworm(),
            mirror: debian_mirror(),
            components: main_only(),
            keep,
            drop: Vec::new(),
            lock: None,
        }
    }
}

/// Download a file and verify it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fetch {
    /// `http`, `https` or `file`.
    pub url: String,
    /// Tried in order when `url` does not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
    /// What it must be.
    pub sha256: Digest,
    /// Its name; the last component of the URL unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// What it must be, by kind.
    #[serde(default = "any_file")]
    pub kind: ArtifactKind,
}

impl Fetch {
    /// The name of the file: as said, or the last component of the URL.
    pub fn file_name(&self) -> &str {
        let last =
            || self.url.split(['?', '#']).next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        self.file_name.as_deref().unwrap_or_else(|| if last().is_empty() { "file" } else { last() })
    }
}

const fn any_file() -> ArtifactKind {
    ArtifactKind::File
}

/// An archive to a tree: tar (plain, gzip, bzip2, xz, zstd) or a Debian package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Unpack {
    /// The archive.
    pub from: Source,
    /// Leading path components to remove.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub strip: u32,
    /// What to keep, as patterns; everything unless said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// What to leave out of what is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}
