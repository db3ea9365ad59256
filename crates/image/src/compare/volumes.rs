//! The files of two volumes, path by path, and their contents.

use std::collections::BTreeSet;

use bootway_plan::TreePath;
use camino::Utf8Path;

use super::{CompareError, MAX_CONTENT, Pass, Place, Side, What, archive, bytes, program};
use crate::{
    Tree,
    compress::{Magic, decompress},
    inspect::Volume,
    listing::{Attributes, Found, Listing},
};

/// How a cpio archive begins. Source: Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`.
const CPIO: &[u8] = b"07070";
/// What is packed into what is packed is looked into so many times.
const MAX_DEPTH: usize = 16;

impl Pass<'_> {
    /// Everything in two volumes, each of which is in the file or directory beside it.
    pub(super) fn volumes<'v>(
        &mut self,
        place: &Place,
        (at_a, a): (&Utf8Path, &mut Volume<'v>),
        (at_b, b): (&Utf8Path, &mut Volume<'v>),
    ) -> Result<(), CompareError> {
        let (of_a, of_b) = match (a.list(), b.list()) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(why), _) | (_, Err(why)) => {
                self.unread(place, &why);
                return Ok(());
            }
        };
        let paths: BTreeSet<&TreePath> = of_a.files.keys().chain(of_b.files.keys()).collect();
        for path in paths {
            self.go_on()?;
            let inner = place.inside(path.to_string());
            let (in_a, in_b) = match (of_a.files.get(path), of_b.files.get(path)) {
                (Some(a), Some(b)) => (a, b),
                (Some(found), None) => {
                    self.only(&inner, Side::A, path, (&of_a, found), &of_b);
                    continue;
                }
                (None, Some(found)) => {
                    self.only(&inner, Side::B, path, (&of_b, found), &of_a);
                    continue;
                }
                (None, None) => continue,
            };
            let said = [of_a.attributes.get(path), of_b.attributes.get(path)];
            let before = self.found.differences.len();
            if let [Some(a), Some(b)] = said {
                self.attributes(&inner, a, b);
            }
            match (in_a, in_b) {
                (Found::File { .. }, Found::File { .. }) => {
                    let digests = said.map(|said| said.and_then(|said| said.digest));
                    if digests[0].is_some() && digests[0] == digests[1] {
                        self.found.same += u64::from(self.found.differences.len() == before);
                        continue;
                    }
                    self.regular_files(&inner, path, [(at_a, a, in_a), (at_b, b, in_b)])?;
                }
                (a, b) => {
                    self.value(&inner, "kind", &kind(a, said[0]), &kind(b, said[1]));
                    self.found.same += u64::from(self.found.differences.len() == before);
                }
            }
        }
        Ok(())
    }

    /// Two regular files, by their contents.
    fn regular_files(
        &mut self,
        place: &Place,
        path: &TreePath,
        [(at_a, a, in_a), (at_b, b, in_b)]: [(&Utf8Path, &mut Volume<'_>, &Found); 2],
    ) -> Result<(), CompareError> {
        if let (Some(a), Some(b)) = (host_file(a, at_a, path), host_file(b, at_b, path)) {
            return self.paths(place, &a, &b);
        }
        let (Found::File { size: a_size, number: in_a }, Found::File { size: b_size, number: in_b }) =
            (in_a, in_b)
        else {
            return Ok(());
        };
        if *a_size > MAX_CONTENT || *b_size > MAX_CONTENT {
            let limit = MAX_CONTENT >> 20;
            self.unread(place, &format!("it has more than {limit} MiB: take it out, and compare it"));
            return Ok(());
        }
        match (a.read(path, *in_a, MAX_CONTENT), b.read(path, *in_b, MAX_CONTENT)) {
            (Ok(a), Ok(b)) => self.contents(place, &a, &b),
            (Err(why), _) | (_, Err(why)) => {
                self.unread(place, &why);
                Ok(())
            }
        }
    }

    /// Something that one side does not have: not again for what is in a directory that it does not have either.
    fn only(
        &mut self,
        inner: &Place,
        side: Side,
        path: &TreePath,
        (listing, found): (&Listing, &Found),
        other: &Listing,
    ) {
        if path.parent().is_some_and(|parent| !other.files.contains_key(&parent)) {
            return;
        }
        let below = listing.files.keys().filter(|it| is_below(it, path)).count();
        let is = kind(found, listing.attributes.get(path));
        let is = if below > 0 { format!("{is} with {below} files") } else { is };
        self.differs(inner, What::Only { side, is });
    }

    fn attributes(&mut self, place: &Place, a: &Attributes, b: &Attributes) {
        let octal = |mode: Option<u16>| mode.map_or_else(|| "none".to_owned(), |mode| format!("{mode:04o}"));
        let owner = |it: Option<(u32, u32)>| {
            it.map_or_else(|| "none".to_owned(), |(user, group)| format!("{user}:{group}"))
        };
        let time = |it: Option<u32>| it.map_or_else(|| "none".to_owned(), |time| time.to_string());
        let first =
            |it: &Option<TreePath>| it.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        self.value(place, "mode", &octal(a.mode), &octal(b.mode));
        self.value(place, "owner", &owner(a.owner), &owner(b.owner));
        self.value(place, "time", &time(a.mtime), &time(b.mtime));
        self.value(place, "hard link to", &first(&a.first_name), &first(&b.first_name));
        let names: BTreeSet<&String> = a.xattrs.keys().chain(b.xattrs.keys()).collect();
        for name in names {
            let value = |it: &Attributes| {
                it.xattrs
                    .get(name)
                    .map_or_else(|| "none".to_owned(), |value| value.escape_ascii().to_string())
            };
            self.value(place, name, &value(a), &value(b));
        }
    }

    /// Two contents, taken apart as far as something is known of them.
    pub(super) fn contents(&mut self, place: &Place, a: &[u8], b: &[u8]) -> Result<(), CompareError> {
        self.go_on()?;
        if a == b {
            self.found.same += 1;
            return Ok(());
        }
        if place.0.len() < MAX_DEPTH {
            if let Some([inner_a, inner_b]) = decompressed(a, b) {
                return self.unpacked(place, [a, b], [&inner_a, &inner_b]);
            }
            if let (Some(a), Some(b)) = (archive::members(a), archive::members(b)) {
                return self.members(place, &a, &b);
            }
            if let (Some(a), Some(b)) = (unpacked(a), unpacked(b)) {
                let (mut a, mut b) = (Volume::Unpacked(a), Volume::Unpacked(b));
                let before = self.found.differences.len();
                self.volumes(place, ("".into(), &mut a), ("".into(), &mut b))?;
                if self.found.differences.len() > before {
                    return Ok(());
                }
            }
        }
        let what = program::difference(a, b);
        let what = what.unwrap_or_else(|| bytes::difference(a, b, bytes::common(a, b), None));
        self.differs(place, what);
        Ok(())
    }

    /// Two compressed streams, which hold `inner`.
    fn unpacked(&mut self, place: &Place, outer: [&[u8]; 2], inner: [&[u8]; 2]) -> Result<(), CompareError> {
        if inner[0] != inner[1] {
            return self.contents(&place.inside("unpacked"), inner[0], inner[1]);
        }
        let at = bytes::common(outer[0], outer[1]);
        let part = "what it holds is the same, and is compressed or named otherwise";
        self.differs(place, bytes::difference(outer[0], outer[1], at, Some(part.to_owned())));
        Ok(())
    }

    fn members(
        &mut self,
        place: &Place,
        a: &[archive::Member<'_>],
        b: &[archive::Member<'_>],
    ) -> Result<(), CompareError> {
        let names =
            |all: &[archive::Member<'_>]| all.iter().map(|it| it.name.clone()).collect::<Vec<_>>().join(", ");
        let (of_a, of_b) = (names(a), names(b));
        if of_a != of_b {
            let what = bytes::difference(
                of_a.as_bytes(),
                of_b.as_bytes(),
                bytes::common(of_a.as_bytes(), of_b.as_bytes()),
                Some("the names of its members".to_owned()),
            );
            self.differs(place, what);
            return Ok(());
        }
        for (a, b) in a.iter().zip(b) {
            let inner = a.place(place);
            for ((name, a), (_, b)) in a.said.iter().zip(&b.said) {
                self.value(&inner, name, a, b);
            }
            self.contents(&inner, a.data, b.data)?;
        }
        Ok(())
    }
}

/// What is in a cpio archive; nothing if it is none, or is damaged.
fn unpacked(bytes: &[u8]) -> Option<Tree> {
    if !bytes.starts_with(CPIO) {
        return None;
    }
    Tree::from_cpio(bytes).ok()
}

/// Where the file is on the host, if the volume is a directory there.
fn host_file(volume: &Volume<'_>, at: &Utf8Path, path: &TreePath) -> Option<camino::Utf8PathBuf> {
    matches!(volume, Volume::Tree(_) | Volume::Directory(_)).then(|| at.join(path.as_str()))
}

fn is_below(path: &TreePath, dir: &TreePath) -> bool {
    path.as_str().strip_prefix(dir.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

fn kind(found: &Found, said: Option<&Attributes>) -> String {
    match found {
        Found::Directory => "a directory".to_owned(),
        Found::File { size, .. } => format!("a file of {size} B"),
        Found::Symlink { target } => format!("a link to {target}"),
        Found::Other => {
            let special = said.and_then(|said| said.special.clone());
            special.unwrap_or_else(|| "something else".to_owned())
        }
    }
}

/// What two streams hold, if both are compressed and whole.
fn decompressed(a: &[u8], b: &[u8]) -> Option<[Vec<u8>; 2]> {
    if Magic::of(a) == Magic::Plain || Magic::of(b) == Magic::Plain {
        return None;
    }
    Some([decompress(a, MAX_CONTENT).ok()?, decompress(b, MAX_CONTENT).ok()?])
}
