//! Other programs' opinion of our images: of every byte, mode, owner, time, link, hole and extended attribute.
//!
//! An image is shown to [witnesses](witness): the kernel, which mounts it, `unsquashfs`, `sqfs2tar`, our own reader,
//! and `backhand`'s where it can. Each tells the [facts] of every file, and a fact that is not as it was in the tree
//! is a failure that names the file and both. That the witnesses are heard at all is shown with `mksquashfs`'s images,
//! which are right, and with images that were broken on purpose, in [`harness`].
//!
//! These tests mount, make devices and become other users: they need root.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "all of it is tests")]

mod bad;
mod facts;
mod harness;
mod host;
mod laws;
mod matrix;
mod odd;
mod program;
mod real;
mod trees;
mod witness;
