//! `bootway squashfs extract`: an image to files.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Instant,
};

use bootway_plan::{Bytes, Failure, exit_code};
use bootway_report::span;
use bootway_squashfs::read::{self, Extracted, Image, What};
use clap::Args;

use super::{failure, image::Place, say_notes, summary::grouped, wanted::Wanted};
use crate::{
    progress::{Stage, watched},
    signals::Signals,
    style,
};

/// Lines about what was left out that are shown.
const SKIPPED: usize = 10;

/// Extract files of a squashfs image
///
/// Files get the modes and times that the image says, and belong to who extracts them unless `--owners`. Nothing is
/// written outside of the directory, whatever the image says.
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  \
    bootway squashfs extract root.squashfs -d rootfs\n  \
    bootway squashfs extract root.squashfs -d some etc 'usr/lib/modules/*/kernel'"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Extract {
    #[command(flatten)]
    image: Place,
    /// Only these and what is in them; all unless said
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Paths are paths and no globs
    #[arg(long)]
    literal: bool,
    /// Where to; it is made if it is not there
    #[arg(long, short, value_name = "DIR", default_value = "squashfs-root")]
    dest: PathBuf,
    /// Write into a directory that is there, and replace files of the same names
    #[arg(long)]
    force: bool,
    /// Leave out extended attributes
    #[arg(long)]
    no_xattrs: bool,
    /// Give files to the owners that the image says; only root can
    #[arg(long)]
    owners: bool,
    /// Say nothing unless it fails
    #[arg(long)]
    quiet: bool,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
    /// How many threads unpack; as many as there are processors unless said
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

/// The part of an image that is wanted.
struct Part {
    /// The paths of all files in it, and of the directories on the way to them; `None` if it is everything.
    paths: Option<HashSet<PathBuf>>,
    /// Bytes of its files, one with several names once.
    bytes: u64,
}

impl Extract {
    pub(super) fn run(&self, color: style::When, notes: &[String]) -> Result<u8, Failure> {
        let begun = Instant::now();
        let signals = Signals::listen();
        say_notes(self.quiet, notes);
        let image = self.image.open()?;
        let part = self.part(&image)?;
        let only = |path: &Path| part.paths.as_ref().is_none_or(|paths| paths.contains(path));
        let style = style::terminal(color, false);
        // A link to a directory is as good as the directory.
        let dest = if self.force { fs_err::canonicalize(&self.dest).ok() } else { None };
        let dest = dest.as_ref().unwrap_or(&self.dest);
        let done = watched(&style, self.quiet || self.no_progress, |tell| {
            let progress = |it: read::Progress| tell(Stage::Read { done: it.bytes, total: Some(part.bytes) });
            let options = read::Extract {
                owners: self.owners,
                xattrs: !self.no_xattrs,
                onto: self.force,
                only: Some(&only),
                threads: self.threads,
                progress: Some(&progress),
                cancel: Some(signals.flag()),
                ..read::Extract::default()
            };
            image.extract(dest, &options)
        });
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                let failure = failure::of_extract(&error, &self.image.image);
                crate::say_failure(&failure);
                return Ok(signals.exit_code(failure.class.exit_code()));
            }
        };
        self.say(&done, begun);
        Ok(exit_code::DONE)
    }

    fn part(&self, image: &Image) -> Result<Part, Failure> {
        let mut wanted = Wanted::new(&self.paths, self.literal)?;
        let mut part = Part { paths: (!self.paths.is_empty()).then(HashSet::new), bytes: 0 };
        // By inode: a file with several names is written once.
        let mut sizes = HashMap::new();
        for entry in image.entries() {
            let entry = entry.map_err(|error| failure::of_read(&error, &self.image.image))?;
            if !wanted.has(entry.path()) {
                continue;
            }
            if let Some(paths) = &mut part.paths {
                let new =
                    entry.path().ancestors().take_while(|path| !paths.contains(*path)).map(Path::to_owned);
                let new: Vec<PathBuf> = new.collect();
                paths.extend(new);
            }
            if let What::File { size } = entry.stat().what
                && sizes.insert(entry.stat().inode, size).is_none()
            {
                part.bytes = part.bytes.saturating_add(size);
            }
        }
        wanted.all_met(&self.image.image)?;
        Ok(part)
    }

    fn say(&self, done: &Extracted, begun: Instant) {
        if self.quiet {
            return;
        }
        let skipped = done.skipped.iter().take(SKIPPED).map(ToString::to_string).collect::<Vec<_>>();
        say_notes(false, &skipped);
        let more = done.skipped.len().saturating_sub(SKIPPED) as u64 + done.more_skipped;
        if more > 0 {
            say_notes(false, &[format!("{more} more like these")]);
        }
        let took = span(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        let mut text = format!(
            "{}: {} files, {} directories, {} links",
            self.dest.display(),
            grouped(done.files),
            grouped(done.directories),
            grouped(done.symlinks + done.hard_links)
        );
        if done.special > 0 {
            text += &format!(", {} devices and pipes", done.special);
        }
        text += &format!(", {} in {took}", Bytes::new(done.bytes).human());
        style::say(&text);
    }
}
