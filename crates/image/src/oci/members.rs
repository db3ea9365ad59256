//! What is in a layout or an archive of images: every member is read once, digested, and looked into.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Cursor, Read},
};

use bootway_plan::{Digest, Digester, TreePath};
use camino::Utf8Path;

use super::archive::{Member, Unreadable, each, has_images};
use crate::{
    compress::{self, Magic},
    format::tar::{self, ScanError, kind},
};

/// JSON that is larger describes no image.
const MAX_JSON: u64 = 4 << 20;
/// All of it together.
const MAX_ALL_JSON: u64 = 64 << 20;
/// What all layers together may unpack to: more than any image has, and read in minutes.
const MAX_UNPACKED: u64 = 64 << 30;
/// More than all layers of any image have.
const MAX_FILES: usize = 8 << 20;
/// More blobs than any image has.
const MAX_PIECES: usize = 100_000;
/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// Everything in a layout or an archive, by name; names of links too.
#[derive(Default)]
pub(super) struct Members {
    /// How the whole archive is compressed; nothing for a directory.
    pub(super) packed: Option<Magic>,
    pub(super) pieces: BTreeMap<String, Piece>,
    /// Symbolic and hard links, to the member that they lead to.
    links: BTreeMap<String, String>,
    json: u64,
    unpacked: u64,
    files: usize,
}

/// One member.
pub(super) struct Piece {
    pub(super) size: u64,
    pub(super) digest: Digest,
    /// All of it, if it may be JSON.
    pub(super) json: Option<Vec<u8>>,
    /// What it is as a layer, or what is wrong with it; nothing if it is no tar archive.
    pub(super) layer: Option<Result<Layer, String>>,
}

/// A tar archive, compressed or not.
pub(super) struct Layer {
    pub(super) compression: Magic,
    /// Of what it unpacks to.
    pub(super) diff_id: Digest,
    pub(super) unpacked: u64,
    pub(super) entries: Vec<Entry>,
}

/// What a member of a layer does to the files below it.
pub(super) struct Entry {
    pub(super) path: TreePath,
    pub(super) mode: u32,
    pub(super) what: What,
}

/// What is at a path of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Directory,
    /// `number` is its place in the layer.
    File {
        size: u64,
        number: u64,
    },
    HardLink {
        to: TreePath,
    },
    Symlink {
        target: String,
    },
    /// A device or a pipe.
    Other,
    /// Removes what layers below have there.
    Whiteout,
    /// Removes all that layers below have in this directory.
    Opaque,
}

impl Members {
    /// Reads everything at `path`; nothing if there is no image in it.
    pub(super) fn read(path: &Utf8Path) -> Result<Option<Self>, Unreadable> {
        if !has_images(path)? {
            return Ok(None);
        }
        let mut members = Self::default();
        let mut links = BTreeMap::new();
        let packed = each(path, &mut |member| {
            match member {
                Member::File { name, data } => members.add(name, data)?,
                Member::Link { name, to } => drop(links.insert(name, to)),
            }
            Ok(())
        })?;
        members.packed = packed;
        members.links = links;
        Ok(Some(members))
    }

    /// The member of this name, through links.
    pub(super) fn get(&self, name: &str) -> Option<&Piece> {
        self.pieces.get(self.place(name)?)
    }

