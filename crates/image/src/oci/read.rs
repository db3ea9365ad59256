//! Reading container images: every digest is computed anew, and every list is held against what is there.

use bootway_plan::{Bytes, Digest};
use camino::{Utf8Path, Utf8PathBuf};

use super::{
    archive::Unreadable,
    faults,
    members::{self, Layer, Members, Piece},
    report::{ContainerFormat, ContainerImage, ContainerLayer, ContainerReport},
    rootfs::RootFs,
};
use crate::format::oci::{self, Descriptor, DockerImage, ImageConfig, Index, Leads, Manifest, REF_NAME};

/// An index in an index in an index is deeper than any registry has.
const MAX_DEPTH: u32 = 3;
/// More than any registry has for one name.
const MAX_IMAGES: usize = 256;
/// A damaged image has so much wrong with it that more says nothing.
const MAX_FLAWS: usize = 20;
/// Other names under which engines keep the name of an image.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Images that were read to their end.
pub(crate) struct Container {
    pub(crate) path: Utf8PathBuf,
    pub(crate) report: ContainerReport,
    /// Of each image of the report.
    pub(crate) stored: Vec<Stored>,
}

/// Where an image is among the members of its archive, and what is in it.
pub(crate) struct Stored {
    /// The member that has its configuration.
    pub(super) config: String,
    /// Those that have its layers, the lowest first.
    pub(super) layers: Vec<String>,
    pub(crate) files: RootFs,
}

impl Container {
    /// Reads the layout or archive at `path`; nothing if it is neither.
    pub(crate) fn read(path: &Utf8Path) -> Result<Option<Self>, Unreadable> {
        let Some(members) = Members::read(path)? else { return Ok(None) };
        let mut reader = Reader { members: &members, flaws: Vec::new(), images: Vec::new() };
        let is_layout = members.get("oci-layout").is_some() || members.get("index.json").is_some();
        if is_layout {
            reader.layout();
        }
        if members.get("manifest.json").is_some() {
            reader.docker(is_layout);
        } else if !is_layout {
            reader.flaw("there is neither an `index.json` nor a `manifest.json`".to_owned());
        }
        let format = match (members.packed, is_layout) {
            (None, _) => ContainerFormat::OciLayout,
            (Some(_), true) => ContainerFormat::OciArchive,
            (Some(_), false) => ContainerFormat::DockerArchive,
        };
        let Reader { mut flaws, images, .. } = reader;
        if flaws.is_empty() && images.is_empty() {
            flaws.push("there is no image in it".to_owned());
        }
        flaws.truncate(MAX_FLAWS);
        let (images, stored) = images.into_iter().map(|it| (it.report, it.stored)).unzip();
        let compression = members.packed.map_or("none", crate::compress::Magic::as_str).to_owned();
        Ok(Some(Self {
            path: path.to_owned(),
            report: ContainerReport { format, compression, flaws, images },
            stored,
        }))
    }

    /// The first `limit` bytes of the regular file with this number in the listing of an image.
    pub(crate) fn read_file(&self, image: usize, number: u64, limit: u64) -> Result<Vec<u8>, Unreadable> {
        let missing = || Unreadable::Io(std::io::Error::other("there is no such file"));
        let stored = self.stored.get(image).ok_or_else(missing)?;
        let (layer, number) = *stored.files.places.get(number as usize).ok_or_else(missing)?;
        members::read_file(&self.path, stored.layers.get(layer).ok_or_else(missing)?, number, limit)
    }
}

/// An image that was found.
struct Image {
    report: ContainerImage,
    stored: Stored,
}

struct Reader<'a> {
    members: &'a Members,
    flaws: Vec<String>,
    images: Vec<Image>,
}

impl<'a> Reader<'a> {
    fn flaw(&mut self, flaw: String) {
        if self.flaws.len() < MAX_FLAWS && !self.flaws.contains(&flaw) {
            self.flaws.push(flaw);
        }
    }

