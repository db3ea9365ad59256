//! Writes an image: contents first, in the order of the tree, then the tables that lead to them.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{Scope, available_parallelism},
    time::{Duration, Instant},
};

use crate::{
    CodecError, Options,
    cache::{self, Cache, Seen, SeenWriter, Session},
    format::{block::MetadataHeader, superblock::Superblock},
    tree::{Content, Kind, TarStream, Tree},
};

mod buffers;
mod cached;
mod decide;
mod emit;
mod error;
mod feed;
mod fragment;
mod layout;
mod metadata;
mod numbers;
mod output;
mod pool;
mod tables;
mod work;

pub use error::WriteError;

use buffers::Buffers;
use decide::{Decider, Fed};
use emit::{Emitter, Tally};
use feed::Feed;
use output::Output;
use work::Spent;

/// Loop devices want whole pages.
const PAD: u64 = 4096;

/// How far a build is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of content that are in the image, or need not be.
    pub done: u64,
    /// Bytes of content in all; 0 if that is not known, as with a stream.
    pub total: u64,
    /// Bytes of the image so far.
    pub written: u64,
}

/// Where the time went. Threads are added up, so the parts may be more than the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// From beginning to end.
    pub total: Duration,
    /// Reading files.
    pub read: Duration,
    /// Hashing them.
    pub hash: Duration,
    /// Compressing.
    pub compress: Duration,
    /// Reading and checking what the cache has.
    pub fetch: Duration,
    /// Writing contents into the image.
    pub write: Duration,
    /// Making the tables, compression not counted.
    pub tables: Duration,
    /// Keeping what was compressed for the next build.
    pub keep: Duration,
}

/// What was made, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files of whatever kind, one with several names once.
    pub inodes: u32,
    /// Bytes of content.
    pub content: u64,
    /// Bytes of the image, padding included.
    pub image: u64,
    /// Bytes of content that are in the image once already.
    pub duplicates: u64,
    /// Bytes of content that are holes.
    pub holes: u64,
    /// Bytes of content that were read from files.
    pub read: u64,
    /// Bytes of content that were compressed now.
    pub compressed: u64,
    /// Bytes of content that were taken from the cache.
    pub cached: u64,
    /// Bytes of the image that have the same place on the disk as in the cache.
    pub shared: u64,
    /// Entries of the cache that were damaged, and have been made again.
    pub damaged: u64,
    /// What the user should know though nothing failed.
    pub notes: Vec<String>,
    /// Where the time went.
    pub times: Timing,
}

/// Writes images.
pub struct Writer<'a> {
    options: Options,
    cache: Option<&'a Cache>,
    paranoid: bool,
    cancel: Option<&'a AtomicBool>,
    progress: Option<&'a (dyn Fn(&Progress) + Sync)>,
}

impl std::fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { options, cache, paranoid, .. } = self;
        f.debug_struct("Writer")
            .field("options", options)
            .field("cache", cache)
            .field("paranoid", paranoid)
            .finish_non_exhaustive()
    }
}

impl<'a> Writer<'a> {
    /// A writer without a cache.
    pub fn new(options: Options) -> Self {
        Self { options, cache: None, paranoid: false, cancel: None, progress: None }
    }

