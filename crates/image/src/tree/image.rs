//! A tree from an image: the files of an ext2, ext3 or ext4, by itself or in a partition of a disk.

use std::{
    io::{Seek, SeekFrom},
    sync::Arc,
};

use bootway_exec::Cx;
use bootway_plan::{Bytes, Source};
use camino::Utf8Path;

use super::{Backing, Tree, TreeError};
use crate::{
    ExtReader,
    format::{
        gpt, mbr,
        superblock::{self, START, Superblock},
    },
};

/// The biggest ext2, ext3 or ext4.
const LARGEST: &str = "largest";
/// The image is the file system.
const WHOLE: &str = "whole";
/// How many files a note names at most.
const MAX_NAMED: usize = 5;

/// A place where a file system may be.
struct Place {
    /// Its number and label, for messages.
    name: String,
    label: String,
    offset: u64,
    size: u64,
    /// Kind and label, if it is known.
    fs: Option<(&'static str, String)>,
}

impl Place {
    fn is_ext(&self) -> bool {
        self.fs.as_ref().is_some_and(|(kind, _)| kind.starts_with("ext"))
    }
}

/// The files of the file system that `wanted` means in the image at `path`.
pub(super) fn load(cx: &Cx<'_>, source: &Source, path: &Utf8Path, wanted: &str) -> Result<Tree, TreeError> {
    let file = Backing::open(path)?;
    let places = places(&file)?;
    let place = choose(&places, wanted).ok_or_else(|| TreeError::NoPartition {
        name: source.clone(),
        wanted: format!("`partition = \"{wanted}\"`: {}", said(&places)).into(),
    })?;
    let failed = |error| match error {
        crate::ExtError::Cancelled => TreeError::Cancelled,
        error => TreeError::Image { name: source.clone(), offset: place.offset, source: Box::new(error) },
    };
    let reader = ExtReader::at(file, place.offset, place.size).map_err(failed)?;
    let (tree, left) = reader.tree(cx.cancel).map_err(failed)?;
    if !left.is_empty() {
        let more = left.len().saturating_sub(MAX_NAMED);
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        let named = left[..left.len().min(MAX_NAMED)].join("; ");
        cx.note(format!("of {} in `{source}`, not everything could be taken: {named}{more}", place.name));
    }
    Ok(tree)
}

/// All file systems that there may be; the first is the image as a whole.
fn places(file: &Arc<Backing>) -> Result<Vec<Place>, TreeError> {
    let mut places = vec![Place {
        name: "the file system".to_owned(),
        label: String::new(),
        offset: 0,
        size: file.size(),
        fs: fs(file, 0)?,
    }];
    let mut partition = |number: u32, label: String, offset: u64, size: u64| -> Result<(), TreeError> {
        let name = if label.is_empty() {
            format!("partition {number}")
        } else {
            format!("partition {number} (`{label}`)")
        };
        places.push(Place { name, label, offset, size, fs: fs(file, offset)? });
        Ok(())
    };
    let mut disk = &**file.file();
    disk.seek(SeekFrom::Start(0))?;
    if let Ok(gpt::Found { gpt, .. }) = gpt::read_lenient(&mut disk) {
        for it in gpt.entries {
            let sectors = it.last.saturating_sub(it.first).saturating_add(1);
            let offset = it.first.saturating_mul(gpt.sector_size);
            partition(it.number, it.label, offset, sectors.saturating_mul(gpt.sector_size))?;
        }
        return Ok(places);
    }
    for (number, first, sectors) in mbr::partitions(&start_of(file, 0)?) {
        partition(number, String::new(), first * 512, sectors * 512)?;
    }
    Ok(places)
}

/// The first bytes at `offset`; fewer at the end of the file.
fn start_of(file: &Backing, offset: u64) -> Result<Vec<u8>, TreeError> {
    let mut bytes = vec![0; (START as u64).min(file.size().saturating_sub(offset)) as usize];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn fs(file: &Backing, offset: u64) -> Result<Option<(&'static str, String)>, TreeError> {
    Ok(match superblock::parse(&start_of(file, offset)?) {
        Some(Superblock::Ext(ext)) => Some((ext.name, ext.label)),
        Some(Superblock::Fat(fat)) => Some((fat.name, fat.label)),
        Some(Superblock::Squashfs) => Some(("squashfs", String::new())),
        None => None,
    })
}

/// The place that is wanted, if it has an ext2, ext3 or ext4.
fn choose<'a>(places: &'a [Place], wanted: &str) -> Option<&'a Place> {
    let (whole, partitions) = places.split_first()?;
    let found = match wanted {
        WHOLE => Some(whole),
        LARGEST if partitions.is_empty() => Some(whole),
        LARGEST => {
            let ext = partitions.iter().filter(|place| place.is_ext());
            // The first of the biggest.
            ext.rev().max_by_key(|place| place.size)
        }
        label => partitions.iter().find(|place| place.label == label).or_else(|| {
            let mut all = partitions.iter().chain([whole]);
            all.find(|place| place.fs.as_ref().is_some_and(|(_, of_fs)| of_fs == label))
        }),
    };
    found.filter(|place| place.is_ext())
}

/// What there is, for a message.
fn said(places: &[Place]) -> String {
    let said = |place: &Place| {
        let fs = match &place.fs {
            Some((kind, label)) if label.is_empty() => (*kind).to_owned(),
            Some((kind, label)) => format!("{kind} `{label}`"),
            None => "nothing that is known".to_owned(),
        };
        format!("{} of {} with {fs}", place.name, Bytes::new(place.size).human())
    };
    match places {
        [whole] if whole.fs.is_none() => {
            "it has no partition table, and is no file system that is known".to_owned()
        }
        [whole] => format!("it has no partition table, and is {}", said(whole)),
        [_, partitions @ ..] => {
            format!("it has {}", partitions.iter().map(said).collect::<Vec<_>>().join(", "))
        }
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests;
