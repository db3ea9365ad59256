//! What is left out of an image.

use std::{
    collections::HashSet,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use bootway_plan::{Class, Failure};
use bootway_squashfs::Exclude;
use clap::{Args, ValueEnum};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// What is left out
#[derive(Debug, Args)]
pub(crate) struct ExcludeArgs {
    /// Leave out what this glob matches, such as `*.pyc`, `/var/cache` or `/usr/share/doc/**`; may be repeated
    #[arg(long, value_name = "PATTERN", help_heading = "What is in the image")]
    exclude: Vec<String>,
    /// Leave out what the lines of this file say; may be repeated
    #[arg(long, value_name = "FILE", help_heading = "What is in the image")]
    exclude_from: Vec<PathBuf>,
    /// What a pattern is
    #[arg(
        long,
        value_name = "KIND",
        default_value = "glob",
        hide_possible_values = false,
        help_heading = "What is in the image"
    )]
    exclude_as: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A glob: without a `/` a name at any depth, with one a path from the root
    Glob,
    /// A glob of a path from the root; after `... ` at any depth (`mksquashfs -wildcards`)
    Rooted,
    /// A path without any special sign (`mksquashfs -e`)
    Path,
}

impl ExcludeArgs {
    /// The question that every path of the tree is asked.
    ///
    /// # Errors
    ///
    /// A file of patterns that cannot be read, or a pattern that is none.
    pub(crate) fn question(&self, sources: &[PathBuf]) -> Result<Exclude, Failure> {
        let mut patterns = self.exclude.clone();
        for file in &self.exclude_from {
            let text = fs_err::read_to_string(file).map_err(|error| {
                Failure::new(Class::Environment, error.to_string()).because("cannot read what to leave out")
            })?;
            patterns.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
        }
        if patterns.is_empty() {
            return Ok(Exclude::default());
        }
        if self.exclude_as == Kind::Path {
            let paths: HashSet<Vec<u8>> = patterns.iter().map(|it| path(it, sources)).collect();
            return Ok(Exclude::new(move |path| paths.contains(path)));
        }
        let set = globs(&patterns, self.exclude_as)?;
        Ok(Exclude::new(move |path| set.is_match(Path::new(std::ffi::OsStr::from_bytes(path)))))
    }
}

/// The globs, each of a whole path.
fn globs(patterns: &[String], kind: Kind) -> Result<GlobSet, Failure> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let (anywhere, rest) = match pattern.strip_prefix("... ") {
            Some(rest) if kind == Kind::Rooted => (true, rest),
            _ => (kind == Kind::Glob && !pattern.trim_end_matches('/').contains('/'), pattern.as_str()),
        };
        let rest = rest.trim_matches('/');
        let whole = if anywhere { format!("**/{rest}") } else { rest.to_owned() };
        let glob = GlobBuilder::new(&whole).literal_separator(true).backslash_escape(true).build();
        let glob = glob.map_err(|error| {
            Failure::new(Class::Plan, error.kind().to_string())
                .because(format!("`--exclude {pattern}` is no glob"))
                .hint("write a special sign in brackets: `[[]`")
        })?;
        set.add(glob);
    }
    set.build().map_err(|error| {
        Failure::new(Class::Plan, error.to_string())
            .because("there are too many patterns of what to leave out")
    })
}

/// The path in the image of what `mksquashfs -e` names: a file of the host if it begins with `/`, `./` or `../`, else a
/// path below the root.
fn path(written: &str, sources: &[PathBuf]) -> Vec<u8> {
    let of_host = ["/", "./", "../"].iter().any(|start| written.starts_with(start));
    let real = of_host.then(|| fs_err::canonicalize(written).ok()).flatten();
    let below = real.and_then(|real| {
        sources.iter().find_map(|source| {
            let source = fs_err::canonicalize(source).ok()?;
            let inside = real.strip_prefix(&source).ok()?.to_owned();
            let named = sources.len() > 1;
            Some(match source.file_name().filter(|_| named) {
                Some(name) => Path::new(name).join(inside),
                None => inside,
            })
        })
    });
    let path = below.unwrap_or_else(|| PathBuf::from(written));
    let names = path.components().filter_map(|part| match part {
        std::path::Component::Normal(name) => Some(name.as_bytes()),
        _ => None,
    });
    names.collect::<Vec<_>>().join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(kind: Kind, pattern: &str, path: &str) -> bool {
        globs(&[pattern.to_owned()], kind).unwrap().is_match(path)
    }

    #[test]
    fn a_glob_without_a_slash_is_a_name_at_any_depth() {
        for (pattern, path, out) in [
            ("*.pyc", "a.pyc", true),
            ("*.pyc", "usr/lib/a.pyc", true),
            ("/*.pyc", "usr/lib/a.pyc", false),
            ("/*.pyc", "a.pyc", true),
            ("cache/", "var/cache", true),
            ("var/cache", "var/cache", true),
            ("var/cache", "srv/var/cache", false),
            ("/usr/share/doc/*", "usr/share/doc/a", true),
            ("/usr/share/doc/*", "usr/share/doc/a/b", false),
            ("/usr/share/doc/**", "usr/share/doc/a/b", true),
            ("/usr/share/doc/**", "usr/share/doc", false),
        ] {
            assert_eq!(excluded(Kind::Glob, pattern, path), out, "{pattern} {path}");
        }
    }

    #[test]
    fn wildcards_of_mksquashfs_are_rooted_unless_they_say_otherwise() {
        for (pattern, path, out) in [
            ("*.o", "a.o", true),
            ("*.o", "src/a.o", false),
            ("... *.o", "src/a.o", true),
            ("boot/*", "boot/vmlinuz", true),
        ] {
            assert_eq!(excluded(Kind::Rooted, pattern, path), out, "{pattern} {path}");
        }
    }

    #[test]
    fn a_bad_glob_is_named() {
        let error = globs(&["a[".to_owned()], Kind::Glob).unwrap_err();
        insta::assert_snapshot!(error, @"
        error: `--exclude a[` is no glob
          caused by: unclosed character class; missing ']'
          hint: write a special sign in brackets: `[[]`
        ");
    }
}
