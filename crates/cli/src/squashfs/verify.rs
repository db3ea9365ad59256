//! `bootway squashfs verify`: whether every byte of an image can be read.

use std::{num::NonZeroUsize, sync::atomic::Ordering, time::Instant};

use bootway_plan::{Bytes, Class, Failure, exit_code};
use bootway_report::span;
use bootway_squashfs::read::{self, Verified};
use clap::Args;

use super::{failure, image::Place, summary::grouped};
use crate::{
    progress::{Stage, watched},
    signals::Signals,
    style,
};

/// Problems that are shown.
const PROBLEMS: usize = 20;

/// Read every byte of a squashfs image
///
/// Every block is unpacked, and the tables are compared with each other. Squashfs has no checksums: a block that was
/// replaced by another one that can be unpacked is not noticed. Exit code 6 if the image is damaged.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bootway squashfs verify root.squashfs\n  bootway squashfs verify disk.raw --offset 537919488"
)]
pub(super) struct Verify {
    #[command(flatten)]
    image: Place,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Say nothing unless it is damaged
    #[arg(long)]
    quiet: bool,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
    /// How many threads unpack; as many as there are processors unless said
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

impl Verify {
    pub(super) fn run(&self, color: style::When) -> Result<u8, Failure> {
        let begun = Instant::now();
        let signals = Signals::listen();
        let image = match self.image.open() {
            Ok(image) => image,
            Err(failure) if self.json && failure.class == Class::Check => {
                let it = serde_json::json!({ "sound": false, "complete": false, "problems": failure.chain });
                crate::print(&(serde_json::to_string_pretty(&it).expect("plain data") + "\n"));
                return Err(failure);
            }
            Err(failure) => return Err(failure),
        };
        let style = style::terminal(color, false);
        let quiet = self.quiet || self.json || self.no_progress;
        let verified = watched(&style, quiet, |tell| {
            let progress = |it: read::Progress| tell(Stage::Read { done: it.bytes, total: None });
            image.verify(&read::Verify {
                threads: self.threads,
                progress: Some(&progress),
                cancel: Some(signals.flag()),
                ..read::Verify::default()
            })
        });
        if signals.flag().load(Ordering::Relaxed) {
            crate::say_failure(&failure::stopped().because(format!("{} is not verified", self.shown())));
            return Ok(signals.exit_code(exit_code::INTERRUPTED));
        }
        if self.json {
            crate::print(&(serde_json::to_string_pretty(&json(&verified)).expect("plain data") + "\n"));
        } else if verified.is_sound() && !self.quiet {
            let took = span(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
            let it = verified.checked;
            let bytes = Bytes::new(it.bytes).human();
            style::say(&format!(
                "{} is sound: {} inodes, {} files, {bytes} of content unpacked, in {took}",
                self.shown(),
                grouped(it.inodes),
                grouped(it.files)
            ));
        }
        if verified.is_sound() { Ok(exit_code::DONE) } else { Err(self.damaged(&verified)) }
    }

    fn shown(&self) -> String {
        format!("`{}`", self.image.image.display())
    }

    fn damaged(&self, verified: &Verified) -> Failure {
        let mut failure = Failure::new(Class::Check, format!("{} is damaged", self.shown()));
        let shown = verified.problems.iter().take(PROBLEMS).map(ToString::to_string);
        failure.chain.extend(shown);
        let more = verified.problems.len().saturating_sub(PROBLEMS) as u64 + verified.more_problems;
        if more > 0 {
            failure.chain.push(format!("and {more} more"));
        }
        failure.hint("get it again, or make it again; `extract` gives what can be read of it by its path")
    }
}

fn json(verified: &Verified) -> serde_json::Value {
    let it = verified.checked;
    let problems = verified.problems.iter().map(ToString::to_string);
    serde_json::json!({
        "sound": verified.is_sound(),
        "complete": verified.complete,
        "problems": problems.collect::<Vec<_>>(),
        "more_problems": verified.more_problems,
        "checked": {
            "metadata_blocks": it.metadata_blocks,
            "inodes": it.inodes,
            "directories": it.directories,
            "names": it.names,
            "files": it.files,
            "data_blocks": it.data_blocks,
            "holes": it.holes,
            "fragments": it.fragments,
            "bytes": it.bytes,
            "xattr_sets": it.xattr_sets,
            "references": it.references,
        },
    })
}
