//! `bootway squashfs create`: files or a tar archive to an image.

use std::{
    ops::ControlFlow, os::unix::fs::MetadataExt as _, path::PathBuf, sync::atomic::Ordering, time::Instant,
};

use bootway_plan::{Class, Failure, exit_code};
use bootway_squashfs::{Cache, Node, Options, Progress, Rules, Summary, Tree, Writer};
use clap::Args;

use super::{
    exclude::ExcludeArgs,
    failure, image, say_notes,
    source::{self, Input, Source},
    summary::{Made, peak_memory},
    values,
};
use crate::{
    progress::{Stage, watched},
    signals::Signals,
    style,
};

mod args;

use args::{PackArgs, RuleArgs, SpeedArgs};

/// Make a squashfs image of files
///
/// The content of one directory becomes the root of the image; several sources are in the root, each under its name.
/// A tar archive (also .gz, .xz, .zst; `-` for standard input) becomes the image of what is in it: owners, modes and
/// devices come from it, so nobody has to be root.
///
/// The same files give the same bytes, whoever builds, with however many threads. What was compressed before is taken
/// from a cache: after a small change a build takes the time of the change.
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  \
        bootway squashfs create rootfs root.squashfs --all-root\n  \
        bootway squashfs create rootfs root.squashfs --compressor xz --block-size 1M --exclude '*.pyc'\n  \
        tar c -C rootfs . | bootway squashfs create - root.squashfs\n  \
        bootway squashfs create rootfs root.squashfs -comp zstd -Xcompression-level 19 -e boot\n\n\
        The options of mksquashfs are taken as they are; `bootway squashfs options` lists them."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Create {
    /// A directory, files and directories, a tar archive, or `-` for a tar on standard input
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// The image; one that is there is replaced, whole or not at all
    #[arg(required = true)]
    image: PathBuf,
    /// Replace a file that is no squashfs image
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    pack: PackArgs,
    #[command(flatten)]
    rules: RuleArgs,
    #[command(flatten)]
    exclude: ExcludeArgs,
    #[command(flatten)]
    speed: SpeedArgs,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
    /// Say nothing unless it fails
    #[arg(long)]
    quiet: bool,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
}

/// What <https://reproducible-builds.org/specs/source-date-epoch/> says.
fn source_date_epoch() -> Result<Option<u32>, Failure> {
    let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let time = values::time(&text);
    time.map(Some)
        .map_err(|error| Failure::new(Class::Plan, error).because("`SOURCE_DATE_EPOCH` cannot be used"))
}

impl Create {
    pub(super) fn run(&self, color: style::When, notes: &[String]) -> Result<u8, Failure> {
        let begun = Instant::now();
        let signals = Signals::listen();
        let quiet = self.quiet || self.json;
        say_notes(self.quiet, notes);
        image::may_be_written(&self.image, self.force)?;
        let source = source::look(&self.sources, self.rules.under_name)?;
        let epoch = source_date_epoch()?;
        let mut options = self.options(epoch)?;
        let cache = self.cache()?;
        let rules = self.rules(epoch, cache.as_ref())?;
        let style = style::terminal(color, false);
        let made: Result<_, Failure> = watched(&style, quiet || self.no_progress, |tell| {
            let input = self.input(&source, &rules, &signals, tell)?;
            let scan = begun.elapsed();
            if let Input::Tree(tree) = &input
                && self.rules.mkfs_time.or(epoch).is_none()
            {
                options.made = newest(tree);
            }
            let summary = self.write(input, &options, cache.as_ref(), &signals, tell)?;
            Ok((summary, scan))
        });
        let (summary, scan) = match made {
            // Whatever it was that failed then.
            Err(_) if signals.flag().load(Ordering::Relaxed) => {
                crate::say_failure(
                    &failure::stopped().because(format!("`{}` is not written", self.image.display())),
                );
                return Ok(signals.exit_code(exit_code::INTERRUPTED));
            }
            made => made.map_err(|failure| source.named(failure))?,
        };
        say_notes(self.quiet, &summary.notes);
        let made = Made {
            image: &self.image,
            options: &options,
            summary: &summary,
            scan,
            all: begun.elapsed(),
            memory: peak_memory(),
        };
        if self.json {
            crate::print(&(serde_json::to_string_pretty(&made.json()).expect("plain data") + "\n"));
        } else if !self.quiet {
            style::say(&made.to_string());
        }
        Ok(exit_code::DONE)
    }