    /// Takes from the cache what an earlier build has compressed, and keeps there what this one does. It never changes
    /// the bytes of the image.
    #[must_use]
    pub fn cache(mut self, cache: &'a Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Reads all files, also those that have not changed by their size, times and inode since the cache saw them.
    #[must_use]
    pub fn paranoid(mut self, paranoid: bool) -> Self {
        self.paranoid = paranoid;
        self
    }

    /// Gives up soon after this is set, and leaves nothing behind.
    #[must_use]
    pub fn cancel(mut self, cancel: &'a AtomicBool) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// Is told often how far it is; must return soon.
    #[must_use]
    pub fn progress(mut self, progress: &'a (dyn Fn(&Progress) + Sync)) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Writes `tree` to `image`, which is replaced when the new one is whole.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or is not what it was when the tree was made, if the image cannot be written, or if
    /// the format cannot hold the tree. Then `image` is what it was.
    pub fn write(&self, tree: &Tree, image: &Path) -> Result<Summary, WriteError> {
        let total = tree.counts().bytes;
        let build = Build::begin(self, image, total, &common_directory(tree))?;
        let written = std::thread::scope(|scope| {
            let mut feed = build.feed(scope)?;
            let mut fed = vec![false; tree.nodes().len()];
            let mut walk = tree.walk();
            while let Some((path, id)) = walk.next() {
                if let Kind::File(content) = &tree.node(id).kind
                    && !std::mem::replace(&mut fed[id.index()], true)
                {
                    feed.file(id, content, path)?;
                }
            }
            build.tables(feed.complete()?, tree)
        })?;
        build.finish(written)
    }

    /// Writes what a tar archive holds to `image`, while it is read.
    ///
    /// # Errors
    ///
    /// As [`Writer::write`], and if the archive is damaged.
    pub fn write_tar(&self, mut stream: TarStream, image: &Path) -> Result<Summary, WriteError> {
        let build = Build::begin(self, image, 0, Path::new(""))?;
        let written = std::thread::scope(|scope| {
            let mut feed = build.feed(scope)?;
            let mut path = Vec::new();
            while let Some(mut member) = stream.next()? {
                let (id, size) = (member.id(), member.size());
                path.clear();
                path.extend_from_slice(member.path());
                feed.stream(id, size, &path, &mut member)?;
            }
            build.tables(feed.complete()?, stream.tree())
        })?;
        build.finish(written)
    }
}

/// Is told what was done, and how much of the image there is.
type Report<'a> = dyn Fn(&Tally, u64) + Sync + 'a;

/// A build that has begun.
struct Build<'b> {
    options: &'b Options,
    threads: NonZeroUsize,
    output: Mutex<Option<Output>>,
    session: Option<Session>,
    /// What files contained, and what they contain now.
    seen: Option<Seen>,
    source: [u8; 32],
    cancel: Option<&'b AtomicBool>,
    spent: Spent,
    report: Box<Report<'b>>,
    begun: Instant,
}

/// What a build has made, in the place that is not yet its own.
struct Written {
    output: Output,
    entries: Vec<cache::Entry>,
    recorder: Option<SeenWriter>,
    summary: Summary,
}

impl<'b> Build<'b> {
    fn begin(writer: &'b Writer<'b>, image: &'b Path, total: u64, source: &Path) -> Result<Self, WriteError> {
        let begun = Instant::now();
        let (options, cache) = (&writer.options, writer.cache);
        options.compressor.check().map_err(CodecError::from)?;
        let output = Output::begin(image)?;
        let recipe = options.compressor.recipe(options.block_size);
        let session = cache.map(|cache| cache.session(&recipe)).transpose()?;
        let source = *blake3::hash(source.as_os_str().as_encoded_bytes()).as_bytes();
        let seen =
            cache.filter(|_| !writer.paranoid).map(|cache| Seen::load(cache, &source, options.block_size));
        let report = writer.progress.map_or_else(
            || Box::new(|_: &Tally, _| {}) as Box<Report<'b>>,
            |progress| {
                Box::new(move |tally: &Tally, written| {
                    progress(&Progress { done: tally.done, total, written });
                })
            },
        );
        Ok(Self {
            options,
            threads: options.threads.or_else(|| available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN),
            output: Mutex::new(Some(output)),
            session,
            seen,
            source,
            cancel: writer.cancel,
            spent: Spent::default(),
            report,
            begun,
        })
    }

    /// Starts the threads, and writes what comes before all contents.
    fn feed<'scope, 't, 'w>(&'w self, scope: &'scope Scope<'scope, '_>) -> Result<Feed<'t, 'w>, WriteError>
    where
        't: 'scope,
        'w: 'scope,
    {
        let options = self.options;
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut output = output.expect("a build is fed once");
        output.append(&[0; Superblock::LEN])?;
        if let Some(record) = options.compressor.options(options.block_size) {
            let header = MetadataHeader { len: record.len() as u16, stored: true };
            output.append(&header.encode())?;
            output.append(&record)?;
        }
        let raw = Buffers::default();
        let packing = (options.compressor, options.block_size);
        let session = self.session.as_ref();
        let emitter =
            Emitter::start(scope, output, packing, self.threads, session, &raw, &self.spent, &*self.report)?;
        let recorder =
            session.map(|session| (SeenWriter::new(self.source, options.block_size), session.began()));
        let decider = Decider::new(emitter, (options.block_size, options.tail_ends), raw.clone(), recorder);
        Ok(Feed::new(decider, self.threads.get(), raw, self.seen.as_ref(), self.cancel))
    }

    /// Writes everything behind the contents, and then the beginning.
    fn tables(&self, fed: Fed<'_, '_>, tree: &Tree) -> Result<Written, WriteError> {
        let Fed { mut emitter, places, saved, recorder } = fed;
        let (begun, packed) = (Instant::now(), Spent::get(&self.spent.pack));
        let superblock = tables::write(&mut emitter, tree, &places, self.options)?;
        let made = begun.elapsed().saturating_sub(Spent::get(&self.spent.pack).saturating_sub(packed));
        let output = emitter.output;
        let used = output.position();
        let image = if self.options.pad { used.next_multiple_of(PAD) } else { used };
        output.extend(image)?;
        output.put(&superblock.encode(), 0)?;
        let tally = emitter.tally;
        let summary = Summary {
            inodes: superblock.inodes,
            content: tally.done,
            image,
            duplicates: saved.duplicates + tally.repeated,
            holes: saved.holes,
            read: self.spent.bytes.load(Ordering::Relaxed),
            compressed: tally.compressed,
            cached: tally.cached,
            shared: tally.shared,
            damaged: tally.damaged,
            notes: tree.notes().to_vec(),
            times: Timing {
                read: Spent::get(&self.spent.read),
                hash: Spent::get(&self.spent.hash),
                compress: Spent::get(&self.spent.pack),
                fetch: Spent::get(&self.spent.fetch),
                write: emitter.writing,
                tables: made,
                ..Timing::default()
            },
        };
        Ok(Written { output, entries: emitter.entries, recorder, summary })
    }

    /// Puts the image in its place, and keeps what was compressed.
    fn finish(self, written: Written) -> Result<Summary, WriteError> {
        let Written { output, entries, recorder, mut summary } = written;
        if self.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Err(WriteError::Cancelled);
        }
        let image = output.finish()?;
        let begun = Instant::now();
        if let Some(session) = self.session {
            summary.notes.extend(session.commit(&image, &entries, recorder).warning);
            summary.times.keep = begun.elapsed();
        }
        summary.times.total = self.begun.elapsed();
        Ok(summary)
    }
}

/// The directory that all files of the host are in: what the cache knows a tree by.
fn common_directory(tree: &Tree) -> PathBuf {
    let files = tree.nodes().iter().filter_map(|node| match &node.kind {
        Kind::File(Content::File { path, .. }) => path.parent(),
        _ => None,
    });
    let mut common: Option<&Path> = None;
    for directory in files {
        let mut shared = common.unwrap_or(directory);
        while !directory.starts_with(shared) {
            shared = shared.parent().unwrap_or(Path::new(""));
        }
        common = Some(shared);
    }
    common.unwrap_or(Path::new("")).to_owned()
}

#[cfg(test)]
mod tests;
