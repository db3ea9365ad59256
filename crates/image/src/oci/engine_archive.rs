//! An image out of whatever it is stored in, as any engine loads it, and under another name: engines differ in what
//! they can load, and loading an image takes its name away from what has it already.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Read, Write},
};

use bootway_exec::Cx;
use camino::Utf8Path;

use super::{
    Container, Unreadable,
    archive::{Member, each},
};
use crate::{
    compress,
    format::{
        oci::DockerImage,
        tar::{self, kind},
    },
};

/// Bytes between two looks at whether to stop.
const CHUNK: u64 = 4 << 20;

impl Container {
    /// Writes the image with this number to `path`, as `docker save` would, with `name`.
    ///
    /// What is in it stays the same, so engines know it by the same digest.
    pub(crate) fn write_for_engine(
        &self,
        cx: &Cx<'_>,
        number: usize,
        name: &str,
        path: &Utf8Path,
    ) -> Result<(), Unreadable> {
        let missing = || Unreadable::Io(io::Error::other("there is no such image"));
        let stored = self.stored.get(number).ok_or_else(missing)?;
        let layers = &self.report.images.get(number).ok_or_else(missing)?.layers;
        let config = "config.json".to_owned();
        let names: Vec<String> = layers.iter().map(|layer| format!("{}.tar", layer.diff_id)).collect();
        let manifest =
            [DockerImage { config: config.clone(), repo_tags: vec![name.to_owned()], layers: names.clone() }];
        let mut to = BufWriter::with_capacity(1 << 20, fs_err::File::create(path)?);
        let manifest = serde_json::to_vec(&manifest).expect("plain data");
        write(cx, &mut to, "manifest.json", manifest.len() as u64, &mut &*manifest)?;
        // Layers that are the same are stored once, or several times; one of them will do.
        let places = stored.layers.iter().zip(names.iter().zip(layers));
        let mut wanted: BTreeMap<&str, (&str, Option<u64>)> = places
            .map(|(place, (name, layer))| (place.as_str(), (name.as_str(), Some(layer.unpacked.get()))))
            .collect();
        wanted.insert(&stored.config, (&config, None));
        let mut written = Vec::new();
        each(&self.path, &mut |member| {
            let Member::File { name, data } = member else { return Ok(()) };
            let Some((name, size)) = wanted.get(name.as_str()).filter(|it| !written.contains(&it.0)) else {
                return Ok(());
            };
            written.push(*name);
            if let Some(size) = size {
                return write(cx, &mut to, name, *size, &mut compress::unpacking_all(data)?);
            }
            let mut bytes = Vec::new();
            data.read_to_end(&mut bytes)?;
            write(cx, &mut to, name, bytes.len() as u64, &mut &*bytes)
        })?;
        to.write_all(&tar::END)?;
        to.into_inner().map_err(io::IntoInnerError::into_error)?.flush()?;
        Ok(())
    }
}

/// Writes the member `name` with `size` bytes of `from`.
fn write(cx: &Cx<'_>, to: &mut impl Write, name: &str, size: u64, from: &mut dyn Read) -> io::Result<()> {
    let member = tar::Member {
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
    let mut left = size;
    while left > 0 {
        if cx.cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let copied = io::copy(&mut from.take(left.min(CHUNK)), to)?;
        if copied == 0 {
            return Err(io::Error::other(format!("`{name}` ends {left} bytes too early")));
        }
        left -= copied;
    }
    to.write_all(tar::padding(size))
}