    /// What `result` has; what is wrong is noted.
    fn noted<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|flaw| self.flaw(flaw)).ok()
    }

    /// `oci-layout`, `index.json`, and all blobs.
    fn layout(&mut self) {
        let version = self.json::<serde_json::Value>("oci-layout");
        if let Some(version) = self.noted(version)
            && version["imageLayoutVersion"] != "1.0.0"
        {
            let said = version["imageLayoutVersion"].to_string();
            self.flaw(format!("`oci-layout` says version {said}, and only \"1.0.0\" is known"));
        }
        for (name, piece) in &self.members.pieces {
            let Some(hex) = name.strip_prefix("blobs/sha256/") else { continue };
            if hex != piece.digest.to_string() {
                let what = if hex.len() == 64 { &hex[..12] } else { hex };
                self.flaw(format!("blob `{what}` has other contents, of sha256:{}", piece.digest.short()));
            }
        }
        let index = self.json("index.json");
        if let Some(index) = self.noted(index) {
            self.index(&index, &[], 0);
        }
    }

    /// The JSON of the member `name`.
    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, String> {
        let piece = self.members.get(name).ok_or_else(|| format!("there is no `{name}`"))?;
        let json = piece.json.as_ref().ok_or_else(|| format!("`{name}` is no JSON"))?;
        oci::parse(json).map_err(|error| format!("`{name}` is {error}"))
    }

    /// The blob that a descriptor leads to, with its name, when it is what the descriptor says.
    fn blob(&self, descriptor: &Descriptor) -> Result<(&'a Piece, String), String> {
        let digest = oci::digest(&descriptor.digest)?;
        let name = format!("blobs/sha256/{digest}");
        let short = digest.short();
        let piece = self.members.get(&name).ok_or_else(|| format!("blob `{short}` is not there"))?;
        if piece.size != descriptor.size {
            let (size, said) = (piece.size, descriptor.size);
            return Err(format!("blob `{short}` has {size} bytes, and is said to have {said}"));
        }
        if piece.digest != digest {
            return Err(format!("blob `{short}` has other contents, of sha256:{}", piece.digest.short()));
        }
        Ok((piece, name))
    }

    fn index(&mut self, index: &Index, names: &[String], depth: u32) {
        if index.schema_version != 2 {
            self.flaw(format!("an index is of schema {}, and not 2", index.schema_version));
        }
        for descriptor in &index.manifests {
            if self.images.len() >= MAX_IMAGES || depth >= MAX_DEPTH {
                return self.flaw(format!(
                    "there are more than {MAX_IMAGES} images, or {MAX_DEPTH} levels of indexes"
                ));
            }
            let mut names = names.to_vec();
            let own = [CONTAINERD_NAME, REF_NAME].iter().find_map(|key| descriptor.annotations.get(*key));
            names.extend(own.cloned());
            let blob = self.blob(descriptor);
            let Some((piece, name)) = self.noted(blob) else { continue };
            match Leads::to(&descriptor.media_type) {
                Leads::Index => {
                    let inner = self.json(&name);
                    if let Some(inner) = self.noted(inner) {
                        self.index(&inner, &names, depth + 1);
                    }
                }
                Leads::Manifest => {
                    let manifest = self.json(&name);
                    if let Some(manifest) = self.noted(manifest) {
                        self.manifest(&manifest, descriptor, piece.digest, names);
                    }
                }
                Leads::Config | Leads::Layer(_) | Leads::Other => {
                    self.flaw(format!("an index leads to a blob of type `{}`", descriptor.media_type));
                }
            }
        }
    }

    fn manifest(&mut self, manifest: &Manifest, from: &Descriptor, digest: Digest, names: Vec<String>) {
        let short = digest.short();
        if manifest.schema_version != 2 {
            self.flaw(format!("manifest `{short}` is of schema {}, and not 2", manifest.schema_version));
        }
        if !manifest.media_type.is_empty() && manifest.media_type != from.media_type {
            let (own, said) = (&manifest.media_type, &from.media_type);
            self.flaw(format!("manifest `{short}` is of type `{own}`, and is said to be `{said}`"));
        }
        let blobs: Vec<_> = manifest.layers.iter().map(|layer| (layer, self.blob(layer))).collect();
        let config = self.blob(&manifest.config);
        let config = self.noted(config);
        // An attestation, or something else that is stored like an image and is none.
        let is_image = manifest.layers.iter().all(|it| matches!(Leads::to(&it.media_type), Leads::Layer(_)))
            && Leads::to(&manifest.config.media_type) == Leads::Config;
        let mut layers = Vec::new();
        for (descriptor, blob) in blobs {
            let Some((piece, name)) = self.noted(blob) else { continue };
            if let Leads::Layer(compression) = Leads::to(&descriptor.media_type)
                && let Some(Ok(layer)) = &piece.layer
                && layer.compression.as_str() != compression
            {
                let (own, kind) = (layer.compression.as_str(), &descriptor.media_type);
                self.flaw(format!(
                    "layer `{}` has compression {own}, and type `{kind}`",
                    piece.digest.short()
                ));
            }
            layers.push((piece, name));
        }
        let Some((_, config_name)) = config else { return };
        if !is_image {
            let foreign =
                manifest.layers.iter().map(|it| &it.media_type).chain([&manifest.config.media_type]);
            let foreign = foreign.filter(|it| Leads::to(it) == Leads::Other).map(String::as_str);
            // BuildKit's attestations say that they are for no platform.
            if from.platform.as_ref().is_none_or(|platform| platform.os != "unknown") {
                let kinds: Vec<&str> = foreign.collect();
                self.flaw(format!("`{short}` is no image: it has blobs of type `{}`", kinds.join("`, `")));
            }
            return;
        }
        let config = self.json(&config_name);
        let Some(config) = self.noted(config) else { return };
        if layers.len() == manifest.layers.len() {
            self.image(names, digest, (&config, config_name), layers);
        }
    }

    /// `manifest.json`, which is beside an index in what newer engines save.
    fn docker(&mut self, is_layout: bool) {
        let images = self.json::<Vec<DockerImage>>("manifest.json");
        for docker in self.noted(images).unwrap_or_default().into_iter().take(MAX_IMAGES) {
            let Some(piece) = self.members.get(&docker.config) else {
                self.flaw(format!("there is no `{}`", docker.config));
                continue;
            };
            let hex = docker.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
            if hex.parse().is_ok_and(|said: Digest| said != piece.digest) {
                let digest = piece.digest.short();
                self.flaw(format!("configuration `{}` has other contents, of sha256:{digest}", &hex[..12]));
            }
            let config = self.json(&docker.config);
            let Some(config) = self.noted(config) else { continue };
            let mut layers = Vec::new();
            for name in &docker.layers {
                match self.members.place(name).and_then(|name| Some((self.members.get(name)?, name))) {
                    Some((piece, name)) => layers.push((piece, name.to_owned())),
                    None => self.flaw(format!("there is no `{name}`")),
                }
            }
            // It says the same again: what was read is only held against it.
            let before = self.images.len();
            if layers.len() == docker.layers.len() {
                let name = self.members.place(&docker.config).unwrap_or_default().to_owned();
                self.image(docker.repo_tags, piece.digest, (&config, name), layers);
            }
            if is_layout {
                self.images.truncate(before);
            }
        }
    }

    /// Holds the configuration of an image against its layers.
    fn image(
        &mut self,
        names: Vec<String>,
        digest: Digest,
        (config, config_name): (&ImageConfig, String),
        pieces: Vec<(&'a Piece, String)>,
    ) {
        let layers: Vec<Result<(&Piece, &Layer), String>> = pieces
            .iter()
            .map(|(piece, _)| match &piece.layer {
                Some(Ok(layer)) => Ok((*piece, layer)),
                Some(Err(error)) => Err(format!("layer `{}` is damaged: {error}", piece.digest.short())),
                None => Err(format!("layer `{}` is no tar archive", piece.digest.short())),
            })
            .collect();
        let made: Vec<_> = config.history.iter().filter(|it| !it.empty_layer).collect();
        let (mut reports, mut files) = (Vec::new(), RootFs::default());
        for (index, layer) in layers.into_iter().enumerate() {
            let Some((piece, layer)) = self.noted(layer) else { return };
            let short = piece.digest.short();
            let added =
                files.add(layer, index).map_err(|error| format!("layer `{short}` is damaged: {error}"));
            self.noted(added);
            reports.push(ContainerLayer {
                digest: piece.digest,
                diff_id: layer.diff_id,
                size: Bytes::new(piece.size),
                unpacked: Bytes::new(layer.unpacked),
                compression: layer.compression.as_str().to_owned(),
                files: layer.entries.len() as u64,
                created_by: made.get(index).and_then(|it| it.created_by.clone()),
            });
        }
        for flaw in faults::of(config, &reports, &files) {
            self.flaw(flaw);
        }
        let report = ContainerImage::new(names, digest, config, reports);
        let layers = pieces.into_iter().map(|(_, name)| name).collect();
        self.images.push(Image { report, stored: Stored { config: config_name, layers, files } });
    }
}
