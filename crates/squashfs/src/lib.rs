//! Writes and reads squashfs 4.0: at the speed of the compressor, in little memory, and again at the cost of what
//! changed.
//!
//! - A [`Tree`] is what an image will hold: of a directory, of a tar archive, or made by hand. [`Rules`] say who owns
//!   it and when it was made, so nobody has to be root.
//! - A [`Writer`] makes the image: the same tree and the same [`Options`] give the same bytes, with however many
//!   threads. With a [`Cache`] it compresses only what no earlier build has, and does not even read files that have
//!   not changed; the bytes are those of a build without one.
//! - An [`Image`](read::Image) is read: listed, extracted without ever leaving the directory, verified block by block.
//!
//! # From a directory
//!
//! ```
//! use bootway_squashfs::{Options, Rules, Tree, Writer};
//!
//! # let temporary = tempfile::tempdir()?;
//! # let image = temporary.path().join("src.squashfs");
//! let rules = Rules { uid: Some(0), gid: Some(0), ..Rules::default() };
//! let tree = Tree::scan("src", &rules, &mut Tree::unwatched())?;
//! let summary = Writer::new(Options::default()).write(&tree, &image)?;
//! assert_eq!(summary.content, tree.counts().bytes);
//! assert_eq!(summary.image % 4096, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # By hand
//!
//! Contents may be in memory, devices need no privileges, and a second name is a link.
//!
//! ```
//! use bootway_squashfs::{Kind, Node, Options, Tree, Writer, read::Image};
//!
//! # let temporary = tempfile::tempdir()?;
//! # let image = temporary.path().join("root.squashfs");
//! let mut tree = Tree::new(Node::directory(0o755))?;
//! let su = tree.insert("bin/su", Node::file(0o4755, *b"#!").xattr("user.origin", "here"))?;
//! tree.link("bin/su2", su)?;
//! tree.insert("dev/null", Node::new(0o666, Kind::CharDevice { major: 1, minor: 3 }))?;
//! Writer::new(Options::default()).write(&tree, &image)?;
//! assert_eq!(Image::open(&image)?.entry("bin/su2")?.stat().links, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # From a tar archive
//!
//! A pipe or a compressed archive is compressed while it is read, without a copy on the disk. One that can be read
//! anywhere is better read by [`Tree::from_tar`], for then its order does not matter.
//!
//! ```no_run
//! use bootway_squashfs::{Compressor, Options, Rules, TarStream, Writer};
//!
//! let options = Options { compressor: Compressor::Xz { level: 6, bcj: None }, ..Options::default() };
//! let stream = TarStream::new(std::io::stdin(), &Rules::default())?;
//! Writer::new(options).write_tar(stream, "root.squashfs".as_ref())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Again, at the cost of what changed
//!
//! ```
//! use bootway_squashfs::{Cache, Options, Rules, Tree, Writer};
//!
//! # let temporary = tempfile::tempdir()?;
//! # let image = temporary.path().join("src.squashfs");
//! let cache = Cache::open(&temporary.path().join("cache"))?;
//! let writer = Writer::new(Options::default()).cache(&cache);
//! let tree = Tree::scan("src", &Rules::default(), &mut Tree::unwatched())?;
//! let first = writer.write(&tree, &image)?;
//! let again = writer.write(&tree, &image)?;
//! assert_eq!((first.cached, again.compressed), (0, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Out of an image
//!
//! ```
//! use bootway_squashfs::{Node, Options, Tree, Writer, read::{Extract, Image, Verify}};
//!
//! # let temporary = tempfile::tempdir()?;
//! # let (image, directory) = (temporary.path().join("image"), temporary.path().join("directory"));
//! let mut tree = Tree::new(Node::directory(0o755))?;
//! tree.insert("etc/motd", Node::file(0o644, *b"hello\n"))?;
//! Writer::new(Options::default()).write(&tree, &image)?;
//!
//! let image = Image::open(&image)?;
//! assert!(image.verify(&Verify::default()).is_sound());
//! let extracted = image.extract(&directory, &Extract { owners: false, ..Extract::default() })?;
//! assert_eq!((extracted.files, extracted.skipped.len()), (1, 0));
//! assert_eq!(std::fs::read(directory.join("etc/motd"))?, b"hello\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod cache;
mod codec;
mod format;
mod options;
pub mod read;
mod tree;
mod write;

pub use cache::{Cache, CacheError, Usage};
pub use codec::{BadCompressor, Bcj, CodecError, Compressor, Packer};
pub use format::Malformed;
pub use options::{BadBlockSize, BlockSize, Options};
pub use tree::{
    Content, Counts, Exclude, Id, Ident, Kind, Mask, Member, Node, Piece, Rules, TarError, TarStream, Times,
    Tree, TreeError, Unsupported, Walk, Xattrs,
};
pub use write::{Progress, Summary, Timing, WriteError, Writer};
