//! A tree to a squashfs 4.0 image.
//!
//! Owners, modes, devices and extended attributes go from the tree into the image and never onto a disk, so an
//! ordinary user can make any of them. What was compressed before, for this plan or another, comes from a cache.

use std::num::NonZeroUsize;

use bootway_exec::{Cx, StepOutput};
use bootway_plan::{
    ArtifactKind, Bytes, Name,
    step::{self, Owners},
};
use bootway_squashfs::{BlockSize, Cache, CacheError, Compressor, Options, Summary, WriteError, Writer};
use camino::Utf8Path;
use globset::GlobMatcher;

use crate::{progress::Progress, tree};

mod error;
mod packable;

pub use error::SquashfsError;

/// Packs a tree into a squashfs image: the same bytes on any number of processors, with and without a cache.
///
/// # Errors
///
/// If a file cannot be read or changes meanwhile, if the format cannot hold something, or if the image cannot be
/// written. Then there is none.
pub fn squashfs(cx: &Cx<'_>, step: &step::Squashfs) -> Result<Vec<StepOutput>, SquashfsError> {
    let options = options(cx, step)?;
    let exclude: Vec<GlobMatcher> =
        step.exclude.iter().map(|pattern| tree::matcher(pattern)).collect::<Result<_, _>>()?;
    let tree = tree::without(tree::load(cx, &step.from, Owners::Root)?, &exclude);
    let tree = packable::packable(cx, &tree, options.made)?;
    let path = cx.out.join("image.squashfs");
    let summary = pack(cx, &options, &tree, &path)?;
    cx.note(said(&summary));
    Ok(vec![StepOutput { name: Name::fixed("image"), kind: ArtifactKind::Squashfs, path }])
}

/// What the plan says, and what is the best for what it does not say.
fn options(cx: &Cx<'_>, step: &step::Squashfs) -> Result<Options, SquashfsError> {
    let best = Options::default();
    let level = step.level.map(i64::from);
    let compressor = match (step.compressor, level) {
        (Some(compressor), level) => Compressor::parse(compressor.as_str(), level)?,
        (None, Some(level)) => best.compressor.with_level(level)?,
        (None, None) => best.compressor,
    };
    Ok(Options {
        compressor,
        block_size: match step.block_size {
            Some(size) => BlockSize::new(size.get())?,
            None => best.block_size,
        },
        made: u32::try_from(cx.epoch).map_err(|_| SquashfsError::Epoch { epoch: cx.epoch })?,
        threads: NonZeroUsize::new(cx.jobs),
        ..best
    })
}

/// Writes the image. A cache that cannot be used costs time only.
fn pack(
    cx: &Cx<'_>,
    options: &Options,
    tree: &bootway_squashfs::Tree,
    image: &Utf8Path,
) -> Result<Summary, SquashfsError> {
    let without = |error: &CacheError| {
        cx.note(format!(
            "the cache of compressed blocks cannot be used, and all are compressed anew: {error}"
        ));
    };
    let cache = Cache::open(cx.cache.join("squashfs").as_std_path()).inspect_err(without).ok();
    let summary = match write(cx, options, tree, image, cache.as_ref()) {
        Err(WriteError::Cache(error)) if cache.is_some() => {
            without(&error);
            write(cx, options, tree, image, None)
        }
        written => written,
    }?;
    summary.notes.iter().for_each(|note| cx.note(note));
    if summary.damaged > 0 {
        cx.note(format!("{} damaged entries of the cache were made anew", summary.damaged));
    }
    Ok(summary)
}

fn write(
    cx: &Cx<'_>,
    options: &Options,
    tree: &bootway_squashfs::Tree,
    image: &Utf8Path,
    cache: Option<&Cache>,
) -> Result<Summary, WriteError> {
    let progress = Progress::bytes(cx, tree.counts().bytes);
    let report = |now: &bootway_squashfs::Progress| progress.reached(now.done);
    cx.cancel.watch(|cancel| {
        let writer = Writer::new(options.clone()).cancel(cancel).progress(&report);
        let writer = if let Some(cache) = cache { writer.cache(cache) } else { writer };
        writer.write(tree, image.as_std_path())
    })
}

/// What was done, in one line.
fn said(it: &Summary) -> String {
    let human = |bytes: u64| Bytes::new(bytes).human();
    let percent = (u128::from(it.image) * 100 + u128::from(it.content / 2)).checked_div(it.content.into());
    let percent = percent.map_or_else(String::new, |percent| format!(" ({percent} %)"));
    let mut text =
        format!("{} files, {} to {}{percent}", grouped(it.inodes), human(it.content), human(it.image));
    let compressed = if it.cached > 0 { "compressed anew" } else { "compressed" };
    let parts = [
        (it.cached, "from the cache"),
        (it.compressed, compressed),
        (it.duplicates, "in duplicates"),
        (it.holes, "in holes"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(bytes, _)| *bytes > 0)
        .map(|(bytes, what)| format!("{} {what}", human(*bytes)))
        .collect();
    if !parts.is_empty() {
        text = format!("{text}; {}", parts.join(", "));
    }
    text
}

/// `n` with commas between groups of three digits.
fn grouped(n: u32) -> String {
    let digits = n.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8(groups.join(&b',')).expect("digits and commas")
}

#[cfg(test)]
mod tests;
