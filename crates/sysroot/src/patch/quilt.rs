//! The patches that Debian adds to a source: `debian/patches/series` of the format `3.0 (quilt)`.
//!
//! Sources: `dpkg-source(1)`, "Format: 3.0 (quilt)"; `quilt(1)`, "The series file".

use camino::Utf8Path;

use super::{PatchError, name::placed, tree::Tree};

/// Lists of patches: Debian's own, if it is not that of all distributions.
const SERIES: [&str; 2] = ["debian.series", "series"];

/// The patches of a Debian source package in their order, each with the components to strip from the names in it.
///
/// `dir` is the unpacked source; the names are those of files in `debian/patches` below it, and every one of them is
/// there. There are none if the package is not of the format `3.0 (quilt)`. As with [`patch()`](super::patch), no link is
/// followed.
///
/// # Errors
///
/// If the list cannot be read, says something that is not known, or names what is no file.
pub fn quilt(dir: &Utf8Path) -> Result<Vec<(String, u32)>, PatchError> {
    let mut tree = Tree::new(dir);
    let format = text(&mut tree, "debian/source/format")?;
    if format.as_deref().map(str::trim) != Some("3.0 (quilt)") {
        return Ok(Vec::new());
    }
    for list in SERIES {
        let list = format!("debian/patches/{list}");
        let Some(text) = text(&mut tree, &list)? else { continue };
        let wrong = |line, reason| PatchError::Series { file: list.clone(), line, reason };
        let patches = series(&text).map_err(|(line, reason)| wrong(line, reason))?;
        for (line, name, _) in &patches {
            if !tree.has(&format!("debian/patches/{name}"))? {
                return Err(wrong(*line, format!("there is no patch `{name}` beside it")));
            }
        }
        return Ok(patches.into_iter().map(|(_, name, strip)| (name, strip)).collect());
    }
    Ok(Vec::new())
}

fn text(tree: &mut Tree<'_>, name: &str) -> Result<Option<String>, PatchError> {
    let content = tree.original(name)?;
    Ok(content.map(|content| String::from_utf8_lossy(&content.bytes).into_owned()))
}

/// A line of the list, the patch that it names, and what to strip.
type Listed = (usize, String, u32);

fn series(text: &str) -> Result<Vec<Listed>, (usize, String)> {
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
        patches.extend(inside.map(|name| (n + 1, name, strip)));
    }
    Ok(patches)
}
