//! A suite of a Debian archive: its signed release, and what that says is in it.

use std::{io::BufReader, thread};

use bootway_exec::{Cmd, Cx, run};
use bootway_plan::step;
use camino::Utf8Path;

use super::{
    DebianError,
    release::{self, Release},
};
use crate::{
    archive::{
        Fault, Stop,
        decode::{Decoded, decoder},
    },
    meter::Meter,
    store::{Store, Wanted},
};

/// Bytes of an index when it is decompressed; those of Debian's `main` have 50 MB.
const LARGEST_INDEX: u64 = 1 << 30;

/// A part of an archive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suite<'a> {
    /// Without a slash at its end.
    pub(super) mirror: &'a str,
    pub(super) name: &'a str,
    pub(super) components: &'a [String],
    /// `None` for sources.
    pub(super) arch: Option<&'a str>,
}

impl<'a> From<step::DebianArchive<'a>> for Suite<'a> {
    fn from(archive: step::DebianArchive<'a>) -> Self {
        let step::DebianArchive { suite, mirror, arch, components, lock: _ } = archive;
        Self { mirror, name: suite, components, arch }
    }
}

/// What verifies a signature: see [`release::verify`].
pub(super) fn commands(scratch: &Utf8Path, keyring: &Utf8Path) -> Vec<Cmd> {
    vec![release::verify(scratch, keyring)]
}

impl Suite<'_> {
    /// Downloads its release, and believes only what the signature covers.
    pub(super) fn release(
        &self,
        cx: &Cx<'_>,
        keyring: &Utf8Path,
        store: &Store<'_>,
    ) -> Result<Release, DebianError> {
        if !keyring.exists() {
            return Err(DebianError::NoKeyring { keyring: keyring.to_owned() });
        }
        let url = format!("{}/dists/{}/InRelease", self.mirror, self.name);
        let signed = store.read(std::slice::from_ref(&url), release::LARGEST)?;
        fs_err::write(cx.scratch.join("InRelease"), signed)?;
        for cmd in commands(cx.scratch, keyring) {
            run(cx, &cmd).map_err(|source| DebianError::Signature {
                url: url.clone(),
                keyring: keyring.to_owned(),
                source,
            })?;
        }
        let text = fs_err::read(cx.scratch.join("Release"))?;
        let release = Release::parse(&String::from_utf8_lossy(&text));
        match release.objection(self) {
            Some(reason) => Err(DebianError::Release { url, reason }),
            None => Ok(release),
        }
    }

    /// The text of the index of each component.
    pub(super) fn indexes(
        &self,
        cx: &Cx<'_>,
        release: &Release,
        store: &Store<'_>,
    ) -> Result<Vec<String>, DebianError> {
        let base = format!("{}/dists/{}", self.mirror, self.name);
        let mut texts = Vec::new();
        for component in self.components {
            let (directory, name) = match self.arch {
                Some(arch) => (format!("{component}/binary-{arch}"), "Packages"),
                None => (format!("{component}/source"), "Sources"),
            };
            let listed = [".xz", ".gz", ""].iter().find_map(|suffix| {
                let path = format!("{directory}/{name}{suffix}");
                release.files.get(&path).map(|file| (path, *file))
            });
            let (path, (digest, size)) =
                listed.ok_or_else(|| self.bad_index(format!("its release lists no `{directory}/{name}`")))?;
            let by_hash = release.by_hash.then(|| format!("{base}/{directory}/by-hash/SHA256/{digest}"));
            let urls = by_hash.into_iter().chain([format!("{base}/{path}")]).collect();
            let meter = Meter::new(cx, Some(size));
            let file = store.obtain(&Wanted { digest, size: Some(size), urls }, &meter)?;
            texts.push(decompressed(cx, &file, &path)?);
        }
        Ok(texts)
    }

    /// That an index of it is of no use.
    pub(super) fn bad_index(&self, reason: String) -> DebianError {
        DebianError::Index { suite: self.name.to_owned(), reason }
    }
}

fn decompressed(cx: &Cx<'_>, file: &Utf8Path, label: &str) -> Result<String, DebianError> {
    let input = BufReader::new(fs_err::File::open(file)?);
    let bytes = thread::scope(|scope| {
        let input = decoder(input, cx.jobs)?;
        let mut stream = Decoded::start(scope, input, "the index".to_owned(), cx.cancel);
        let mut bytes = Vec::new();
        loop {
            let more = stream.next(LARGEST_INDEX)?;
            if more.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(more);
            if bytes.len() as u64 > LARGEST_INDEX {
                return Err(Fault::too_big("its text", bytes.len() as u64, LARGEST_INDEX).into());
            }
        }
    });
    let bytes = bytes.map_err(|stop: Stop| stop.of(label))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
