//! `fetch`: a file from a URL.

use bootway_exec::{Cx, StepOutput};
use bootway_plan::{Class, Explain, Name, step};
use camino::Utf8PathBuf;
use thiserror::Error;

use crate::{
    meter::Meter,
    store::{DownloadError, Fetched, Store, Wanted},
    transfer::is_supported,
};

/// Downloads a file, or finds it in the cache, and verifies it.
///
/// `url` and then each of `mirrors` is tried until one has the right bytes. What is in the cache under the right
/// SHA-256 is verified again and used without any network.
///
/// # Errors
///
/// If no URL answers, or what they have is not what the plan says.
pub fn fetch(cx: &Cx<'_>, step: &step::Fetch) -> Result<Vec<StepOutput>, FetchError> {
    let store = Store::new(cx)?;
    let cached = obtain(cx, step, &store)?;
    let path = cx.out.join(step.file_name());
    store.copy_out(&cached, &path)?;
    Ok(vec![StepOutput { name: Name::fixed("file"), kind: step.kind, path }])
}

/// Brings the file into the cache, verified, and makes no output.
///
/// # Errors
///
/// As of [`fetch()`].
pub fn download(cx: &Cx<'_>, step: &step::Fetch) -> Result<Fetched, FetchError> {
    let store = Store::new(cx)?;
    obtain(cx, step, &store)?;
    Ok(store.fetched())
}

/// Where the file is in the cache.
fn obtain(cx: &Cx<'_>, step: &step::Fetch, store: &Store<'_>) -> Result<Utf8PathBuf, FetchError> {
    let name = step.file_name();
    if name.contains(['/', '\0']) || matches!(name, "" | "." | "..") {
        return Err(FetchError::FileName { name: name.to_owned() });
    }
    let urls: Vec<String> = std::iter::once(&step.url).chain(&step.mirrors).cloned().collect();
    if let Some(url) = urls.iter().find(|url| !is_supported(url)) {
        return Err(FetchError::Url { url: url.clone() });
    }
    let wanted = Wanted { digest: step.sha256, size: None, urls };
    Ok(store.obtain(&wanted, &Meter::new(cx, None))?)
}

/// A file was not fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The name cannot be that of a file.
    #[error("`{name}` cannot be the name of the file: set `file-name` to one without slashes")]
    FileName {
        /// As it was given, or cut from the URL.
        name: String,
    },
    /// We cannot get that.
    #[error("`{url}` is not a URL that can be fetched: use http, https or file")]
    Url {
        /// As it was given.
        url: String,
    },
    /// It did not come, or is something else.
    #[error(transparent)]
    Download(#[from] DownloadError),
}

impl Explain for FetchError {
    fn class(&self) -> Class {
        match self {
            Self::FileName { .. } | Self::Url { .. } => Class::Plan,
            Self::Download(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::FileName { .. } | Self::Url { .. } => None,
            Self::Download(error) => error.hint(),
        }
    }
}

#[cfg(test)]
mod tests;
