//! The patches that Debian adds to a source: `debian/patches/series` of the format `3.0 (quilt)`.
//!
//! Sources: `dpkg-source(1)`, "Format: 3.0 (quilt)"; `quilt(1)`, "The series file".

use std::io;

use camino::Utf8Path;

use super::{PatchError, name::placed};

/// Lists of patches: Debian's own, if it is not that of all distributions.
const SERIES: [&str; 2] = ["debian.series", "series"];

/// The patches of a Debian source package in their order, each with the components to strip from the names in it.
///
/// `dir` is the unpacked source; the names are those of files in `debian/patches` below it. There are none if the
/// package is not of the format `3.0 (quilt)`.
///
/// # Errors
///
/// If the list cannot be read, or says something that is not known.
pub fn quilt(dir: &Utf8Path) -> Result<Vec<(String, u32)>, PatchError> {
    let format = text(&dir.join("debian/source/format"))?;
    if format.as_deref().map(str::trim) != Some("3.0 (quilt)") {
        return Ok(Vec::new());
    }
    for name in SERIES {
        if let Some(text) = text(&dir.join("debian/patches").join(name))? {
            return series(&text).map_err(|(line, reason)| PatchError::Series {
                file: format!("debian/patches/{name}"),
                line,
                reason,
            });
        }
    }
    Ok(Vec::new())
}

fn text(path: &Utf8Path) -> Result<Option<String>, PatchError> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn series(text: &str) -> Result<Vec<(String, u32)>, (usize, String)> {
    let mut patches = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let wrong = |reason: String| (n + 1, reason);
        let mut words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
        let Some(name) = words.next() else { continue };
        let mut strip = 1;
        while let Some(option) = words.next() {
            let number = match option {
                "-p" => words.next().unwrap_or_default(),
                _ => option
                    .strip_prefix("-p")
                    .ok_or_else(|| wrong(format!("the option `{option}` is not known")))?,
            };
            strip = match number {
                // Names with `a/` and `b/` before them.
                "ab" => 1,
                number => {
                    number.parse().map_err(|_| wrong(format!("`{number}` is no number of components")))?
                }
            };
        }
        let inside =
            placed(name.as_bytes(), 0).map_err(|reason| wrong(format!("the name `{name}` {reason}")))?;
        patches.extend(inside.map(|name| (name, strip)));
    }
    Ok(patches)
}
