//! Parameters of `oci`: a tree to a container image.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Compression;
use crate::{Millis, Source, TreePath};

/// A tree to a container image, without a container engine: the same bytes each time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Oci {
    /// The tree.
    pub from: Source,
    /// How the image is stored.
    #[serde(default)]
    pub format: OciFormat,
    /// What it is called: `latest` unless said, and in a Docker archive nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// What its programs run on.
    #[serde(default)]
    pub arch: OciArch,
    /// The program, and the arguments that it always has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Arguments that a user may replace; without an `entrypoint`, the program too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// The environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What the image says about itself: `"org.opencontainers.image.title" = "demo"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What it listens on: `"8080"`, `"53/udp"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Directories whose files outlive a container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Who runs it, by name or number, and maybe a group behind a colon: root unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where it is run: `/` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// The signal that ends it: `SIGTERM` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// How an engine finds out whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// What is in layers of its own, the lowest first: each has everything at and below these paths that no longer
    /// path of another one has. The last layer has the rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Vec<String>>")]
    pub layers: Vec<Vec<TreePath>>,
    /// How layers are compressed: `gzip` unless said, which every engine reads, or `zstd`, or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
}

/// How a container image is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OciFormat {
    /// A directory with blobs and their index: a tree, for registries and `skopeo copy oci:DIR`.
    Layout,
    /// The same in one tar file, for `podman load`, and for `docker load` from Docker 25 on.
    #[default]
    Archive,
    /// What `docker save` writes, for any `docker load`.
    Docker,
}

/// What the programs in a container image run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OciArch {
    /// 64-bit PC.
    #[default]
    #[serde(rename = "x86-64")]
    X8664,
    /// 64-bit ARM.
    Arm64,
    /// 32-bit ARM with hardware floating point.
    Armv7,
    /// 64-bit RISC-V.
    Riscv64,
}

/// How an engine finds out whether a container is well: exactly one of `run` and `shell`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Healthcheck {
    /// A program in the container and its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub run: Vec<String>,
    /// A line for the container's shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Between two tests: 30 s unless said, by the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Millis>,
    /// For one test: 30 s unless said, by the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Millis>,
    /// Failures in this time after the start do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Millis>,
    /// So many failures make a sick container: 3 unless said, by the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
}

impl OciArch {
    /// In the words of the OCI image specification, which are those of Go: architecture and variant.
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::X8664 => ("amd64", ""),
            Self::Arm64 => ("arm64", "v8"),
            Self::Armv7 => ("arm", "v7"),
            Self::Riscv64 => ("riscv64", ""),
        }
    }
}

impl Oci {
    /// What no image can be made with, as a sentence.
    pub fn impossible(&self) -> Option<String> {
        if let Some(check) = &self.healthcheck
            && check.run.is_empty() == check.shell.is_none()
        {
            return Some("a `healthcheck` needs exactly one of `run` and `shell`".to_owned());
        }
        if let Some(name) = self.env.keys().find(|name| name.is_empty() || name.contains('=')) {
            return Some(format!("`{name}` cannot be the name of a variable of the environment: rename it"));
        }
        if let Some(tag) = self.tag.as_ref().filter(|tag| !is_tag(tag)) {
            return Some(format!(
                "`{tag}` cannot be a `tag`: write letters, digits and `-._:@/+`, such as `demo:1.0`"
            ));
        }
        match (self.format, self.compression) {
            (OciFormat::Docker, Some(compression)) if compression != Compression::None => Some(
                "layers of a Docker archive are not compressed: leave `compression` out, or take another `format`"
                    .to_owned(),
            ),
            (_, Some(Compression::Xz)) => {
                Some("no engine reads layers in xz: write `gzip`, `zstd` or `none`".to_owned())
            }
            _ => None,
        }
    }
}

/// OCI image-spec 1.1, `annotations.md`: the grammar of `org.opencontainers.image.ref.name`.
fn is_tag(text: &str) -> bool {
    let part = |part: &str| {
        let alphanumeric = |c: char| c.is_ascii_alphanumeric();
        part.starts_with(alphanumeric)
            && part.ends_with(alphanumeric)
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-._:@+".contains(c))
    };
    text.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_said_with_the_remedy() {
        let cases = [
            "healthcheck = { run = ['a'], shell = 'a' }",
            "healthcheck = { interval = '1s' }",
            "env = { 'A=B' = '' }",
            "tag = 'demo:'",
            "format = 'docker'\ncompression = 'zstd'",
            "compression = 'xz'",
        ];
        let said = cases.map(|text| {
            let oci: Oci = toml::from_str(&format!("from = 'root'\n{text}")).unwrap();
            oci.impossible().unwrap()
        });
        insta::assert_snapshot!(said.join("\n"), @"
        a `healthcheck` needs exactly one of `run` and `shell`
        a `healthcheck` needs exactly one of `run` and `shell`
        `A=B` cannot be the name of a variable of the environment: rename it
        `demo:` cannot be a `tag`: write letters, digits and `-._:@/+`, such as `demo:1.0`
        layers of a Docker archive are not compressed: leave `compression` out, or take another `format`
        no engine reads layers in xz: write `gzip`, `zstd` or `none`
        ");
        let good: Oci =
            toml::from_str("from = 'root'\ntag = 'example.org/demo:1.0'\nlayers = [['nix/store']]").unwrap();
        assert_eq!(good.impossible(), None);
    }
}
