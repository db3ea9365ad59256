//! Container images: the step `oci`, which makes one of a tree, and the reader of those that others made.
//!
//! No engine, no daemon, no root: owners, devices and extended attributes go from the tree into the layers and never
//! onto a disk.

use std::{
    io::{self, BufWriter, Write},
    sync::Arc,
};

use bootway_exec::{Cx, StepOutput};
use bootway_plan::{
    ArtifactKind, Digest, Name, TreePath,
    step::{self, Compression, OciFormat, Owners},
};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    format::{
        oci::{
            self as json, Descriptor, DockerImage, Execution, Health, History, ImageConfig, Index, Manifest,
        },
        tar::{self, Member, kind},
    },
    progress::Progress,
    tree::{self, Composer, Content, Node, NodeKind},
};

mod archive;
mod engine_archive;
mod error;
mod faults;
mod gzip;
mod layer;
mod members;
mod read;
mod report;
mod rootfs;

pub(crate) use archive::Unreadable;
pub use error::OciError;
use layer::Written;
pub(crate) use read::Container;
pub(crate) use report::words;
pub use report::{ContainerFormat, ContainerHealthcheck, ContainerImage, ContainerLayer, ContainerReport};
use rootfs::RootFs;

/// The last second that eleven octal digits hold.
const LAST_EPOCH: u64 = 0o777_7777_7777;

/// Makes a container image of a tree.
///
/// It is the same each time: sorted by path, every time the plan's epoch, and nothing that is not in the plan.
///
/// # Errors
///
/// If an engine could not run it, or its layers cannot hold the tree; if something cannot be read or written.
pub fn oci(cx: &Cx<'_>, step: &step::Oci) -> Result<Vec<StepOutput>, OciError> {
    if let Some(reason) = step.impossible() {
        return Err(OciError::Impossible { reason });
    }
    if cx.epoch > LAST_EPOCH {
        return Err(OciError::Epoch { epoch: cx.epoch });
    }
    let tree = tree::load(cx, &step.from, Owners::Root)?;
    let mut config = config(cx, step);
    let flaws = faults::of_execution(&config.config, &RootFs::of_tree(&tree));
    if !flaws.is_empty() {
        return Err(OciError::NoGood { flaws });
    }
    let layers = layer::cut(&tree, &step.layers)?;
    let total = layers.iter().flat_map(|files| files.values());
    let total = total.map(|node| if let NodeKind::File(content) = &node.kind { content.size() } else { 0 });
    let progress = Progress::bytes(cx, total.sum());
    let compression = match step.format {
        OciFormat::Docker => Compression::None,
        OciFormat::Layout | OciFormat::Archive => step.compression.unwrap_or(Compression::Gzip),
    };
    let mut blobs = Blobs::default();
    for (files, number) in layers.iter().zip(1..) {
        let path = cx.scratch.join(format!("layer-{number}"));
        let written = layer::write(cx, files, compression, &path, &progress)?;
        let below = step.layers.get(number - 1);
        config.history.push(History {
            created: config.created.clone(),
            created_by: Some(below.map_or_else(|| "bootway".to_owned(), |paths| created_by(paths))),
            empty_layer: false,
        });
        config.rootfs.diff_ids.push(format!("sha256:{}", written.diff_id));
        blobs.layers.push((written, path));
    }
    blobs.config = serde_json::to_vec(&config).expect("plain data");
    let (kind, path) = match step.format {
        OciFormat::Layout => (ArtifactKind::Tree, cx.out.join("image")),
        OciFormat::Archive | OciFormat::Docker => (ArtifactKind::Container, cx.out.join("image.tar")),
    };
    match step.format {
        OciFormat::Layout => layout(cx, step, &blobs, compression, &path)?,
        OciFormat::Archive => pack(cx, &blobs.oci(step, compression), &path)?,
        OciFormat::Docker => pack(cx, &blobs.docker(step), &path)?,
    }
    Ok(vec![StepOutput { name: Name::fixed("image"), kind, path }])
}

fn created_by(paths: &[TreePath]) -> String {
    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
    format!("bootway {}", paths.join(" "))
}

/// What the plan says, in the words of the specification.
fn config(cx: &Cx<'_>, step: &step::Oci) -> ImageConfig {
    let (architecture, variant) = step.arch.names();
    let nanos =
        |span: Option<bootway_plan::Millis>| span.map_or(0, |span| span.get().saturating_mul(1_000_000));
    let health = step.healthcheck.as_ref().map(|check| Health {
        test: match &check.shell {
            Some(line) => vec!["CMD-SHELL".to_owned(), line.clone()],
            None => [&["CMD".to_owned()], &check.run[..]].concat(),
        },
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        start_period: nanos(check.start_period),
        retries: check.retries.unwrap_or_default().into(),
    });
    let set = |names: &[String]| json::Names(names.iter().cloned().collect());
    let ports: Vec<String> = step.ports.iter().map(|port| with_protocol(port)).collect();
    ImageConfig {
        created: Some(json::rfc3339(cx.epoch)),
        architecture: architecture.to_owned(),
        variant: variant.to_owned(),
        os: "linux".to_owned(),
        config: Execution {
            user: step.user.clone().unwrap_or_default(),
            exposed_ports: set(&ports),
            env: step.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            entrypoint: step.entrypoint.clone(),
            cmd: step.cmd.clone(),
            healthcheck: health,
            volumes: set(&step.volumes),
            working_dir: step.workdir.clone().unwrap_or_default(),
            labels: step.labels.clone(),
            stop_signal: step.stop_signal.clone().unwrap_or_default(),
        },
        rootfs: json::RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
        history: Vec::new(),
    }
}