    fn options(&self, epoch: Option<u32>) -> Result<Options, Failure> {
        let pack = &self.pack;
        Ok(Options {
            compressor: pack.compressor()?,
            block_size: pack.block_size,
            made: self.rules.mkfs_time.or(epoch).unwrap_or(0),
            export: !pack.no_exports,
            tail_ends: pack.tail_ends,
            pad: !pack.no_pad,
            threads: self.speed.threads,
        })
    }

    /// The cache, if there is to be one and a place for it.
    fn cache(&self) -> Result<Option<Cache>, Failure> {
        if self.speed.no_cache {
            return Ok(None);
        }
        let Some(dir) = self.speed.cache.clone().or_else(usual_cache) else { return Ok(None) };
        let cache = match Cache::open(&dir) {
            Ok(cache) => cache,
            // Nobody asked for it, so nobody misses it: a home that cannot be written is no reason to fail.
            Err(_) if self.speed.cache.is_none() => return Ok(None),
            Err(error) => return Err(failure::of_cache(&error)),
        };
        Ok(Some(match self.speed.cache_size {
            Some(bytes) => cache.limit(bytes),
            None => cache,
        }))
    }

    /// What becomes of files, and which are left out: also the image and the cache themselves.
    fn rules(&self, epoch: Option<u32>, cache: Option<&Cache>) -> Result<Rules, Failure> {
        let ours = [Some(self.image.as_path()), cache.map(Cache::dir)];
        let skip = ours.into_iter().flatten().filter_map(|path| fs_err::metadata(path).ok());
        Ok(Rules {
            exclude: self.exclude.question(&self.sources)?,
            skip: skip.map(|it| (it.dev(), it.ino())).collect(),
            ..self.rules.rules(epoch)
        })
    }

    /// The tree, or the stream that it comes from.
    fn input(
        &self,
        source: &Source,
        rules: &Rules,
        signals: &Signals,
        tell: &(dyn Fn(Stage) + Sync),
    ) -> Result<Input, Failure> {
        let stop = signals.flag();
        let watch = &mut |files| {
            tell(Stage::Scan { files });
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let tree = match source {
            Source::Files(paths) if self.rules.under_name => source::scan_named(paths, rules, watch),
            Source::Files(paths) => Tree::scan_all(paths, rules, watch),
            Source::Tar(path) => match source::open_tar(path.as_deref(), rules, stop)? {
                Input::Stream(_) if self.rules.root_mode.is_some() => {
                    return Err(Failure::new(
                        Class::Plan,
                        "`--root-mode` does not work with a tar that goes by once",
                    )
                    .hint("unpack it to a file before: `zstd -d root.tar.zst`"));
                }
                Input::Stream(stream) => return Ok(Input::Stream(stream)),
                Input::Tree(tree) => Ok(tree),
            },
        };
        let mut tree = tree.map_err(|error| failure::of_tree(&error))?;
        if let Some(mode) = self.rules.root_mode {
            let root = Node { mode, kind: Node::directory(0).kind, ..tree.node(Tree::ROOT).clone() };
            tree.insert("", root).map_err(|error| failure::of_tree(&error))?;
        }
        Ok(Input::Tree(tree))
    }

    fn write(
        &self,
        input: Input,
        options: &Options,
        cache: Option<&Cache>,
        signals: &Signals,
        tell: &(dyn Fn(Stage) + Sync),
    ) -> Result<Summary, Failure> {
        let streams = matches!(input, Input::Stream(_));
        let progress = |it: &Progress| {
            let total = (!streams).then_some(it.total);
            tell(Stage::Pack { done: it.done, total, written: it.written });
        };
        let mut writer = Writer::new(options.clone())
            .paranoid(self.speed.paranoid)
            .cancel(signals.flag())
            .progress(&progress);
        if let Some(cache) = cache {
            writer = writer.cache(cache);
        }
        let written = match input {
            Input::Tree(tree) => writer.write(&tree, &self.image),
            Input::Stream(stream) => writer.write_tar(*stream, &self.image),
        };
        written.map_err(|error| failure::of_write(&error))
    }
}

/// When the newest file of a tree was changed.
fn newest(tree: &Tree) -> u32 {
    let mut newest = 0;
    let mut walk = tree.walk();
    while let Some((_, id)) = walk.next() {
        newest = newest.max(tree.node(id).mtime);
    }
    newest
}

/// The cache of this user: `$XDG_CACHE_HOME/bootway/squashfs`, or below `~/.cache`.
fn usual_cache() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("bootway/squashfs"))
}
