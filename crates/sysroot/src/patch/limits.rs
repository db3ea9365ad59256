//! How much of everything there may be. What fuzzing makes up is smaller.

/// Bytes of a diff: from one version of Linux to the next it is 90 MB.
pub(super) const DIFF: usize = if cfg!(fuzzing) { 1 << 20 } else { 256 << 20 };

/// Lines in all hunks of a diff: from one version of Linux to the next, three million.
pub(super) const ROWS: usize = if cfg!(fuzzing) { 1 << 16 } else { 16 << 20 };

/// Bytes of a file that is changed: the largest in Linux has 22 MB.
pub(super) const FILE: u64 = if cfg!(fuzzing) { 1 << 16 } else { 64 << 20 };

/// Bytes that are read and made for one diff, all files together: they are in memory until nothing can go wrong.
pub(super) const TOUCHED: u64 = if cfg!(fuzzing) { 1 << 21 } else { 2 << 30 };

/// Lines around the place where a hunk should be, in which to look for what an error shows.
pub(super) const AROUND: usize = 1000;

/// Bytes of a name, as Linux has it.
pub(super) const NAME: usize = 4096;
