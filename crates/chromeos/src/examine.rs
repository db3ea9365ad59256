//! Who signed what, and what an image is fit for.

use camino::Utf8Path;
use serde::Serialize;

/// What is known of a `ChromeOS` image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ChromeosReport {}

/// Examines the raw disk at `path`; `None` if it has no `ChromeOS` kernel partition.
pub fn examine(path: &Utf8Path) -> Option<ChromeosReport> {
    let _ = path;
    None
}
