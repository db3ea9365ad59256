//! What a container image says about itself, for people and programs.

use std::{collections::BTreeMap, fmt};

use bootway_plan::{Bytes, Digest, Millis};
use serde::Serialize;

use crate::format::oci::{Health, ImageConfig};

/// An OCI layout or an archive, and the images in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ContainerReport {
    /// How images are stored in it.
    pub format: ContainerFormat,
    /// How all of it is compressed: `none`, `gzip`, `zstd` or `xz`.
    pub compression: String,
    /// What is wrong with it; nothing if every digest, size and list is right.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flaws: Vec<String>,
    /// One for each platform and name.
    pub images: Vec<ContainerImage>,
}

/// How images are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerFormat {
    /// A directory with blobs and their index.
    OciLayout,
    /// The same in a tar archive.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
}

/// A container image: what would be run, and of what it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ContainerImage {
    /// What it is called.
    pub names: Vec<String>,
    /// Of its manifest, if there is one; else of its configuration.
    pub digest: Digest,
    /// `linux/amd64`, or `linux/arm64/v8`.
    pub platform: String,
    /// When it was made, in RFC 3339.
    pub created: Option<String>,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Arguments that a user may replace.
    pub cmd: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// By key.
    pub labels: BTreeMap<String, String>,
    /// `80/tcp`.
    pub ports: Vec<String>,
    /// Directories that outlive the container.
    pub volumes: Vec<String>,
    /// Who runs it; root if empty.
    pub user: String,
    /// Where it is run.
    pub workdir: String,
    /// What ends it, if not SIGTERM.
    pub stop_signal: String,
    /// How an engine finds out whether it is well.
    pub healthcheck: Option<ContainerHealthcheck>,
    /// The lowest first.
    pub layers: Vec<ContainerLayer>,
}

/// How an engine finds out whether a container is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ContainerHealthcheck {
    /// `CMD` and a command, `CMD-SHELL` and a line for the shell, or `NONE`.
    pub test: Vec<String>,
    /// Between two tests; the engine's default if there is none, as below.
    pub interval: Option<Millis>,
    /// For one test.
    pub timeout: Option<Millis>,
    /// Failures in this time do not count.
    pub start_period: Option<Millis>,
    /// So many failures make a sick container.
    pub retries: Option<u64>,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ContainerLayer {
    /// As it is stored.
    pub digest: Digest,
    /// Unpacked.
    pub diff_id: Digest,
    /// As it is stored.
    pub size: Bytes,
    /// Of the archive in it.
    pub unpacked: Bytes,
    /// `none`, `gzip`, `zstd` or `xz`.
    pub compression: String,
    /// Files of any kind, and whiteouts.
    pub files: u64,
    /// How it came to be, if the image says it.
    pub created_by: Option<String>,
}

impl ContainerImage {
    /// What `config` says, with layers as they were found.
    pub(super) fn new(
        names: Vec<String>,
        digest: Digest,
        config: &ImageConfig,
        layers: Vec<ContainerLayer>,
    ) -> Self {
        let it = &config.config;
        let variant = if config.variant.is_empty() { String::new() } else { format!("/{}", config.variant) };
        Self {
            names,
            digest,
            platform: format!("{}/{}{variant}", config.os, config.architecture),
            created: config.created.clone(),
            entrypoint: it.entrypoint.clone(),
            cmd: it.cmd.clone(),
            env: it.env.clone(),
            labels: it.labels.clone(),
            ports: it.exposed_ports.0.iter().cloned().collect(),
            volumes: it.volumes.0.iter().cloned().collect(),
            user: it.user.clone(),
            workdir: it.working_dir.clone(),
            stop_signal: it.stop_signal.clone(),
            healthcheck: it.healthcheck.as_ref().map(ContainerHealthcheck::new),
            layers,
        }
    }
}

impl ContainerHealthcheck {
    fn new(health: &Health) -> Self {
        let span = |nanos: u64| (nanos > 0).then(|| Millis::new(nanos / 1_000_000));
        Self {
            test: health.test.clone(),
            interval: span(health.interval),
            timeout: span(health.timeout),
            start_period: span(health.start_period),
            retries: (health.retries > 0).then_some(health.retries),
        }
    }
}

impl fmt::Display for ContainerFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OciLayout => "OCI layout",
            Self::OciArchive => "OCI archive",
            Self::DockerArchive => "Docker archive",
        })
    }
}

impl fmt::Display for ContainerHealthcheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", words(&self.test))?;
        let spans =
            [("every", self.interval), ("within", self.timeout), ("after a start of", self.start_period)];
        for (word, span) in spans {
            span.map_or(Ok(()), |span| write!(f, ", {word} {span}"))?;
        }
        self.retries.map_or(Ok(()), |retries| write!(f, ", {retries} retries"))
    }
}

/// A command, as a list that can be copied into a plan.
pub(crate) fn words(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(", "))
}

/// Lines behind the first one, which says what the file is.
impl fmt::Display for ContainerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.format, counted(self.images.len(), "image"))?;
        match self.compression.as_str() {
            "none" => writeln!(f)?,
            compression => writeln!(f, ", {compression}")?,
        }
        self.flaws.iter().try_for_each(|flaw| writeln!(f, "  !  {flaw}"))?;
        self.images.iter().try_for_each(|image| write!(f, "{image}"))
    }
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

impl fmt::Display for ContainerImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.names.is_empty() { "without a name".to_owned() } else { self.names.join(", ") };
        write!(f, "  {name}, {}, sha256:{}", self.platform, self.digest.short())?;
        self.created.as_ref().map_or(Ok(()), |created| write!(f, ", {created}"))?;
        writeln!(f)?;
        let lists = [("entrypoint", &self.entrypoint), ("cmd", &self.cmd)];
        for (what, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            writeln!(f, "     {what:<12} {}", words(list))?;
        }
        let texts = [("user", &self.user), ("workdir", &self.workdir), ("stop-signal", &self.stop_signal)];
        for (what, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            writeln!(f, "     {what:<12} {text}")?;
        }
        let sets = [("ports", &self.ports), ("volumes", &self.volumes)];
        for (what, set) in sets.into_iter().filter(|(_, set)| !set.is_empty()) {
            writeln!(f, "     {what:<12} {}", set.join(", "))?;
        }
        self.env.iter().try_for_each(|it| writeln!(f, "     {:<12} {it}", "env"))?;
        if let Some(health) = &self.healthcheck {
            writeln!(f, "     {:<12} {health}", "healthcheck")?;
        }
        for (key, value) in &self.labels {
            writeln!(f, "     {:<12} {key}={value}", "label")?;
        }
        self.layers.iter().zip(1..).try_for_each(|(layer, number)| {
            let (size, unpacked) = (layer.size.human(), layer.unpacked.human());
            write!(f, "  {number:>3}  {size:>9}  {}", layer.compression)?;
            if layer.size != layer.unpacked {
                write!(f, ", {unpacked} unpacked")?;
            }
            write!(f, ", {} files, sha256:{}", layer.files, layer.digest.short())?;
            layer.created_by.as_ref().map_or(Ok(()), |by| write!(f, "  {by}"))?;
            writeln!(f)
        })
    }
}
