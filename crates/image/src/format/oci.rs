//! The JSON of container images: OCI indexes, manifests and configurations, and the manifest of `docker save`.
//!
//! What is written has the fields in this order and nothing that is empty, so that the same image is the same bytes.
//!
//! Source: OCI image-spec 1.1 (`image-layout.md`, `image-index.md`, `manifest.md`, `config.md`); for `Healthcheck`, and
//! for what `docker save` writes, Docker Image Specification 1.2.

use std::collections::{BTreeMap, BTreeSet};

use bootway_plan::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

/// The whole file `oci-layout`.
pub(crate) const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER: &str = "application/vnd.docker.";
/// The annotation that names an image of a layout.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What the media type of a descriptor says that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    /// To an index, or what Docker calls a manifest list.
    Index,
    /// To a manifest.
    Manifest,
    /// To the configuration of an image.
    Config,
    /// To a layer, compressed as it says.
    Layer(&'static str),
    /// To something else: an attestation, a chart.
    Other,
}

impl Leads {
    /// By a media type.
    pub(crate) fn to(media_type: &str) -> Self {
        match media_type {
            INDEX => return Self::Index,
            MANIFEST => return Self::Manifest,
            CONFIG => return Self::Config,
            _ => {}
        }
        if let Some(kind) = media_type.strip_prefix(DOCKER) {
            return match kind {
                "distribution.manifest.list.v2+json" => Self::Index,
                "distribution.manifest.v2+json" => Self::Manifest,
                "container.image.v1+json" => Self::Config,
                "image.rootfs.diff.tar" => Self::Layer("none"),
                "image.rootfs.diff.tar.gzip" | "image.rootfs.foreign.diff.tar.gzip" => Self::Layer("gzip"),
                "image.rootfs.diff.tar.zstd" => Self::Layer("zstd"),
                _ => Self::Other,
            };
        }
        let plain = "application/vnd.oci.image.layer.v1.tar";
        let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar";
        match media_type.strip_prefix(plain).or_else(|| media_type.strip_prefix(foreign)) {
            Some("") => Self::Layer("none"),
            Some("+gzip") => Self::Layer("gzip"),
            Some("+zstd") => Self::Layer("zstd"),
            _ => Self::Other,
        }
    }
}

/// Where a blob is, and what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub(crate) urls: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_null")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
}

/// What an image runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Platform {
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) variant: String,
}

/// Several images.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) manifests: Vec<Descriptor>,
}

/// An image.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_null")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// What an image is to run, and of what it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    pub(crate) architecture: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) variant: String,
    pub(crate) os: String,
    #[serde(default, deserialize_with = "or_null")]
    pub(crate) config: Execution,
    pub(crate) rootfs: RootFs,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub(crate) history: Vec<History>,
}

/// How to run it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Execution {
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "or_null")]
    pub(crate) user: String,
    #[serde(default, skip_serializing_if = "Names::is_empty", deserialize_with = "or_null")]
    pub(crate) exposed_ports: Names,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub(crate) env: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub(crate) entrypoint: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub(crate) cmd: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) healthcheck: Option<Health>,
    #[serde(default, skip_serializing_if = "Names::is_empty", deserialize_with = "or_null")]
    pub(crate) volumes: Names,
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "or_null")]
    pub(crate) working_dir: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_null")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "or_null")]
    pub(crate) stop_signal: String,
}

/// Names, which are written as a map from each to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names(pub(crate) BTreeSet<String>);

impl Names {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|name| (name, BTreeMap::<&str, &str>::new())))
    }
}

impl<'de> Deserialize<'de> for Names {
    /// Whatever is there for each: `{}`, and `null` in old images.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
        Ok(Self(map.into_keys().collect()))
    }
}

/// How an engine finds out whether a container is well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Health {
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub(crate) test: Vec<String>,
    /// Nanoseconds, as all of them; 0 is the engine's default.
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "or_null")]
    pub(crate) interval: u64,
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "or_null")]
    pub(crate) timeout: u64,
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "or_null")]
    pub(crate) start_period: u64,
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "or_null")]
    pub(crate) retries: u64,
}

/// The layers, unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootFs {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(deserialize_with = "or_null")]
    pub(crate) diff_ids: Vec<String>,
}

/// How a layer came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_by: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) empty_layer: bool,
}

/// One image in the `manifest.json` of `docker save`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DockerImage {
    /// A member of the archive.
    pub(crate) config: String,
    #[serde(default, deserialize_with = "or_null")]
    pub(crate) repo_tags: Vec<String>,
    /// Members of the archive, the lowest first.
    pub(crate) layers: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Go writes an empty list or map as `null`.
fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The digest in `sha256:HEX`.
pub(crate) fn digest(text: &str) -> Result<Digest, String> {
    let hex = text.strip_prefix("sha256:").ok_or_else(|| match text.split_once(':') {
        Some((algorithm, _)) => format!("`{text}` is a digest of kind {algorithm}, and only sha256 is known"),
        None => format!("`{text}` is no digest"),
    })?;
    hex.parse().map_err(|_| format!("`{text}` is no digest"))
}

/// Reads JSON; the message has no line, because nobody wrote it by hand.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("JSON that is not understood: {error}"))
}

/// Seconds since 1970-01-01 UTC in the words of RFC 3339.
pub(crate) fn rfc3339(epoch: u64) -> String {
    let (days, seconds) = (epoch / 86_400, epoch % 86_400);
    // Civil from days: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". Years begin in March.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_date() {
        // `date -u -d @N +%FT%TZ`
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ];
        for (epoch, text) in cases {
            assert_eq!(rfc3339(epoch), text);
        }
    }

    #[test]
    fn what_go_leaves_out_is_empty() {
        let text = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":null},
            "config":{"Env":null,"Labels":null,"ExposedPorts":{"80/tcp":null},"Healthcheck":null,"Domainname":""}}"#;
        let config: ImageConfig = parse(text).unwrap();
        assert_eq!(config.config.exposed_ports.0.len(), 1);
        assert!(config.config.env.is_empty() && config.rootfs.diff_ids.is_empty());
        assert_eq!(
            parse::<ImageConfig>(b"{}").unwrap_err(),
            "JSON that is not understood: missing field `architecture` at line 1 column 2"
        );
    }

    #[test]
    fn media_types_lead_somewhere() {
        let gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        assert_eq!(Leads::to(gzip), Leads::Layer("gzip"));
        assert_eq!(Leads::to(&format!("{LAYER}+zstd")), Leads::Layer("zstd"));
        assert_eq!(Leads::to("application/vnd.oci.image.layer.v1.tar+brotli"), Leads::Other);
        assert_eq!(Leads::to("application/vnd.in-toto+json"), Leads::Other);
    }

    #[test]
    fn only_sha256_is_a_digest() {
        insta::assert_snapshot!(
            ["sha512:00", "sha256:00", "00"].map(|text| digest(text).unwrap_err()).join("\n"),
            @"
        `sha512:00` is a digest of kind sha512, and only sha256 is known
        `sha256:00` is no digest
        `00` is no digest
        "
        );
    }
}
