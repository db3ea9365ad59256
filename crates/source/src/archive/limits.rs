//! How much an archive may claim before it is refused.
//!
//! None of these is a limit of a format: each is far above what a Linux system has, and far below what hurts.

/// Entries of a tree, directories that are only implied included. Debian with every desktop has about 500,000.
pub(crate) const ENTRIES: usize = 2_000_000;

/// Bytes of all names, link targets and attributes of a tree together: they are held in memory.
pub(crate) const NAMES: usize = 512 << 20;

/// Bytes of one path. Half of Linux's `PATH_MAX`: the directory that it is unpacked to needs room, too.
pub(crate) const PATH: usize = 2048;

/// Bytes of one component of a path: `NAME_MAX` of every Linux file system.
pub(crate) const NAME: usize = 255;

/// Bytes of a symbolic link's target: `PATH_MAX` without the final NUL.
pub(crate) const TARGET: usize = 4095;

/// Bytes of one pax or GNU long-name header: they hold paths and attributes, and an attribute has at most 64 KiB.
pub(crate) const EXTENSION: u64 = 1 << 20;

/// Bytes of all files of a tree: a decompression bomb of a few megabytes can claim any number.
pub(crate) const CONTENT: u64 = 256 << 30;

/// Bytes that may follow the end of a tar archive: GNU tar pads to 10 KiB, tapes to a little more.
pub(crate) const TRAILER: u64 = 16 << 20;

/// Members of a `.deb` before its data: there are two, and vendors add a signature or two.
pub(crate) const MEMBERS: usize = 16;

/// Bytes of memory for an xz dictionary; `xz -9` needs 65 MiB.
pub(crate) const XZ_MEMORY: u64 = 512 << 20;

/// Bytes of memory for the threads that decode one xz file; beyond it there are fewer threads.
pub(crate) const XZ_THREADS_MEMORY: u64 = 256 << 20;

/// log₂ of the largest zstd window; `zstd --ultra -22 --long=27` needs 27.
pub(crate) const ZSTD_WINDOW: u32 = 27;
