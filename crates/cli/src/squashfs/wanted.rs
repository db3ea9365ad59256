//! Which files of an image somebody wants.

use std::path::{Path, PathBuf};

use bootway_plan::{Class, Failure};
use globset::{GlobBuilder, GlobMatcher};

/// Paths and globs, and which of them have met something.
#[derive(Debug)]
pub(super) struct Wanted {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    written: PathBuf,
    what: What,
    met: bool,
}

#[derive(Debug)]
enum What {
    Path(PathBuf),
    Glob(GlobMatcher),
}

impl Wanted {
    /// Files at these paths, and everything in them; all files if there are none. Unless `literal`, a path with a
    /// special sign in it is a glob.
    ///
    /// # Errors
    ///
    /// A glob that is none.
    pub(super) fn new(paths: &[PathBuf], literal: bool) -> Result<Self, Failure> {
        let pattern = |written: &PathBuf| -> Result<Pattern, Failure> {
            let path: PathBuf =
                written.components().filter(|it| matches!(it, std::path::Component::Normal(_))).collect();
            let text = path.to_str().filter(|text| !literal && text.contains(['*', '?', '[', '{']));
            let what = match text {
                None => What::Path(path),
                Some(text) => {
                    let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
                    What::Glob(glob.map_err(|error| bad_glob(written, &error))?.compile_matcher())
                }
            };
            Ok(Pattern { written: written.clone(), what, met: false })
        };
        Ok(Self { patterns: paths.iter().map(pattern).collect::<Result<_, _>>()? })
    }

    /// Whether the file at that path is wanted, or something that it is in.
    pub(super) fn has(&mut self, path: &Path) -> bool {
        let mut wanted = self.patterns.is_empty();
        for pattern in &mut self.patterns {
            let met = match &pattern.what {
                What::Path(wanted) => path.starts_with(wanted),
                What::Glob(glob) => {
                    path.ancestors().any(|it| !it.as_os_str().is_empty() && glob.is_match(it))
                }
            };
            pattern.met |= met;
            wanted |= met;
        }
        wanted
    }

    /// Says so if something was wanted that is not there.
    ///
    /// # Errors
    ///
    /// The first path that met nothing.
    pub(super) fn all_met(&self, image: &Path) -> Result<(), Failure> {
        let Some(pattern) = self.patterns.iter().find(|it| !it.met) else { return Ok(()) };
        let (image, path) = (image.display(), pattern.written.display());
        Err(Failure::new(Class::Plan, format!("`{image}` has no `{path}`"))
            .hint(format!("`bootway squashfs list {image}` shows what it has")))
    }
}

fn bad_glob(written: &Path, error: &globset::Error) -> Failure {
    Failure::new(Class::Plan, error.kind().to_string())
        .because(format!("`{}` is no glob", written.display()))
        .hint("with `--literal` it is a path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_brings_what_is_in_it_and_a_star_stays_in_its_directory() {
        let wants = |pattern: &str, path: &str| {
            Wanted::new(&[PathBuf::from(pattern)], false).unwrap().has(Path::new(path))
        };
        for (pattern, path, wanted) in [
            ("etc", "etc/ssh/moduli", true),
            ("/etc/", "etc", true),
            (".", "etc", true),
            ("etc", "etcetera", false),
            ("*/hostname", "etc/hostname", true),
            ("*/hostname", "var/etc/hostname", false),
            ("**/hostname", "var/etc/hostname", true),
            ("e*", "etc/ssh/moduli", true),
        ] {
            assert_eq!(wants(pattern, path), wanted, "{pattern} {path}");
        }
    }
}
