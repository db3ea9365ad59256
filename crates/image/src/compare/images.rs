//! Images, taken apart into what they hold: partitions, file systems, the images of containers.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
};

use camino::Utf8Path;
use serde::Serialize;

use super::{CompareError, MAX_CONTENT, OUTSIDE, Pass, Place, Side, What, bytes};
use crate::{
    ImageKind, PartitionReport, Tree, compress,
    inspect::{Volume, as_disk, look_into},
    oci::Container,
};

impl Pass<'_> {
    /// Takes two images of one kind apart; `false` if they are none.
    pub(super) fn images(
        &mut self,
        place: &Place,
        paths: [&Utf8Path; 2],
        files: &[File; 2],
    ) -> Result<bool, CompareError> {
        let (a, a_container) = look_into(paths[0])?;
        let (b, b_container) = look_into(paths[1])?;
        match (&a.image, &b.image) {
            (
                ImageKind::Disk { guid: a_guid, sector_size: a_sector, partitions: a, .. },
                ImageKind::Disk { guid: b_guid, sector_size: b_sector, partitions: b, .. },
            ) => {
                self.value(place, "disk GUID", a_guid, b_guid);
                self.value(place, "sector size", a_sector, b_sector);
                self.partitions(place, paths, files, [a, b])?;
            }
            (ImageKind::FileSystem(a), ImageKind::FileSystem(b)) if a.name == b.name => {
                self.said(place, a, b);
                self.at(place, paths, files, [0, 0])?;
            }
            (ImageKind::Iso(a), ImageKind::Iso(b)) => {
                self.said(place, a, b);
                self.at(place, paths, files, [0, 0])?;
            }
            (ImageKind::Container(_), ImageKind::Container(_)) => {
                let (Some(a), Some(b)) = (a_container, b_container) else { return Ok(false) };
                self.containers(place, &a, &b)?;
            }
            (ImageKind::Initramfs { compression: a, .. }, ImageKind::Initramfs { compression: b, .. }) => {
                self.value(place, "compression", a, b);
                let trees = paths.map(unpacked);
                match trees {
                    [Ok(a), Ok(b)] => {
                        let (mut a, mut b) = (Volume::Unpacked(a), Volume::Unpacked(b));
                        self.volumes(place, (paths[0], &mut a), (paths[1], &mut b))?;
                    }
                    [Err(why), _] | [_, Err(why)] => self.unread(place, &why),
                }
            }
            (ImageKind::Qcow2 { .. }, ImageKind::Qcow2 { .. }) => return self.disks(place, paths),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes the disks in two qcow2 images apart; `false` if they cannot be read.
    fn disks(&mut self, place: &Place, paths: [&Utf8Path; 2]) -> Result<bool, CompareError> {
        let dirs = [tempfile::tempdir()?, tempfile::tempdir()?];
        let dir = |of: usize| Utf8Path::from_path(dirs[of].path()).ok_or(io::ErrorKind::InvalidFilename);
        let disks = [
            as_disk(paths[0], dir(0).map_err(io::Error::from)?)?,
            as_disk(paths[1], dir(1).map_err(io::Error::from)?)?,
        ];
        if disks.iter().zip(paths).any(|(disk, path)| disk == path) {
            return Ok(false);
        }
        self.go_on()?;
        let open = |path: &Utf8Path| Ok::<_, CompareError>(fs_err::File::open(path)?.into_file());
        let files = [open(&disks[0])?, open(&disks[1])?];
        self.images(place, [&disks[0], &disks[1]], &files)
    }

    fn partitions(
        &mut self,
        place: &Place,
        paths: [&Utf8Path; 2],
        files: &[File; 2],
        [a, b]: [&[PartitionReport]; 2],
    ) -> Result<(), CompareError> {
        let name = |it: &PartitionReport| format!("partition {} `{}`", it.number, it.label);
        let with = |all: &[PartitionReport], number| all.iter().find(|it| it.number == number).cloned();
        let numbers: BTreeSet<u32> = a.iter().chain(b).map(|it| it.number).collect();
        for number in numbers {
            let (a, b) = match (with(a, number), with(b, number)) {
                (Some(a), Some(b)) => (a, b),
                (Some(only), None) => {
                    self.differs(place, What::Only { side: Side::A, is: name(&only) });
                    continue;
                }
                (None, Some(only)) => {
                    self.differs(place, What::Only { side: Side::B, is: name(&only) });
                    continue;
                }
                (None, None) => continue,
            };
            let place = place.inside(name(&a));
            self.value(&place, "label", &a.label, &b.label);
            self.value(&place, "type", &a.kind, &b.kind);
            self.value(&place, "GUID", &a.guid, &b.guid);
            self.value(&place, "offset", &a.offset, &b.offset);
            self.value(&place, "size", &a.size, &b.size);
            let sizes = [a.size.get(), b.size.get()];
            let offsets = [a.offset.get(), b.offset.get()];
            let Some(found) = bytes::first(files, offsets, sizes, self.cancel)? else {
                self.found.same += 1;
                continue;
            };
            let before = self.found.differences.len();
            match (&a.fs, &b.fs) {
                (Some(a), Some(b)) if a.name == b.name => {
                    self.said(&place, a, b);
                    self.at(&place, paths, files, offsets)?;
                    if self.found.differences.len() == before {
                        let what = bytes::around(files, offsets, sizes, found, Some(OUTSIDE))?;
                        self.differs(&place, what);
                    }
                }
                _ => {
                    let what = bytes::around(files, offsets, sizes, found, None)?;
                    self.differs(&place, what);
                }
            }
        }
        Ok(())
    }

    /// The file systems from these bytes on.
    fn at(
        &mut self,
        place: &Place,
        paths: [&Utf8Path; 2],
        files: &[File; 2],
        offsets: [u64; 2],
    ) -> Result<(), CompareError> {
        let opened =
            [Volume::open(paths[0], &files[0], offsets[0]), Volume::open(paths[1], &files[1], offsets[1])];
        match opened {
            [Ok(mut a), Ok(mut b)] => self.volumes(place, (paths[0], &mut a), (paths[1], &mut b)),
            [Err(why), _] | [_, Err(why)] => {
                self.unread(place, &why);
                Ok(())
            }
        }
    }

    pub(super) fn containers(
        &mut self,
        place: &Place,
        a: &Container,
        b: &Container,
    ) -> Result<(), CompareError> {
        let platforms = |it: &Container| {
            let all: Vec<_> = it.report.images.iter().map(|image| image.platform.clone()).collect();
            all.join(", ")
        };
        self.value(place, "images", &platforms(a), &platforms(b));
        let pairs = a.report.images.iter().zip(&b.report.images).enumerate();
        for (image, (of_a, of_b)) in pairs {
            let place =
                if a.report.images.len() > 1 { place.inside(of_a.platform.clone()) } else { place.clone() };
            self.said(&place, of_a, of_b);
            let mut sides = [a, b].map(|container| Volume::Container { container, image });
            let [of_a, of_b] = &mut sides;
            self.volumes(&place, (&a.path, of_a), (&b.path, of_b))?;
        }
        Ok(())
    }

    /// Everything that two reports of one type say, key by key.
    fn said<T: Serialize>(&mut self, place: &Place, a: &T, b: &T) {
        let [a, b] = [a, b].map(|it| serde_json::to_value(it).expect("a report is plain data"));
        let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return };
        let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for key in keys {
            let [a, b] = [a, b].map(|it| it.get(key).map_or_else(|| "none".to_owned(), ToString::to_string));
            self.value(place, key, &a, &b);
        }
    }
}

/// The files of an initramfs.
fn unpacked(path: &Utf8Path) -> Result<Tree, String> {
    let mut archive = Vec::new();
    let unpacked = fs_err::File::open(path)
        .and_then(compress::unpacking)
        .and_then(|from| from.take(MAX_CONTENT + 1).read_to_end(&mut archive));
    unpacked.map_err(|error| error.to_string())?;
    if archive.len() as u64 > MAX_CONTENT {
        return Err(format!("it unpacks to more than {} MiB", MAX_CONTENT >> 20));
    }
    Tree::from_cpio(&archive).map_err(|error| error.to_string())
}