    /// The name of the member that `name` leads to.
    pub(super) fn place<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut name = name.trim_start_matches("./");
        for _ in 0..8 {
            if self.pieces.contains_key(name) {
                return Some(name);
            }
            name = self.links.get(name)?;
        }
        None
    }

    fn add(&mut self, name: String, data: &mut dyn Read) -> io::Result<()> {
        if self.pieces.len() >= MAX_PIECES {
            return Err(io::Error::other(format!("it has more than {MAX_PIECES} files")));
        }
        let mut raw = Counted::new(data);
        let mut start = Vec::new();
        raw.by_ref().take(tar::BLOCK as u64).read_to_end(&mut start)?;
        let (mut json, mut layer) = (None, None);
        let magic = Magic::of(&start);
        if magic == Magic::Plain && tar::looks_like(&start) {
            layer = Some(self.layer(magic, &mut Cursor::new(&start).chain(&mut raw)));
        } else if magic != Magic::Plain {
            let mut from = Cursor::new(&start).chain(&mut raw);
            layer = match compress::decoder_of_all(magic, &mut from) {
                Ok(mut unpacked) => self.unpacked_layer(magic, &mut unpacked),
                Err(error) => Some(Err(error.to_string())),
            };
        } else if matches!(start.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'[')) {
            let left = MAX_JSON.min(MAX_ALL_JSON.saturating_sub(self.json));
            raw.by_ref().take(left).read_to_end(&mut start)?;
            self.json += start.len() as u64;
            json = Some(start);
        }
        io::copy(&mut raw, &mut io::sink())?;
        let (size, digest) = raw.finish();
        if let Some(Ok(layer)) = &mut layer
            && magic == Magic::Plain
        {
            (layer.diff_id, layer.unpacked) = (digest, size);
        }
        let json = json.filter(|json| json.len() as u64 == size);
        self.pieces.insert(name, Piece { size, digest, json, layer });
        Ok(())
    }

    /// A compressed layer; nothing if what is compressed is no archive.
    fn unpacked_layer(&mut self, magic: Magic, from: &mut dyn Read) -> Option<Result<Layer, String>> {
        let mut start = Vec::new();
        match from.take(tar::BLOCK as u64).read_to_end(&mut start) {
            Err(error) => return Some(Err(error.to_string())),
            Ok(_) if !tar::looks_like(&start) => return None,
            Ok(_) => {}
        }
        let left = MAX_UNPACKED - self.unpacked;
        let mut counted = Counted::new(Cursor::new(start).chain(from).take(left));
        let mut layer = match self.layer(magic, &mut counted) {
            Ok(layer) => layer,
            Err(error) => return Some(Err(error)),
        };
        // Behind the archive there is padding, and behind that the checksum of the stream.
        if let Err(error) = io::copy(&mut counted, &mut io::sink()) {
            return Some(Err(error.to_string()));
        }
        (layer.unpacked, layer.diff_id) = counted.finish();
        self.unpacked += layer.unpacked;
        if self.unpacked >= MAX_UNPACKED {
            return Some(Err(format!("layers unpack to more than {} GiB", MAX_UNPACKED >> 30)));
        }
        Some(Ok(layer))
    }

    fn layer(&mut self, compression: Magic, from: &mut dyn Read) -> Result<Layer, String> {
        let mut entries = Vec::new();
        let known = self.files;
        let scanned = tar::scan(BufReader::with_capacity(BUFFER, from), |found, _| {
            if known + entries.len() >= MAX_FILES {
                return Err(io::Error::other(format!("layers have more than {MAX_FILES} files")));
            }
            entries.push(entry(found).map_err(io::Error::other)?);
            Ok(())
        });
        scanned.map_err(|error| error.to_string())?;
        self.files += entries.len();
        Ok(Layer { compression, diff_id: Digest::of(b""), unpacked: 0, entries })
    }
}

fn entry(found: &tar::Found) -> Result<Entry, String> {
    let text = String::from_utf8_lossy(&found.path);
    let path = |text: &str| -> Result<TreePath, String> {
        text.parse().map_err(|_| format!("it has the path `{}`, which leads out of it", text.escape_debug()))
    };
    let mut place = path(&text)?;
    let what = match found.kind {
        kind::DIRECTORY => What::Directory,
        kind::HARD_LINK => What::HardLink { to: path(&String::from_utf8_lossy(&found.link))? },
        kind::SYMLINK => What::Symlink { target: String::from_utf8_lossy(&found.link).into_owned() },
        kind::CHAR_DEVICE | kind::BLOCK_DEVICE | kind::FIFO => What::Other,
        _ => What::File { size: found.size, number: found.number },
    };
    let name = place.name().to_owned();
    let parent = place.parent().unwrap_or_default();
    if name == ".wh..wh..opq" {
        return Ok(Entry { path: parent, mode: 0, what: What::Opaque });
    }
    if let Some(hidden) = name.strip_prefix(".wh.") {
        place =
            parent.join(hidden).map_err(|_| format!("it has the whiteout `{text}`, which hides nothing"))?;
        return Ok(Entry { path: place, mode: 0, what: What::Whiteout });
    }
    Ok(Entry { path: place, mode: found.mode, what })
}

/// The first `limit` bytes of the file that is the `number`th member of the layer `name` in `path`.
pub(super) fn read_file(path: &Utf8Path, name: &str, number: u64, limit: u64) -> Result<Vec<u8>, Unreadable> {
    let (mut bytes, mut is_done) = (Vec::new(), false);
    let enough = || io::Error::other("enough was read");
    let read = each(path, &mut |member| {
        let Member::File { name: member, data } = member else { return Ok(()) };
        if member != name {
            return Ok(());
        }
        let layer = compress::unpacking_all(data)?.take(MAX_UNPACKED);
        let scanned = tar::scan(BufReader::with_capacity(BUFFER, layer), |found, data| {
            if found.number == number {
                data.take(limit).read_to_end(&mut bytes)?;
                is_done = true;
                return Err(enough());
            }
            Ok(())
        });
        scanned.map(drop).map_err(|error| match error {
            ScanError::Read(error) => error,
            other => io::Error::other(other.to_string()),
        })
    });
    match read {
        _ if is_done => Ok(bytes),
        Err(error) => Err(error),
        Ok(_) => Err(Unreadable::Io(io::Error::other(format!("it has no file {number} in `{name}`")))),
    }
}

/// A reader that digests and counts what goes through it.
struct Counted<R> {
    from: R,
    size: u64,
    digester: Digester,
}

impl<R: Read> Counted<R> {
    fn new(from: R) -> Self {
        Self { from, size: 0, digester: Digester::default() }
    }

    fn finish(self) -> (u64, Digest) {
        (self.size, self.digester.finish())
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.from.read(buffer)?;
        self.digester.update(&buffer[..len]);
        self.size += len as u64;
        Ok(len)
    }
}
