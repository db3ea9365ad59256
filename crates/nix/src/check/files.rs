//! Which files of a flake a contract is about, and what is in them.

use bootway_exec::Cancel;
use camino::Utf8Path;
use globset::GlobBuilder;
use walkdir::WalkDir;

use super::{
    CheckError,
    lookup::lookups,
    verdict::{Again, Found, Verdicted},
};

/// Bytes of a file that are read; a Nix file that is bigger is made by a machine.
const MAX_FILE: u64 = 16 << 20;

/// No file of `dir` that `pattern` matches has a lookup path. `**` is any number of directories.
pub(super) fn no_lookup_path(
    dir: &Utf8Path,
    pattern: &str,
    cancel: &Cancel,
) -> Result<Verdicted, CheckError> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    let glob = glob.map_err(|error| CheckError::Pattern {
        pattern: pattern.to_owned(),
        reason: error.kind().to_string(),
    })?;
    let glob = glob.compile_matcher();
    let name = format!("no lookup path in {pattern}");
    let expected = "no lookup path";
    let (mut found, mut count) = (Vec::new(), 0);
    let walk = WalkDir::new(dir).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|entry| entry.file_name() != ".git") {
        if cancel.is_cancelled() {
            return Err(CheckError::Cancelled);
        }
        let entry = entry.map_err(std::io::Error::from)?;
        let Some(path) = Utf8Path::from_path(entry.path()).and_then(|path| path.strip_prefix(dir).ok())
        else {
            continue;
        };
        if !entry.file_type().is_file() || !glob.is_match(path) {
            continue;
        }
        count += 1;
        if entry.metadata().map_err(std::io::Error::from)?.len() > MAX_FILE {
            found.push(Found::text(format!("`{path}`, which is too big to be read")));
            continue;
        }
        let text = fs_err::read(entry.path())?;
        let lookups = lookups(&String::from_utf8_lossy(&text));
        found.extend(lookups.iter().map(|it| Found::text(format!("`{}` in {path}:{}", it.text, it.line))));
    }
    Ok(match count {
        0 => Verdicted::wrong(name, expected, vec![Found::text("no file that matches")], Again::Nothing),
        _ if found.is_empty() => Verdicted::good(name, format!("{count} files")),
        _ => Verdicted::wrong(name, expected, found, Again::Nothing),
    })
}