/// Engines write `80` as `80/tcp`.
fn with_protocol(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

/// What an image is made of, before it is put together.
#[derive(Default)]
struct Blobs {
    /// Each in a file, the lowest first.
    layers: Vec<(Written, Utf8PathBuf)>,
    config: Vec<u8>,
}

impl Blobs {
    /// The files of an OCI layout, by path.
    fn oci(&self, step: &step::Oci, compression: Compression) -> Vec<(String, Content)> {
        let layer_type = match compression {
            Compression::None => json::LAYER.to_owned(),
            Compression::Gzip => format!("{}+gzip", json::LAYER),
            Compression::Zstd => format!("{}+zstd", json::LAYER),
            Compression::Xz => unreachable!("`impossible` has looked"),
        };
        let descriptor = |media_type: &str, digest: Digest, size: usize| Descriptor {
            media_type: media_type.to_owned(),
            digest: format!("sha256:{digest}"),
            size: size as u64,
            ..Descriptor::default()
        };
        let config = Digest::of(&self.config);
        let layers = self.layers.iter().map(|(it, _)| descriptor(&layer_type, it.digest, it.size as usize));
        let manifest = serde_json::to_vec(&Manifest {
            schema_version: 2,
            media_type: json::MANIFEST.to_owned(),
            config: descriptor(json::CONFIG, config, self.config.len()),
            layers: layers.collect(),
            annotations: step.labels.clone(),
        })
        .expect("plain data");
        let (architecture, variant) = step.arch.names();
        let tag = step.tag.clone().unwrap_or_else(|| "latest".to_owned());
        let of_image = Descriptor {
            annotations: [(json::REF_NAME.to_owned(), tag)].into(),
            platform: Some(json::Platform {
                architecture: architecture.to_owned(),
                os: "linux".to_owned(),
                variant: variant.to_owned(),
            }),
            ..descriptor(json::MANIFEST, Digest::of(&manifest), manifest.len())
        };
        let index =
            Index { schema_version: 2, media_type: json::INDEX.to_owned(), manifests: vec![of_image] };
        let blob = |digest: Digest| format!("blobs/sha256/{digest}");
        let mut files = vec![
            ("oci-layout".to_owned(), bytes(json::LAYOUT.as_bytes().to_vec())),
            ("index.json".to_owned(), bytes(serde_json::to_vec(&index).expect("plain data"))),
            (blob(Digest::of(&manifest)), bytes(manifest)),
            (blob(config), bytes(self.config.clone())),
        ];
        files.extend(self.layers.iter().map(|(it, path)| (blob(it.digest), content(it, path))));
        once(files)
    }

    /// The files of what `docker save` writes.
    fn docker(&self, step: &step::Oci) -> Vec<(String, Content)> {
        let config = format!("{}.json", Digest::of(&self.config));
        let layer = |it: &Written| format!("{}.tar", it.diff_id);
        let manifest = [DockerImage {
            config: config.clone(),
            repo_tags: step.tag.iter().cloned().collect(),
            layers: self.layers.iter().map(|(it, _)| layer(it)).collect(),
        }];
        let manifest = serde_json::to_vec(&manifest).expect("plain data");
        let mut files =
            vec![("manifest.json".to_owned(), bytes(manifest)), (config, bytes(self.config.clone()))];
        files.extend(self.layers.iter().map(|(it, path)| (layer(it), content(it, path))));
        once(files)
    }
}

fn bytes(bytes: Vec<u8>) -> Content {
    Content::Bytes(Arc::from(bytes))
}

fn content(it: &Written, path: &Utf8Path) -> Content {
    Content::File { path: path.to_owned(), size: it.size, digest: Some(it.digest) }
}

/// Layers that are the same are stored once.
fn once(mut files: Vec<(String, Content)>) -> Vec<(String, Content)> {
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|(name, _)| seen.insert(name.clone()));
    files
}

/// Writes an OCI layout as a tree, and looks whether it is good: to the engine it is a tree like any other.
fn layout(
    cx: &Cx<'_>,
    step: &step::Oci,
    blobs: &Blobs,
    compression: Compression,
    path: &Utf8Path,
) -> Result<(), OciError> {
    let mut composer = Composer::new();
    for (name, content) in blobs.oci(step, compression) {
        let place: TreePath = name.parse().expect("it is made of a digest");
        composer.place(&place, Node::new(0o644, NodeKind::File(content)))?;
    }
    tree::write(cx, &composer.finish(), path)?;
    let flaws = match Container::read(path) {
        Ok(Some(container)) => container.report.flaws,
        Ok(None) => vec!["it has no index".to_owned()],
        Err(error) => vec![error.to_string()],
    };
    if flaws.is_empty() { Ok(()) } else { Err(OciError::NoGood { flaws }) }
}

/// Writes a tar archive of `files`.
fn pack(cx: &Cx<'_>, files: &[(String, Content)], path: &Utf8Path) -> Result<(), OciError> {
    let mut to = BufWriter::with_capacity(1 << 20, fs_err::File::create_new(path)?);
    for (name, content) in files {
        let size = content.size();
        let member = Member {
            path: name,
            link: "",
            kind: kind::FILE,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size,
            mtime: cx.epoch,
            device: (0, 0),
            xattrs: None,
        };
        to.write_all(&tar::encode(&member))?;
        let mut from = io::Read::take(content.open()?, size);
        while io::copy(&mut io::Read::take(&mut from, 4 << 20), &mut to)? > 0 {
            if cx.cancel.is_cancelled() {
                return Err(OciError::Cancelled);
            }
        }
        to.write_all(tar::padding(size))?;
    }
    to.write_all(&tar::END)?;
    to.into_inner().map_err(io::IntoInnerError::into_error)?.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests;
